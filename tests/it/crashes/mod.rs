//! The real program, stopped at every point of an edit: by a kill, by a system call that fails, by another process that
//! changes the file. `prefixes.rs` applies plans in the test; here the writes are the program's own.

mod errors;
mod interrupted;
mod kills;
mod leftovers;
mod meanwhile;
mod places;
mod receipts;
mod resumed;
mod rights;
mod signals;
mod site;
mod slim;
mod strace;
mod swapped;
