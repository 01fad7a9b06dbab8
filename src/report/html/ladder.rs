//! A loader's search as a list: the places in their order, what was found at each, and who wins.

use bstr::{BStr, BString, ByteSlice as _};
use maud::{Markup, html};

use super::shown;
use crate::check::Answer;
use crate::loader::{Step, StepOutcome, StepSource};
use crate::report::words::{outcome_word, source_word};
use crate::runpath::EntryClass;

/// The places of a search, each with its role; `more` of them are left out before the last. Then those behind the one
/// that wins. Paths of the asking object itself are not named at each of them.
pub(in crate::report) fn ladder<'a>(
    own: &BStr,
    steps: impl ExactSizeIterator<Item = (&'a Step, EntryClass)>,
    more: usize,
    behind: &[Step],
) -> Markup {
    let last = steps.len().saturating_sub(1);
    html! {
        ol.ladder {
            @for (at, (step, class)) in steps.enumerate() {
                @if more > 0 && at == last { li.u { b { "…" } " " i {} " " span { (more) " places more" } } }
                li.(class_of(&step.outcome)) {
                    b { (outcome_word(&step.outcome)) } " " i { (source_word(&step.source)) } " "
                    span { (place(own, step)) (role(class)) (reason(&step.outcome)) }
                }
            }
            @for step in behind {
                li.u {
                    b { "(" (outcome_word(&step.outcome).to_ascii_lowercase()) ")" } " "
                    i { (source_word(&step.source)) } " "
                    span { (place(own, step)) span.soft { " not reached" } }
                }
            }
        }
    }
}

fn class_of(outcome: &StepOutcome) -> &'static str {
    match outcome {
        StepOutcome::Hit => "h",
        StepOutcome::Fatal(_) | StepOutcome::Broken(_) => "x",
        StepOutcome::NoDirectory | StepOutcome::Ignored | StepOutcome::Relative | StepOutcome::UnknownToken => "a",
        StepOutcome::Miss
        | StepOutcome::Refused
        | StepOutcome::Forbidden
        | StepOutcome::OtherClass
        | StepOutcome::OtherMachine(_) => "m",
    }
}

/// The entry as it is written and, where that differs, what it stands for.
fn place(own: &BStr, step: &Step) -> Markup {
    let of = match &step.source {
        StepSource::Rpath(of) | StepSource::Runpath(of) if !of.is_empty() && of != own => Some(of),
        _ => None,
    };
    html! {
        @if step.written.contains(&b'$') {
            code { (shown(&step.written)) }
            code.where { (shown(&step.place)) }
        } @else if step.place.is_empty() {
            "the current directory"
        } @else {
            code { (shown(&step.place)) }
        }
        @if let Some(of) = of { span.soft { " of " code { (shown(of)) } } }
    }
}

fn role(class: EntryClass) -> Markup {
    html! {
        @if matches!(class, EntryClass::Compat | EntryClass::Driver | EntryClass::Stub) {
            " " span.role.(class.name()) { (class.name()) }
        }
    }
}

fn reason(outcome: &StepOutcome) -> Markup {
    html! {
        @match outcome {
            StepOutcome::OtherMachine(machine) => { span.soft { " an object for " (machine.name) } }
            StepOutcome::Broken(reason) => { span.soft { " " (shown(reason)) } }
            StepOutcome::Fatal(reason) => { span.soft { " " (shown(reason.as_bytes())) } }
            _ => {}
        }
    }
}

/// What a search for a name comes to.
pub(in crate::report) fn ends(answer: &Answer, name: &BStr, is_loader: bool, file: Option<&BString>) -> Markup {
    html! {
        @match answer {
            Answer::DriverAtRuntime(place) => { code { (shown(place)) "/" (shown(name)) } ", on the target" }
            _ if is_loader => { "the loader itself" }
            Answer::Nothing => { "not found" }
            Answer::Interrupted(place, reason) => {
                "an error at " code { (shown(place)) } ": " (shown(reason.as_bytes()))
            }
            Answer::Stub(place) => { code { (shown(place)) } ", a link-time stub" }
            Answer::Compat(place) => { code { (shown(place)) } ", from compat" }
            Answer::Driver(place) | Answer::Other(place) => { code { (shown(place)) } }
        }
        @if let Some(file) = file.filter(|file| answer.place().is_some_and(|place| place != file.as_bstr())) {
            ", which is " code { (shown(file)) }
        }
    }
}
