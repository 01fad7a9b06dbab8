//! How far a run has come, on a terminal's standard error.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for so many files, hidden where none is wanted.
pub(super) fn bar(files: usize, shows: bool) -> ProgressBar {
    let bar = if shows { ProgressBar::new(u64::try_from(files).unwrap_or(0)) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} files, {eta} left") {
        bar.set_style(style);
    }
    bar
}
