//! Printers: results in, text or JSON out. They decide nothing and know no exit code.

mod archs;
mod check;
mod doctor;
mod explain;
mod human;
mod json;
mod receipt;
mod rules;
mod summary;
mod text;

pub use archs::{ArchsRun, print_archs, print_archs_json};
pub use check::{
    CheckRun, RuntimeEntry, RuntimeListError, SCHEMA_FILE, print_github, print_human, print_json, print_junit,
    print_runtime_list, print_sarif, read_runtime_list,
};
pub use doctor::{print_doctor, print_doctor_json};
pub use explain::{print_explanation, print_explanation_json};
pub use human::{Detail, Human, Palette};
pub use json::{print_fix, print_revert, print_show};
pub use receipt::{Receipt, ReceiptError, Reverted};
pub use rules::{print_rule, print_rules, print_rules_json, print_rules_man};
pub use summary::{CopyNotes, FixRun, Mode, RevertReport, Summary};
pub use text::{Escape, for_terminal, reason};
