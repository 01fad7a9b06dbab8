//! One object to edit with everything that it needs to run, and what it says when it does.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::PathBuf;

use super::strace::Traced;
use crate::elfgen::{Machine, Spec, preset};
use crate::harness::images::{answer, dependency};
use crate::harness::{
    Contents, IN_PLACE, Link, NATIVE, REPLACE, Shape, Show, Tree, age, deps, is_root, long, long_ago, names, program,
    rung_of, rungs, set_mode, skip, start,
};

/// Which directory the object's dependency came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loads {
    Old,
    New,
    Not(String),
}

/// What an object is made by, and so how it is run.
#[derive(Clone)]
enum Maker {
    Generator(Box<Spec>),
    Linker(&'static str, &'static str, Shape),
}

/// An object for whose edit a strategy is the first that fits.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) strategy: &'static str,
    maker: Maker,
}

impl Case {
    /// Whether all of the edited object can be held in memory: a moved table lies behind a hole of 300 MiB.
    pub(super) fn is_small(&self) -> bool {
        self.strategy != "move-table"
    }
}

fn generated(strategy: &'static str, name: &'static str, spec: Spec) -> Case {
    Case { name, strategy, maker: Maker::Generator(Box::new(spec)) }
}

/// A preset that is named after its rung.
fn on_its_rung(name: &'static str) -> Case {
    generated(rung_of(name).unwrap_or_else(|| panic!("{name} names no rung")).name, name, preset(name))
}

/// Every strategy, with the variants that write in another order.
pub(super) fn cases() -> Vec<Case> {
    let shared = Spec::library(Machine::X86_64).runpath("$ORIGIN/old").exports("x$ORIGIN/new:$ORIGIN/old");
    let mut cases = vec![
        generated("share", "share", shared),
        on_its_rung("rung-b-overwrite-pie"),
        on_its_rung("rung-c-dead-garbage"),
        on_its_rung("rung-d-grow-own"),
        on_its_rung("rung-d-grow-patchelf"),
        on_its_rung("rung-e-slack-pie"),
        // The PT_LOAD's end is the file's.
        generated("slack", "no-headers-tight", preset("no-headers-tight")),
        generated("slack", "ldcache-note-small", preset("ldcache-note-small")),
        on_its_rung("rung-e-slack-overlay"),
        on_its_rung("rung-f-property-note"),
        on_its_rung("rung-f-phdr-of-library"),
        on_its_rung("rung-g-gap-z-pie"),
        on_its_rung("rung-g-headers-behind-table"),
        on_its_rung("rung-h-reimage-bss-tls"),
        on_its_rung("rung-h-reimage-pie"),
        on_its_rung("rung-i-make-room-interp"),
        // With the interim table.
        on_its_rung("rung-i-make-room-note"),
        // Nothing to leave out for an interim table: never in place.
        on_its_rung("rung-i-make-room-hash"),
        on_its_rung("rung-k-move-table-pie"),
    ];
    for (name, linker, source, shape) in
        [("bfd-pie", "bfd", "user_program.c", Shape::Pie), ("lld-library", "lld", "user_library.c", Shape::Library)]
    {
        cases.push(Case { name, strategy: "", maker: Maker::Linker(linker, source, shape) });
    }
    for rung in rungs(Show::Crashes) {
        assert!(cases.iter().any(|case| case.strategy == rung.name), "no case for {}", rung.name);
    }
    cases
}

/// One case for each order in which writes are made: what is tried for every pair of points is tried for these. Each is
/// written in place with a journal; not so an edit of one write, a payload, and what is never written in place.
pub(super) fn few_cases() -> Vec<Case> {
    let few = ["rung-e-slack-pie", "rung-h-reimage-bss-tls", "rung-i-make-room-note"];
    let without_journal = ["rung-b-overwrite-pie", "rung-e-slack-overlay", "rung-i-make-room-hash"];
    let is_wanted = |case: &Case| if long() { !without_journal.contains(&case.name) } else { few.contains(&case.name) };
    cases().into_iter().filter(is_wanted).collect()
}

/// An object that is too large to be read as a whole.
pub(super) fn large_case() -> Case {
    generated("reimage", "text-large", preset("text-large"))
}

/// One that is not, by far.
pub(super) fn many_pages_case() -> Case {
    generated("reimage", "data-large", preset("data-large"))
}

/// What else is true of an object's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Inode {
    Plain,
    /// Another name leads to it: written in place in both modes, and to the disk in the default one.
    Linked,
    /// It belongs to another user and has an extended attribute, both of which a copy must be given.
    Owned,
}

/// Every case in place, and some for copies, whose making does not depend on the strategy, and for the calls that only an
/// unusual inode needs.
pub(super) fn all_ways() -> Vec<(Case, Inode, &'static [&'static str])> {
    let mut inodes = vec![Inode::Plain, Inode::Linked];
    if is_root() {
        inodes.push(Inode::Owned);
    } else {
        skip("crashes", "only root can give files away");
    }
    let mut ways: Vec<_> = cases().into_iter().map(|case| (case, Inode::Plain, IN_PLACE)).collect();
    for inode in inodes {
        let cases = if long() && inode == Inode::Plain { cases() } else { few_cases() };
        ways.extend(cases.into_iter().map(|case| (case, inode, REPLACE)));
    }
    ways
}

