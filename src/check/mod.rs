//! What is wrong with the objects of a tree, an image or a closure, and which libcuda each will get.
//!
//! Pure: [`facts`](Facts) in, findings out; what lies where is asked of a [`World`].

mod allow;
mod answer;
mod closure;
mod context;
mod doctor;
mod explain;
mod facts;
mod finding;
mod judge;
mod policy;
mod releases;
mod report;
pub mod rule;
mod rules;
mod stale;
mod verdicts;
mod wanted;
mod world;
mod wrapper;

pub use allow::{AllowError, Allowed, Allowlist, Baseline, Date, RowError};
pub use answer::Answer;
pub use closure::{Closure, ClosureError};
pub use context::Context;
pub use doctor::{Diagnosis, RuntimeRequest, Target, TargetWorld, diagnose};
pub use explain::{Explained, Explanation, Question};
pub use facts::{Facts, Inspected, Item, Reading, StaticProgram};
pub use finding::{Circumstance, Finding, Verdict};
pub use judge::{judge_in_program, judge_object};
pub use policy::{
    ArchPolicy, CheckPolicy, CompatPolicy, DriverVersion, DriverVersionError, Platform, PtxPolicy, Scope,
};
pub use report::{CheckReport, Failing, InProgram, ObjectReport, RequestReport};
pub use rule::{RULES, Rule, Severity, rule};
pub use stale::stale_hints;
pub use verdicts::{programs_to_ask, sum_up};
pub use world::{World, Wrapper};
pub use wrapper::{hidden_by, library_path};
