//! A tree of files that lives in memory, as layers make it. A node is what an inode is: several names may lead to one.

use std::collections::BTreeMap;

use bstr::{BStr, BString};

/// Where the contents of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayerRange {
    pub(super) layer: u32,
    /// In the layer, unpacked.
    pub(super) offset: u64,
    /// How many bytes.
    pub(crate) len: u64,
    /// The first of them.
    pub(crate) start: [u8; 4],
    /// It has `security.capability`.
    pub(crate) has_capabilities: bool,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    Directory(BTreeMap<BString, NodeId>),
    File(LayerRange),
    /// A symbolic link and its text.
    Link(BString),
    /// A device, a FIFO.
    Special,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) mode: u32,
    /// The last layer that has it, or something in it.
    layer: u32,
}

/// A node by its number, which tells it from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

impl NodeId {
    pub(crate) fn number(self) -> u64 {
        u64::from(self.0)
    }
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeadsNowhere {
    Missing,
    NoDirectory,
    /// Links lead in a circle, or a way too long.
    Circle,
}

/// Where a path leads: the way without links, and what is there.
#[derive(Clone, Debug)]
pub(crate) struct Led {
    names: Vec<(BString, NodeId)>,
}

const ROOT: NodeId = NodeId(0);

impl Led {
    pub(crate) fn node(&self) -> NodeId {
        self.names.last().map_or(ROOT, |(_, node)| *node)
    }

    /// The path without links.
    pub(crate) fn path(&self) -> BString {
        let mut path = BString::from(Vec::new());
        for (name, _) in &self.names {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() { "/".into() } else { path }
    }
}

/// As many links as Linux follows in one path (`Linux include/linux/namei.h`, MAXSYMLINKS).
const MOST_LINKS: usize = 40;
/// Names on one way, those of links included; a system's longest path has room for 2048.
const MOST_NAMES: usize = 4096;

/// A tree.
#[derive(Debug)]
pub(crate) struct Overlay {
    nodes: Vec<Node>,
}

/// Permissions of directories that no layer tells of.
const UNTOLD: u32 = 0o755;

impl Overlay {
    /// With nothing in it.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node { kind: NodeKind::Directory(BTreeMap::new()), mode: UNTOLD, layer: 0 }] }
    }

