//! A run of `archs` as the printers see it.

use std::collections::BTreeMap;

use bstr::BString;

use crate::cuda::{Counting, Form, Gpu, GpuCode, Tallies, add_up};
use crate::report::ReportSubject;
use crate::tree::ArchsReport;

/// What was found, and what of it is wanted.
#[derive(Debug)]
pub(crate) struct ArchsRun {
    /// What it was about.
    pub subject: ReportSubject,
    /// Every file, in path order.
    pub files: Vec<ArchsReport>,
    /// Leave the files out.
    pub sum_only: bool,
    /// What no GPU of this list can use is told, if there is one in it.
    pub gpus: Vec<Gpu>,
    /// Whether kernels were counted.
    pub counting: Counting,
}

impl ArchsRun {
    fn codes(&self) -> impl Iterator<Item = &GpuCode> {
        self.files.iter().filter_map(|report| report.code.as_ref().ok())
    }

    /// All files as one.
    pub(super) fn together(&self) -> GpuCode {
        GpuCode::together(self.codes().cloned())
    }

    /// How many files have GPU code.
    pub(super) fn with_code(&self) -> usize {
        self.codes().filter(|code| has_code(code)).count()
    }

    /// The places of all files, those of one name and form together.
    pub(super) fn sum(&self) -> BTreeMap<(&BString, Form), Tallies> {
        let mut sum: BTreeMap<(&BString, Form), Tallies> = BTreeMap::new();
        for place in self.codes().flat_map(|code| &code.places) {
            let of_name = sum.entry((&place.name, place.form)).or_default();
            *of_name = add_up(of_name.iter().chain(&place.code));
        }
        sum
    }
}

fn has_code(code: &GpuCode) -> bool {
    code.places.iter().any(|place| place.containers > 0 || !place.code.is_empty())
}
