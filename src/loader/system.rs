//! What is built into a particular loader: which libc it is, its default directories, its cache, its tokens.
//!
//! glibc compiles its directories in, and distributions choose them (Debian's multiarch folders, Fedora's `lib64`,
//! Nixpkgs' own store path), so they are read from the loader's own bytes where those are at hand.

use std::collections::HashMap;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::cache::{AcceptedEntries, Cache};
use super::expand::{Tokens, Trust};
use super::file_system::FileSystem;
use super::hardware::Glibc;
use super::libc::Libc;
use super::object::{Abi, Object, directory_of};
use super::process::{LinkMap, Process};
use crate::elf::class::Class;
use crate::elf::machine::Machine;
use crate::elf::versions::SymbolVersions;
use crate::elf::view::object_or_loader;
use crate::nix;

/// A loader's configuration.
#[derive(Clone, Debug)]
pub(crate) struct System {
    /// Whose rules apply.
    pub(crate) libc: Libc,
    /// The loader's path.
    pub(crate) interpreter: BString,
    /// Searched last.
    pub(crate) default_directories: Arc<[BString]>,
    /// What `$LIB` stands for.
    pub(crate) lib: BString,
    /// What `$PLATFORM` stands for, where it stands for something.
    pub(crate) platform: Option<&'static str>,
    /// What else it may stand for where the CPU is not known.
    pub(super) other_platform: Option<&'static str>,
    /// Folders below each directory that are searched before it, in order (`glibc-hwcaps/x86-64-v3`).
    pub(crate) subdirectories: Vec<BString>,
    /// The names by which the loader knows itself.
    names: Vec<BString>,
    /// What the loader says about versions of symbols; `None` where it is not at hand.
    pub(crate) versions: Option<Arc<SymbolVersions>>,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) cached: AcceptedEntries,
    /// What it loads into every program, from its list (`/etc/ld.so.preload`).
    pub(super) preloaded: Arc<[BString]>,
    /// What it knows of the machine; musl asks nothing of an object's system.
    glibc: Option<Glibc>,
}

/// The loader of a machine that has none here.
const USUAL_LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// The loader that programs of a machine name, for libraries that no program is known of.
#[must_use]
pub(crate) fn interpreter_of(object: &Object) -> BString {
    if is_of_musl(object) {
        return format!("/lib/ld-musl-{}.so.1", object.machine.musl()).into();
    }
    object.machine.loader.unwrap_or(USUAL_LOADER).into()
}

/// Whether an object is linked with musl's libc: `libc.so`, in Alpine `libc.musl-x86_64.so.1`.
#[must_use]
pub(crate) fn is_of_musl(object: &Object) -> bool {
    object.needed().any(|name| name == "libc.so" || name.starts_with(b"libc.musl-"))
}

/// What the search needs to know of the machine beside its loader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hardware<'a> {
    /// The machine.
    pub(crate) machine: &'static Machine,
    /// The class of its programs.
    pub(crate) class: Class,
    /// Most significant byte first.
    pub(crate) is_big_endian: bool,
    /// Names of `glibc-hwcaps` folders that the CPU can use, best first; all of the machine's when nothing is known.
    pub(crate) hwcaps: Option<&'a [BString]>,
    /// What glibc calls the CPU; that of one that has everything when nothing is known.
    pub(crate) platform: Option<&'static str>,
}

/// The files that loaders are configured by, each read once whatever it is called: a tree of small programs can name one
/// large file in as many ways as there are programs.
pub(crate) struct SystemFiles<'f> {
    files: &'f dyn FileSystem,
    loaders: HashMap<Which, ReadLoader>,
    caches: HashMap<(Which, bool), Option<Arc<Cache>>>,
    lists: HashMap<Which, Option<Arc<[BString]>>>,
    preloads: HashMap<Which, Arc<[BString]>>,
}

/// Which file it is, whatever leads to it: its own names are as many as its maker likes.
#[derive(PartialEq, Eq, Hash)]
enum Which {
    Inode(u64, u64),
    Real(BString),
}

impl<'f> SystemFiles<'f> {
    /// Those of a file system.
    pub(crate) fn of(files: &'f dyn FileSystem) -> Self {
        Self { files, loaders: HashMap::new(), caches: HashMap::new(), lists: HashMap::new(), preloads: HashMap::new() }
    }

    /// Which file a path leads to, and its path without links.
    fn which(&self, path: &BStr) -> Option<(Which, BString)> {
        let real = self.files.real(path)?;
        let which = self.files.inode(real.as_bstr());
        Some((which.map_or_else(|| Which::Real(real.clone()), |(device, inode)| Which::Inode(device, inode)), real))
    }

