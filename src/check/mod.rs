//! What is wrong with the objects of a tree, an image or a closure, and which libcuda each will get.
//!
//! Pure: [`facts`](Facts) in, findings out; what lies where is asked of a [`World`].

mod against;
mod allow;
mod answer;
mod closure;
mod context;
mod doctor;
mod explain;
mod explain_symbols;
mod facts;
mod finding;
mod fit;
mod hosts;
mod in_container;
mod judge;
mod ladder;
mod misfits;
mod pairing;
mod policy;
mod record;
mod releases;
mod report;
mod roles;
pub(crate) mod rule;
mod rules;
mod snapshot;
mod stale;
mod symbols;
mod verdicts;
mod wanted;
mod world;
mod wrapper;

pub(crate) use against::{Comparison, ContentsChange, FileChange, KnownFindings, RequestChange, Totals, against};
pub(crate) use allow::{Allowed, Allowlist, Baseline, Date};
pub(crate) use answer::Answer;
pub use closure::Closure;
pub(crate) use context::Context;
pub(crate) use doctor::{Diagnosis, RuntimeRequest, TargetWorld, diagnose};
pub use explain::{Explained, Explanation, Question};
pub(crate) use explain_symbols::{ExplainedSymbol, ExplainedSymbols, Rival, SymbolEnd};
pub use facts::Facts;
pub(crate) use facts::{CodeFile, Inspected, Item, Reading, StaticProgram};
pub(crate) use finding::Finding;
pub use finding::Verdict;
pub(crate) use hosts::on_all_hosts;
pub(crate) use judge::{judge_in_program, judge_object};
pub(crate) use ladder::Ladder;
pub use policy::{
    ArchPolicy, CheckPolicy, CompatPolicy, DriverVersion, DriverVersionError, Platform, PtxPolicy, Scope,
};
pub(crate) use record::{ContentDigest, FileRecord};
pub use report::{CheckReport, ObjectReport};
pub(crate) use report::{OnHost, OtherFile, RequestReport};
pub(crate) use rule::{RULES, Rule, Severity, rule};
pub(crate) use snapshot::{
    CheckRoot, CheckSetting, Lack, ScopeKind, Snapshot, SnapshotFile, SnapshotFinding, SnapshotRequest,
};
pub(crate) use stale::stale_hints;
pub(crate) use verdicts::{programs_to_ask, sum_up};
pub(crate) use world::{World, Wrapper};
pub(crate) use wrapper::{hidden_by, library_path};
