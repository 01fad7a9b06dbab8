//! Which file of one release is which of another: names without store hashes first, then without versions, then contents.
//!
//! What may be either of two is neither, and is told as gone and new; but of two files with one name, as a closure with two
//! builds of a package has, the first is the first.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::hash::Hash;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use bstr::{BStr, ByteSlice};

use super::record::ContentDigest;
use super::snapshot::{CheckRoot, Snapshot, SnapshotFile};
use crate::nix;

/// Two files of one name, or one that only one side has; by index.
pub(super) type Pair = (Option<usize>, Option<usize>);

/// What the paths of a check are relative to.
#[derive(Debug)]
pub(super) struct Roots<'s> {
    given: HashSet<&'s Path>,
    real: HashSet<&'s Path>,
    has_several: bool,
}

/// A path as another release may have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RelativeName {
    /// `app-1.0` of a store path; empty elsewhere.
    package: Vec<u8>,
    /// What lies below it.
    inner: Vec<u8>,
}

impl<'s> Roots<'s> {
    pub(super) fn of(roots: &'s [CheckRoot]) -> Self {
        Self {
            given: roots.iter().map(|root| root.given.as_path()).collect(),
            real: roots.iter().map(|root| root.real.as_path()).collect(),
            has_several: roots.len() > 1,
        }
    }

    /// A place that answers a request, whatever its build and its version: within what was checked from there on, and
    /// elsewhere as it is.
    pub(super) fn place(&self, place: &[u8]) -> Vec<u8> {
        let mut path = PathBuf::new();
        for part in Path::new(OsStr::from_bytes(place)).components() {
            // Where a library lies has no links in it: `$ORIGIN/..` is what stands above.
            if part == Component::ParentDir {
                path.pop();
            } else {
                path.push(part);
            }
        }
        let below = path
            .ancestors()
            .find(|ancestor| self.real.contains(ancestor))
            .and_then(|root| path.strip_prefix(root).ok());
        let place = below.unwrap_or(&path).as_os_str().as_bytes();
        path_without_versions(&nix::without_hashes(place))
    }

    /// A path without what only this release has in front of it.
    pub(super) fn relative<'p>(&self, path: &'p Path) -> RelativeName {
        let bytes = path.as_os_str().as_bytes();
        // Wherever the store is: that of an unpacked image lies below it.
        let starts = bytes.find_iter(nix::STORE).filter_map(|at| at.checked_add(nix::STORE.len()));
        let components = starts.filter_map(|start| bytes.get(start..));
        let split = |rest: &'p [u8]| rest.split_once_str("/").unwrap_or((rest, b""));
        if let Some((component, inner)) = components.map(split).find(|(name, _)| nix::has_store_hash(name)) {
            let package = nix::package_name(component.as_bstr()).to_vec();
            return RelativeName { package, inner: inner.to_vec() };
        }
        let root = path.ancestors().find(|ancestor| self.given.contains(ancestor));
        let below = root.and_then(|root| path.strip_prefix(root).ok()).unwrap_or(path);
        // A file that is named by itself, or a file of one tree of several: the last part of the argument's name stays.
        let name = root.and_then(Path::file_name).filter(|_| self.has_several || below.as_os_str().is_empty());
        let inner = name.map_or_else(|| below.to_owned(), |name| Path::new(name).join(below));
        let inner = inner.as_os_str().as_bytes();
        RelativeName { package: Vec::new(), inner: inner.trim_with(|c| c == '/').to_vec() }
    }
}

impl RelativeName {
    /// Without the package's version: `app/bin/app`.
    fn of_any_version(&self) -> Self {
        let tokens = self.package.split(|byte| *byte == b'-').filter(|token| !is_version(token));
        Self { package: bstr::join("-", tokens), inner: self.inner.clone() }
    }

    /// Without any version: of packages and of distributions, of Python, of CUDA, behind `.so`; and without the hash that
    /// a repair of wheels puts into a name.
    pub(super) fn without_versions(&self) -> Self {
        Self { package: without_versions(self.package.as_bstr()), inner: path_without_versions(&self.inner) }
    }

    /// The last part of it without versions, where it is the name of a library.
    fn library(&self) -> Option<Vec<u8>> {
        let name = self.inner.rsplit(|byte| *byte == b'/').next()?;
        name.contains_str(".so").then(|| without_versions(name.as_bstr()))
    }
}

