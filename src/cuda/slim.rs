//! Which entries of containers a list of GPUs can do without. Decided from headers alone: nothing is known of what a
//! program will ask for, so whatever may run on a target stays.

use super::code::{Code, CodeKind, GpuCode, Runs};
use super::gpu::Gpu;
use super::spans::{EntrySpan, FatBinary, SpanKind};
use crate::elf::units::FileRange;

/// What must still run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Targets {
    /// On which GPUs.
    pub(crate) gpus: Vec<Gpu>,
    /// All PTX stays, for GPUs that are not there yet.
    pub(crate) keeps_ptx: bool,
}

/// What is to become of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has nothing that no target needs.
    Whole,
    /// These of its entries stay, in order and byte for byte; the rest of it goes.
    Rewritten(Vec<FileRange>),
    /// It is left as it is.
    LeftAlone(Reason),
}

/// Why a container stays as it is, whatever is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Reason {
    /// It is not understood, or stands behind one that is not.
    NotUnderstood,
    /// A table in it says what is in the others.
    Index,
    /// Several contents were packed together.
    Several,
    /// Its entries do not begin at multiples of eight bytes.
    Unaligned,
    /// A relocation or a symbol leads behind its header.
    ReferredTo,
    /// The relocations of the file cannot be read, or are packed in a form that is not known.
    RelocationsUnreadable,
    /// It is not mapped where its section header says.
    NotMapped,
    /// No record of a program at fixed addresses names it, so that who else does is not known.
    NotNamed,
    /// Two headers name the same bytes.
    Overlapping,
}

impl Reason {
    /// The word used in every output format.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// The reason as a person reads it.
    #[must_use]
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NotUnderstood => "not understood in full",
            Self::Index => "an index in them names their entries",
            Self::Several => "several contents are packed together",
            Self::Unaligned => "their entries do not begin at multiples of 8 bytes",
            Self::ReferredTo => "a relocation or symbol leads behind their header",
            Self::RelocationsUnreadable => "the relocations of the file cannot be read in full",
            Self::NotMapped => "not mapped where the section header says",
            Self::NotNamed => "no record in .nvFatBinSegment names them, in a program at fixed addresses",
            Self::Overlapping => "section headers name their bytes twice",
        }
    }
}

impl Targets {
    /// What becomes of a container, as far as that is in it.
    #[must_use]
    pub(crate) fn fate(&self, binary: &FatBinary) -> Fate {
        if !binary.is_understood {
            return Fate::LeftAlone(Reason::NotUnderstood);
        }
        let is_there = |wanted: SpanKind| binary.spans.iter().any(|span| span.kind == wanted);
        if is_there(SpanKind::Several) {
            return Fate::LeftAlone(Reason::Several);
        }
        let kept: Vec<FileRange> =
            binary.spans.iter().filter(|span| self.keeps(binary, span)).map(|span| span.range).collect();
        let all = binary.spans.iter().filter(|span| span.kind != SpanKind::Padding).count();
        if kept.len() == all {
            return Fate::Whole;
        }
        if is_there(SpanKind::Index) {
            return Fate::LeftAlone(Reason::Index);
        }
        let is_aligned = |range: &FileRange| range.len().is_multiple_of(8) || range.end() == binary.range.end();
        if !binary.spans.iter().all(|span| is_aligned(&span.range)) {
            return Fate::LeftAlone(Reason::Unaligned);
        }
        Fate::Rewritten(kept)
    }

    /// The first target for which a file that has code has nothing to run, with or without an edit.
    #[must_use]
    pub(crate) fn without_code(&self, code: &GpuCode) -> Option<Gpu> {
        code.real().next()?;
        self.gpus.iter().copied().find(|gpu| code.runs_on(*gpu) == Runs::Not)
    }

    fn keeps(&self, binary: &FatBinary, span: &EntrySpan) -> bool {
        let SpanKind::Code { code, is_empty } = span.kind else { return span.kind != SpanKind::Padding };
        let is_needed = match code.kind {
            CodeKind::Ptx | CodeKind::RelocatablePtx if self.keeps_ptx => return true,
            CodeKind::Ptx | CodeKind::RelocatablePtx => {
                // Where there is nothing to run in either, neither can stand in for the other.
                let stands_in = |other: &EntrySpan, gpu: Gpu| match other.kind {
                    SpanKind::Code { code, is_empty: false } => runs_as_it_is(code, gpu),
                    SpanKind::Code { code, is_empty: true } => is_empty && runs_as_it_is(code, gpu),
                    _ => false,
                };
                !self.gpus.iter().all(|gpu| binary.spans.iter().any(|other| stands_in(other, *gpu)))
            }
            CodeKind::Cubin | CodeKind::LtoIr | CodeKind::TileIr => true,
        };
        is_needed && self.gpus.iter().any(|gpu| code.may_serve(*gpu))
    }
}

/// Whether NVIDIA promises that it runs without being compiled.
fn runs_as_it_is(code: Code, gpu: Gpu) -> bool {
    code.kind == CodeKind::Cubin && gpu.runs(code.capability)
}
