//! The Nix store is not written.

use super::*;

#[test]
fn the_store_is_never_written() {
    let test = "files::the_store_is_never_written";
    if !has_cc(test) {
        return;
    }
    let tree = Tree::new();
    let store = tree.folder("nix/store");
    let root = package(&tree, "nix/store/0000-package");
    // Writable by its user, so that only the rule protects it.
    make_writable(&root);
    let file = root.join("lib/libuser.so.1");
    set_mode(&file, 0o644);
    symlink("nix/store/0000-package", tree.join("result")).unwrap();
    symlink("nix/store/0000-package/bin/program", tree.join("program")).unwrap();
    symlink("result", tree.join("result-of-result")).unwrap();
    let outside = tree.library("outside/libuser.so");
    let before = listing(&root);
    let before_file = Snapshot::of(&file);
    let untouched = |told: &str| {
        assert!(listing(&root) == before, "{told}");
        assert_eq!(Snapshot::of(&file), before_file, "{told}");
    };
    let with_store = || {
        let mut command = fix(NATIVE);
        command.env("NIX_STORE", &store).current_dir(tree.path());
        command
    };
    let ways = [
        root.clone(),
        root.join("lib"),
        file.clone(),
        store.clone(),
        tree.join("result"),
        tree.join("result-of-result"),
        tree.join("program"),
        PathBuf::from("result"),
        PathBuf::from("./result/lib"),
        PathBuf::from("result/bin/lib/libuser.so"),
        tree.join("outside/../nix/store/0000-package"),
        tree.join("nix"),
    ];
    for mode in MODES {
        for way in &ways {
            let ended = expect(with_store().args(mode).arg(way), 2);
            let told = format!("{mode:?} {}\n{}", way.display(), ended.said());
            untouched(&told);
            assert!(ended.stderr.contains("--output") && ended.stderr.contains("cudaRunpathHook"), "{told}");
        }
        // Also with the variables of half a build, and as another output's neighbour.
        let half: [&[(&str, PathBuf)]; 4] = [
            &[("outputs", "out".into()), ("out", root.clone())],
            &[("NIX_BUILD_TOP", tree.join("build"))],
            &[("NIX_BUILD_TOP", tree.join("build")), ("outputs", "out".into()), ("out", store.join("0000-pack"))],
            &[("NIX_BUILD_TOP", tree.join("build")), ("outputs", "lib".into()), ("out", root.clone())],
        ];
        for variables in half {
            let ended = expect(with_store().envs(variables.iter().cloned()).args(mode).arg(&root), 2);
            untouched(&format!("{mode:?} {variables:?}\n{}", ended.said()));
        }
    }
    // A list of files is no way around it.
    std::fs::write(tree.join("list"), "result/lib/libuser.so.1\n").unwrap();
    expect(with_store().args(["--files-from", "list"]), 2);
    untouched("--files-from");

    // Looking is allowed.
    expect(with_store().arg("--dry-run").arg("result"), 0);
    expect(with_store().arg("--diff").arg("result"), 0);
    expect(with_store().arg("--check").arg("result"), 1);
    expect(binary().env("NIX_STORE", &store).arg("show").arg(tree.join("result")), 0);
    untouched("looking");
    // And so is a copy elsewhere.
    let ended = expect(with_store().args(["--output", "result-fixed", "result"]), 0);
    untouched(&ended.said());
    assert_eq!(loads(&tree.join("result-fixed/lib/libuser.so.1")), NEW);
    // But not a copy that is in the store itself.
    expect(with_store().arg("--output").arg(store.join("1111-fixed")).arg("result"), 2);
    assert!(!store.join("1111-fixed").exists());

    // What is not in the store is no business of the rule.
    expect(with_store().arg(&outside), 0);
    assert_eq!(loads(&outside), NEW);
}

