//! CRP700 to CRP707: what cannot be read or followed, the rows of an allowlist, and what an edit left half done.

use std::path::Path;

use crate::check::facts::Facts;
use crate::check::finding::Finding;
use crate::check::rule;
use crate::cuda::CompatNoteError;
use crate::loader::MOST_PLACES;

/// CRP700.
pub(in crate::check) fn unreadable(path: &Path, reason: &str) -> Finding {
    Finding::new(&rule::UNREADABLE_ELF, path, "", reason)
}

/// CRP701, of an object that is checked.
pub(in crate::check) fn notes(facts: &Facts, findings: &mut Vec<Finding>) {
    if facts.consumer.has_bad_note {
        findings.push(Finding::new(&rule::MALFORMED_NOTE, &facts.shown, "dlopen", ".note.dlopen is cut or no JSON"));
    }
    if let Some(Err(error)) = &facts.compat_note {
        findings.push(compat_note(facts, error));
    }
}

/// CRP701.
pub(in crate::check) fn compat_note(facts: &Facts, error: &CompatNoteError) -> Finding {
    Finding::new(&rule::MALFORMED_NOTE, &facts.shown, "compat", error)
}

/// CRP703.
pub(in crate::check) fn row_unused(list: &Path, number: usize, about: String) -> Finding {
    let case = format!("row {number} ({about}) matched nothing");
    Finding::new(&rule::ALLOW_UNUSED, list, about, case)
}

/// CRP704.
pub(in crate::check) fn row_expired(list: &Path, number: usize, about: String, reason: &str) -> Finding {
    let case = format!("row {number} ({about}) is past its date: {reason}");
    Finding::new(&rule::ALLOW_EXPIRED, list, about, case)
}

/// CRP705.
pub(in crate::check) fn journal(facts: &Facts) -> Option<Finding> {
    let case = "ends with the journal of an edit that was interrupted, or with bytes that look like one";
    facts.carries_journal.then(|| Finding::new(&rule::INTERRUPTED_EDIT, &facts.shown, "", case))
}

/// CRP707.
pub(in crate::check) fn search_cut(facts: &Facts) -> Finding {
    let case =
        format!("loads what asks for more than {MOST_PLACES} names and places; what comes after them is not known");
    Finding::new(&rule::SEARCH_CUT, &facts.shown, "", case)
}

/// CRP707 of what hooks go through.
pub(in crate::check) fn container_cut() -> Finding {
    let case = "has more names and longer paths than hooks are followed through; what comes after them is not known";
    Finding::new(&rule::SEARCH_CUT, "".as_ref(), "", case)
}
