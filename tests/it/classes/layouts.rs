//! Both kinds of file that a class is shown on: real ones from the linkers, and images of the generator. Each is run
//! before, after this program's edit in both write modes, and after somebody else's.

use std::path::{Path, PathBuf};

use crate::elfgen::Spec;
use crate::elfgen::compare::differences;
use crate::elfgen::read::Image;
use crate::elfgen::selftest::{answer, dependency, program};
use crate::fixtures::{Ended, LINKERS, Link, NEW, OLD, OldPath, Shape, clean, deps, fix, json, run, run_file};
use crate::generated::wanted;
use crate::support::{Snapshot, Tree, binary, require};
use crate::targets::Target;

/// An editor in the tests: the file's bytes and the wanted path make the bytes of another file.
pub(super) type Edit<'e> = &'e dyn Fn(&[u8], &str) -> Vec<u8>;

/// The two write modes.
const MODES: [&[&str]; 2] = [&[], &["--in-place"]];

/// What this program's edit was.
pub(super) struct Kept {
    pub(super) strategy: String,
    /// One of the edited files; the other one has the same bytes.
    pub(super) file: PathBuf,
}

/// A path that starts with the new directory and is longer than what any fixture is linked with.
pub(super) fn long_path() -> String {
    format!("{}:/{}:{}", deps(0).new.display(), "x/".repeat(150), deps(0).old.display())
}

/// The linkers that are here, by the names that `-fuse-ld=` knows.
pub(super) fn linkers(test: &str) -> Vec<&'static str> {
    LINKERS.into_iter().filter(|(_, program)| require(program, test)).map(|(linker, _)| linker).collect()
}

/// A linked file in a folder of its own. It finds the old dependency.
pub(super) struct Real {
    tree: Tree,
    name: String,
    shape: Shape,
    target: Target,
    symbol: &'static str,
}

impl Real {
    pub(super) fn new(link: &Link<'_>) -> Self {
        Self::treated(link, |_| {})
    }

    /// With something done to the file before it counts as the original.
    pub(super) fn treated(link: &Link<'_>, treat: impl FnOnce(&Path)) -> Self {
        Self::of(link, "user_number", treat)
    }

    /// With another function for the host program to call.
    pub(super) fn of(link: &Link<'_>, symbol: &'static str, treat: impl FnOnce(&Path)) -> Self {
        let name = if link.shape == Shape::Library { "libuser.so" } else { "program" };
        let real = Self { tree: Tree::new(), name: name.into(), shape: link.shape, target: link.target, symbol };
        let original = real.original();
        std::fs::create_dir_all(original.parent().unwrap()).unwrap();
        link.to(&original);
        treat(&original);
        // A file without a path is helped.
        let help = (link.path == OldPath::None).then_some(&*deps(link.target).old);
        let ended = run_file(&original, link.shape, link.target, symbol, help);
        assert_eq!(ended.code, OLD, "{} {} before any edit: {}", link.linker, link.source, ended.said());
        real
    }

    pub(super) fn original(&self) -> PathBuf {
        self.tree.join("original").join(&self.name)
    }

    pub(super) fn run(&self, file: &Path) -> Ended {
        run_file(file, self.shape, self.target, self.symbol, None)
    }

