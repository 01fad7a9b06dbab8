//! Receipts of runs that were killed, and reverts that are: the old file, the new file, or a refusal by name.

use std::fs;
use std::path::PathBuf;

use super::site::{Inode, Loads, Site, few_cases};
use super::strace::{Call, Traced, can_trace};
use crate::harness::run::KILLED;
use crate::harness::{IN_PLACE, MODES, REPLACE, Run, Snapshot, for_all, invoke, long, long_ago};

/// Three objects that one run edits, with a receipt.
struct Three {
    sites: Vec<Site>,
    receipt: PathBuf,
}

impl Three {
    fn new() -> Self {
        let mut sites: Vec<_> = few_cases().iter().take(3).map(Site::new).collect();
        // In the order in which they are edited.
        sites.sort_by(|one, other| one.object.cmp(&other.object));
        let receipt = sites[0].beside("receipt");
        Self { sites, receipt }
    }

    fn reset(&self) {
        let _ = fs::remove_file(&self.receipt);
        self.sites.iter().for_each(Site::reset);
    }

    fn fix(&self, mode: &[&str]) -> Traced {
        let mut fix = self.sites[0].fix(mode);
        fix.arguments(self.sites[1..].iter().map(|site| &site.object))
            .arguments(["--receipt"])
            .arguments([&self.receipt]);
        fix
    }

    fn revert(&self) -> Run {
        invoke(["fix", "--revert", self.receipt.to_str().unwrap()])
    }
}

/// The calls that make a receipt what it is, or a file.
fn matters(call: &Call) -> bool {
    call.changes_files() || ["write", "fsync"].contains(&call.name.as_str())
}

#[test]
fn a_killed_run_leaves_a_receipt_of_what_it_finished() {
    if !can_trace("a_killed_run_leaves_a_receipt_of_what_it_finished") {
        return;
    }
    for_all(&MODES, |mode| {
        let three = Three::new();
        let new: Vec<_> = three.sites.iter().map(|site| site.edited(mode)).collect();
        three.reset();
        let fix = three.fix(mode);
        // The receipt is made before the first file is looked at.
        let (whole, calls) = fix.calls(&three.receipt);
        whole.assert_code(0, "a run with a receipt");
        let (mut refused, mut reverted) = (0, 0);
        for call in calls.iter().filter(|call| matters(call)) {
            three.reset();
            let told = format!("{mode:?}, killed at {}", call.text);
            assert_eq!(fix.run_with(&[call.inject("signal=SIGKILL")]).code, KILLED, "{told}");
            let lines = fs::read_to_string(&three.receipt).map_or(0, |text| text.lines().count());
            let finished = lines.saturating_sub(1);
            for (index, site) in three.sites.iter().enumerate() {
                assert!(index >= finished || site.now() == new[index], "{told}: {index} is in the receipt");
                assert!(!matches!(site.loads(), Loads::Not(_)), "{told}: {:?}", site.loads());
            }
            let before: Vec<_> = three.sites.iter().map(Site::now).collect();
            let back = three.revert();
            back.assert_orderly(&told);
            if lines == 0 {
                assert_eq!(back.code, 2, "{told}: {}", back.stdout);
                assert!(back.stderr.contains(three.receipt.to_str().unwrap()), "{told}\n{}", back.stderr);
                refused += 1;
            } else {
                assert_eq!(back.code, 0, "{told}: {}", back.stderr);
                assert!(
                    back.stdout.contains(&format!("{finished} files reverted, 0 failed")),
                    "{told}: {}",
                    back.stdout
                );
                reverted += 1;
            }
            for (index, site) in three.sites.iter().enumerate() {
                let wanted = if index < finished { &site.old } else { &before[index] };
                assert_eq!(&site.now(), wanted, "{told}: {index}");
            }
            fs::remove_file(&three.receipt).unwrap_or(());
            let again = three.fix(mode).run();
            again.assert_code(0, &told);
            for (site, new) in three.sites.iter().zip(&new) {
                assert_eq!(&site.now(), new, "{told}");
            }
        }
        assert!(refused > 0 && reverted > 10, "{refused} refused, {reverted} reverted");
        Ok(())
    });
}

/// A receipt that a full disk or a power cut shortened: whole lines are reverted, half a line is named.
#[test]
fn a_cut_receipt_reverts_whole_lines_only() {
    if !can_trace("a_cut_receipt_reverts_whole_lines_only") {
        return;
    }
    let three = Three::new();
    three.reset();
    let done = three.fix(IN_PLACE).run();
    done.assert_code(0, "a run with a receipt");
    let receipt = fs::read(&three.receipt).unwrap();
    let kept: Vec<_> = three.sites.iter().map(|site| Snapshot::of(&site.object)).collect();
    let new: Vec<_> = three.sites.iter().map(Site::now).collect();
    let ends: Vec<_> = (1..=receipt.len()).filter(|len| receipt[len - 1] == b'\n').collect();
    assert_eq!(ends.len(), 4);
    let step = if long() { 1 } else { 97 };
    for len in (0..receipt.len()).step_by(step).chain(ends.iter().flat_map(|end| [end - 1, *end])) {
        kept.iter().zip(&three.sites).for_each(|(kept, site)| kept.put_back(&site.object));
        fs::write(&three.receipt, &receipt[..len]).unwrap();
        let back = three.revert();
        let told = format!("{len} of {} bytes\n{}{}", receipt.len(), back.stdout, back.stderr);
        let whole = ends.iter().filter(|end| **end <= len).count().saturating_sub(1);
        back.assert_code(if ends.contains(&len) { 0 } else { 2 }, &told);
        assert!(back.code == 0 || back.stderr.contains(three.receipt.to_str().unwrap()), "{told}");
        for (index, site) in three.sites.iter().enumerate() {
            assert_eq!(&site.now(), if index < whole { &site.old } else { &new[index] }, "{told}");
        }
    }
}

