//! CRP900 to CRP903: what is worse than in another release, and what could not be compared with it.

use std::path::Path;

use crate::check::answer::Answer;
use crate::check::finding::{Finding, Verdict};
use crate::check::rule;
use crate::check::snapshot::{Lack, ScopeKind, SnapshotRequest};
use crate::cuda::{Gpu, Runs};

/// CRP900.
pub(in crate::check) fn verdict_worse(
    path: &Path,
    old: &SnapshotRequest,
    new: &SnapshotRequest,
    hosts: &[&str],
) -> Finding {
    let before = match old.verdict {
        Verdict::Runtime => "was left to the target",
        Verdict::Pass | Verdict::Fail => "was right",
    };
    let on = if hosts.is_empty() { String::new() } else { format!(" on a host like {}", hosts.join(", ")) };
    let (was, is) = (told(&old.answer), told(&new.answer));
    let case = format!("{} {before} and fails now{on}: it came from {was}, and comes from {is}", new.soname);
    Finding::new(&rule::VERDICT_WORSE, path, new.soname.as_str(), case)
}

/// CRP901.
pub(in crate::check) fn arch_lost(path: &Path, gpu: Gpu, was: &Runs, is: &Runs) -> Finding {
    let case = format!(
        "ran on {gpu} {}, and {}",
        way(was),
        match is {
            Runs::Not => "does not any more".to_owned(),
            is => format!("only {} now", way(is)),
        }
    );
    Finding::new(&rule::ARCH_LOST, path, gpu.to_string(), case)
}

fn way(runs: &Runs) -> String {
    match runs {
        Runs::Exactly(found) | Runs::Family(found) => format!("through {}", found.sm()),
        Runs::Jit(code) => format!("by JIT from {}", code.architecture()),
        Runs::Renamed(found) => format!("through {}, its other name", found.sm()),
        Runs::Not => "not".to_owned(),
    }
}

/// CRP902.
pub(in crate::check) fn compat_lost(path: &Path, old: &SnapshotRequest, new: &SnapshotRequest) -> Finding {
    let (was, is) = (told(&old.answer), told(&new.answer));
    let case = format!("{} came from {was}, and comes from {is}", new.soname);
    Finding::new(&rule::COMPAT_LOST, path, new.soname.as_str(), case)
}

/// `compat: /nix/store/…/compat/libcuda.so.1`
fn told(answer: &Answer) -> String {
    match answer.place() {
        Some(place) => format!("{} ({})", place, answer.name()),
        None => "nowhere".to_owned(),
    }
}

fn not_compared(path: &Path, about: &str, case: impl std::fmt::Display) -> Finding {
    Finding::new(&rule::NOT_COMPARED, path, about, case)
}

/// CRP903, what a document does not say.
pub(in crate::check) fn lacks(lack: Lack) -> Finding {
    match lack {
        Lack::Idle => not_compared(
            "".as_ref(),
            "objects",
            "objects that ask for no driver library: OLD was saved without -v and does not list them; those of this \
             release are told as new",
        ),
        Lack::Records => not_compared(
            "".as_ref(),
            "contents",
            "contents, sizes and GPU code: OLD does not have them of all its files; check --format json -v saves them",
        ),
        Lack::Options => not_compared(
            "".as_ref(),
            "options",
            "the options of OLD's run, which it does not say: what differs may be asked differently",
        ),
    }
}

/// CRP903, what was checked.
pub(in crate::check) fn other_scope(old: ScopeKind, new: ScopeKind) -> Finding {
    let (old, new) = (old.name(), new.name());
    let case = format!("OLD is checked as a {old} and this release as a {new}: what must be in them differs");
    not_compared("".as_ref(), "scope", case)
}

/// CRP903, what was asked.
pub(in crate::check) fn other_option(name: &str, old: Option<&String>, new: Option<&String>) -> Finding {
    let told = |value: Option<&String>| value.map_or_else(|| "was not given".to_owned(), |value| format!("{value:?}"));
    let case = match (old, new) {
        (None, new) => format!("OLD was checked without {name}, and this release with {}", told(new)),
        (old, None) => format!("OLD was checked with {name} {}, and this release without", told(old)),
        (old, new) => format!("OLD was checked with {name} {}, and this release with {}", told(old), told(new)),
    };
    not_compared("".as_ref(), name, case)
}

/// CRP903, an empty folder.
pub(in crate::check) fn nothing_to_compare_with() -> Finding {
    not_compared("".as_ref(), "OLD", "OLD has no object: everything is new")
}

/// CRP903, code that may be for anything.
pub(in crate::check) fn code_not_understood(path: &Path, old: u64, new: u64) -> Finding {
    let case = format!("GPU code that is not understood in full ({old} places in OLD, {new} in this release)");
    not_compared(path, "GPU code", case)
}