    /// A copy of the original in a folder of this name.
    pub(super) fn copy(&self, folder: &str) -> PathBuf {
        let to = self.tree.join(folder).join(&self.name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        // By another process: a descriptor that this one writes with may be in a child of another test for a moment,
        // and a file that is open for writing cannot be executed. It also keeps holes.
        let ended = run(clean("cp").arg("--remove-destination").arg(self.original()).arg(&to));
        assert_eq!(ended.code, 0, "{}", ended.said());
        to
    }

    /// Edits a copy in each write mode: it finds the new dependency, and a second run writes nothing.
    pub(super) fn assert_kept(&self, told: &str) -> Kept {
        self.assert_kept_with(&deps(self.target).new, told)
    }

    /// The same with another directory that holds the new dependency.
    pub(super) fn assert_kept_with(&self, driver: &Path, told: &str) -> Kept {
        let edited = MODES.map(|mode| {
            let file = self.copy(&format!("fix{}", mode.concat()));
            let command = || {
                let mut command = binary();
                command.args(["fix", "--json", "-v", "--driver"]).arg(driver).args(mode).arg(&file);
                command
            };
            let ended = run(&mut command());
            assert_eq!(ended.code, 0, "{told} {mode:?}: {}", ended.said());
            let entry = json(&ended)["files"][0].clone();
            assert_eq!(entry["outcome"], "fixed", "{told} {mode:?}: {entry}");
            let after = self.run(&file);
            assert_eq!(after.code, NEW, "{told} {mode:?}, {}: {}", entry["strategy"], after.said());
            let snapshot = Snapshot::of(&file);
            assert_eq!(run(&mut command()).code, 0, "{told} {mode:?}");
            snapshot.assert_same(&Snapshot::of(&file), &format!("{told} {mode:?}: a second run"));
            (Kept { strategy: entry["strategy"].as_str().unwrap().to_owned(), file }, snapshot.bytes)
        });
        let [(kept, bytes), (_, other)] = edited;
        assert!(bytes == other, "{told}: the two write modes differ");
        kept
    }

    /// Whether the program refuses the file in both write modes, by its name and for this reason, and leaves it alone.
    pub(super) fn assert_refused(&self, reason: &str, told: &str) {
        for mode in MODES {
            let file = self.copy("refused");
            let before = Snapshot::of(&file);
            let ended = run(fix(self.target).args(mode).arg(&file));
            assert_eq!(ended.code, 2, "{told} {mode:?}: {}", ended.said());
            let names = ended.err().contains(&self.name) && ended.err().contains(reason);
            assert!(names, "{told} {mode:?}: {}", ended.said());
            before.assert_same(&Snapshot::of(&file), told);
            assert_eq!(self.run(&file).code, OLD, "{told} {mode:?}");
        }
    }

    /// Runs a copy that somebody else edited.
    pub(super) fn run_after(&self, edit: impl FnOnce(&Path)) -> Ended {
        let file = self.copy("other");
        edit(&file);
        self.run(&file)
    }

    /// Runs a copy that an editor in the tests gave [`long_path`].
    pub(super) fn run_after_bytes(&self, edit: Edit<'_>) -> Ended {
        self.run_after(|file| {
            let bytes = std::fs::read(file).unwrap();
            // In place, so that the mode stays.
            std::fs::write(file, edit(&bytes, &long_path())).unwrap();
        })
    }
}

/// A generated image beside its two dependencies.
struct Generated {
    tree: Tree,
    file: PathBuf,
    new: String,
}

impl Generated {
    fn new(bytes: &[u8]) -> Self {
        let tree = Tree::new();
        dependency(&tree, "images/old", 1);
        let new = dependency(&tree, "new", 2).to_str().unwrap().to_owned();
        let file = program(&tree, "images/image", bytes);
        Self { tree, file, new }
    }
}

/// Edits the image in each write mode: nothing but the path differs, and where this machine can run it, it finds the
/// new dependency. The strategy.
pub(super) fn assert_image_kept(spec: &Spec, told: &str, test: &str) -> String {
    let edited = MODES.map(|mode| {
        let place = Generated::new(&spec.build());
        if spec.runs_here() {
            let old = place.tree.join("images/old");
            // A path without the old folder needs help.
            if let Some(before) = answer(spec, &place.file, Some(&old), test) {
                assert_eq!(before, Ok(41), "{told}: before any edit");
            }
        }
        let mut arguments = vec!["fix", "--json", "-v", "--driver", &place.new, place.file.to_str().unwrap()];
        arguments.extend(mode);
        let result = crate::support::run(arguments);
        result.assert_code(0, told);
        let entry = result.json()["files"][0].clone();
        assert_eq!(entry["outcome"], "fixed", "{told} {mode:?}: {entry}");
        let bytes = Snapshot::of(&place.file).bytes;
        let after = Image::parse(&bytes).unwrap_or_else(|| panic!("{told} {mode:?}: cannot be read any more"));
        let before = Image::parse(&spec.build()).unwrap();
        let found = differences(&before, &after, &wanted(spec, &place.new), &spec.overlay);
        assert!(found.is_empty(), "{told} {mode:?}, {}: {found:#?}", entry["strategy"]);
        if spec.runs_here()
            && let Some(after) = answer(spec, &place.file, None, test)
        {
            assert_eq!(after, Ok(42), "{told} {mode:?}, {}", entry["strategy"]);
        }
        entry["strategy"].as_str().unwrap().to_owned()
    });
    assert_eq!(edited[0], edited[1], "{told}: the two write modes differ");
    edited[0].clone()
}

/// Edits the image with an editor in the tests and loads or runs it: 42 where it finds the new dependency. `None` where
/// this machine cannot.
pub(super) fn answer_after(spec: &Spec, edit: Edit<'_>, test: &str) -> Option<Result<i32, String>> {
    if !spec.runs_here() {
        return None;
    }
    let place = Generated::new(&spec.build());
    std::fs::write(&place.file, edit(&spec.build(), &place.new)).unwrap();
    answer(spec, &place.file, None, test)
}

/// What an editor in the tests breaks, as the tests' own comparison tells it.
pub(super) fn damage_after(spec: &Spec, edit: Edit<'_>) -> Vec<String> {
    let path = "/new/path";
    let bytes = spec.build();
    let before = Image::parse(&bytes).unwrap();
    match Image::parse(&edit(&bytes, path)) {
        Some(after) => differences(&before, &after, path.as_bytes(), &spec.overlay),
        None => vec!["cannot be read any more".into()],
    }
}

/// What the image answers when it is edited, by an editor in the tests or by this program, and then stripped.
pub(super) fn strip_and_answer(spec: &Spec, edit: Option<Edit<'_>>, test: &str) -> Result<i32, String> {
    let place = Generated::new(&spec.build());
    match edit {
        Some(edit) => std::fs::write(&place.file, edit(&spec.build(), &place.new)).unwrap(),
        None => {
            let file = place.file.to_str().unwrap();
            crate::support::run(["fix", "--driver", &place.new, file]).assert_code(0, test);
        }
    }
    let stripped = run(clean("strip").arg(&place.file));
    if stripped.code != 0 {
        return Err(stripped.said());
    }
    answer(spec, &place.file, None, test).unwrap_or_else(|| Err("this machine cannot run it".into()))
}
