//! From arguments to what a report says that it is about.

use super::args::{CheckArgs, Inputs};
use crate::report::ReportSubject;

/// Of files and trees.
pub(super) fn of_inputs(inputs: &Inputs) -> ReportSubject {
    match &inputs.files_from {
        Some(list) if inputs.paths.is_empty() => {
            ReportSubject { given: vec![list.clone()], kind: "the files that this names:", root: None }
        }
        _ => ReportSubject { given: inputs.paths.clone(), ..ReportSubject::default() },
    }
}

/// Of a check.
pub(super) fn of_check(args: &CheckArgs) -> ReportSubject {
    let root = args.wanted.root.clone();
    match &args.closure_from {
        Some(list) => ReportSubject { given: vec![list.clone()], kind: "the closure that this lists:", root },
        None if args.closure => ReportSubject { kind: "the closure of", root, ..of_inputs(&args.inputs) },
        None => ReportSubject { root, ..of_inputs(&args.inputs) },
    }
}
