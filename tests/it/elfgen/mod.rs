//! Small ELF images on demand, so that every layout a linker might produce can be tested on every machine.
//!
//! Nothing here shares code with `src/` or with an ELF crate: the records are written field by field from gABI and read back by
//! [`read`], so that a mistake in the program cannot confirm itself in its tests.
//!
//! ```ignore
//! let spec = Spec::library(Machine::X86_64).runpath("$ORIGIN/old").needs("libdep.so.1");
//! let bytes = spec.build();
//! assert_eq!(read::Image::parse(&bytes).unwrap().runpath(), Some(b"$ORIGIN/old".to_vec()));
//! ```

mod bytes;
mod choices;
mod code;
pub(crate) mod compare;
pub(crate) mod damage;
pub(crate) mod drawn;
mod emit;
pub(crate) mod harm;
mod layout;
mod machine;
mod presets;
pub(crate) mod read;
mod records;
mod spec;
mod strings;
mod tables;

#[cfg(test)]
pub(crate) mod selftest;

pub(crate) use choices::{Class, Headers, Kind, Order, Packing, Segments, StringsAt, Tag};
pub(crate) use machine::Machine;
pub(crate) use presets::{preset, presets};
pub(crate) use spec::{Note, Spec};
