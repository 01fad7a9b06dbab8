//! The words for what a loader did, in every format; JSON has them in lower case.

use crate::loader::{Libc, Outcome, Source};

pub(super) fn source_word(source: &Source) -> &'static str {
    match source {
        Source::Loaded => "loaded",
        Source::Path => "path",
        Source::Rpath(_) => "RPATH",
        Source::LibraryPath => "LD_LIBRARY_PATH",
        Source::Runpath(_) => "RUNPATH",
        Source::Cache => "cache",
        Source::Default => "default",
    }
}

pub(super) fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Hit => "HIT",
        Outcome::Miss => "miss",
        Outcome::NoDirectory => "absent",
        Outcome::Relative => "relative",
        Outcome::Ignored => "ignored",
        Outcome::Refused => "refused",
        Outcome::Forbidden => "forbidden",
        Outcome::Broken(_) => "broken",
        Outcome::OtherClass => "class",
        Outcome::OtherMachine(_) => "machine",
        Outcome::Fatal(_) => "ERROR",
        Outcome::UnknownToken => "token",
    }
}

pub(super) fn libc_name(libc: Libc) -> &'static str {
    match libc {
        Libc::Glibc => "glibc",
        Libc::Musl => "musl",
    }
}
