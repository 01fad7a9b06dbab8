//! Printers: results in, text or JSON out. They decide nothing and know no exit code.
//!
//! One folder for each command, in it one file for each format; beside them what several commands share.

pub(crate) mod against;
pub(crate) mod archs;
pub(crate) mod check;
pub(crate) mod doctor;
mod document;
pub(crate) mod explain;
pub(crate) mod fix;
mod folder;
mod html;
mod human;
mod markdown;
pub(crate) mod rules;
#[cfg(test)]
mod schema;
pub(crate) mod show;
mod size;
pub(crate) mod slim;
mod subject;
mod text;
mod words;

pub(crate) use human::{Detail, Human, Palette};
pub(crate) use subject::{Conclusion, ReportSubject};
pub(crate) use text::{Escape, for_terminal};
