//! Which C library's rules apply.

/// The C library whose loader it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Libc {
    /// GNU libc, and every loader that is not known to be another's.
    Glibc,
    /// musl.
    Musl,
}