/// Each part of a path without versions.
pub(super) fn path_without_versions(path: &[u8]) -> Vec<u8> {
    bstr::join("/", path.split(|byte| *byte == b'/').map(|name| without_versions(name.as_bstr())))
}

fn is_version(token: &[u8]) -> bool {
    token.first().is_some_and(u8::is_ascii_digit)
}

/// `libcudart-9335f6a2.so.12.4.127` (auditwheel): eight digits that a build changes.
fn is_repair_hash(token: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    token.len() == 8 && token.iter().all(is_digit) && token.iter().any(u8::is_ascii_digit)
}

/// `python3.11-torch-2.5.0` becomes `python-torch`, `libcublas.so.12` `libcublas.so`; `sm_80` and `x86_64` stay.
fn without_versions(name: &BStr) -> Vec<u8> {
    let (stem, ending) = match name.find(".so") {
        Some(at) if matches!(name.get(at.saturating_add(3)), None | Some(b'.')) => {
            (name.get(..at).unwrap_or_default(), &b".so"[..])
        }
        _ => (name.as_bytes(), &b""[..]),
    };
    let kept = stem.split(|byte| *byte == b'-').filter(|token| !is_version(token) && !is_repair_hash(token));
    let kept = kept.map(|token| {
        let bare = token.trim_end_with(|c| c.is_ascii_digit() || c == '.');
        // A number behind `_` or by itself is no version.
        if bare.is_empty() || bare.ends_with(b"_") { token } else { bare }
    });
    let mut out = bstr::join("-", kept);
    out.extend_from_slice(ending);
    out
}

/// Puts together what has one key on both sides: in order, or where there is one on each side only.
pub(super) fn pair_by<K: Eq + Hash>(
    (old, new): (&mut Vec<usize>, &mut Vec<usize>),
    is_unique: bool,
    key_of_old: impl Fn(usize) -> Option<K>,
    key_of_new: impl Fn(usize) -> Option<K>,
    pairs: &mut Vec<Pair>,
) {
    let mut by_key: HashMap<K, (Vec<usize>, Vec<usize>)> = HashMap::new();
    for index in old.iter().copied() {
        if let Some(key) = key_of_old(index) {
            by_key.entry(key).or_default().0.push(index);
        }
    }
    for index in new.iter().copied() {
        if let Some(key) = key_of_new(index) {
            by_key.entry(key).or_default().1.push(index);
        }
    }
    let (mut of_old, mut of_new) = (HashSet::new(), HashSet::new());
    for (left, right) in by_key.into_values() {
        if is_unique && (left.len() != 1 || right.len() != 1) {
            continue;
        }
        for (left, right) in left.into_iter().zip(right) {
            pairs.push((Some(left), Some(right)));
            of_old.insert(left);
            of_new.insert(right);
        }
    }
    old.retain(|index| !of_old.contains(index));
    new.retain(|index| !of_new.contains(index));
}

/// By what files of two releases may be one: a package and a name, or whatever else tells files apart.
type FileKey = Option<(Vec<u8>, Vec<u8>)>;

