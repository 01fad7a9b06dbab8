//! Names, modes, links, owners and attributes.

use super::*;

#[test]
fn a_read_only_file_is_fixed_and_stays_read_only() {
    let test = "files::a_read_only_file_is_fixed_and_stays_read_only";
    if !has_cc(test) {
        return;
    }
    for mode in MODES {
        for permissions in [0o444, 0o555, 0o400] {
            let tree = Tree::new();
            let folder = tree.folder("lib");
            let file = tree.library("lib/libuser.so");
            set_mode(&file, permissions);
            give_to_nobody(&file);
            give_to_nobody(&folder);
            let Some(mut command) = fix_as_nobody(&tree, test) else {
                return;
            };
            expect(command.args(mode).arg(&file), 0);
            assert_eq!(loads(&file), NEW, "{mode:?} {permissions:o}");
            assert_eq!(Snapshot::of(&file).mode & 0o7777, permissions, "{mode:?}");
            assert_eq!(names(&folder).len(), 1, "{mode:?} leaves {:?}", names(&folder));
        }
    }
}

#[test]
fn neither_the_name_nor_the_executable_bit_decides() {
    if !has_cc("files::neither_the_name_nor_the_executable_bit_decides") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let hidden = tree.program("bin/.tool-wrapped");
        let plain = tree.program("share/data.txt");
        set_mode(&plain, 0o644);
        let deep = tree.library(".hidden/deep/er/module");
        std::fs::write(tree.join("bin/script.so"), "#!/bin/sh\n").unwrap();
        let ended = expect(fix(NATIVE).arg("--json").args(mode).arg(tree.path()), 0);
        let document = ended.json();
        assert_eq!(document["summary"]["fixed"], 3, "{document}");
        assert_eq!(document["summary"]["elf"], 3, "{document}");
        assert_eq!(Snapshot::of(&plain).mode & 0o7777, 0o644);
        set_mode(&plain, 0o755);
        assert_eq!((starts(&hidden), starts(&plain), loads(&deep)), (NEW, NEW, NEW), "{mode:?}");
    }
}

#[test]
fn any_bytes_are_a_name() {
    if !has_cc("files::any_bytes_are_a_name") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let odd: [&[u8]; 6] = [
            b"with space.so",
            b"new\nline.so",
            b"bad\xff\xfe.so",
            b"-v",
            b"quote\"'\\.so",
            "gr\u{fc}n\u{2028}.so".as_bytes(),
        ];
        let files: Vec<_> =
            odd.iter().map(|name| tree.library(Path::new("tree").join(OsStr::from_bytes(name)))).collect();
        let ended = expect(fix(NATIVE).args(["--json"]).args(mode).arg("tree").current_dir(tree.path()), 0);
        let document = ended.json();
        assert_eq!(outcomes(&document), vec!["fixed"; odd.len()]);
        for file in &files {
            assert_eq!(loads(file), NEW, "{mode:?} {}", file.display());
        }
        let entries = document["files"].as_array().unwrap();
        for name in odd {
            let whole = [b"tree/", name].concat();
            let found = entries.iter().any(|entry| match std::str::from_utf8(&whole) {
                Ok(name) => entry["path"] == name && entry.get("pathHex").is_none(),
                Err(_) => {
                    let hex: String = whole.iter().map(|byte| format!("{byte:02x}")).collect();
                    let path = entry["path"].as_str().unwrap();
                    // The escape is text that says which byte it was, not a mark that something was lost.
                    entry["pathHex"] == *hex && path.starts_with("tree/bad\\") && !path.contains('\u{fffd}')
                }
            });
            assert!(found, "{} is not told right in {document}", whole.escape_ascii());
        }
        // In path order, compared as bytes.
        let mut sorted: Vec<_> = odd.to_vec();
        sorted.sort_unstable();
        let order: Vec<_> = entries
            .iter()
            .map(|entry| {
                odd.iter().position(|name| {
                    let tail = entry["path"].as_str().unwrap().strip_prefix("tree/").unwrap().as_bytes();
                    tail == *name || (tail.starts_with(b"bad") && name.starts_with(b"bad"))
                })
            })
            .collect();
        let wanted: Vec<_> = sorted.iter().map(|name| odd.iter().position(|other| other == name)).collect();
        assert_eq!(order, wanted, "{document}");
        // A second run, as text.
        let again = expect(fix(NATIVE).args(mode).args(["--", "tree"]).current_dir(tree.path()), 0);
        assert_eq!(again.stdout.lines().count(), 1, "{}", again.said());
    }
}

#[test]
fn two_names_of_one_file_are_one_edit() {
    if !has_cc("files::two_names_of_one_file_are_one_edit") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let first = tree.library("a/libuser.so");
        tree.folder("b");
        let second = tree.join("b/libuser.so.1");
        std::fs::hard_link(&first, &second).unwrap();
        let before = Snapshot::of(&first);
        let ended = expect(fix(NATIVE).args(["--json", "-v"]).args(mode).arg(tree.path()), 0);
        let document = ended.json();
        let outcomes = outcomes(&document);
        assert_eq!(outcomes.iter().filter(|outcome| *outcome == "fixed").count(), 1, "{document}");
        assert_eq!(outcomes.len(), 2, "the second name is told: {document}");
        assert_eq!(document["summary"]["fixed"], 1, "{document}");
        let (one, other) = (Snapshot::of(&first), Snapshot::of(&second));
        assert_eq!(one, other, "{mode:?}");
        // Written in place in both modes: another inode would leave the other name with the old file.
        assert_eq!(one.inode, before.inode, "{mode:?}");
        assert_eq!(std::fs::metadata(&first).unwrap().nlink(), 2);
        assert_eq!((loads(&first), loads(&second)), (NEW, NEW), "{mode:?}");
        expect(fix(NATIVE).args(mode).arg(tree.path()), 0);
        assert_eq!(Snapshot::of(&first), one, "{mode:?}: a second run writes nothing");
        // Only one name is in the tree; the file is fixed all the same, and so is what the other name shows.
        let alone = Tree::new();
        let inside = alone.library("in/libuser.so");
        let outside = alone.join("outside.so");
        std::fs::hard_link(&inside, &outside).unwrap();
        expect(fix(NATIVE).args(mode).arg(alone.join("in")), 0);
        assert_eq!((loads(&inside), loads(&outside)), (NEW, NEW), "{mode:?}");
        assert_eq!(names(&alone.join("in")).len(), 1);
    }
}

