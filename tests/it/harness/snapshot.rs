//! Files and trees as they were, to be compared with what they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::SeekFrom;

const BLOCK: u64 = 4096;

/// What a file holds, without its holes: a moved program header table can lie behind one of hundreds of megabytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) len: u64,
    /// Each block that is not all zero.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Contents {
    pub(crate) fn of(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let len = file.metadata().unwrap().len();
        let mut blocks = BTreeMap::new();
        let mut at = 0;
        while at < len {
            // A file system without holes answers with the place that was asked for.
            let Ok(data) = rustix::fs::seek(&file, SeekFrom::Data(at)) else { break };
            let start = data / BLOCK * BLOCK;
            let end = rustix::fs::seek(&file, SeekFrom::Hole(data)).map_or(len, |hole| hole.min(len));
            for at in (start..end).step_by(BLOCK as usize) {
                let mut block = vec![0; BLOCK.min(len - at) as usize];
                file.read_exact_at(&mut block, at).unwrap();
                if block.iter().any(|byte| *byte != 0) {
                    blocks.insert(at, block);
                }
            }
            at = end.max(at + 1);
        }
        Self { len, blocks }
    }

    /// Writes a file that holds the same.
    pub(crate) fn write_to(&self, path: &Path) {
        let file = File::create(path).unwrap();
        file.set_len(self.len).unwrap();
        for (at, block) in &self.blocks {
            file.write_all_at(block, *at).unwrap();
        }
    }

    /// Whether each byte is that of one of two files. Where the first one has a hole behind the end of the other, anything
    /// can stand.
    pub(crate) fn is_made_of(&self, one: &Self, other: &Self) -> bool {
        let starts = self.blocks.keys().chain(one.blocks.keys()).chain(other.blocks.keys());
        let byte = |file: &Self, at: u64| {
            let block = file.blocks.get(&(at / BLOCK * BLOCK));
            block.and_then(|block| block.get((at % BLOCK) as usize)).copied().unwrap_or(0)
        };
        let fits = |start: &u64| {
            let positions = *start..self.len.min(start + BLOCK);
            let is_hole = |at| at >= other.len && byte(one, at) == 0;
            positions.into_iter().all(|at| [byte(one, at), byte(other, at)].contains(&byte(self, at)) || is_hole(at))
        };
        starts.into_iter().all(fits)
    }
}

impl std::fmt::Debug for Contents {
    // Megabytes of numbers would hide what differs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        self.blocks.hash(&mut hasher);
        write!(f, "{} bytes #{:x}", self.len, hasher.finish())
    }
}

/// What must stay the same where nothing was to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot {
    pub(crate) contents: Contents,
    pub(crate) modified: SystemTime,
    pub(crate) inode: u64,
    pub(crate) mode: u32,
}

impl Snapshot {
    pub(crate) fn of(path: &Path) -> Self {
        let meta = std::fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let modified = meta.modified().unwrap();
        Self { contents: Contents::of(path), modified, inode: meta.ino(), mode: meta.mode() }
    }

    /// Gives a file these contents and this time.
    pub(crate) fn put_back(&self, path: &Path) {
        self.contents.write_to(path);
        File::options().write(true).open(path).unwrap().set_modified(self.modified).unwrap();
    }
}

/// One name in a tree.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) kind_and_mode: String,
    pub(crate) target: Option<PathBuf>,
    links: u64,
}

/// Everything in a tree, and the contents of its files in the same order.
pub(crate) fn listing(root: &Path) -> (Vec<Entry>, Vec<Option<Contents>>) {
    let walk = walkdir::WalkDir::new(root).sort_by_file_name().into_iter();
    walk.map(|found| {
        let found = found.unwrap();
        let meta = found.path().symlink_metadata().unwrap();
        let entry = Entry {
            path: found.path().strip_prefix(root).unwrap().to_owned(),
            kind_and_mode: format!("{:o}", meta.mode()),
            target: std::fs::read_link(found.path()).ok(),
            links: if meta.is_file() { meta.nlink() } else { 0 },
        };
        (entry, meta.is_file().then(|| Contents::of(found.path())))
    })
    .unzip()
}
