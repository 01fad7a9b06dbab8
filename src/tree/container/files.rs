//! A container as hooks see it.

use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::known::LibraryFacts;
use super::laid::{Laid, LaidPlace};
use super::source::{ContainerSource, image_path};
use crate::cdi::{CacheableLibrary, ContainerFiles, LeftByHook, Mounted, StandsAt, split};
use crate::cuda::CompatNote;
use crate::elf::machine::Machine;
use crate::elf::view::object_or_loader;
use crate::fsio::{ImagePath, Site};
use crate::loader::cache_flags;
use crate::tree::look::{Seen, look};
use crate::tree::source::{EntryKind, Source};

const STORE: &[u8] = b"/nix/store/";

impl ContainerSource {
    fn lay(&mut self, path: &BStr, laid: Laid) {
        if let Some((directory, name)) = split(path) {
            self.laid.entry(directory.to_owned()).or_default().insert(name.to_owned(), laid);
        }
    }

    fn number(&mut self) -> u64 {
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// Whether the host's ldconfig knows a machine (`glibc sysdeps/unix/sysv/linux/x86_64/readelflib.c`).
    fn is_for_ldconfig(&self, machine: &Machine) -> bool {
        self.machine.runs(machine) || (self.machine.name == "x86_64" && machine.name == "x32")
    }

    /// What is known of an object: of the image's from the one look at it, where there was one.
    fn facts_of(&self, path: &BStr) -> Option<LibraryFacts> {
        match self.place(path) {
            LaidPlace::Opaque(soname, _) => Some(LibraryFacts {
                library: CacheableLibrary { soname: Some(soname.clone()), flags: cache_flags(self.machine) },
                note: None,
            }),
            LaidPlace::Base if self.known.object(path).is_some() => {
                let facts = self.known.object(path)?;
                self.is_for_ldconfig(facts.object.machine).then_some(())?;
                let flags = cache_flags(facts.object.machine);
                let library = CacheableLibrary { soname: facts.object.soname.clone(), flags };
                Some(LibraryFacts { library, note: facts.compat_note.clone().and_then(Result::ok) })
            }
            LaidPlace::Base => self.known.library(path, || self.look_at(path)),
            LaidPlace::Host(_) | LaidPlace::Bytes(..) => self.look_at(path),
            _ => None,
        }
    }

    /// Opens a library. ldconfig takes loaders, too.
    fn look_at(&self, path: &BStr) -> Option<LibraryFacts> {
        let found = image_path(path);
        let looked = look(self, Site::at(&found), |seen| {
            let Seen::Elf(file, _) = seen else { return None };
            let view = object_or_loader(file.bytes())?;
            let machine = view.machine();
            self.is_for_ldconfig(machine).then_some(())?;
            let library = CacheableLibrary { soname: view.soname().map(BStr::to_owned), flags: cache_flags(machine) };
            Some(LibraryFacts { library, note: CompatNote::of(&view).and_then(Result::ok) })
        });
        looked.ok().flatten()
    }

    /// What a mount brings of the host, if that is at hand.
    fn host_file(&self, path: &BStr) -> Option<(ImagePath, EntryKind)> {
        let host = self.host.as_ref()?;
        let real = host.resolve(&image_path(path)).ok()?;
        let kind = host.kind(&real).ok()?;
        Some((real, kind))
    }
}

/// Whether a mount that is not at hand is one of a library, by its name.
fn is_called_library(path: &BStr) -> bool {
    split(path).is_some_and(|(_, name)| name.starts_with(b"lib") && name.contains_str(".so"))
}

/// Whether it is one of another file: what has a dot or lies where programs are.
fn is_called_file(path: &BStr) -> bool {
    let is_of_programs = |directory: &BStr| directory.ends_with(b"/bin") || directory.ends_with(b"/sbin");
    split(path).is_some_and(|(directory, name)| is_of_programs(directory) || name.contains(&b'.'))
}

impl ContainerFiles for ContainerSource {
    fn resolve(&self, path: &BStr) -> Option<BString> {
        self.go(path).ok()
    }

    fn standing(&self, path: &BStr) -> Option<StandsAt> {
        self.standing_at(path)
    }

    fn names(&self, directory: &BStr) -> Option<Vec<BString>> {
        let names = self.listing(directory).ok()?.names?;
        let mut names: Vec<BString> = names.into_iter().map(|name| BString::from(name.into_vec())).collect();
        names.sort();
        Some(names)
    }

    fn identity(&self, directory: &BStr) -> Option<(u64, u64)> {
        self.inode(&image_path(directory))
    }

    fn contents(&self, path: &BStr, limit: u64) -> Option<Vec<u8>> {
        self.read(&image_path(path), limit)
    }

    fn library(&self, path: &BStr) -> Option<CacheableLibrary> {
        self.facts_of(path).map(|facts| facts.library)
    }

    fn compat_note(&self, path: &BStr) -> Option<CompatNote> {
        self.facts_of(path)?.note
    }

    fn make(&mut self, path: &BStr, made: LeftByHook) {
        let number = self.number();
        let laid = match made {
            LeftByHook::Link(text) => Laid::Link(text),
            LeftByHook::File(bytes) => Laid::Bytes(bytes.into(), number),
            LeftByHook::Directory => Laid::Directory(number),
        };
        self.lay(path, laid);
    }

    fn mount(&mut self, path: &BStr, host: &BStr, soname: Option<&BStr>) -> Mounted {
        let stands = self.standing_at(path);
        // A store path is what its name says, wherever it is.
        if host == path && host.starts_with(STORE) && stands.is_some() {
            return Mounted::InImage;
        }
        // What was laid into a directory is hidden with it.
        let below = BString::from([path.as_bytes(), b"/"].concat());
        self.laid.remove(path);
        let hidden = self.laid.range(below.clone()..).map(|(directory, _)| directory);
        let hidden: Vec<BString> = hidden.take_while(|directory| directory.starts_with(&below)).cloned().collect();
        for directory in hidden {
            self.laid.remove(&directory);
        }
        match self.host_file(host) {
            Some((real, EntryKind::Directory)) => {
                self.lay(path, Laid::Host(real));
                return Mounted::Directory;
            }
            Some((real, EntryKind::File)) => {
                self.lay(path, Laid::Host(real));
                return Mounted::File;
            }
            Some((_, EntryKind::Other)) | None => {}
        }
        let number = self.number();
        if stands == Some(StandsAt::Directory) && !is_called_library(host) {
            self.lay(path, Laid::Unknown(number));
            return Mounted::UnknownDirectory;
        }
        if is_called_library(path) || is_called_library(host) {
            let name = split(path).map_or(path, |(_, name)| name);
            self.lay(path, Laid::Opaque(soname.unwrap_or(name).to_owned(), number));
            return Mounted::OpaqueFile;
        }
        if stands.is_some() || is_called_file(path) {
            self.lay(path, Laid::Bytes(Arc::default(), number));
            return Mounted::OpaqueFile;
        }
        self.lay(path, Laid::Unknown(number));
        Mounted::UnknownDirectory
    }
}