#[test]
fn symbolic_links_are_followed_as_arguments_only() {
    if !has_cc("files::symbolic_links_are_followed_as_arguments_only") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let outside = tree.library("outside/libuser.so");
        let inside = tree.library("tree/libinside.so");
        symlink("../outside/libuser.so", tree.join("tree/link.so")).unwrap();
        symlink("../outside", tree.join("tree/folder-link")).unwrap();
        symlink("nowhere", tree.join("tree/broken")).unwrap();
        symlink(".", tree.join("tree/cycle")).unwrap();
        symlink("libinside.so", tree.join("tree/libinside.so.1")).unwrap();
        let before = Snapshot::of(&outside);
        let ended = expect(fix(NATIVE).arg("--json").args(mode).arg(tree.join("tree")), 0);
        assert_eq!(ended.json()["summary"]["fixed"], 1, "{}", ended.said());
        assert_eq!(Snapshot::of(&outside), before, "{mode:?}");
        assert_eq!(loads(&inside), NEW);
        assert_eq!(std::fs::read_link(tree.join("tree/libinside.so.1")).unwrap(), Path::new("libinside.so"));

        // As an argument: the target is edited, the link stays a link.
        symlink("outside/libuser.so", tree.join("argument.so")).unwrap();
        expect(fix(NATIVE).args(mode).arg(tree.join("argument.so")), 0);
        assert_eq!(loads(&outside), NEW, "{mode:?}");
        assert_eq!(std::fs::read_link(tree.join("argument.so")).unwrap(), Path::new("outside/libuser.so"));
        assert_eq!(names(&tree.join("outside")).len(), 1);

        let target = tree.library("result-target/lib/libuser.so");
        symlink("result-target", tree.join("result")).unwrap();
        expect(fix(NATIVE).args(mode).arg(tree.join("result")), 0);
        assert_eq!(loads(&target), NEW, "{mode:?}");
        assert!(tree.join("result").is_symlink());
    }
}

#[test]
fn a_running_program_is_replaced_and_goes_on() {
    if !has_cc("files::a_running_program_is_replaced_and_goes_on") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let file = tree.program("bin/program");
        let before = Snapshot::of(&file);
        let running = Waiting::start(command(&file).arg("wait"));
        let ended = run(fix(NATIVE).arg("--json").args(mode).arg(&file));
        let finished = running.finish();
        assert_eq!(ended.code, 0, "{mode:?}\n{}", ended.said());
        assert_eq!(ended.file()["write"], "replace", "{mode:?}\n{}", ended.stdout);
        assert_eq!(finished, Some(OLD), "{mode:?}: the running program has its old file");
        assert_eq!(starts(&file), NEW, "{mode:?}");
        assert_ne!(Snapshot::of(&file).inode, before.inode, "{mode:?}");
        assert_eq!(Snapshot::of(&file).mode, before.mode, "{mode:?}");
        assert_eq!(names(&tree.join("bin")).len(), 1, "{mode:?}");
    }
}

#[test]
fn mode_owner_and_attributes_are_kept() {
    let test = "files::mode_owner_and_attributes_are_kept";
    if !has_cc(test) {
        return;
    }
    for mode in MODES {
        for as_nobody in [false, true] {
            let tree = Tree::new();
            let folder = tree.folder("bin");
            let file = tree.program("bin/program");
            let neighbour = tree.copy(Path::new("/proc/self/status"), "bin/neighbour");
            let before_neighbour = Snapshot::of(&neighbour);
            let mut command = if as_nobody {
                give_to_nobody(&file);
                give_to_nobody(&folder);
                match fix_as_nobody(&tree, test) {
                    Some(command) => command,
                    None => continue,
                }
            } else {
                if is_root() {
                    chown(&file, Some(1234), Some(4321)).unwrap();
                }
                fix(NATIVE)
            };
            // After chown, which takes the setuid bit.
            set_mode(&file, 0o4755);
            let attribute = rustix::fs::setxattr(&file, "user.test", b"kept\0too", rustix::fs::XattrFlags::empty());
            if attribute.is_err() {
                skip(test, "no user attributes on the file system of temporary files");
            }
            let before = std::fs::metadata(&file).unwrap();
            expect(command.args(mode).arg(&folder), 0);
            let after = std::fs::metadata(&file).unwrap();
            let told = format!("{mode:?}, as nobody: {as_nobody}");
            assert_eq!(format!("{:o}", after.mode()), format!("{:o}", before.mode()), "{told}");
            assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()), "{told}");
            if attribute.is_ok() {
                let mut value = [0; 32];
                let size = rustix::fs::getxattr(&file, "user.test", &mut value).unwrap();
                assert_eq!(&value[..size], b"kept\0too", "{told}");
            }
            assert_eq!(Snapshot::of(&neighbour), before_neighbour, "{told}");
            // The loader ignores nothing that this program needs when it is setuid, but root's own runs are not.
            set_mode(&file, 0o755);
            assert_eq!(starts(&file), NEW, "{told}");
        }
    }
}