    /// What is built into glibc's loader, and what it says of itself.
    fn loader(&mut self, path: &BStr) -> ReadLoader {
        let Some((which, real)) = self.which(path) else { return ReadLoader::default() };
        let files = self.files;
        let read = self.loaders.entry(which).or_insert_with(|| {
            let contents = files.read(real.as_bstr()).unwrap_or_default();
            let view = object_or_loader(&contents);
            let name = view.as_ref().and_then(|view| view.soname()).filter(|name| name.len() <= LONGEST_PATH);
            let versions = view.as_ref().and_then(|view| SymbolVersions::parse(view).ok()).map(Arc::new);
            ReadLoader { built_in: BuiltIn::find(&contents), name: name.map(BStr::to_owned), versions }
        });
        read.clone()
    }

    fn cache(&mut self, path: &BStr, is_big_endian: bool) -> Option<Arc<Cache>> {
        let (files, (which, real)) = (self.files, self.which(path)?);
        let read = self.caches.entry((which, is_big_endian)).or_insert_with(|| {
            files.read(real.as_bstr()).and_then(|bytes| Cache::parse(bytes, is_big_endian)).map(Arc::new)
        });
        read.clone()
    }

    /// Names between white space or colons; `#` begins a comment (`glibc elf/rtld.c`).
    fn preloaded(&mut self, path: &BStr) -> Arc<[BString]> {
        let (files, Some((which, real))) = (self.files, self.which(path)) else { return Arc::default() };
        let read = self.preloads.entry(which).or_insert_with(|| {
            let text = files.read(real.as_bstr()).unwrap_or_default();
            let lines = text.split(|byte| *byte == b'\n');
            let told = lines.map(|line| line.split(|byte| *byte == b'#').next().unwrap_or_default());
            let names = told.flat_map(names_of_list).filter(|name| name.len() <= LONGEST_PATH);
            names.take(MOST_PRELOADED).map(BString::from).collect()
        });
        Arc::clone(read)
    }

    /// Lines or colons between directories.
    fn list(&mut self, path: &BStr) -> Option<Arc<[BString]>> {
        let (files, (which, real)) = (self.files, self.which(path)?);
        let read = self.lists.entry(which).or_insert_with(|| {
            let text = files.read(real.as_bstr())?;
            let directories = text.split(|byte| matches!(byte, b':' | b'\n'));
            let usable = directories.filter(|directory| !directory.is_empty() && directory.len() <= LONGEST_PATH);
            Some(usable.take(MOST_DIRECTORIES).map(BString::from).collect())
        });
        read.clone()
    }
}

/// What a loader's file says.
#[derive(Clone, Default)]
struct ReadLoader {
    built_in: Option<BuiltIn>,
    /// DT_SONAME
    name: Option<BString>,
    versions: Option<Arc<SymbolVersions>>,
}

/// No loader that was built has as many default directories; Debian's has four.
const MOST_DIRECTORIES: usize = 64;

/// No system preloads as many libraries into every program.
const MOST_PRELOADED: usize = 64;

/// The names in LD_PRELOAD or a list like it: white space or colons stand between them.
pub(super) fn names_of_list(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| byte.is_ascii_whitespace() || *byte == b':').filter(|name| !name.is_empty())
}

/// No longer path can be opened (PATH_MAX).
const LONGEST_PATH: usize = 4096;

impl System {
    /// What a loader would do, from its path and, where it can be read, its contents.
    pub(crate) fn of(interpreter: &BStr, hardware: Hardware<'_>, files: &mut SystemFiles<'_>) -> Self {
        let name = interpreter.rsplit_once_str("/").map_or(interpreter.as_bytes(), |(_, name)| name);
        let glibc = Glibc::of(hardware.machine);
        if name.starts_with(b"ld-musl-") {
            return Self::musl(interpreter, name, files);
        }
        let ReadLoader { built_in, name: own, versions } = files.loader(interpreter);
        let built_in = built_in.unwrap_or_else(|| BuiltIn::usual(interpreter, hardware.class));
        let hwcaps = match hardware.hwcaps {
            _ if !built_in.has_hwcaps => Vec::new(),
            Some(known) => known.to_vec(),
            None => glibc.hwcaps(),
        };
        let mut subdirectories: Vec<BString> =
            hwcaps.iter().map(|name| BString::from([b"glibc-hwcaps/", name.as_bytes()].concat())).collect();
        if built_in.has_legacy_subdirectories {
            subdirectories.extend(glibc.legacy_subdirectories(hardware.platform));
        }
        let own = own.unwrap_or_else(|| name.into());
        Self {
            libc: Libc::Glibc,
            interpreter: interpreter.to_owned(),
            lib: built_in.lib(),
            platform: hardware.platform.or(glibc.platform),
            other_platform: glibc.other_platform.filter(|_| hardware.platform.is_none()),
            preloaded: files.preloaded(built_in.preload.as_bstr()),
            glibc: Some(glibc),
            cache: files.cache(built_in.cache.as_bstr(), hardware.is_big_endian),
            default_directories: built_in.directories.into(),
            subdirectories,
            names: vec![interpreter.to_owned(), own],
            versions,
            cached: AcceptedEntries {
                flags: glibc.cache_flags(),
                hwcaps,
                legacy: if built_in.has_legacy_subdirectories { glibc.legacy_bits() } else { 0 },
            },
        }
    }

