//! What ldconfig makes of directories: links with the SONAMEs of libraries, and the entries of a cache
//! (`glibc elf/ldconfig.c`, `search_dir`; `elf/cache.c`).

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use bstr::{BStr, BString, ByteSlice};

use super::conf::ConfDirectory;
use super::files::{ContainerFiles, LeftByHook, StandsAt, join};

/// Names of all directories together that are looked at.
const MOST_NAMES: usize = 1 << 20;
/// Folders of `glibc-hwcaps` in one directory; glibc knows six.
const MOST_FOLDERS: usize = 64;
const HWCAPS: &str = "glibc-hwcaps";

/// A name in a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CachedName {
    /// What is asked for.
    pub(crate) name: BString,
    /// Where it is.
    pub(crate) path: BString,
    /// The kind of object.
    pub(crate) flags: u32,
    /// The folder of `glibc-hwcaps` that it lies in.
    pub(crate) hwcaps: Option<BString>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct LdconfigRun {
    /// In the order of a cache.
    pub(super) entries: Vec<CachedName>,
    /// The directories that were gone through, each once, in order.
    pub(super) searched: Vec<ConfDirectory>,
    /// Not everything was looked at.
    pub(super) is_cut: bool,
}

/// Goes through directories as ldconfig does, and makes its links.
pub(super) fn run(files: &mut dyn ContainerFiles, directories: Vec<ConfDirectory>) -> LdconfigRun {
    let mut run = LdconfigRun::default();
    let mut known = HashSet::new();
    let mut names_left = MOST_NAMES;
    for directory in directories {
        let Some(real) = files.resolve(directory.path.as_bstr()) else { continue };
        if files.standing(real.as_bstr()) != Some(StandsAt::Directory) {
            continue;
        }
        // One that comes again under another name was gone through already.
        if !files.identity(real.as_bstr()).is_none_or(|identity| known.insert(identity)) {
            continue;
        }
        let folders = join(real.as_bstr(), HWCAPS.into());
        let mut places = vec![(directory.path.clone(), real, None)];
        for name in files.names(folders.as_bstr()).unwrap_or_default().into_iter().take(MOST_FOLDERS) {
            let below = join(folders.as_bstr(), name.as_bstr());
            if files.standing(below.as_bstr()) == Some(StandsAt::Directory) {
                let written = join(directory.path.as_bstr(), join(HWCAPS.into(), name.as_bstr()).as_bstr());
                places.push((without_double_slash(written), below, Some(name)));
            }
        }
        run.searched.push(directory);
        for (written, real, hwcaps) in places {
            let names = files.names(real.as_bstr()).unwrap_or_default();
            names_left = names_left.saturating_sub(names.len());
            if names_left == 0 {
                run.is_cut = true;
                return sorted(run);
            }
            let found = scan(files, real.as_bstr(), names);
            link(files, real.as_bstr(), &found, hwcaps.is_some());
            for (soname, library) in found {
                // In such a folder the file itself is noted, not the link.
                let file = if hwcaps.is_some() { &library.file } else { &soname };
                let path = join(written.as_bstr(), file.as_bstr());
                run.entries.push(CachedName { name: soname, path, flags: library.flags, hwcaps: hwcaps.clone() });
            }
        }
    }
    sorted(run)
}

/// `join` of a relative path.
fn without_double_slash(path: BString) -> BString {
    path.replace("//", "/").into()
}

/// `glibc elf/cache.c`, `compare`: entries of one name stay in the order of the directories.
fn sorted(mut run: LdconfigRun) -> LdconfigRun {
    run.entries.sort_by(|a, b| {
        let by_hwcaps = match (&a.hwcaps, &b.hwcaps) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        compare(&b.name, &a.name).then(b.flags.cmp(&a.flags)).then(by_hwcaps)
    });
    run
}

/// The best file of a SONAME in one directory.
struct BestFile {
    file: BString,
    is_link: bool,
    flags: u32,
}

