//! A directory of the tree that its owner swaps for a link, between any two system calls: nothing outside of the tree
//! changes.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::strace::{Call, Traced, can_trace};
use crate::elfgen::{Machine, Spec};
use crate::harness::{Contents, MODES, Snapshot, Tree, for_all, names, program};

/// A kernel that knows `openat2`, and one that does not.
const KERNELS: [Option<&str>; 2] = [None, Some("inject=openat2:error=ENOSYS")];

/// A tree with a directory two levels down, and another one of the same names, which is no part of it.
struct Swapped {
    tree: Tree,
    victims: PathBuf,
    inside: PathBuf,
    before: Vec<Snapshot>,
}

const FILES: [&str; 2] = ["liba.so", "libb.so"];

impl Swapped {
    fn new() -> Self {
        let tree = Tree::new();
        let (victims, inside) = (tree.folder("victims"), tree.folder("tree/above/inside"));
        let bytes = Spec::library(Machine::X86_64).runpath("$ORIGIN/old").exports("x$ORIGIN/new:$ORIGIN/old").build();
        for name in FILES {
            fs::write(victims.join(name), &bytes).unwrap();
        }
        let before = FILES.map(|name| Snapshot::of(&victims.join(name))).to_vec();
        let swapped = Self { tree, victims, inside, before };
        swapped.reset();
        swapped
    }

    fn reset(&self) {
        let above = self.inside.parent().unwrap();
        fs::remove_dir_all(above).unwrap();
        fs::create_dir_all(&self.inside).unwrap();
        for name in FILES {
            fs::copy(self.victims.join(name), self.inside.join(name)).unwrap();
        }
        let _ = fs::remove_dir_all(self.tree.join("copy"));
    }

    /// One of the directories on the way goes aside, and a link to the victims stands there.
    fn swap(&self, whole: bool) {
        let above = self.inside.parent().unwrap();
        if whole {
            fs::rename(above, above.with_file_name("aside")).unwrap();
            symlink(self.tree.path(), above).unwrap();
            fs::rename(above.with_file_name("aside"), self.tree.join("tree/other")).unwrap();
        } else {
            fs::rename(&self.inside, above.join("aside")).unwrap();
            symlink(&self.victims, &self.inside).unwrap();
        }
    }

    fn unswap(&self, whole: bool) {
        if whole {
            fs::remove_file(self.inside.parent().unwrap()).unwrap();
            fs::rename(self.tree.join("tree/other"), self.inside.parent().unwrap()).unwrap();
        }
    }

    fn assert_victims(&self, told: &str) {
        let after = FILES.map(|name| Snapshot::of(&self.victims.join(name))).to_vec();
        assert_eq!(after, self.before, "{told}");
        assert_eq!(names(&self.victims).len(), FILES.len(), "{told}: {:?}", names(&self.victims));
    }

    fn traced(&self, arguments: &[&str], kernel: Option<&str>) -> Traced {
        let mut traced = Traced::new(program(), self.tree.join("log"));
        traced.arguments(["fix", "-j1", "--driver", "$ORIGIN/new"]).arguments(arguments);
        traced.arguments([self.tree.join("tree")]);
        if let Some(kernel) = kernel {
            traced.always(kernel);
        }
        traced
    }
}

fn may_stop_after(call: &Call, kernel: Option<&str>) -> bool {
    !(kernel.is_some() && call.name == "openat2")
}

#[test]
fn a_directory_that_becomes_a_link_leads_nowhere() {
    if !can_trace("a_directory_that_becomes_a_link_leads_nowhere") {
        return;
    }
    let all: Vec<_> = MODES
        .into_iter()
        .flat_map(|mode| KERNELS.map(|kernel| (mode, kernel)))
        .flat_map(|(mode, kernel)| [false, true].map(|whole| (mode, kernel, whole)))
        .collect();
    for_all(&all, |(mode, kernel, whole)| {
        let swapped = Swapped::new();
        let traced = swapped.traced(mode, *kernel);
        let (run, calls) = traced.calls(Path::new("tree"));
        run.assert_code(0, "undisturbed");
        assert!(calls.len() > 40, "{} calls", calls.len());
        for call in calls.iter().filter(|call| may_stop_after(call, *kernel)) {
            swapped.reset();
            let told = format!("{mode:?} {kernel:?}, {whole} after {}", call.text);
            let stopped = traced.stop_after(call);
            swapped.swap(*whole);
            let run = stopped.finish();
            run.assert_orderly(&told);
            swapped.assert_victims(&told);
            swapped.unswap(*whole);
        }
        Ok(())
    });
}

