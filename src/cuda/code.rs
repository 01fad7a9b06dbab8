//! GPU code in a file: what kinds there are, for which architectures, how much of it, and whether a GPU can run it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bstr::{BStr, BString};

use super::capability::{Capability, Variant};
use super::gpu::Gpu;
use super::problem::CodeProblem;

/// What a piece of code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum CodeKind {
    /// Machine code, as an ELF file of its own.
    Cubin,
    /// Assembly that the driver compiles.
    Ptx,
    /// The same for a linker (`nvcc -rdc=true --relocatable-ptx`), which the driver also has.
    RelocatablePtx,
    /// The bytecode of kernels made of tiles (`nvcc --enable-tile`), which the driver compiles through libnvidia-tileiras.
    TileIr,
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
            Self::RelocatablePtx => 0x40,
            Self::TileIr => 0x80,
        }
    }

    /// What a sentence puts in front of its architectures.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Cubin => "",
            Self::Ptx => "PTX ",
            Self::RelocatablePtx => "relocatable PTX ",
            Self::TileIr => "Tile IR ",
            Self::LtoIr => "LTO-IR ",
        }
    }

    /// The driver's library that compiles it at run time; None for what is not compiled then.
    pub(crate) fn compiler(self) -> Option<&'static str> {
        match self {
            Self::Ptx | Self::RelocatablePtx => Some("libnvidia-ptxjitcompiler"),
            Self::TileIr => Some("libnvidia-tileiras"),
            Self::Cubin | Self::LtoIr => None,
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
    /// `sm_87`; everything but machine code is for a `compute_87`.
    #[must_use]
    pub fn architecture(self) -> String {
        match self.kind {
            CodeKind::Cubin => self.capability.sm(),
            CodeKind::Ptx | CodeKind::RelocatablePtx | CodeKind::TileIr | CodeKind::LtoIr => self.capability.compute(),
        }
    }

    /// Whether it can be of use on a GPU, LTO-IR after it was linked, other than machine code after it was compiled.
    #[must_use]
    pub(crate) fn serves(self, gpu: Gpu) -> bool {
        match self.kind {
            CodeKind::Cubin => gpu.runs(self.capability) || gpu.is_same_chip(self.capability),
            CodeKind::Ptx | CodeKind::RelocatablePtx | CodeKind::TileIr | CodeKind::LtoIr => {
                self.capability.ptx_runs_on(gpu.capability)
            }
        }
    }

    /// The same where what is not known speaks for it.
    pub(super) fn may_serve(self, gpu: Gpu) -> bool {
        self.serves(gpu) || (self.kind == CodeKind::Cubin && gpu.may_run(self.capability))
    }
}

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries of fat binaries, or pieces outside of them.
    pub count: u64,
    /// Those of them with neither a kernel nor a variable: nothing is lost without them.
    pub empty: u64,
    /// Bytes in the file, without headers.
    pub bytes: u64,
    /// Bytes once they are unpacked; the same where they are not compressed. Of a frame that does not say it, those that
    /// were unpacked.
    pub unpacked: u64,
    /// Kernels, where they were asked for.
    pub kernels: u64,
    /// Entries whose kernels were asked for and are not known.
    pub uncounted: u64,
}

