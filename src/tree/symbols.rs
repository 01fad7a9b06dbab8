//! Symbols of a source's files, read when a look-up asks for them.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use bstr::{BStr, BString};

use super::source::SourceFile;
use super::world::SourceWorld;
use crate::elf::imports::Imports;
use crate::elf::symbol_tables::SymbolLayout;
use crate::elf::view::{has_magic, object_or_loader};
use crate::fsio::{ImagePath, Site};
use crate::loader::{ReadTables, SymbolFiles};

/// Larger tables stay in the file, which is mapped then.
const LARGEST_COPY: u64 = 4 << 20;

/// What such a mapping counts in the cache.
const MAPPING: usize = 1 << 20;

impl SymbolFiles for SourceWorld {
    fn tables(&self, path: &BStr) -> ReadTables {
        self.symbols().get(path, || {
            let read = || {
                let file = open(self, path)?;
                let view = object_or_loader(file.bytes()).ok_or("no object of a loader")?;
                let mut layout = SymbolLayout::of(&view).map_err(|error| error.to_string())?;
                drop(view);
                let is_small = layout.size() <= LARGEST_COPY;
                Ok(if is_small { layout.copied(file.bytes()) } else { layout.within(file.into_bytes()) })
            };
            match read() {
                Ok(tables) => {
                    let kept = if tables.kept == 0 { MAPPING } else { tables.kept };
                    (Ok(Arc::new(tables)), kept)
                }
                Err(reason) => (Err(Problem::into(reason)), 0),
            }
        })
    }

    fn imports(&self, path: &BStr) -> Result<Imports, Arc<str>> {
        let read = || {
            let file = open(self, path)?;
            let view = object_or_loader(file.bytes()).ok_or("no object of a loader")?;
            Imports::of(&view).map_err(|error| Problem(error.to_string().into()))
        };
        read().map_err(Problem::into)
    }
}

/// Why symbols cannot be read.
struct Problem(Arc<str>);

impl<T: AsRef<str>> From<T> for Problem {
    fn from(text: T) -> Self {
        Self(text.as_ref().into())
    }
}

impl From<Problem> for Arc<str> {
    fn from(Problem(text): Problem) -> Self {
        text
    }
}

/// Objects have canonical paths; a loader's is the one that programs name.
fn open(world: &SourceWorld, path: &BStr) -> Result<SourceFile, Problem> {
    let mut found = ImagePath::new(OsStr::from_bytes(path));
    if !world.knows(path) {
        found = world.resolve(&found).ok_or("does not exist")?;
        let real = BString::from(found.as_path().as_os_str().to_owned().into_vec());
        if !world.is_within(real.as_ref()) {
            return Err("does not exist".into());
        }
    }
    match world.source().open(Site::at(&found), &has_magic) {
        Ok(Some(file)) => Ok(file),
        Ok(None) => Err("not an ELF file".into()),
        Err(error) => Err(format!("{error}: {}", error.source).into()),
    }
}