    /// What the tokens in a path or name of an object stand for.
    pub(super) fn tokens<'t>(&'t self, process: &Process, of: &'t LinkMap) -> Tokens<'t> {
        let is_program = of.object.is_program() && of.loader.is_none();
        let trust = match (process.is_secure(), is_program) {
            (false, _) => Trust::Full,
            (true, false) => Trust::Start,
            (true, true) => Trust::Below(&self.default_directories),
        };
        Tokens { origin: of.origin.as_bstr(), lib: self.lib.as_bstr(), platform: self.platform.map(BStr::new), trust }
    }

    /// The same where a text has `$PLATFORM` and the CPU may be another one; `None` for any other text.
    pub(super) fn other_tokens<'t>(&'t self, process: &Process, of: &'t LinkMap, text: &BStr) -> Option<Tokens<'t>> {
        let platform = self.other_platform.filter(|_| text.contains_str("PLATFORM"))?;
        Some(Tokens { platform: Some(BStr::new(platform)), ..self.tokens(process, of) })
    }

    /// Why the loader ends a search at an object for another system; `None` where it takes it.
    pub(super) fn refuses(&self, abi: Abi) -> Option<&'static str> {
        self.glibc.as_ref()?.refuses(abi)
    }

    /// Whether a name is the loader's own, which is in every process. musl's is all of libc
    /// (`musl ldso/dynlink.c`, `load_library`).
    pub(super) fn is_itself(&self, name: &BStr) -> bool {
        let is_libc = |rest: &[u8]| {
            ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."]
                .iter()
                .any(|part| rest.starts_with(part.as_bytes()))
        };
        self.names.iter().any(|own| own == name)
            || (self.libc == Libc::Musl && name.strip_prefix(b"lib").is_some_and(is_libc))
    }

    /// `<prefix>/etc/ld-musl-<arch>.path`, lines or colons between directories (`musl ldso/dynlink.c`, `load_library`).
    fn musl(interpreter: &BStr, name: &[u8], files: &mut SystemFiles<'_>) -> Self {
        let prefix = directory_of(directory_of(interpreter));
        let prefix = if prefix == "/" { b"".as_bstr() } else { prefix };
        let stem = name.strip_suffix(b".so.1").unwrap_or(name);
        let list = BString::from([prefix.as_bytes(), b"/etc/", stem, b".path"].concat());
        let usual = || ["/lib", "/usr/local/lib", "/usr/lib"].map(BString::from).into();
        Self {
            libc: Libc::Musl,
            interpreter: interpreter.to_owned(),
            default_directories: files.list(list.as_bstr()).unwrap_or_else(usual),
            lib: BString::default(),
            platform: None,
            other_platform: None,
            subdirectories: Vec::new(),
            names: vec![interpreter.to_owned()],
            versions: None,
            cache: None,
            cached: AcceptedEntries::default(),
            preloaded: Arc::default(),
            glibc: None,
        }
    }
}

/// What glibc's build compiled into its loader.
#[derive(Clone)]
struct BuiltIn {
    directories: Vec<BString>,
    cache: BString,
    /// The list of what goes into every program.
    preload: BString,
    /// `glibc-hwcaps`, since 2.33.
    has_hwcaps: bool,
    /// `tls` and the like, before 2.37.
    has_legacy_subdirectories: bool,
}