/// A copy is of the tree alone: nothing of what the link leads to is in it.
#[test]
fn a_copy_has_nothing_of_what_a_link_leads_to() {
    if !can_trace("a_copy_has_nothing_of_what_a_link_leads_to") {
        return;
    }
    let mut swapped = Swapped::new();
    let secret = swapped.victims.join(FILES[0]);
    let kept = Contents::of(&secret);
    fs::write(&secret, Spec::library(Machine::X86_64).runpath("$ORIGIN/secret").exports("secret").build()).unwrap();
    swapped.before = FILES.map(|name| Snapshot::of(&swapped.victims.join(name))).to_vec();
    let is_secret = |file: &Path| {
        let bytes = fs::read(file).unwrap_or_default();
        bytes.windows(6).any(|word| word == b"secret")
    };
    let restore = || kept.write_to(&swapped.inside.join(FILES[0]));
    let target = swapped.tree.join("copy");
    for kernel in KERNELS {
        let traced = swapped.traced(&["--output", target.to_str().unwrap()], kernel);
        swapped.reset();
        restore();
        let calls = traced.calls(Path::new("tree")).1;
        for call in calls.iter().filter(|call| may_stop_after(call, kernel)) {
            swapped.reset();
            restore();
            let stopped = traced.stop_after(call);
            swapped.swap(false);
            stopped.finish().assert_orderly(&call.text);
            swapped.assert_victims(&call.text);
            let copied = target.join("above/inside");
            assert!(copied.is_symlink() || !is_secret(&copied.join(FILES[0])), "after {}", call.text);
        }
    }
}

/// Another user may write to a directory of the tree, and so to the finished copy of it; while the copy is made no one else
/// enters it, and what stands there all the same is not what was made.
#[test]
fn what_is_put_into_a_copy_is_not_written() {
    if !can_trace("what_is_put_into_a_copy_is_not_written") {
        return;
    }
    let swapped = Swapped::new();
    let target = swapped.tree.join("copy");
    let inside = target.join("above/inside");
    let everybody = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    let closed = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o077 == 0);
    let make = || {
        swapped.reset();
        everybody(&swapped.inside);
    };
    let commands: [&[&str]; 2] = [&["fix", "--driver", "$ORIGIN/new"], &["slim", "--arch", "8.7"]];
    for command in commands {
        let mut traced = Traced::new(program(), swapped.tree.join("log"));
        traced.arguments(command).arguments(["-j1", "--output"]).arguments([&target, &swapped.tree.join("tree")]);
        make();
        let calls = traced.calls(Path::new("tree")).1;
        assert_eq!(fs::metadata(&inside).unwrap().mode() & 0o777, 0o777, "as the tree has it");
        let opens_up = calls
            .iter()
            .position(|call| call.name == "fchmod" && call.text.contains("0777)"))
            .expect("the copy is opened up");
        let written = calls.iter().rposition(|call| call.name.starts_with("pwrite") || call.name == "copy_file_range");
        assert!(written.expect("files are written") < opens_up, "{command:?}: it is opened up last");
        for (call, whole) in calls.iter().take(opens_up).flat_map(|call| [(call, false), (call, true)]) {
            let told = format!("{command:?}, {whole} after {}", call.text);
            make();
            let stopped = traced.stop_after(call);
            assert!(!inside.exists() || closed(&inside) && closed(&target), "{told}");
            if whole && inside.exists() {
                fs::rename(&inside, target.join("above/aside")).unwrap();
                fs::create_dir(&inside).unwrap();
            }
            if inside.exists() {
                for name in FILES {
                    let _ = fs::remove_file(inside.join(name));
                    fs::hard_link(swapped.victims.join(name), inside.join(name)).unwrap();
                }
            }
            stopped.finish().assert_orderly(&told);
            let _ = fs::remove_dir_all(&target);
            swapped.assert_victims(&told);
        }
    }
}
