//! Nix store paths as text: `<prefix>/store/<hash>-<name>/…`, wherever the store is.
//!
//! Pure: whether a path is in the store of this machine, and may be written, is asked of the file system elsewhere.

use bstr::{BStr, ByteSlice};

/// The directory that store paths lie in, as it stands in a path.
pub(crate) const STORE: &str = "/store/";

/// Length of a store path's hash (Nix's base 32 of 160 bits).
const HASH: usize = 32;

/// Whether a path lies in a store, by its name alone.
#[must_use]
pub(crate) fn is_in_store(path: &[u8]) -> bool {
    path.contains_str(STORE)
}

/// The store path that a path lies in, without what is below it.
#[must_use]
pub(crate) fn store_path(path: &BStr) -> Option<&BStr> {
    let at = path.find(STORE)?;
    let start = at.checked_add(STORE.len())?;
    let rest = path.get(start..)?;
    let end = rest.find_byte(b'/').unwrap_or(rest.len());
    let path = path.get(..start.checked_add(end)?)?;
    (end > 0).then(|| path.as_bstr())
}

/// `<hash>-<name>` of a store path.
#[must_use]
pub(crate) fn base_name(store_path: &BStr) -> &BStr {
    store_path.rsplit_once_str("/").map_or(store_path, |(_, name)| name.as_bstr())
}

/// The name of a store path, without its hash.
#[must_use]
pub(crate) fn package_name(store_path: &BStr) -> &BStr {
    let base = base_name(store_path);
    base.split_once_str("-").map_or(base, |(_, name)| name.as_bstr())
}

/// The component below a directory called `store` (`/nix/store/<hash>-<name>`, also in a private store).
#[must_use]
pub(crate) fn store_component(entry: &BStr) -> Option<&[u8]> {
    let mut rest = entry.split(|byte| *byte == b'/').filter(|component| !component.is_empty());
    if !entry.starts_with(b"/") {
        return None;
    }
    rest.find(|component| *component == b"store")?;
    rest.next()
}

/// `<hash>-<name>`, with the 32 letters of Nix's base 32.
#[must_use]
pub(crate) fn has_store_hash(name: &[u8]) -> bool {
    let hash = name.split_once_str("-").map(|(hash, _)| hash);
    hash.is_some_and(|hash| {
        hash.len() == HASH && hash.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

/// `/store/<hash>-name` becomes `/store/name`.
#[must_use]
pub(crate) fn without_hashes(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once_str(STORE) {
        out.extend_from_slice(before);
        out.extend_from_slice(STORE.as_bytes());
        let hash = after.get(..HASH).filter(|hash| hash.iter().all(u8::is_ascii_alphanumeric));
        rest = match hash.and_then(|_| after.get(HASH..)?.strip_prefix(b"-")) {
            Some(name) => name,
            None => after,
        };
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_paths_are_found_in_paths() {
        let path = store_path("/image/nix/store/abc-cuda12.8-x/lib/libx.so".into()).unwrap();
        assert_eq!(path, "/image/nix/store/abc-cuda12.8-x");
        assert_eq!((base_name(path), package_name(path)), ("abc-cuda12.8-x".into(), "cuda12.8-x".into()));
        assert_eq!(store_path("/nix/store".into()), None);
        assert_eq!(store_path("/nix/store/".into()), None);
        assert_eq!(store_path("/usr/lib".into()), None);
    }
}
