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
        let ended = expect(fix(NATIVE).args(flags).arg(tree.path()), 1);
        assert_eq!(files.each_ref().map(|file| Snapshot::of(file)), before, "{flags:?}");
        if flags.contains(&"--json") {
            assert_eq!(outcomes(&ended.json()), ["would-fix", "would-fix"]);
        }
    }
    expect(fix(NATIVE).arg(tree.path()), 0);
    let after = files.each_ref().map(|file| Snapshot::of(file));
    expect(fix(NATIVE).arg("--check").arg(tree.path()), 0);
    assert_eq!(files.each_ref().map(|file| Snapshot::of(file)), after);
    // A file that cannot be read is more than a finding.
    std::fs::write(tree.join("cut"), b"\x7fELF").unwrap();
    expect(fix(NATIVE).arg("--check").arg(tree.path()), 2);
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
    let files: Vec<_> = names(&tree.join("tree")).into_iter().map(|name| tree.join("tree").join(name)).collect();
    let before: Vec<_> = files.iter().map(|file| Snapshot::of(file)).collect();
    let (old, new) = (deps(NATIVE).old.display().to_string(), deps(NATIVE).new.display().to_string());
    for flags in [&["--dry-run"][..], &["--diff"], &["--dry-run", "--diff"], &["--dry-run", "-v"]] {
        let ended = expect(fix(NATIVE).args(flags).arg(tree.join("tree")), 0);
        let after: Vec<_> = files.iter().map(|file| Snapshot::of(file)).collect();
        assert_eq!(after, before, "{flags:?}");
        assert_eq!(names(&tree.join("tree")).len(), files.len(), "{flags:?}");
        assert!(
            ended.stdout.contains(&old) && ended.stdout.contains(&new),
            "{flags:?} shows both paths\n{}",
            ended.said()
        );
    }
    let ended = expect(fix(NATIVE).args(["--dry-run", "--json"]).arg(tree.join("tree")), 0);
    assert_eq!(outcomes(&ended.json()), vec!["would-fix"; files.len()]);
    let shown = expect(binary().arg("show").arg(tree.join("tree")), 0);
    assert!(shown.stdout.contains(&old), "{}", shown.said());
    assert_eq!(files.iter().map(|file| Snapshot::of(file)).collect::<Vec<_>>(), before);
}
