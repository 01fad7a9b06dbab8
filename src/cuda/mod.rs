//! What is particular about CUDA objects: who asks for a driver library. Pure over an [`crate::elf::view::ElfView`].

mod consumer;

pub use consumer::{DRIVER_LIBRARIES, Request, RequestKind, requests};
