//! Store paths in paths: `<prefix>/store/<hash>-<name>/…`.

use bstr::{BStr, ByteSlice};

/// The store path that a path lies in, without what is below it.
pub(super) fn store_path(path: &BStr) -> Option<&BStr> {
    let at = path.find("/store/")?;
    let start = at.checked_add(7)?;
    let rest = path.get(start..)?;
    let end = rest.find_byte(b'/').unwrap_or(rest.len());
    let path = path.get(..start.checked_add(end)?)?;
    (end > 0).then(|| path.as_bstr())
}

/// `<hash>-<name>` of a store path.
pub(super) fn base_name(store_path: &BStr) -> &BStr {
    store_path.rsplit_once_str("/").map_or(store_path, |(_, name)| name.as_bstr())
}

/// The name of a store path, without its hash.
pub(super) fn package_name(store_path: &BStr) -> &BStr {
    let base = base_name(store_path);
    base.split_once_str("-").map_or(base, |(_, name)| name.as_bstr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_paths_are_found_in_paths() {
        let path = store_path("/root/nix/store/abc-cuda12.8-x/lib/libx.so".into()).unwrap();
        assert_eq!(path, "/root/nix/store/abc-cuda12.8-x");
        assert_eq!((base_name(path), package_name(path)), ("abc-cuda12.8-x".into(), "cuda12.8-x".into()));
        assert_eq!(store_path("/nix/store".into()), None);
        assert_eq!(store_path("/nix/store/".into()), None);
        assert_eq!(store_path("/usr/lib".into()), None);
    }
}