    /// What a number stands for.
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(usize::try_from(id.0).ok()?)
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(id.0).ok()?)
    }

    /// Where a path leads, links followed, as if the tree's root were `/`.
    pub(crate) fn resolve(&self, path: &BStr) -> Result<Led, LeadsNowhere> {
        self.go(path, true).and_then(
            |(led, missing)| {
                if missing.is_empty() { Ok(led) } else { Err(LeadsNowhere::Missing) }
            },
        )
    }

    /// What stands at a path, a link too.
    pub(crate) fn stands_at(&self, path: &BStr) -> Result<NodeId, LeadsNowhere> {
        let (led, missing) = self.go(path, false)?;
        if missing.is_empty() { Ok(led.node()) } else { Err(LeadsNowhere::Missing) }
    }

    /// Goes a path as far as it is there: how far, and the names that are missing.
    fn go(&self, path: &BStr, follows_last: bool) -> Result<(Led, Vec<BString>), LeadsNowhere> {
        let mut led = Led { names: Vec::new() };
        let mut left = reversed(path);
        let (mut links, mut steps) = (0_usize, 0_usize);
        while let Some(name) = left.pop() {
            steps = steps.saturating_add(1);
            if steps > MOST_NAMES {
                return Err(LeadsNowhere::Circle);
            }
            if name == ".." {
                led.names.pop();
                continue;
            }
            let Some(Node { kind: NodeKind::Directory(children), .. }) = self.node(led.node()) else {
                return Err(LeadsNowhere::NoDirectory);
            };
            let Some(child) = children.get(&name) else {
                let missing = std::iter::once(name).chain(left.into_iter().rev());
                return Ok((led, missing.collect()));
            };
            match self.node(*child).map(|node| &node.kind) {
                Some(NodeKind::Link(target)) if follows_last || !left.is_empty() => {
                    links = links.saturating_add(1);
                    if links > MOST_LINKS {
                        return Err(LeadsNowhere::Circle);
                    }
                    if target.starts_with(b"/") {
                        led.names.clear();
                    }
                    left.extend(reversed(target.as_ref()));
                }
                _ => led.names.push((name, *child)),
            }
        }
        Ok((led, Vec::new()))
    }

    /// The directory that a path leads to, links followed, made where it is missing; all on the way count to a layer.
    pub(super) fn directory(&mut self, path: &BStr, layer: u32) -> Result<NodeId, LeadsNowhere> {
        let (led, missing) = self.go(path, true)?;
        self.touch(ROOT, layer);
        for (_, node) in &led.names {
            self.touch(*node, layer);
        }
        let mut at = led.node();
        for name in missing {
            if name == ".." {
                return Err(LeadsNowhere::Missing);
            }
            at = self.put(at, name, NodeKind::Directory(BTreeMap::new()), UNTOLD, layer)?;
        }
        match self.node(at).map(|node| &node.kind) {
            Some(NodeKind::Directory(_)) => Ok(at),
            _ => Err(LeadsNowhere::NoDirectory),
        }
    }

    /// The same to look only: nothing is made, and nothing counts to a layer.
    pub(super) fn known_directory(&self, path: &BStr) -> Option<NodeId> {
        let node = self.resolve(path).ok()?.node();
        matches!(self.node(node)?.kind, NodeKind::Directory(_)).then_some(node)
    }

    fn touch(&mut self, id: NodeId, layer: u32) {
        if let Some(node) = self.node_mut(id) {
            node.layer = layer;
        }
    }

    /// Puts a new node in a directory, in place of what has the name.
    pub(super) fn put(
        &mut self,
        directory: NodeId,
        name: BString,
        kind: NodeKind,
        mode: u32,
        layer: u32,
    ) -> Result<NodeId, LeadsNowhere> {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { kind, mode, layer });
        self.name(directory, name, id).map(|()| id)
    }

    /// Gives a node a name, in place of what has it.
    pub(super) fn name(&mut self, directory: NodeId, name: BString, id: NodeId) -> Result<(), LeadsNowhere> {
        match self.node_mut(directory).map(|node| &mut node.kind) {
            Some(NodeKind::Directory(children)) => {
                children.insert(name, id);
                Ok(())
            }
            _ => Err(LeadsNowhere::NoDirectory),
        }
    }

    /// How many nodes there are, those that nothing leads to any more included.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// What has a name in a directory.
    pub(crate) fn child(&self, directory: NodeId, name: &BStr) -> Option<NodeId> {
        match &self.node(directory)?.kind {
            NodeKind::Directory(children) => children.get(name).copied(),
            _ => None,
        }
    }

    /// Tells of a directory that is there already.
    pub(super) fn set_mode(&mut self, id: NodeId, mode: u32, layer: u32) {
        if let Some(node) = self.node_mut(id) {
            (node.mode, node.layer) = (mode, layer);
        }
    }

    /// Counts a node to a layer.
    pub(super) fn count_to(&mut self, id: NodeId, layer: u32) {
        self.touch(id, layer);
    }

    /// Hides what lower layers have under a name. What this layer has there stays (image-spec 1.1, layer.md, "Whiteouts").
    pub(super) fn hide(&mut self, directory: NodeId, name: &BStr, layer: u32) {
        let Some(child) = self.child(directory, name) else { return };
        if self.node(child).is_some_and(|node| node.layer == layer) {
            self.hide_below(child, layer);
        } else if let Some(NodeKind::Directory(children)) = self.node_mut(directory).map(|node| &mut node.kind) {
            children.remove(name);
        }
    }

    /// Hides everything that lower layers have in a directory.
    pub(super) fn hide_below(&mut self, directory: NodeId, layer: u32) {
        let mut open = vec![directory];
        while let Some(at) = open.pop() {
            let Some(NodeKind::Directory(children)) = self.node_mut(at).map(|node| &mut node.kind) else { continue };
            let mut children = std::mem::take(children);
            children.retain(|_, child| self.node(*child).is_some_and(|node| node.layer == layer));
            open.extend(children.values().copied());
            if let Some(node) = self.node_mut(at) {
                node.kind = NodeKind::Directory(children);
            }
        }
    }
}

fn reversed(path: &BStr) -> Vec<BString> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.rev().map(BString::from).collect()
}