#[test]
fn a_store_behind_a_symbolic_link_is_the_same_store() {
    if !has_cc("files::a_store_behind_a_symbolic_link_is_the_same_store") {
        return;
    }
    let tree = Tree::new();
    let file = tree.library("real/store/0000-package/lib/libuser.so");
    symlink("real", tree.join("nix")).unwrap();
    let before = Snapshot::of(&file);
    for way in ["real/store/0000-package", "nix/store/0000-package"] {
        for store in ["real/store", "nix/store", "nix/store/"] {
            let mut command = fix(NATIVE);
            command.env("NIX_STORE", tree.join(store));
            let ended = expect(command.arg(tree.join(way)), 2);
            assert!(ended.stderr.contains("--output"), "{}", ended.said());
            assert_eq!(Snapshot::of(&file), before, "{way}, NIX_STORE={store}");
        }
    }
    let mut build = fix(NATIVE);
    build.env("NIX_STORE", tree.join("nix/store")).env("NIX_BUILD_TOP", tree.join("build")).env("outputs", "out");
    build.env("out", tree.join("nix/store/0000-package"));
    expect(build.arg(tree.join("real/store/0000-package")), 0);
    assert_eq!(loads(&file), NEW);
}

#[test]
fn a_second_name_of_a_store_file_is_not_edited() {
    if !has_cc("files::a_second_name_of_a_store_file_is_not_edited") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let file = tree.library("nix/store/0000-package/lib/libuser.so");
        set_mode(&file, 0o444);
        set_store_time(&file);
        tree.folder("home");
        let linked = tree.join("home/libuser.so");
        std::fs::hard_link(&file, &linked).unwrap();
        let before = Snapshot::of(&file);
        let mut command = fix(NATIVE);
        command.env("NIX_STORE", tree.join("nix/store")).args(mode);
        let ended = expect(command.arg(tree.join("home")), 2);
        assert!(ended.stderr.contains("libuser.so"), "{}", ended.said());
        assert_eq!(Snapshot::of(&file), before, "{mode:?}");
    }
}

#[test]
fn a_receipt_is_no_way_into_the_store() {
    if !has_cc("files::a_receipt_is_no_way_into_the_store") {
        return;
    }
    let tree = Tree::new();
    let store = tree.folder("nix/store");
    let file = tree.library("nix/store/0000-package/lib/libuser.so");
    let receipt = tree.join("receipt");
    let mut build = fix(NATIVE);
    build.env("NIX_STORE", &store).env("NIX_BUILD_TOP", tree.join("build")).env("outputs", "out");
    build.env("out", store.join("0000-package")).arg("--receipt").arg(&receipt);
    expect(build.arg(store.join("0000-package")), 0);
    let before = Snapshot::of(&file);
    expect(binary().env("NIX_STORE", &store).args(["fix", "--revert"]).arg(&receipt), 2);
    assert_eq!(Snapshot::of(&file), before);
}

#[test]
fn a_running_build_writes_its_own_outputs_only() {
    if !has_cc("files::a_running_build_writes_its_own_outputs_only") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let store = tree.folder("nix/store");
        let out = store.join("0000-package");
        let lib = store.join("1111-package-lib");
        let own = [tree.library(out.join("lib/libuser.so")), tree.library(lib.join("lib/libuser.so"))];
        let other = tree.library("nix/store/2222-dependency/lib/libuser.so");
        let longer = tree.library("nix/store/0000-package-dev/lib/libuser.so");
        let before = [Snapshot::of(&other), Snapshot::of(&longer)];
        let build = || {
            let mut command = fix(NATIVE);
            command.env("NIX_STORE", &store).env("NIX_BUILD_TOP", tree.join("build")).env("outputs", "out lib");
            command.env("out", &out).env("lib", &lib).args(mode);
            command
        };
        expect(build().arg(&out), 0);
        assert_eq!((loads(&own[0]), loads(&own[1])), (NEW, OLD), "{mode:?}");
        for path in [&other, &longer, &store] {
            let ended = expect(build().arg(path), 2);
            assert!(ended.stderr.contains("cudaRunpathHook"), "{}", ended.said());
        }
        expect(build().arg(&lib).arg(store.join("2222-dependency")), 2);
        expect(build().arg(&lib), 0);
        assert_eq!(loads(&own[1]), NEW, "{mode:?}");
        assert_eq!([Snapshot::of(&other), Snapshot::of(&longer)], before, "{mode:?}");
    }
}
