//! GPU code in a file: what kinds there are, for which architectures, how much of it, and whether a GPU can run it.

use std::collections::BTreeMap;

use bstr::BString;

use super::capability::{Capability, Variant};
use super::gpu::Gpu;
use super::problem::FatbinProblem;

/// What an entry of a fat binary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum CodeKind {
    /// Machine code, as an ELF file of its own.
    Cubin,
    /// Assembly that the driver compiles.
    Ptx,
    /// An intermediate form that only a linker (nvJitLink) can use.
    LtoIr,
}

impl CodeKind {
    /// All of them, in the order in which reports list what a file has.
    pub(crate) const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The number in an entry's header.
    pub(super) fn number(self) -> u16 {
        match self {
            Self::Ptx => 1,
            Self::Cubin => 2,
            Self::LtoIr => 8,
        }
    }

    /// What a sentence puts in front of its architectures.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Cubin => "",
            Self::Ptx => "PTX ",
            Self::LtoIr => "LTO-IR ",
        }
    }

    /// The word used in every output format.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A kind of code for an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    /// For what.
    pub(crate) capability: Capability,
    /// What.
    pub kind: CodeKind,
}

impl Code {
    /// `sm_87`; PTX and LTO-IR are for a `compute_87`.
    #[must_use]
    pub fn architecture(self) -> String {
        match self.kind {
            CodeKind::Cubin => self.capability.sm(),
            CodeKind::Ptx | CodeKind::LtoIr => self.capability.compute(),
        }
    }

    /// Whether it is of use on a GPU, PTX after it was compiled, LTO-IR after it was linked.
    #[must_use]
    pub(crate) fn serves(self, gpu: Gpu) -> bool {
        match self.kind {
            CodeKind::Cubin => gpu.runs(self.capability) || gpu.is_same_chip(self.capability),
            CodeKind::Ptx | CodeKind::LtoIr => self.capability.ptx_runs_on(gpu.capability),
        }
    }

    /// The same where what is not known speaks for it.
    fn may_serve(self, gpu: Gpu) -> bool {
        self.serves(gpu) || (self.kind == CodeKind::Cubin && gpu.may_run(self.capability))
    }
}

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries.
    pub count: u64,
    /// Those of them with neither a kernel nor a variable: nothing is lost without them.
    pub empty: u64,
    /// Bytes in the file, without headers.
    pub bytes: u64,
    /// Bytes once they are unpacked; the same where they are not compressed.
    pub unpacked: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            empty: self.empty.saturating_add(other.empty),
            bytes: self.bytes.saturating_add(other.bytes),
            unpacked: self.unpacked.saturating_add(other.unpacked),
        }
    }
}

/// How much there is of each code.
pub(crate) type Tallies = BTreeMap<Code, Tally>;

/// Adds up what is counted by code.
pub(crate) fn add_up<'a>(tallies: impl IntoIterator<Item = (&'a Code, &'a Tally)>) -> Tallies {
    let mut sum = Tallies::new();
    for (code, tally) in tallies {
        let of_code = sum.entry(*code).or_default();
        *of_code = of_code.plus(*tally);
    }
    sum
}

/// The bytes of all code together.
#[must_use]
pub(crate) fn bytes_of(tallies: &Tallies) -> u64 {
    tallies.values().fold(0, |sum, tally| sum.saturating_add(tally.bytes))
}

/// The fat binaries of a section or segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The section's name.
    pub(crate) name: BString,
    /// Containers.
    pub containers: u64,
    /// Those of them without an entry.
    pub empty: u64,
    /// What is in them.
    pub code: Tallies,
    /// How many containers have exactly this code, empty entries and what has nothing else left out.
    pub sets: BTreeMap<Box<[Code]>, u64>,
    /// The first things that are not understood.
    pub problems: Vec<FatbinProblem>,
    /// How many more there are.
    pub more_problems: u64,
}

impl Place {
    /// How many things are not understood.
    #[must_use]
    pub(crate) fn problem_count(&self) -> u64 {
        u64::try_from(self.problems.len()).unwrap_or(u64::MAX).saturating_add(self.more_problems)
    }
}

