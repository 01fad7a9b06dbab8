//! The words for what a loader did, in every format; JSON has them in lower case.

use crate::check::Explained;
use crate::cuda::RequestKind;
use crate::elf::imports::Binding;
use crate::loader::{Ask, Libc, StepOutcome, StepSource};

pub(super) fn source_word(source: &StepSource) -> &'static str {
    match source {
        StepSource::Loaded => "loaded",
        StepSource::Path => "path",
        StepSource::Rpath(_) => "RPATH",
        StepSource::LibraryPath => "LD_LIBRARY_PATH",
        StepSource::Runpath(_) => "RUNPATH",
        StepSource::Cache => "cache",
        StepSource::Default => "default",
    }
}

pub(super) fn outcome_word(outcome: &StepOutcome) -> &'static str {
    match outcome {
        StepOutcome::Hit => "HIT",
        StepOutcome::Miss => "miss",
        StepOutcome::NoDirectory => "absent",
        StepOutcome::Relative => "relative",
        StepOutcome::Ignored => "ignored",
        StepOutcome::Refused => "refused",
        StepOutcome::Forbidden => "forbidden",
        StepOutcome::Broken(_) => "broken",
        StepOutcome::OtherClass => "class",
        StepOutcome::OtherMachine(_) => "machine",
        StepOutcome::Fatal(_) => "ERROR",
        StepOutcome::UnknownToken => "token",
    }
}

/// How a name is asked for; `None` for one from the command line.
pub(super) fn kind_word(explained: &Explained) -> Option<&'static str> {
    match explained.search.ask {
        Ask::Filter => Some("filter"),
        Ask::Auxiliary => Some("auxiliary"),
        Ask::Preload => Some("preloaded"),
        Ask::Needed | Ask::Dlopen => explained.kind.map(RequestKind::name),
    }
}

pub(super) fn libc_name(libc: Libc) -> &'static str {
    match libc {
        Libc::Glibc => "glibc",
        Libc::Musl => "musl",
    }
}

/// When a symbol is looked for.
pub(super) fn binding_word(binding: Binding) -> &'static str {
    match binding {
        Binding::AtLoad => "at load",
        Binding::Lazy => "at the first call",
    }
}
