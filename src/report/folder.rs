//! Paths of one tree without what all of them start with.

use std::path::{Path, PathBuf};

/// The folder that all files are in; an empty path where there is none.
pub(super) fn common_folder<'p>(mut paths: impl Iterator<Item = &'p Path>) -> PathBuf {
    let first = paths.next().and_then(Path::parent).unwrap_or(Path::new(""));
    paths
        .fold(first, |common, path| common.ancestors().find(|folder| path.starts_with(folder)).unwrap_or(Path::new("")))
        .to_owned()
}

/// A path below a folder; as it is where it is not.
pub(super) fn below<'p>(path: &'p Path, folder: &Path) -> &'p Path {
    path.strip_prefix(folder).ok().filter(|below| !below.as_os_str().is_empty()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_paths_start_with() {
        let common = |paths: &[&'static str]| common_folder(paths.iter().map(Path::new));
        assert_eq!(common(&[]), Path::new(""));
        assert_eq!(common(&["/a/b/c.so"]), Path::new("/a/b"));
        assert_eq!(common(&["/a/b/c/d.so", "/a/b/e.so", "/a/bc/f.so"]), Path::new("/a"));
        assert_eq!(common(&["a/x", "b/y"]), Path::new(""));
        assert_eq!(below(Path::new("/a/b/c"), Path::new("/a")), Path::new("b/c"));
        assert_eq!(below(Path::new("/a"), Path::new("/a")), Path::new("/a"));
    }
}
