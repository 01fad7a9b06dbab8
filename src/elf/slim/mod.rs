//! How parts of a file that no target needs leave it: the plan is data, a list of where each byte of the new file comes from.
//!
//! What goes is told by the caller, which knows what stands there; here it is only known what an ELF file is. The plan of
//! a new file sets all of its bytes, in order; one for the file itself sets those that change, in an order in which every
//! step is sound.

mod compact;
mod recipe;
mod zeros;

pub(crate) use compact::{NotCompacted, compact};
pub(crate) use recipe::{Rewrite, SlimPlan, SlimShape, in_place, new_file};
pub(crate) use zeros::zero_ranges;
