//! Applying a layer: what its entries add to the tree of the layers below, and what they hide of it (image-spec 1.1,
//! layer.md; where that is silent, what Docker, containerd, containers/storage and umoci agree in).

use std::collections::{BTreeMap, HashSet};

use bstr::{BStr, BString, ByteSlice};

use super::error::ImageError;
use super::overlay::{LayerRange, LeadsNowhere, NodeId, NodeKind, Overlay};
use super::tar_entries::{TarEntry, TarKind};

/// What a whiteout's name starts with.
const WHITEOUT: &[u8] = b".wh.";
/// Hides everything that lower layers have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names that start like this are aufs' own.
const OF_AUFS: &[u8] = b".wh..wh.";

/// Bytes of a path and of a name that a system takes (`Linux include/uapi/linux/limits.h`).
const LONGEST_PATH: usize = 4096;
const LONGEST_NAME: usize = 255;
/// Nodes of a tree: a directory that no entry tells of is one too.
const MOST_NODES: usize = 32 << 20;

/// Adds a layer's entries, which come in the archive's order.
///
/// # Errors
/// [`ImageError::Entry`] for one that no tool would unpack.
pub(super) fn apply(tree: &mut Overlay, layer: u32, entries: &[TarEntry]) -> Result<(), ImageError> {
    let mut emptied = HashSet::new();
    for entry in entries {
        let refuse =
            |why: &'static str| ImageError::Entry { layer: layer.saturating_add(1), entry: entry.name.clone(), why };
        add(tree, layer, entry, &mut emptied).map_err(refuse)?;
        if tree.len() > MOST_NODES {
            return Err(ImageError::TooMany { what: "files and directories", limit: 32 << 20 });
        }
    }
    Ok(())
}

fn why(error: LeadsNowhere) -> &'static str {
    match error {
        LeadsNowhere::Missing => "the way to it leads nowhere",
        LeadsNowhere::NoDirectory => "what should be a directory on the way to it is none",
        LeadsNowhere::Circle => "the links on the way to it lead in a circle",
    }
}

/// A directory and a name in it; `None` for the root.
fn split(path: &BStr) -> Result<Option<(&BStr, &BStr)>, &'static str> {
    if path.len() > LONGEST_PATH {
        return Err("its path has more than 4096 bytes");
    }
    if path.contains(&0) {
        return Err("its name has a zero byte");
    }
    let names = || path.split(|byte| *byte == b'/');
    if names().any(|name| name == b"..") {
        return Err("its name has \"..\" in it");
    }
    if names().any(|name| name.len() > LONGEST_NAME) {
        return Err("a name of it has more than 255 bytes");
    }
    let trimmed = path.trim_end_with(|c| c == '/');
    let trimmed = trimmed.strip_suffix(b"/.").unwrap_or(trimmed).trim_end_with(|c| c == '/');
    let (above, name) = match trimmed.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (trimmed.get(..slash).unwrap_or_default(), trimmed.get(slash.saturating_add(1)..)),
        None => (&b""[..], Some(trimmed)),
    };
    let name = name.unwrap_or_default();
    Ok((!name.is_empty() && name != b".").then(|| (above.as_bstr(), name.as_bstr())))
}

fn add(tree: &mut Overlay, layer: u32, entry: &TarEntry, emptied: &mut HashSet<u64>) -> Result<(), &'static str> {
    let Some((above, name)) = split(entry.name.as_bstr())? else {
        return match entry.kind {
            TarKind::Directory => {
                let root = tree.directory(b"".into(), layer).map_err(why)?;
                tree.set_mode(root, entry.mode, layer);
                Ok(())
            }
            _ => Err("it would take the root's place"),
        };
    };
    if name.starts_with(WHITEOUT) {
        return hide(tree, layer, above, name, emptied);
    }
    let directory = tree.directory(above, layer).map_err(why)?;
    let kind = match &entry.kind {
        TarKind::HardLink(target) => return link(tree, layer, target.as_bstr(), (directory, name)),
        TarKind::Directory => {
            let known = tree.child(directory, name);
            let known = known.filter(|id| tree.node(*id).is_some_and(|n| matches!(n.kind, NodeKind::Directory(_))));
            if let Some(known) = known {
                tree.set_mode(known, entry.mode, layer);
                return Ok(());
            }
            NodeKind::Directory(BTreeMap::new())
        }
        TarKind::File => NodeKind::File(LayerRange {
            layer,
            offset: entry.offset,
            len: entry.len,
            start: entry.start,
            has_capabilities: entry.has_capabilities,
        }),
        TarKind::Link(target) => NodeKind::Link(target.clone()),
        TarKind::Special => NodeKind::Special,
    };
    tree.put(directory, name.to_owned(), kind, entry.mode, layer).map(drop).map_err(why)
}

/// A whiteout is no entry of the directory that it stands in: it makes none, and a directory that is not there has nothing
/// to hide.
fn hide(
    tree: &mut Overlay,
    layer: u32,
    above: &BStr,
    name: &BStr,
    emptied: &mut HashSet<u64>,
) -> Result<(), &'static str> {
    let Some(directory) = tree.known_directory(above) else { return Ok(()) };
    if name == OPAQUE {
        // A second mark finds nothing more.
        if emptied.insert(directory.number()) {
            tree.hide_below(directory, layer);
        }
        return Ok(());
    }
    if name.starts_with(OF_AUFS) {
        return Ok(());
    }
    match name.strip_prefix(WHITEOUT) {
        Some(b"" | b"." | b"..") | None => Err("it is a whiteout of no name"),
        Some(hidden) => {
            tree.hide(directory, hidden.as_bstr(), layer);
            Ok(())
        }
    }
}

/// Another name for what is there: a later entry of the old name leaves it as it is.
fn link(tree: &mut Overlay, layer: u32, target: &BStr, (directory, name): (NodeId, &BStr)) -> Result<(), &'static str> {
    split(target).map_err(|_| "its target's name is too long, or has \"..\" in it")?;
    let linked = tree.stands_at(target).map_err(|_| "it is another name for what is not there")?;
    match tree.node(linked).map(|node| &node.kind) {
        Some(NodeKind::Directory(_)) | None => Err("it is another name for a directory"),
        Some(_) => {
            tree.count_to(linked, layer);
            tree.name(directory, BString::from(name), linked).map_err(why)
        }
    }
}
