//! `check --against OLD`: the other release, looked at again or read from what was saved of it.

use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use anyhow::{Context, bail};

use super::args::{CheckArgs, Global};
use super::judge::judge;
use super::{input, output};
use crate::check::Snapshot;
use crate::report;

/// What is compared with.
pub(super) struct OtherRelease {
    pub(super) snapshot: Snapshot,
    /// Every file of it could be read.
    pub(super) is_read: bool,
}

/// Reads the document at `old`, or judges what lies there as the release that is checked.
pub(super) fn other_release(
    old: &Path,
    is_image: bool,
    args: &CheckArgs,
    global: &Global,
) -> anyhow::Result<OtherRelease> {
    let name = || format!("--against {}", old.display());
    if let Some(text) = document(old, args.closure_from.is_some()).with_context(name)? {
        let snapshot = report::check::saved::read(&text).with_context(name)?;
        return Ok(OtherRelease { snapshot, is_read: true });
    }
    let input = input::of_other_release(old, args, is_image)?;
    let judged = judge(&input, args, global, (true, false)).with_context(name)?;
    report::check::human::print_unread(&output::human(global), &judged.report, &mut output::stderr())?;
    if judged.leads_nowhere {
        bail!("{}: there is nothing to compare with", name());
    }
    if judged.report.elf == 0 && judged.report.others.is_empty() && old.is_file() && args.closure_from.is_none() {
        bail!(
            "{}: it is no tree, no image, no file with GPU code, no ELF file and no document of check --json",
            name()
        );
    }
    let is_read = judged.report.unread.is_empty();
    Ok(OtherRelease { snapshot: Snapshot::of(&judged.report, judged.setting), is_read })
}

/// The text of a file that starts as a JSON document does; where it may be a list of a closure, of one that says what it is.
fn document(old: &Path, may_be_list: bool) -> anyhow::Result<Option<Vec<u8>>> {
    let kind = std::fs::metadata(old)?.file_type();
    // What a pipe has is read once: it must be a document.
    let is_pipe = kind.is_fifo();
    if !kind.is_file() && !is_pipe {
        return Ok(None);
    }
    let mut start = Vec::new();
    let mut file = std::fs::File::open(old)?;
    file.by_ref().take(64).read_to_end(&mut start)?;
    if start.trim_ascii_start().first() != Some(&b'{') && !is_pipe {
        return Ok(None);
    }
    file.read_to_end(&mut start)?;
    let may_be_list = may_be_list && !is_pipe;
    Ok(Some(start).filter(|text| !may_be_list || report::check::saved::says_what_it_is(text)))
}
