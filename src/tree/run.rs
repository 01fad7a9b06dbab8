//! Work on many files at once, results in the order of the input.

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

/// Calls `work` for every item on up to `jobs` threads. The result's order is the input's, whatever the threads do.
pub fn run<T: Send, R: Send>(items: Vec<T>, jobs: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if jobs > 1
        && items.len() > 1
        && let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(jobs).build()
    {
        // Most files are told from their first bytes: a piece of work must be worth handing over. Among a few hundred one
        // can take as long as all others: none may have to wait for it.
        let piece = if items.len() < 1000 { 1 } else { 16 };
        let items = items.into_par_iter().with_min_len(piece).with_max_len(piece);
        return pool.install(|| items.map(&work).collect());
    }
    items.into_iter().map(work).collect()
}