/// The files of two releases, those of the new one in their order, then those that are gone.
pub(super) fn pairs(old: &Snapshot, new: &Snapshot) -> Vec<Pair> {
    let names = |snapshot: &Snapshot| -> Vec<RelativeName> {
        let roots = Roots::of(&snapshot.setting.roots);
        snapshot.files.iter().map(|file| roots.relative(&file.path)).collect()
    };
    let (of_old, of_new) = (names(old), names(new));
    let mut left: (Vec<usize>, Vec<usize>) = ((0..old.files.len()).collect(), (0..new.files.len()).collect());
    let mut pairs = Vec::new();
    let mut pass = |is_unique, key: &dyn Fn(&RelativeName, &SnapshotFile) -> FileKey| {
        // What is for another machine is another file, whatever it is called.
        let key = |names: &[RelativeName], snapshot: &Snapshot, index: usize| {
            let file = snapshot.files.get(index)?;
            Some((file.kind.clone(), key(names.get(index)?, file)?))
        };
        let (old_key, new_key) = (|index| key(&of_old, old, index), |index| key(&of_new, new, index));
        pair_by((&mut left.0, &mut left.1), is_unique, old_key, new_key, &mut pairs);
    };
    let whole = |name: RelativeName| Some((name.package, name.inner));
    let digest = |file: &SnapshotFile| file.record.map(|record| record.contents);
    let same = |contents: Option<ContentDigest>| contents.map(|contents| contents.0.to_vec()).unwrap_or_default();
    // Of several with one name those with the same contents belong together.
    pass(false, &|name, file| Some(([name.package.as_slice(), b"/", &name.inner].concat(), same(digest(file)))));
    pass(false, &|name, _| whole(name.clone()));
    pass(true, &|name, _| whole(name.of_any_version()));
    pass(true, &|name, _| whole(name.without_versions()));
    // A closure and a tree; a file in another place.
    pass(true, &|name, _| Some((Vec::new(), name.inner.clone())));
    pass(true, &|_, file| Some((Vec::new(), digest(file)?.0.to_vec())));
    pass(true, &|name, _| Some((Vec::new(), name.library()?)));
    pairs.extend(left.0.into_iter().map(|index| (Some(index), None)));
    pairs.extend(left.1.into_iter().map(|index| (None, Some(index))));
    pairs.sort_by_key(|(old, new)| (new.is_none(), *new, *old));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_leave_names() {
        for (name, bare) in [
            ("python3.11-torch-2.5.0", "python-torch"),
            ("cuda12.8-cuda_cudart-12.8.90-stubs", "cuda-cuda_cudart-stubs"),
            ("torch-2.4.0-cp311-cp311-linux_x86_64.whl", "torch-cp-cp-linux_x86_64.whl"),
            ("nvidia_cublas_cu12", "nvidia_cublas_cu"),
            ("libcublas.so.12.4.5", "libcublas.so"),
            ("libcudart-9335f6a2.so.12.4.127", "libcudart.so"),
            ("libcudart-d335f6a2.so.12", "libcudart.so"),
            ("libdeadbeef.so", "libdeadbeef.so"),
            ("_C.cpython-311-x86_64-linux-gnu.so", "_C.cpython-x86_64-linux-gnu.so"),
            ("libfoo.solid", "libfoo.solid"),
            ("sm_80", "sm_80"),
            ("kernel_sm80.cubin", "kernel_sm80.cubin"),
            ("12.4", ""),
        ] {
            assert_eq!(without_versions(name.into()).as_bstr(), bare, "{name}");
        }
    }

    #[test]
    fn names_are_relative_to_what_was_checked() {
        let relative = |roots: &[&str], path: &str| {
            let root = |root: &&str| CheckRoot { given: root.into(), real: Path::new("/real").join(root) };
            let roots: Vec<CheckRoot> = roots.iter().map(root).collect();
            let name = Roots::of(&roots).relative(path.as_ref());
            (name.package.to_str().unwrap().to_owned(), name.inner.to_str().unwrap().to_owned())
        };
        let name = |package: &str, inner: &str| (package.to_owned(), inner.to_owned());
        let hash = "0".repeat(32);
        assert_eq!(relative(&["result"], "result/lib/x.so"), name("", "lib/x.so"));
        assert_eq!(relative(&["result/"], "result/lib/x.so"), name("", "lib/x.so"));
        assert_eq!(relative(&["/"], "/usr/lib/x.so"), name("", "usr/lib/x.so"));
        assert_eq!(relative(&[], "/usr/lib/x.so"), name("", "usr/lib/x.so"));
        assert_eq!(relative(&["a/bin", "a/lib"], "a/lib/x.so"), name("", "lib/x.so"));
        assert_eq!(relative(&["a/x.so"], "a/x.so"), name("", "x.so"));
        assert_eq!(relative(&["."], "./lib/x.so"), name("", "lib/x.so"));
        let store = format!("/nix/store/{hash}-app-1.0");
        assert_eq!(relative(&[&store], &format!("{store}/bin/app")), name("app-1.0", "bin/app"));
        assert_eq!(relative(&["/i"], &format!("/i{store}/bin/app")), name("app-1.0", "bin/app"));
        assert_eq!(relative(&["/store"], "/store/lib/app"), name("", "lib/app"));
    }

    #[test]
    fn places_are_those_of_a_release_or_of_the_machine() {
        let roots = [CheckRoot { given: "new".into(), real: "/home/new".into() }];
        let place = |place: &str| String::from_utf8(Roots::of(&roots).place(place.as_bytes())).unwrap();
        assert_eq!(place("/home/new/lib/../driver/libcuda.so.1"), "driver/libcuda.so");
        assert_eq!(place("/home/newer/libcuda.so.1"), "/home/newer/libcuda.so");
        let hash = "0".repeat(32);
        assert_eq!(place(&format!("/nix/store/{hash}-cuda_compat-12.8/compat")), "/nix/store/cuda_compat/compat");
    }
}
