//! A search as a person wants to see it: every place with its role, and what stands behind the one that wins.

use bstr::BString;

use super::context::Context;
use super::facts::Facts;
use crate::loader::{Ask, End, Loader, Patience, Process, Search, Step, StepOutcome, StepSource};
use crate::runpath::{Directory, EntryClass};

/// As many places behind a hit are looked up; a path with more has other problems.
const MOST_BEHIND: usize = 64;

/// As many places of each search are kept for a report about many objects.
const MOST_KEPT: usize = 64;

/// As many are looked at for what stands behind the one that wins, where all objects of a tree are asked.
const MOST_FOR_A_REPORT: usize = 1 << 12;

/// What a report keeps of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ladder {
    /// Who asked first, where that was another object of the process.
    pub(crate) first: Option<BString>,
    /// The places in order, each with its role.
    pub(crate) steps: Vec<(Step, EntryClass)>,
    /// How many more there are.
    pub(crate) more: usize,
    /// The places behind the one that wins, and what they have.
    pub(crate) behind: Vec<Step>,
}

impl Ladder {
    /// Of a search that the object at an index of a process made.
    pub(super) fn of(
        context: &Context<'_>,
        loader: &Loader<'_>,
        process: &Process,
        (asking, index): (&Facts, usize),
        (by, search): (usize, &Search),
    ) -> Self {
        let class = asking.object.class;
        let role = |step: &Step| context.class_of(step.written.as_ref(), step.directory(), class);
        let patience = Patience::of(MOST_FOR_A_REPORT);
        let patient = Loader { patience: &patience, ..*loader };
        let mut behind = behind(&patient, process, by, search.ask, search);
        behind.truncate(MOST_KEPT);
        let first = process.maps.get(by).filter(|_| by != index).map(|map| map.object.path.clone());
        // The end tells who wins: it is kept.
        let more = search.steps.len().saturating_sub(MOST_KEPT);
        let is_kept = |at: usize| at < MOST_KEPT.saturating_sub(1) || at.saturating_add(1) == search.steps.len();
        let kept = search.steps.iter().enumerate().filter(|(at, _)| is_kept(*at));
        Self { first, steps: kept.map(|(_, step)| (step.clone(), role(step))).collect(), more, behind }
    }
}

/// Searches again without the directories that won, until nothing wins or the loader's patience is over: every place
/// behind the first hit.
pub(super) fn behind(loader: &Loader<'_>, process: &Process, by: usize, ask: Ask, search: &Search) -> Vec<Step> {
    // What won is in the process now; without it the search starts anew.
    let (process, by) = process.chain_of(by);
    let mut environment = loader.environment.clone();
    let mut hits: Vec<Step> = Vec::new();
    let mut last = search.clone();
    while hits.len() < MOST_BEHIND && !loader.patience.is_over() && matches!(last.end, End::Found(..)) {
        let Some(step) = last.steps.last().filter(|step| step.outcome == StepOutcome::Hit) else { break };
        let is_searched = !matches!(step.source, StepSource::Loaded | StepSource::Path | StepSource::Cache);
        let Some(directory) = is_searched.then(|| Directory::new(step.directory().to_owned()).ok()).flatten() else {
            break;
        };
        hits.push(step.clone());
        environment.without.push(directory);
        let again = Loader { environment: &environment, ..*loader };
        last = again.search(&process, by, ask, search.name.as_ref());
    }
    let behind = last.steps.into_iter().skip(search.steps.len());
    behind.map(|step| hits.iter().find(|hit| hit.directory() == step.place).cloned().unwrap_or(step)).collect()
}
