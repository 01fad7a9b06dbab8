//! Where files come from: this machine, an image's directory, an archive, memory. Every command that looks at files asks a source,
//! so an input that is new is one more source and nothing else.

use std::ffi::OsString;
use std::fmt;
use std::io;

use bstr::BString;

use crate::elf::data::DataMap;
use crate::elf::machine::Machine;
use crate::fsio::{Anchor, FileError, ImagePath, Site};

/// What stands at a path, by its own kind: a symbolic link is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// What a directory has.
#[derive(Clone, Debug, Default)]
pub struct SourceDirectory {
    /// The names of everything in it; `None` where it may be searched, but not listed.
    pub names: Option<Vec<OsString>>,
    /// Every user may add a file.
    pub is_world_writable: bool,
}

/// A library that only the target has.
#[derive(Clone, Debug)]
pub struct OpaqueLibrary {
    /// DT_SONAME
    pub(crate) soname: BString,
    /// What it is for.
    pub(crate) machine: &'static Machine,
    /// As device and inode.
    pub(crate) identity: (u64, u64),
}

/// Where the bytes of a file come from.
pub trait FileBytes: Send + Sync {
    /// All of them.
    fn bytes(&self) -> &[u8];

    /// Fails where they changed while they were read: what is told of them is not to be believed.
    ///
    /// # Errors
    /// [`FileError`] says that.
    fn check_whole(&self) -> Result<(), FileError> {
        Ok(())
    }
}

impl<T: AsRef<[u8]> + Send + Sync> FileBytes for T {
    fn bytes(&self) -> &[u8] {
        self.as_ref()
    }
}

/// What is kept of a file when it is looked at no more.
struct KeptBytes(Box<dyn FileBytes>);

impl AsRef<[u8]> for KeptBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// The bytes of a file, and which file it is.
pub struct SourceFile {
    bytes: Box<dyn FileBytes>,
    /// Device and inode, or two numbers that tell files of the source apart as well.
    pub(crate) identity: (u64, u64),
    /// `st_mode`
    pub(crate) mode: u32,
    /// It has capabilities (`security.capability`): a program in it has more rights than its user.
    pub(crate) has_capabilities: bool,
    /// Where it has data.
    pub(crate) data: DataMap,
}

impl SourceFile {
    /// A file that holds these bytes.
    pub fn new(bytes: impl FileBytes + 'static, identity: (u64, u64), mode: u32) -> Self {
        Self { bytes: Box::new(bytes), identity, mode, has_capabilities: false, data: DataMap::default() }
    }

    /// The same with holes.
    #[must_use]
    pub(crate) fn with_data(self, data: DataMap) -> Self {
        Self { data, ..self }
    }

    /// The same with capabilities, or without.
    #[must_use]
    pub fn with_capabilities(self, has_capabilities: bool) -> Self {
        Self { has_capabilities, ..self }
    }

    /// Its bytes.
    #[must_use]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.bytes()
    }

    /// Fails where they changed while they were read.
    ///
    /// # Errors
    /// [`FileError`] says that.
    pub(crate) fn check_whole(&self) -> Result<(), FileError> {
        self.bytes.check_whole()
    }

    /// The bytes alone.
    #[must_use]
    pub(crate) fn into_bytes(self) -> Box<dyn AsRef<[u8]> + Send + Sync> {
        Box::new(KeptBytes(self.bytes))
    }
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFile").field("identity", &self.identity).field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// How much of a file is wanted: the first four bytes decide.
pub type IsWanted<'w> = &'w (dyn Fn(&[u8]) -> bool + Sync);

/// A tree of files. Paths are those of the source, as a loader in it would see them.
pub trait Source: fmt::Debug + Send + Sync {
    /// A path with its symbolic links followed.
    ///
    /// # Errors
    /// What a system would say: it does not exist, it may not be searched, links lead in a circle.
    fn resolve(&self, path: &ImagePath) -> io::Result<ImagePath>;

    /// The same for what an argument names: where a source has descriptors, what it leads to is held open, and what lies
    /// below is reached from there.
    ///
    /// # Errors
    /// As [`Source::resolve`].
    fn hold(&self, path: &ImagePath) -> io::Result<(ImagePath, Anchor)> {
        Ok((self.resolve(path)?, Anchor::default()))
    }

    /// What stands at a path without symbolic links.
    ///
    /// # Errors
    /// What a system would say.
    fn kind(&self, path: &ImagePath) -> io::Result<EntryKind>;

    /// What a symbolic link says, at a path without links on the way; `None` for anything else.
    fn link(&self, _path: &ImagePath) -> Option<OsString> {
        None
    }

    /// The DT_SONAME of a library of the target's whose contents are not at hand; `None` for what is at hand.
    fn opaque(&self, _path: &ImagePath) -> Option<OpaqueLibrary> {
        None
    }

    /// What a directory has, at a path without symbolic links.
    ///
    /// # Errors
    /// What a system would say; a directory that may be searched but not listed is none.
    fn directory(&self, path: &ImagePath) -> io::Result<SourceDirectory>;

    /// Device and inode of what stands at a path without symbolic links; `None` where the source has no such numbers.
    fn inode(&self, _path: &ImagePath) -> Option<(u64, u64)> {
        None
    }

    /// Whether every user may add a file to a directory; none that is not there.
    fn is_world_writable(&self, path: &ImagePath) -> bool;

    /// Adds the regular files and the directories in a directory, in its own order, each with that directory's path in
    /// front. Symbolic links and the like are not added.
    ///
    /// # Errors
    /// What a system would say first; everything that could be told all the same has been added.
    fn walk_into(&self, site: Site<'_>, found: &mut Vec<(ImagePath, EntryKind)>) -> io::Result<()>;

    /// Opens a regular file whose first bytes are wanted; `None` for another one. A symbolic link is not followed.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be opened or read.
    fn open(&self, site: Site<'_>, is_wanted: IsWanted<'_>) -> Result<Option<SourceFile>, FileError>;

    /// Where a file's bytes lie: in this order, reading all files goes through what they lie in once.
    /// `None` where it does not matter.
    fn place(&self, _site: Site<'_>) -> Option<(u64, u32, u64)> {
        None
    }

    /// A whole file of no more than `limit` bytes, at a path without symbolic links; `None` for anything else.
    fn read(&self, path: &ImagePath, limit: u64) -> Option<Vec<u8>>;
}