/// All GPU code of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuCode {
    /// By section, in file order; those without containers left out.
    pub places: Vec<Place>,
}

/// How a GPU would run a file's code, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Runs {
    /// Machine code for this very architecture.
    Exactly(Capability),
    /// Machine code for an earlier one of the same generation.
    Family(Capability),
    /// PTX that the driver compiles at run time.
    Jit(Capability),
    /// Machine code for this chip under its other name, which NVIDIA promises nothing about.
    Renamed(Capability),
    /// Not at all.
    Not,
}

impl GpuCode {
    /// The code of all sections together.
    #[must_use]
    pub fn total(&self) -> Tallies {
        add_up(self.places.iter().flat_map(|place| &place.code))
    }

    /// The code in which there is something to run.
    pub fn real(&self) -> impl Iterator<Item = Code> {
        let code = self.places.iter().flat_map(|place| &place.code);
        code.filter(|(_, tally)| tally.count > tally.empty).map(|(code, _)| *code)
    }

    /// The code that no GPU of a list can use.
    #[must_use]
    pub(crate) fn unused(&self, gpus: &[Gpu]) -> Tallies {
        let mut unused = self.total();
        unused.retain(|code, _| !gpus.iter().any(|gpu| code.may_serve(*gpu)));
        unused
    }

    /// How a GPU would run it: some container must have code for it.
    #[must_use]
    pub(crate) fn runs_on(&self, gpu: Gpu) -> Runs {
        self.real().map(|code| runs(code, gpu)).reduce(best).unwrap_or(Runs::Not)
    }

    /// The machine code for discrete GPUs that a Tegra runs with a newer driver.
    #[must_use]
    pub(crate) fn promised_later(&self, gpu: Gpu) -> Option<Capability> {
        let is_it =
            |code: &Code| code.kind == CodeKind::Cubin && !code.capability.is_tegra() && gpu.mixes(code.capability);
        self.real().filter(is_it).map(|code| code.capability).max()
    }

    /// The newest architecture that PTX for every later GPU is for.
    #[must_use]
    pub fn newest_ptx(&self) -> Option<Capability> {
        let ptx = self.real().filter(|code| code.kind == CodeKind::Ptx && code.capability.variant == Variant::Common);
        ptx.map(|code| code.capability).max()
    }

    /// Containers with code, and those of them that have some for a GPU.
    #[must_use]
    pub fn containers_for(&self, gpu: Gpu) -> (u64, u64) {
        let sets = self.places.iter().flat_map(|place| &place.sets);
        sets.fold((0, 0), |(all, good): (u64, u64), (set, count)| {
            let serves = set.iter().any(|code| code.serves(gpu));
            (all.saturating_add(*count), if serves { good.saturating_add(*count) } else { good })
        })
    }
}

fn runs(code: Code, gpu: Gpu) -> Runs {
    let is_same = (code.capability.major, code.capability.minor) == (gpu.capability.major, gpu.capability.minor);
    match code.kind {
        CodeKind::Cubin if gpu.runs(code.capability) => match is_same {
            true => Runs::Exactly(code.capability),
            false => Runs::Family(code.capability),
        },
        CodeKind::Cubin if gpu.is_same_chip(code.capability) => Runs::Renamed(code.capability),
        CodeKind::Ptx if code.capability.ptx_runs_on(gpu.capability) => Runs::Jit(code.capability),
        CodeKind::Cubin | CodeKind::Ptx | CodeKind::LtoIr => Runs::Not,
    }
}

/// The better way, and of two equal ways that with the newer architecture.
fn best(a: Runs, b: Runs) -> Runs {
    match (a, b) {
        (Runs::Exactly(a), Runs::Exactly(b)) => Runs::Exactly(a.max(b)),
        (Runs::Family(a), Runs::Family(b)) => Runs::Family(a.max(b)),
        (Runs::Jit(a), Runs::Jit(b)) => Runs::Jit(a.max(b)),
        (Runs::Renamed(a), Runs::Renamed(b)) => Runs::Renamed(a.max(b)),
        _ => a.min(b),
    }
}
