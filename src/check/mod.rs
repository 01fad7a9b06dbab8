//! What is wrong with the objects of a tree, an image or a closure, and which libcuda each will get.
//!
//! Pure: [`facts`](Facts) in, findings out; what lies where is asked of a [`World`].

mod allow;
mod answer;
mod closure;
mod compat;
mod doctor;
mod entries;
mod explain;
mod facts;
mod finding;
mod gpu;
mod judge;
mod policy;
mod requests;
pub mod rule;
mod store;
mod verdicts;
mod whole;
mod wrapper;

pub use allow::{AllowError, Allowed, Allowlist, Baseline, Date, RowError};
pub use answer::Answer;
pub use closure::{Closure, ClosureError};
pub use doctor::{Diagnosis, Target, TargetWorld, Wish, diagnose};
pub use entries::{stale_hints, stub_names};
pub use explain::{Explained, Explanation, Question};
pub use facts::{Facts, Inspected, Item, Reading, StaticProgram, World, Wrapper};
pub use finding::{Finding, Verdict};
pub use judge::{InProgram, Judge, ObjectReport, RequestReport};
pub use policy::{
    ArchPolicy, CheckPolicy, CompatPolicy, DriverVersion, DriverVersionError, Platform, PtxPolicy, Scope,
};
pub use rule::{RULES, Rule, Severity, rule};
pub use verdicts::{CheckReport, Failing, programs_to_ask, sum_up};
pub use wrapper::{hidden_by, library_path};