fn scan(files: &dyn ContainerFiles, directory: &BStr, names: Vec<BString>) -> BTreeMap<BString, BestFile> {
    let mut best: BTreeMap<BString, BestFile> = BTreeMap::new();
    for name in names.into_iter().filter(|name| may_be_library(name)) {
        let path = join(directory, name.as_bstr());
        let (real, mut is_link) = match files.standing(path.as_bstr()) {
            Some(StandsAt::File) => (path, false),
            Some(StandsAt::Link(_)) => match files.resolve(path.as_bstr()) {
                Some(real) => (real, true),
                None => continue,
            },
            _ => continue,
        };
        let Some(library) = files.library(real.as_bstr()) else { continue };
        let mut soname = library.soname.filter(|soname| !soname.is_empty()).unwrap_or_else(|| name.clone());
        if is_link {
            // A link that is neither called as its library's SONAME nor the name that a linker asks for is taken for a
            // library of its own.
            let is_for_linker = name.ends_with(b".so") && soname.starts_with(&name);
            is_link = name == soname || is_for_linker;
            if is_link {
                soname.clone_from(&name);
            }
        }
        let candidate = BestFile { file: name, is_link, flags: library.flags };
        match best.get_mut(&soname) {
            None => {
                best.insert(soname, candidate);
            }
            Some(known) => {
                let is_better = (!candidate.is_link && known.is_link)
                    || (candidate.is_link == known.is_link && compare(&known.file, &candidate.file) == Ordering::Less);
                if is_better {
                    *known = candidate;
                }
            }
        }
    }
    best
}

/// `glibc elf/ldconfig.c`, `create_links`: what has the name and is no link stays.
fn link(files: &mut dyn ContainerFiles, directory: &BStr, found: &BTreeMap<BString, BestFile>, is_folder: bool) {
    for (soname, library) in found.iter().filter(|(_, library)| !library.is_link) {
        if is_folder || *soname == library.file || soname.contains(&b'/') {
            continue;
        }
        let path = join(directory, soname.as_bstr());
        let own = join(directory, library.file.as_bstr());
        match files.standing(path.as_bstr()) {
            None => {}
            Some(StandsAt::Link(_)) if files.resolve(path.as_bstr()) != files.resolve(own.as_bstr()) => {}
            Some(_) => continue,
        }
        files.make(path.as_bstr(), LeftByHook::Link(library.file.clone()));
    }
}

/// Whether a file is called as a library, or as a loader. What dpkg and a package manager leave for a moment is not since
/// glibc 2.39.
fn may_be_library(name: &[u8]) -> bool {
    let is_called_so = (name.starts_with(b"lib") || name.starts_with(b"ld-")) && name.contains_str(".so");
    let is_temporary = name.contains(&b';') || name.ends_with(b".dpkg-new") || name.ends_with(b".dpkg-tmp");
    is_called_so && !is_temporary
}

/// How names are compared: numbers in them as numbers (`glibc elf/dl-cache.c`, `_dl_cache_libcmp`).
pub(crate) fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(one), None) => return if one.is_ascii_digit() { Ordering::Greater } else { one.cmp(&0) },
            (Some(one), Some(other)) => match (one.is_ascii_digit(), other.is_ascii_digit()) {
                (true, true) => {
                    let (number, rest) = number(a);
                    let (other, other_rest) = self::number(b);
                    match number.len().cmp(&other.len()).then(number.cmp(other)) {
                        Ordering::Equal => (a, b) = (rest, other_rest),
                        different => return different,
                    }
                }
                (true, false) => return Ordering::Greater,
                (false, true) => return Ordering::Less,
                (false, false) if one != other => return one.cmp(other),
                (false, false) => (a, b) = (a.get(1..).unwrap_or_default(), b.get(1..).unwrap_or_default()),
            },
        }
    }
}

/// The digits that a text begins with, without zeros in front, and the rest.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end).unwrap_or((text, b""));
    let start = digits.iter().position(|byte| *byte != b'0').unwrap_or(digits.len());
    (digits.get(start..).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        for (less, more) in [
            ("libcuda.so.535.288.01", "libcuda.so.550.163.01"),
            ("libcuda.so.9", "libcuda.so.10"),
            ("libcuda.so.1", "libcuda.so.1.1"),
            // The name that stands for a version that is not known.
            ("libcuda.so.VERSION", "libcuda.so.1"),
            ("libcuda.so", "libcuda.so.1"),
            ("liba.so.1", "libb.so.1"),
        ] {
            assert_eq!(compare(less.as_bytes(), more.as_bytes()), Ordering::Less, "{less} {more}");
            assert_eq!(compare(more.as_bytes(), less.as_bytes()), Ordering::Greater, "{less} {more}");
        }
        assert_eq!(compare(b"libx.so.010", b"libx.so.10"), Ordering::Equal);
    }

    #[test]
    fn only_what_is_called_a_library_is_one() {
        assert!(may_be_library(b"libcuda.so.1") && may_be_library(b"ld-linux-x86-64.so.2"));
        for other in ["cuda.so", "libcuda.a", "libcuda.so.1;6543", "libcuda.so.1.dpkg-new", "lib"] {
            assert!(!may_be_library(other.as_bytes()), "{other}");
        }
    }
}
