//! Work on files in the order in which they lie: what holds packed layers is unpacked once, from its start to its end.

use super::discover::Found;
use super::run::Workers;
use super::source::Source;

/// As [`Workers::run`] for files of a source.
pub(super) fn run_in_order<R: Send>(
    workers: &Workers,
    source: &dyn Source,
    files: Vec<Found>,
    work: impl Fn(Found) -> R + Sync,
) -> Vec<R> {
    if files.first().is_none_or(|first| source.place(first.site()).is_none()) {
        return workers.run(files, work);
    }
    let mut placed: Vec<_> =
        files.into_iter().enumerate().map(|(at, found)| (source.place(found.site()), at, found)).collect();
    placed.sort_by_key(|(place, at, _)| (*place, *at));
    let mut done = workers.run(placed, |(_, at, found)| (at, work(found)));
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