impl BuiltIn {
    /// The default directories stand in the loader as NUL-terminated strings one behind the other, each with a slash at
    /// its end; they are the longest such run (`glibc elf/dl-load.c`, `system_dirs`). A run that is longer than any list of
    /// a loader is none.
    fn find(loader: &[u8]) -> Option<Self> {
        let mut longest: Vec<BString> = Vec::new();
        let mut run: Vec<BString> = Vec::new();
        let mut length = 0_usize;
        let mut cache = None;
        let mut preload = None;
        let mut minor = None;
        for text in loader.split(|byte| *byte == 0) {
            let is_directory = text.len() <= LONGEST_PATH
                && text.starts_with(b"/")
                && text.ends_with(b"/")
                && text.contains_str("lib")
                && text.iter().all(|byte| byte.is_ascii_graphic());
            if is_directory {
                length += 1;
                if run.len() < MOST_DIRECTORIES {
                    run.push(text.trim_end_with(|c| c == '/').into());
                }
                continue;
            }
            if length > longest.len() && length <= MOST_DIRECTORIES {
                longest = std::mem::take(&mut run);
            }
            run.clear();
            length = 0;
            if text.len() <= LONGEST_PATH && text.starts_with(b"/") && text.ends_with(b"/ld.so.cache") {
                cache = Some(BString::from(text));
            }
            // Nixpkgs' loader has another name for it.
            if text.len() <= LONGEST_PATH && text.starts_with(b"/") && text.ends_with(b".preload") {
                preload = Some(BString::from(text));
            }
            minor = minor.or_else(|| minor_version(text));
        }
        (!longest.is_empty()).then_some(())?;
        // Loaders that do not tell their version are older than both.
        let has_legacy_subdirectories = minor.is_none_or(|minor| minor <= 36);
        Some(Self {
            directories: longest,
            cache: cache?,
            preload: preload.unwrap_or_default(),
            has_hwcaps: minor.is_some(),
            has_legacy_subdirectories,
        })
    }

    /// Where the loader itself is not at hand: Nixpkgs' is known by its path, the rest by convention.
    fn usual(interpreter: &BStr, class: Class) -> Self {
        let directory = directory_of(interpreter);
        if nix::is_in_store(directory) {
            let prefix = directory_of(directory);
            let cache = BString::from([prefix.as_bytes(), b"/etc/ld.so.cache"].concat());
            let preload = "/etc/ld-nix.so.preload".into();
            return Self { directories: vec![directory.to_owned()], cache, preload, ..Self::recent() };
        }
        let directories = match class {
            Class::Elf64 => ["/lib64", "/usr/lib64"],
            Class::Elf32 => ["/lib", "/usr/lib"],
        };
        Self {
            directories: directories.map(BString::from).to_vec(),
            cache: "/etc/ld.so.cache".into(),
            preload: "/etc/ld.so.preload".into(),
            ..Self::recent()
        }
    }

    fn recent() -> Self {
        let (directories, cache, preload) = (Vec::new(), BString::default(), BString::default());
        Self { directories, cache, preload, has_hwcaps: true, has_legacy_subdirectories: false }
    }

    /// `$LIB` is the first default directory below its prefix.
    fn lib(&self) -> BString {
        let first = self.directories.first().map_or(b"".as_bstr(), |first| first.as_bstr());
        match first.strip_prefix(b"/") {
            Some(below) if below.starts_with(b"lib") => below.into(),
            _ => first.rsplit_once_str("/").map_or(first.as_bytes(), |(_, last)| last).into(),
        }
    }
}

/// The `36` of `ld.so (Debian GLIBC 2.36-9) stable release version 2.36.`
fn minor_version(text: &[u8]) -> Option<u32> {
    let (_, version) = text.split_once_str(" release version 2.")?;
    let digits = version.iter().take_while(|byte| byte.is_ascii_digit()).count();
    version.get(..digits)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_from_the_loaders_own_bytes() {
        let loader = b"x\0/var/lib/\0y\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0\
            ld.so (Debian GLIBC 2.36-9) stable release version 2.36.\n\0/etc/ld.so.cache\0";
        let found = BuiltIn::find(loader).unwrap();
        assert_eq!(found.directories, ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib"]);
        assert_eq!(
            (found.cache.to_string(), found.lib().to_string()),
            ("/etc/ld.so.cache".into(), "lib/x86_64-linux-gnu".into())
        );
        assert!(found.has_legacy_subdirectories);
        let nix = BuiltIn::usual("/nix/store/abc-glibc-2.40/lib/ld-linux-x86-64.so.2".into(), Class::Elf64);
        assert_eq!(
            (nix.lib().to_string(), nix.cache.to_string()),
            ("lib".into(), "/nix/store/abc-glibc-2.40/etc/ld.so.cache".into())
        );
    }
}
