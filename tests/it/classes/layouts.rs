//! Both kinds of file that a class is shown on: real ones from the linkers, and images of the generator. Each is run
//! before, after this program's edit in both write modes, and after another editor's.

use std::path::{Path, PathBuf};

use crate::elfgen::Spec;
use crate::elfgen::compare::differences;
use crate::elfgen::read::Image;
use crate::generated::wanted;
use crate::harness::images::{answer, dependency};
use crate::harness::targets::Target;
use crate::harness::{
    Link, MODES, NATIVE, NEW, OLD, OldPath, Run, Shape, Snapshot, Tree, binary, command, copy_program, deps, expect,
    fix, run, run_file,
};

/// An editor in the tests: the file's bytes and the wanted path make the bytes of another file.
pub(super) type Edit<'e> = &'e dyn Fn(&[u8], &str) -> Vec<u8>;

/// What this program's edit was.
pub(super) struct Kept {
    pub(super) strategy: String,
    /// One of the edited files; the other one has the same bytes.
    pub(super) file: PathBuf,
}

/// A path that starts with the new directory and is longer than what any fixture is linked with.
pub(super) fn long_path() -> String {
    format!("{}:/{}:{}", deps(NATIVE).new.display(), "x/".repeat(150), deps(NATIVE).old.display())
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
        let original = real.tree.place(real.original());
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

    pub(super) fn run(&self, file: &Path) -> Run {
        run_file(file, self.shape, self.target, self.symbol, None)
    }

    /// A copy of the original in a folder of this name.
    pub(super) fn copy(&self, folder: &str) -> PathBuf {
        self.copy_of(&self.original(), folder)
    }

    /// A copy of one of its files.
    pub(super) fn copy_of(&self, file: &Path, folder: &str) -> PathBuf {
        let to = self.tree.place(Path::new(folder).join(&self.name));
        copy_program(file, &to);
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
            let fix = || run(binary().args(["fix", "--json", "-v", "--driver"]).arg(driver).args(mode).arg(&file));
            let ended = fix();
            assert_eq!(ended.code, 0, "{told} {mode:?}: {}", ended.said());
            let entry = ended.file();
            assert_eq!(entry["outcome"], "fixed", "{told} {mode:?}: {entry}");
            let after = self.run(&file);
            assert_eq!(after.code, NEW, "{told} {mode:?}, {}: {}", entry["strategy"], after.said());
            let snapshot = Snapshot::of(&file);
            assert_eq!(fix().code, 0, "{told} {mode:?}");
            assert_eq!(Snapshot::of(&file), snapshot, "{told} {mode:?}: a second run");
            (Kept { strategy: entry["strategy"].as_str().unwrap().to_owned(), file }, snapshot.contents)
        });
        let [(kept, contents), (_, other)] = edited;
        assert_eq!(contents, other, "{told}: the two write modes differ");
        kept
    }

    /// Whether the program refuses the file in both write modes, by its name and for this reason, and leaves it alone: no such
    /// file asks for the driver, so that is a warning, and a failure only where it is wanted.
    pub(super) fn assert_refused(&self, reason: &str, told: &str) {
        for (mode, strict) in MODES.into_iter().flat_map(|mode| [(mode, &[][..]), (mode, &["--strict"])]) {
            let file = self.copy("refused");
            let before = Snapshot::of(&file);
            let ended = run(fix(self.target).args(mode).args(strict).arg(&file));
            let (code, word) = if strict.is_empty() { (0, "warning:") } else { (2, "error:") };
            assert_eq!(ended.code, code, "{told} {mode:?}: {}", ended.said());
            let line = ended.stderr.lines().find(|line| line.starts_with(word) && line.contains(&self.name));
            assert!(line.is_some_and(|line| line.contains(reason)), "{told} {mode:?}: {}", ended.said());
            assert_eq!(Snapshot::of(&file), before, "{told}");
            assert_eq!(self.run(&file).code, OLD, "{told} {mode:?}");
        }
    }

    /// Runs a copy that another editor edited.
    pub(super) fn run_after(&self, edit: impl FnOnce(&Path)) -> Run {
        let file = self.copy("other");
        edit(&file);
        self.run(&file)
    }

    /// Runs a copy that an editor in the tests gave [`long_path`].
    pub(super) fn run_after_bytes(&self, edit: Edit<'_>) -> Run {
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
        let file = tree.executable("images/image", bytes);
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
        let result = run(binary().args(["fix", "--json", "-v", "--driver", &place.new]).args(mode).arg(&place.file));
        result.assert_code(0, told);
        let entry = result.file();
        assert_eq!(entry["outcome"], "fixed", "{told} {mode:?}: {entry}");
        let after = Image::read(&place.file);
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
            expect(binary().args(["fix", "--driver", &place.new]).arg(&place.file), 0);
        }
    }
    let stripped = run(command("strip").arg(&place.file));
    if stripped.code != 0 {
        return Err(stripped.said());
    }
    answer(spec, &place.file, None, test).unwrap_or_else(|| Err("this machine cannot run it".into()))
}
