//! What is particular about CUDA objects: who asks for a driver library, what only stands in for one, which release it is,
//! which GPUs it has code for.
//! Pure over an [`crate::elf::view::ElfView`].
#![deny(clippy::arithmetic_side_effects)]

mod attributes;
mod capability;
mod code;
mod companions;
mod compat_note;
mod consumer;
mod cubin;
mod driver;
mod driver_release;
mod effort;
mod empty;
mod fatbin;
mod fates;
mod field;
mod files;
mod frame;
mod gpu;
mod hollow;
mod in_short;
mod kernels;
mod libraries;
mod problem;
mod ptx;
mod remains;
mod requests;
mod rewrite;
mod scan;
mod second_reading;
mod slim;
mod slim_plan;
mod spans;
mod stub;
mod version;

pub use capability::Capability;
pub(crate) use capability::Variant;
pub use code::{Code, CodeKind, Form, GpuCode, Place, Tally};
pub(crate) use code::{Runs, Tallies, add_up, bytes_of};
pub(crate) use companions::{Companion, companions_of, is_of_libc, is_of_toolchain};
pub use compat_note::{CompatNote, CompatNoteError};
pub use consumer::{Consumer, Request};
pub(crate) use consumer::{LibraryNames, names_in};
pub(crate) use driver::driver_of;
pub(crate) use driver_release::release_of_branch;
pub(crate) use fates::Fates;
pub(crate) use files::{located, may_have_code, of_file, unparsed};
pub use files::{of_bytes, of_fatbin};
pub use gpu::Gpu;
pub(crate) use gpu::{SHARED_SINCE, Stack};
pub use libraries::DriverLibraries;
pub(crate) use libraries::{
    DriverLibrary, Role, driver_library, is_board_support, is_libcuda, is_optional, of_role, soname_of_file, stub_names,
};
pub use problem::CodeProblem;
pub(crate) use requests::{RequestKind, python};
pub use scan::{Counting, of_contents};
pub(crate) use slim::{Fate, Reason, Targets};
pub(crate) use slim_plan::{SlimDraft, SlimWish};
pub use slim_plan::{slim_bytes, slim_bytes_otherwise};
pub(crate) use spans::{FatBinary, SpanKind};
pub(crate) use stub::does_nothing;
pub use stub::is_stub;
pub use version::Version;
pub(crate) use version::{least_of_soname, of_file_name, of_store_name};