/// Sites whose object is edited already, and the receipts of that.
fn edited_with_receipts() -> Vec<(Site, PathBuf)> {
    let mut list = Vec::new();
    for case in few_cases() {
        for (inode, mode) in [(Inode::Plain, IN_PLACE), (Inode::Plain, REPLACE), (Inode::Linked, REPLACE)] {
            let site = Site::with(&case, inode);
            let receipt = site.beside("receipt");
            let mut fix = site.fix(mode);
            let done = fix.arguments(["--receipt"]).arguments([&receipt]).run();
            done.assert_code(0, case.name);
            assert_eq!(site.loads(), Loads::New);
            list.push((site, receipt));
        }
    }
    list
}

fn revert(site: &Site, receipt: &PathBuf) -> Traced {
    let mut revert = Traced::new(crate::harness::program(), site.beside("log-of-revert"));
    revert.arguments(["fix", "--revert"]).arguments([receipt]);
    revert
}

#[test]
fn a_killed_revert_can_be_repeated() {
    if !can_trace("a_killed_revert_can_be_repeated") {
        return;
    }
    for_all(&edited_with_receipts(), |(site, receipt)| {
        let kept = Snapshot::of(&site.object);
        let revert = revert(site, receipt);
        let (whole, calls) = revert.calls(&site.object);
        whole.assert_code(0, site.case.name);
        assert_eq!((site.now(), site.loads()), (site.old.clone(), Loads::Old), "{}", site.case.name);
        assert_ne!(fs::metadata(&site.object).unwrap().modified().unwrap(), long_ago(), "the time tells of the revert");
        let mut again = 0;
        for call in calls.iter().filter(|call| call.changes_files()) {
            kept.put_back(&site.object);
            let told = format!("{}, revert killed at {}", site.case.name, call.text);
            assert_eq!(revert.run_with(&[call.inject("signal=SIGKILL")]).code, KILLED, "{told}");
            assert!(!matches!(site.loads(), Loads::Not(_)), "{told}: {:?}", site.loads());
            let second = revert.run();
            second.assert_orderly(&told);
            // Done already, but for the temporary name of the file that went.
            let was_done = second.code == 2 && second.stderr.contains("nothing was reverted");
            assert!(second.code == 0 || was_done, "{told}\n{}", second.stderr);
            assert_eq!((site.now(), site.loads()), (site.old.clone(), Loads::Old), "{told}");
            again += usize::from(!was_done);
            for name in site.strangers() {
                fs::remove_file(site.object.with_file_name(name)).unwrap();
            }
        }
        assert!(again >= 4, "{}: {again}", site.case.name);
        Ok(())
    });
}

#[test]
fn a_failed_revert_leaves_the_edited_file_and_its_receipt_good() {
    if !can_trace("a_failed_revert_leaves_the_edited_file_and_its_receipt_good") {
        return;
    }
    for_all(&edited_with_receipts(), |(site, receipt)| {
        let kept = Snapshot::of(&site.object);
        let new = site.now();
        let revert = revert(site, receipt);
        let calls = revert.calls(&site.object).1;
        let (mut stayed, mut done) = (0, 0);
        for call in calls.iter().filter(|call| !call.asks_where_it_is()) {
            kept.put_back(&site.object);
            let told = format!("{}, EIO from {}", site.case.name, call.text);
            let run = revert.run_with(&[call.inject("error=EIO")]);
            run.assert_orderly(&told);
            let now = site.now();
            if now == new {
                run.assert_code(2, &told);
                assert!(run.stderr.contains(site.object.to_str().unwrap()), "{told}\n{}", run.stderr);
                assert!(run.stderr.contains("Input/output error"), "{told}\n{}", run.stderr);
                stayed += 1;
                let second = revert.run();
                second.assert_code(0, &told);
            } else {
                // Cut already: only syncing it can fail.
                done += 1;
            }
            assert_eq!((site.now(), site.loads()), (site.old.clone(), Loads::Old), "{told}");
            for name in site.strangers() {
                fs::remove_file(site.object.with_file_name(name)).unwrap();
            }
        }
        assert!(stayed > done, "{}: {stayed} {done}", site.case.name);
        Ok(())
    });
}

#[test]
fn a_revert_names_its_files_in_json_too() {
    if !can_trace("a_revert_names_its_files_in_json_too") {
        return;
    }
    let three = Three::new();
    three.reset();
    let done = three.fix(IN_PLACE).run();
    done.assert_code(0, "a run with a receipt");
    let changed = &three.sites[1].object;
    fs::write(changed, "text").unwrap();
    let receipt = three.receipt.to_str().unwrap();
    let reverted = invoke(["fix", "--json", "--revert", receipt]);
    reverted.assert_code(2, "one file changed");
    let document = reverted.json();
    assert_eq!((&document["mode"], &document["schema"]), (&"revert".into(), &"cuda-runpath/1".into()), "{document}");
    assert_eq!(document["summary"], serde_json::json!({"reverted": 2, "failed": 1}), "{document}");
    let files = document["files"].as_array().unwrap();
    assert_eq!(files.len(), 3, "{document}");
    for (site, file) in three.sites.iter().zip(files) {
        assert_eq!(file["path"], site.object.canonicalize().unwrap().to_str().unwrap(), "{document}");
        if &site.object == changed {
            assert_eq!(file["outcome"], "failed", "{document}");
            assert!(file["error"].as_str().unwrap().contains("not as the receipt left it"), "{document}");
        } else {
            assert_eq!((&file["outcome"], file.get("error")), (&"reverted".into(), None), "{document}");
        }
    }
}