/// A folder with one object and its two dependencies.
pub(super) struct Site {
    tree: Tree,
    pub(super) case: Case,
    inode: Inode,
    pub(super) object: PathBuf,
    original: PathBuf,
    /// The object before every edit.
    pub(super) old: Contents,
}

impl Site {
    pub(super) fn new(case: &Case) -> Self {
        Self::with(case, Inode::Plain)
    }

    pub(super) fn with(case: &Case, inode: Inode) -> Self {
        let tree = Tree::new();
        tree.folder("site");
        let original = tree.join("original");
        match &case.maker {
            Maker::Generator(spec) => {
                dependency(&tree, "site/old", 1);
                dependency(&tree, "site/new", 2);
                fs::write(&original, spec.build()).unwrap();
            }
            Maker::Linker(linker, source, shape) => Link::new(source, *shape).linker(linker).to(&original),
        }
        let (object, old) = (tree.join("site/object"), Contents::of(&original));
        let site = Self { case: case.clone(), inode, object, old, original, tree };
        site.reset();
        assert_eq!(site.loads(), Loads::Old, "{}", case.name);
        site
    }

    /// The object as it was in the beginning, and nothing else of a run before.
    pub(super) fn reset(&self) {
        for name in self.strangers() {
            fs::remove_file(self.object.with_file_name(name)).unwrap();
        }
        // A descriptor of another test's child may still be open for writing on the last one.
        let _ = fs::remove_file(&self.object);
        fs::copy(&self.original, &self.object).unwrap();
        set_mode(&self.object, 0o755);
        let second = self.tree.join("second");
        let _ = fs::remove_file(&second);
        match self.inode {
            Inode::Plain => {}
            Inode::Linked => fs::hard_link(&self.object, second).unwrap(),
            Inode::Owned => {
                chown(&self.object, Some(1234), Some(4321)).unwrap();
                rustix::fs::setxattr(&self.object, "user.test", b"kept", rustix::fs::XattrFlags::empty()).unwrap();
            }
        }
        age(&self.object);
    }

    /// A path in the folder around the object's.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.tree.join(name)
    }

    /// `fix` of the object with the new directory in front.
    pub(super) fn fix(&self, mode: &[&str]) -> Traced {
        let command = self.command_but_for_the_object(mode);
        let mut fix = Traced::new(PathBuf::from(&command[0]), self.tree.join("log"));
        fix.arguments(&command[1..]).arguments([&self.object]);
        fix
    }

    /// The same for an object in another place.
    pub(super) fn command_but_for_the_object(&self, mode: &[&str]) -> Vec<OsString> {
        let driver = match &self.case.maker {
            // Relative, so that the same bytes come out wherever the folder is.
            Maker::Generator(_) => "$ORIGIN/new".into(),
            Maker::Linker(..) => deps(NATIVE).new.clone().into_os_string(),
        };
        let mut command = vec![program().into(), "fix".into(), "-j1".into(), "--driver".into(), driver];
        command.extend(mode.iter().map(OsString::from));
        command
    }

    /// The object after the edit that nothing disturbs; the strategy is the one that the case is for.
    pub(super) fn edited(&self, mode: &[&str]) -> Contents {
        self.reset();
        let mut fix = self.fix(mode);
        let run = fix.arguments(["--json"]).run();
        run.assert_code(0, self.case.name);
        let strategy = run.file()["strategy"].as_str().unwrap().to_owned();
        assert!(self.case.strategy.is_empty() || strategy == self.case.strategy, "{}: {strategy}", self.case.name);
        assert_eq!(self.loads(), Loads::New, "{}", self.case.name);
        Contents::of(&self.object)
    }

    /// Runs the object.
    pub(super) fn loads(&self) -> Loads {
        let said = match &self.case.maker {
            Maker::Generator(spec) => answer(spec, &self.object, None, "crashes").expect("a C compiler"),
            Maker::Linker(_, _, shape) => {
                let ended = start(&self.object, *shape);
                // As the generator's objects count.
                Ok(if [11, 22].contains(&ended.code) { 40 + ended.code / 11 } else { ended.code })
            }
        };
        match said {
            Ok(41) => Loads::Old,
            Ok(42) => Loads::New,
            other => Loads::Not(format!("{other:?}")),
        }
    }

    pub(super) fn now(&self) -> Contents {
        Contents::of(&self.object)
    }

    /// Names beside the object that were not there in the beginning.
    pub(super) fn strangers(&self) -> BTreeSet<String> {
        let names = names(self.object.parent().unwrap()).into_iter().map(|name| name.into_string().unwrap());
        names.filter(|name| !["object", "old", "new"].contains(&name.as_str())).collect()
    }

    /// The object is byte for byte the old one, with its old time and mode, and alone.
    pub(super) fn assert_untouched(&self, told: &str) {
        assert_eq!(self.now(), self.old, "{told}");
        let meta = fs::metadata(&self.object).unwrap();
        assert_eq!((meta.modified().unwrap(), meta.mode() & 0o7777), (long_ago(), 0o755), "{told}");
        assert!(self.strangers().is_empty(), "{told}: {:?}", self.strangers());
    }
}
