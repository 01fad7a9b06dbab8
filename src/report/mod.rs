//! Printers: results in, text or JSON out. They decide nothing and know no exit code.
//!
//! One folder for each command, in it one file for each format; beside them what several commands share.

pub mod archs;
pub mod check;
pub mod doctor;
mod document;
pub mod explain;
pub mod fix;
mod human;
pub mod rules;
#[cfg(test)]
mod schema;
pub mod show;
mod text;

pub use human::{Detail, Human, Palette};
pub use text::{Escape, for_terminal};