impl Tally {
    /// Of one piece.
    #[must_use]
    pub(super) fn one(is_empty: bool, bytes: u64, unpacked: u64) -> Self {
        Self { count: 1, empty: u64::from(is_empty), bytes, unpacked, ..Self::default() }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            empty: self.empty.saturating_add(other.empty),
            bytes: self.bytes.saturating_add(other.bytes),
            unpacked: self.unpacked.saturating_add(other.unpacked),
            kernels: self.kernels.saturating_add(other.kernels),
            uncounted: self.uncounted.saturating_add(other.uncounted),
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

/// What a file by itself is called where a section's name would stand.
pub(super) const WHOLE_FILE: &str = "(file)";

/// How code is kept where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Form {
    /// In fat binaries, each of which has the same kernels for several architectures.
    #[default]
    Container,
    /// Alone in a Zstandard frame.
    Frame,
    /// As it is, among other data.
    Raw,
    /// As a file by itself.
    File,
}

impl Form {
    /// The word used in every output format.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The GPU code of a section or segment that is kept in one form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The section's name.
    pub(crate) name: BString,
    /// In which form.
    pub form: Form,
    /// Containers.
    pub containers: u64,
    /// Those of them without an entry.
    pub empty: u64,
    /// What there is.
    pub code: Tallies,
    /// How many containers have exactly this code, empty entries and what has nothing else left out.
    pub sets: BTreeMap<Box<[Code]>, u64>,
    /// The first things that are not understood.
    pub problems: Vec<CodeProblem>,
    /// How many more there are.
    pub more_problems: u64,
}

impl Place {
    /// Problems beyond these are only counted.
    const MOST_PROBLEMS: usize = 8;

    /// A place in which nothing was found yet.
    #[must_use]
    pub(super) fn new(name: &BStr, form: Form) -> Self {
        Self { name: name.to_owned(), form, ..Self::default() }
    }

    /// Whether there is anything to tell of it.
    #[must_use]
    pub(super) fn is_told(&self) -> bool {
        self.containers > 0 || !self.code.is_empty() || !self.problems.is_empty()
    }

    /// How many things are not understood.
    #[must_use]
    pub(crate) fn problem_count(&self) -> u64 {
        u64::try_from(self.problems.len()).unwrap_or(u64::MAX).saturating_add(self.more_problems)
    }

    /// Adds code.
    pub(super) fn add(&mut self, code: Code, tally: Tally) {
        let of_code = self.code.entry(code).or_default();
        *of_code = of_code.plus(tally);
    }

    /// Adds what is not understood.
    pub(super) fn note(&mut self, problem: CodeProblem) {
        if self.problems.len() < Self::MOST_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more_problems = self.more_problems.saturating_add(1);
        }
    }

    /// Adds all that another place has.
    pub(super) fn join(&mut self, other: Self) {
        self.containers = self.containers.saturating_add(other.containers);
        self.empty = self.empty.saturating_add(other.empty);
        for (code, tally) in other.code {
            self.add(code, tally);
        }
        for (set, count) in other.sets {
            let of_set = self.sets.entry(set).or_default();
            *of_set = of_set.saturating_add(count);
        }
        for problem in other.problems {
            self.note(problem);
        }
        self.more_problems = self.more_problems.saturating_add(other.more_problems);
    }

    /// The code in which there is something to run.
    fn real(&self) -> impl Iterator<Item = Code> {
        self.code.iter().filter(|(_, tally)| tally.count > tally.empty).map(|(code, _)| *code)
    }
}

/// All GPU code of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuCode {
    /// By section, in file order, and by form; those without any left out.
    pub places: Vec<Place>,
}

