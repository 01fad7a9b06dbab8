//! Work on many items at once, results in the order of the input.

use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use crate::fsio;

/// The threads of a run. Made once: a tree is listed and edited by the same.
#[derive(Debug)]
pub struct Workers(Option<ThreadPool>);

impl Workers {
    /// Up to `jobs` threads, fewer where not so many files can be open at once; where they cannot be had, the calling one
    /// does everything.
    #[must_use]
    pub fn new(jobs: usize) -> Self {
        let jobs = jobs.min(fsio::most_at_once());
        let pool = (jobs > 1).then(|| rayon::ThreadPoolBuilder::new().num_threads(jobs).build());
        Self(pool.and_then(Result::ok))
    }

    /// Calls `work` for every item. The result's order is the input's, whatever the threads do.
    pub(crate) fn run<T: Send, R: Send>(&self, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        match &self.0 {
            Some(pool) if items.len() > 1 => {
                // Most files are told from their first bytes: a piece of work must be worth handing over. Among a few
                // hundred one can take as long as all others: none may have to wait for it.
                let piece = if items.len() < 1000 { 1 } else { 16 };
                let items = items.into_par_iter().with_min_len(piece).with_max_len(piece);
                pool.install(|| items.map(&work).collect())
            }
            _ => items.into_iter().map(work).collect(),
        }
    }
}
