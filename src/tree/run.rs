//! Work on many files at once, results in the order of the input.

use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

/// Calls `work` for every item on up to `jobs` threads. The result's order is the input's, whatever the threads do.
pub fn run<T: Sync, R: Send>(items: &[T], jobs: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if jobs > 1
        && items.len() > 1
        && let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(jobs).build()
    {
        // Most files are told from their first bytes: a piece of work must be worth handing over.
        return pool.install(|| items.par_iter().with_min_len(8).map(&work).collect());
    }
    items.iter().map(work).collect()
}
