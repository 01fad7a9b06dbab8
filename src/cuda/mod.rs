//! What is particular about CUDA objects: who asks for a driver library, what only stands in for one, which release it is,
//! which GPUs it has code for.
//! Pure over an [`crate::elf::view::ElfView`].
#![deny(clippy::arithmetic_side_effects)]

mod capability;
mod code;
mod compat_note;
mod consumer;
mod empty;
mod fatbin;
mod libraries;
mod problem;
mod stub;
mod version;

pub use capability::{Capability, CapabilityError, Variant};
pub use code::{Code, CodeKind, GpuCode, Place, Runs, Tallies, Tally, add_up, bytes_of};
pub use compat_note::{CompatNote, CompatNoteError};
pub use consumer::{Consumer, Request, RequestKind, names_in};
pub use fatbin::{is_fatbin, of_contents, of_fatbin, unparsed};
pub use libraries::{
    DRIVER_LIBRARIES, DriverLibraries, DriverLibrary, Role, driver_library, is_board_support, is_libcuda, is_optional,
    of_role, stub_names,
};
pub use problem::FatbinProblem;
pub use stub::is_stub;
pub use version::{Version, VersionError, least_of_soname, of_file_name, of_store_name};
