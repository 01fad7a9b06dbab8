//! What is particular about CUDA objects: who asks for a driver library, what only stands in for one, which release it is,
//! which GPUs it has code for.
//! Pure over an [`crate::elf::view::ElfView`].

mod capability;
mod code;
mod compat_note;
mod consumer;
mod fatbin;
mod hollow;
mod libraries;
mod requests;
mod stub;
mod version;

pub use capability::{Capability, CapabilityError, Variant};
pub use code::{Code, CodeKind, GpuCode, Place, Runs, Tallies, Tally, add_up, bytes_of};
pub use compat_note::{CompatNote, CompatNoteError};
pub use consumer::{Consumer, Request, names_in};
pub use fatbin::{FatbinProblem, is_fatbin, of_contents, of_fatbin, unparsed};
pub use libraries::{DRIVER_LIBRARIES, DriverLibraries, is_libcuda, is_optional};
pub use requests::{RequestKind, python};
pub use stub::is_stub;
pub use version::{Version, VersionError, least_of_soname, of_file_name, of_store_name};
