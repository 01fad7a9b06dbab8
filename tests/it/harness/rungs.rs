//! The ladder as the tests know it: one row a rung, and where each must be seen.

use cuda_runpath::elf::plan::Strategy;

/// Files on which a test waits for a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// A preset `rung-LETTER-…` of the generator.
    Preset,
    /// The object of a case of `crashes`.
    Crashes,
    /// A file as some linker makes it, written in place (`prefixes`).
    Linked,
    /// A file of every linker, brought to it in one of the ways of `afterwards`.
    Treated,
    /// One of eighty edits of one file (`repeated`).
    Repeated,
}

/// A rung of the ladder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rung {
    /// Its word in every output format.
    pub(crate) name: &'static str,
    /// Those of its presets.
    pub(crate) letters: &'static str,
    shown: &'static [Show],
}

impl Rung {
    fn of(strategy: Strategy) -> Option<Self> {
        use Show::{Crashes, Linked, Preset, Repeated, Treated};
        let (letters, shown): (&str, &[Show]) = match strategy {
            // No string is placed.
            Strategy::TagOnly => return None,
            Strategy::Share => ("a", &[Preset, Crashes, Treated]),
            Strategy::Overwrite => ("b", &[Preset, Crashes, Linked, Treated]),
            Strategy::DeadBytes => ("c", &[Preset, Crashes, Treated]),
            Strategy::Grow => ("d", &[Preset, Crashes, Treated, Repeated]),
            Strategy::Slack => ("e", &[Preset, Crashes, Linked, Treated, Repeated]),
            Strategy::Slot => ("f", &[Preset, Crashes, Linked, Treated, Repeated]),
            Strategy::Gap => ("g", &[Preset, Crashes, Treated, Repeated]),
            Strategy::Reimage => ("hj", &[Preset, Crashes, Linked, Treated, Repeated]),
            Strategy::MakeRoom => ("i", &[Preset, Crashes, Linked, Treated, Repeated]),
            // Every linker but gold leaves a program header that makes room.
            Strategy::MoveTable => ("k", &[Preset, Crashes]),
        };
        Some(Self { name: strategy.name(), letters, shown })
    }
}

/// Every rung that `show` must show, in the order in which they are tried.
pub(crate) fn rungs(show: Show) -> Vec<Rung> {
    let all = Strategy::ALL.iter().copied();
    all.filter_map(Rung::of).filter(|rung| rung.shown.contains(&show)).collect()
}

/// The rung that a preset is the first to fit, by its name.
pub(crate) fn rung_of(preset: &str) -> Option<Rung> {
    let letter = preset.strip_prefix("rung-")?.chars().next()?;
    rungs(Show::Preset).into_iter().find(|rung| rung.letters.contains(letter))
}
