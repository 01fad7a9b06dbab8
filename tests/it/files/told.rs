//! --check, --dry-run and --diff write nothing.

use super::*;

#[test]
fn check_finds_what_fix_would_do() {
    if !has_cc("files::check_finds_what_fix_would_do") {
        return;
    }
    let tree = Tree::new();
    let files = [tree.library("lib/libuser.so"), tree.program("bin/program")];
    let before = files.each_ref().map(|file| Snapshot::of(file));
    for flags in [&["--check"][..], &["--check", "--json"], &["--check", "-q"], &["--check", "--diff"]] {
        let ended = expect(fix(0).args(flags).arg(tree.path("")), 1);
        assert_eq!(files.each_ref().map(|file| Snapshot::of(file)), before, "{flags:?}");
        if flags.contains(&"--json") {
            assert_eq!(outcomes(&json(&ended)), ["would-fix", "would-fix"]);
        }
    }
    expect(fix(0).arg(tree.path("")), 0);
    let after = files.each_ref().map(|file| Snapshot::of(file));
    expect(fix(0).arg("--check").arg(tree.path("")), 0);
    assert_eq!(files.each_ref().map(|file| Snapshot::of(file)), after);
    // A file that cannot be read is more than a finding.
    std::fs::write(tree.path("cut"), b"\x7fELF").unwrap();
    expect(fix(0).arg("--check").arg(tree.path("")), 2);
}

#[test]
fn dry_run_and_diff_write_nothing() {
    if !has_cc("files::dry_run_and_diff_write_nothing") {
        return;
    }
    let tree = Tree::new();
    for library in of_all_linkers() {
        tree.copy(library, Path::new("tree").join(library.file_name().unwrap()));
    }
    let files: Vec<_> = names(&tree.path("tree")).into_iter().map(|name| tree.path("tree").join(name)).collect();
    let before: Vec<_> = files.iter().map(|file| Snapshot::of(file)).collect();
    let (old, new) = (deps(0).old.display().to_string(), deps(0).new.display().to_string());
    for flags in [&["--dry-run"][..], &["--diff"], &["--dry-run", "--diff"], &["--dry-run", "-v"]] {
        let ended = expect(fix(0).args(flags).arg(tree.path("tree")), 0);
        let after: Vec<_> = files.iter().map(|file| Snapshot::of(file)).collect();
        assert_eq!(after, before, "{flags:?}");
        assert_eq!(names(&tree.path("tree")).len(), files.len(), "{flags:?}");
        assert!(
            ended.out().contains(&old) && ended.out().contains(&new),
            "{flags:?} shows both paths\n{}",
            ended.said()
        );
    }
    let ended = expect(fix(0).args(["--dry-run", "--json"]).arg(tree.path("tree")), 0);
    assert_eq!(outcomes(&json(&ended)), vec!["would-fix"; files.len()]);
    let shown = expect(binary().arg("show").arg(tree.path("tree")), 0);
    assert!(shown.out().contains(&old), "{}", shown.said());
    assert_eq!(files.iter().map(|file| Snapshot::of(file)).collect::<Vec<_>>(), before);
}
