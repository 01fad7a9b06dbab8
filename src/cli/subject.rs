//! From arguments to what a report says that it is about.

use super::args::{CheckArgs, Inputs};
use crate::report::Subject;

/// Of files and trees.
pub(super) fn of_inputs(inputs: &Inputs) -> Subject {
    match &inputs.files_from {
        Some(list) if inputs.paths.is_empty() => {
            Subject { given: vec![list.clone()], kind: "the files that this names:", root: None }
        }
        _ => Subject { given: inputs.paths.clone(), ..Subject::default() },
    }
}

/// Of a check.
pub(super) fn of_check(args: &CheckArgs) -> Subject {
    let root = args.wanted.root.clone();
    match &args.closure_from {
        Some(list) => Subject { given: vec![list.clone()], kind: "the closure that this lists:", root },
        None if args.closure => Subject { kind: "the closure of", root, ..of_inputs(&args.inputs) },
        None => Subject { root, ..of_inputs(&args.inputs) },
    }
}
