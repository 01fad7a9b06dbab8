//! Where findings are raised: the number of a code says the file.
//!
//! 1xx requests, 2xx stubs, 3xx search path, 4xx compat, 5xx GPU code, 6xx the closure, 7xx files, 8xx images of
//! containers. A rule of another hundred is raised by calling the file of its number.

pub(super) mod closure;
pub(super) mod comparison;
pub(super) mod compat;
pub(super) mod files;
pub(super) mod gpu;
pub(super) mod image;
pub(super) mod requests;
pub(super) mod search_path;
pub(super) mod stubs;
