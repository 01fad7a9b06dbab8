//! What became of a file that was to be slimmed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::outcome::{FixError, Skip};
use crate::cuda::{Code, FatBinary, Fate, Fates, Gpu, GpuCode, Reason, SpanKind, Targets};
use crate::elf::slim::NotCompacted;
use crate::fsio::How;

/// One file's result.
#[derive(Debug)]
pub(crate) struct SlimReport {
    /// The path below the argument as given.
    pub(crate) path: PathBuf,
    /// What became of it.
    pub(crate) outcome: SlimOutcome,
}

/// What became of a file.
#[derive(Debug)]
pub(crate) enum SlimOutcome {
    /// Code went, or would.
    Slimmed(Box<SlimFacts>, SlimWritten),
    /// Nothing that can go is in it.
    Conforms(Box<SlimFacts>),
    /// It has code, but none that would run on this GPU, and is left as it is.
    WithoutCode(Box<SlimFacts>, Gpu),
    /// It has no GPU code.
    NoCode,
    /// It is not for this program.
    Skipped(Skip),
    /// Something is wrong with it or with writing it.
    Failed(Box<FixError>),
}

/// How it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlimWritten {
    /// `None` when it only would be.
    pub(crate) how: Option<How>,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
    /// Bytes on the disk afterwards, where they are known.
    pub(crate) blocks: Option<u64>,
}

/// What there is in a file, and what of it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlimFacts {
    /// The file's length before and after, in bytes.
    pub(crate) length: (u64, u64),
    /// What it takes on the disk before.
    pub(crate) blocks: u64,
    /// GPU code before and after, in bytes, headers of entries included.
    pub(crate) code: (u64, u64),
    /// Containers, and how many of them are written anew.
    pub(crate) containers: (u64, u64),
    /// What goes: how often, and how many bytes.
    pub(crate) removed: BTreeMap<Code, (u64, u64)>,
    /// Containers that stay as they are, and how many bytes of code they have.
    pub(crate) left: BTreeMap<Reason, (u64, u64)>,
    /// Bytes in containers that no target needs and that stay, because the file itself is written.
    pub(crate) unmoved: u64,
    /// Code outside of containers that no target needs, by the form in which it stays: pieces, and bytes.
    pub(crate) outside: BTreeMap<&'static str, (u64, u64)>,
    /// Runs of pages that leave the file.
    pub(crate) runs: u64,
    /// Why it stays as long as it is, where it was asked to become shorter and has zeros.
    pub(crate) not_compacted: Option<NotCompacted>,
}

impl SlimFacts {
    /// What the fates of all containers mean.
    pub(super) fn of((length, blocks): (u64, u64), code: &GpuCode, fates: &Fates<'_>, targets: &Targets) -> Self {
        let mut facts = Self {
            length: (length, length),
            blocks,
            code: (0, 0),
            containers: (0, 0),
            removed: BTreeMap::new(),
            left: BTreeMap::new(),
            unmoved: 0,
            outside: BTreeMap::new(),
            runs: 0,
            not_compacted: None,
        };
        for (binary, fate) in fates {
            facts.add(binary, fate);
        }
        for (form, unused, all) in code.outside(&targets.gpus) {
            facts.code.0 = facts.code.0.saturating_add(all);
            facts.code.1 = facts.code.1.saturating_add(all);
            if unused.1 > 0 {
                facts.outside.insert(form.name(), unused);
            }
        }
        facts
    }

    /// Of a file that is left as it is.
    pub(super) fn keep_all(&mut self) {
        self.code.1 = self.code.0;
        self.containers.1 = 0;
        self.removed.clear();
    }

    fn add(&mut self, binary: &FatBinary, fate: &Fate) {
        count(&mut self.containers.0, 1);
        let bytes =
            |of: &[crate::elf::units::FileRange]| of.iter().map(|range| range.len()).fold(0, u64::saturating_add);
        let all: Vec<_> = binary.spans.iter().filter(|span| span.kind != SpanKind::Padding).collect();
        let before = all.iter().map(|span| span.range.len()).fold(0, u64::saturating_add);
        count(&mut self.code.0, before);
        match fate {
            Fate::Whole => count(&mut self.code.1, before),
            Fate::LeftAlone(reason) => {
                count(&mut self.code.1, before);
                let left = self.left.entry(*reason).or_default();
                count(&mut left.0, 1);
                count(&mut left.1, before);
            }
            Fate::Rewritten(kept) => {
                count(&mut self.containers.1, 1);
                count(&mut self.code.1, bytes(kept));
                // Both are in order.
                let mut kept = kept.iter().peekable();
                for span in all {
                    if kept.next_if_eq(&&span.range).is_some() {
                        continue;
                    }
                    if let SpanKind::Code { code, .. } = span.kind {
                        let removed = self.removed.entry(code).or_default();
                        count(&mut removed.0, 1);
                        count(&mut removed.1, span.range.len());
                    }
                }
            }
        }
    }
}

fn count(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}