/// How a GPU would run a file's code, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Runs {
    /// Machine code for this very architecture.
    Exactly(Capability),
    /// Machine code for an earlier one of the same generation.
    Family(Capability),
    /// PTX and the like, which the driver compiles at run time.
    Jit(Code),
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

    /// All files as one: places of one name and form together.
    #[must_use]
    pub(crate) fn together(all: impl IntoIterator<Item = Self>) -> Self {
        let mut places: BTreeMap<(BString, Form), Place> = BTreeMap::new();
        for place in all.into_iter().flat_map(|code| code.places) {
            match places.entry((place.name.clone(), place.form)) {
                Entry::Vacant(new) => {
                    new.insert(place);
                }
                Entry::Occupied(mut known) => known.get_mut().join(place),
            }
        }
        Self { places: places.into_values().collect() }
    }

    /// The code in which there is something to run.
    pub fn real(&self) -> impl Iterator<Item = Code> {
        self.places.iter().flat_map(Place::real)
    }

    /// The same outside of fat binaries.
    pub(crate) fn others(&self) -> impl Iterator<Item = Code> {
        self.real_of(false)
    }

    /// Whether it is a file of its own that is no fat binary.
    #[must_use]
    pub(crate) fn is_by_itself(&self) -> bool {
        self.places.iter().all(|place| place.form != Form::Container && place.name == WHOLE_FILE)
    }

    /// The same in fat binaries, or in all other forms.
    fn real_of(&self, in_containers: bool) -> impl Iterator<Item = Code> {
        let places = self.places.iter().filter(move |place| (place.form == Form::Container) == in_containers);
        places.flat_map(Place::real)
    }

    /// The code that no GPU of a list can use.
    #[must_use]
    pub(crate) fn unused(&self, gpus: &[Gpu]) -> Tallies {
        let mut unused = self.total();
        unused.retain(|code, _| !gpus.iter().any(|gpu| code.may_serve(*gpu)));
        unused
    }

    /// The code outside of fat binaries by its form: pieces and bytes that no GPU of a list can use, and all bytes.
    pub(crate) fn outside(&self, gpus: &[Gpu]) -> impl Iterator<Item = (Form, (u64, u64), u64)> {
        let mut forms: BTreeMap<Form, ((u64, u64), u64)> = BTreeMap::new();
        for place in self.places.iter().filter(|place| place.form != Form::Container) {
            let (unused, all) = forms.entry(place.form).or_default();
            for (code, tally) in &place.code {
                *all = all.saturating_add(tally.bytes);
                if !gpus.iter().any(|gpu| code.may_serve(*gpu)) {
                    unused.0 = unused.0.saturating_add(tally.count);
                    unused.1 = unused.1.saturating_add(tally.bytes);
                }
            }
        }
        forms.into_iter().map(|(form, (unused, all))| (form, unused, all))
    }

    /// How a GPU would run it: some fat binary must have code for it. What stands elsewhere is a kernel for one architecture,
    /// and cannot make up for that; it decides where there is no fat binary with code.
    #[must_use]
    pub(crate) fn runs_on(&self, gpu: Gpu) -> Runs {
        let way = |code| runs(code, gpu);
        let in_containers = self.real_of(true).map(way).reduce(best);
        in_containers.or_else(|| self.real_of(false).map(way).reduce(best)).unwrap_or(Runs::Not)
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
        let is_common = |code: &Code| code.kind.compiler().is_some() && code.capability.variant == Variant::Common;
        let ptx = self.real().filter(is_common);
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

    /// The code outside of fat binaries in which there is something to run, and how much of it serves a GPU; nothing where
    /// it decides by itself.
    #[must_use]
    pub(crate) fn others_for(&self, gpu: Gpu) -> (u64, u64) {
        if self.real_of(true).next().is_none() {
            return (0, 0);
        }
        let others = self.places.iter().filter(|place| place.form != Form::Container);
        others.flat_map(|place| &place.code).fold((0, 0), |(all, good): (u64, u64), (code, tally)| {
            let real = tally.count.saturating_sub(tally.empty);
            (all.saturating_add(real), if code.serves(gpu) { good.saturating_add(real) } else { good })
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
        kind if kind.compiler().is_some() && code.capability.ptx_runs_on(gpu.capability) => Runs::Jit(code),
        CodeKind::Cubin | CodeKind::Ptx | CodeKind::RelocatablePtx | CodeKind::TileIr | CodeKind::LtoIr => Runs::Not,
    }
}

/// The better way, and of two equal ways that with the newer architecture.
fn best(a: Runs, b: Runs) -> Runs {
    match (a, b) {
        (Runs::Exactly(a), Runs::Exactly(b)) => Runs::Exactly(a.max(b)),
        (Runs::Family(a), Runs::Family(b)) => Runs::Family(a.max(b)),
        (Runs::Jit(a), Runs::Jit(b)) => Runs::Jit(if b.capability > a.capability { b } else { a }),
        (Runs::Renamed(a), Runs::Renamed(b)) => Runs::Renamed(a.max(b)),
        _ => a.min(b),
    }
}
