//! A run of `archs` as the printers see it.

use std::collections::BTreeMap;

use bstr::BString;

use crate::cuda::{Gpu, GpuCode, Tallies, add_up};
use crate::tree::ArchsReport;

/// What was found, and what of it is wanted.
#[derive(Debug)]
pub(crate) struct ArchsRun {
    /// Every file, in path order.
    pub files: Vec<ArchsReport>,
    /// Leave the files out.
    pub sum_only: bool,
    /// What no GPU of this list can use is told, if there is one in it.
    pub gpus: Vec<Gpu>,
}

impl ArchsRun {
    fn codes(&self) -> impl Iterator<Item = &GpuCode> {
        self.files.iter().filter_map(|report| report.code.as_ref().ok())
    }

    /// All files as one.
    pub(super) fn together(&self) -> GpuCode {
        GpuCode { places: self.codes().flat_map(|code| code.places.iter().cloned()).collect() }
    }

    /// How many files have GPU code.
    pub(super) fn with_code(&self) -> usize {
        self.codes().filter(|code| has_containers(code)).count()
    }

    /// The places of all files, those of one name together.
    pub(super) fn sum(&self) -> BTreeMap<&BString, Tallies> {
        let mut sum: BTreeMap<&BString, Tallies> = BTreeMap::new();
        for place in self.codes().flat_map(|code| &code.places) {
            let of_name = sum.entry(&place.name).or_default();
            *of_name = add_up(of_name.iter().chain(&place.code));
        }
        sum
    }
}

fn has_containers(code: &GpuCode) -> bool {
    code.places.iter().any(|place| place.containers > 0)
}
