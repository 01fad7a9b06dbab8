//! What the loader reads from an object before it maps it.

use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::ask::Ask;
use crate::elf::class::Class;
use crate::elf::dynamic::PathTags;
use crate::elf::ldcache;
use crate::elf::machine::Machine;
use crate::elf::record::{ET_EXEC, Encoding, dt};
use crate::elf::strings::{DT_AUXILIARY, DT_FILTER};
use crate::elf::units::StringOffset;
use crate::elf::versions::SymbolVersions;
use crate::elf::view::{ElfView, has_magic};

/// The search path of an object under the tag that the loader honours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TaggedPath {
    /// Neither tag.
    None,
    /// DT_RPATH without DT_RUNPATH: what it loads inherits it.
    Rpath(BString),
    /// DT_RUNPATH: for its own requests only. Whether there is a DT_RPATH too, which is ignored.
    Runpath(BString, bool),
}

impl TaggedPath {
    /// The path, whatever the tag.
    #[must_use]
    pub(crate) fn path(&self) -> Option<&BStr> {
        match self {
            Self::None => None,
            Self::Rpath(path) | Self::Runpath(path, _) => Some(path.as_bstr()),
        }
    }
}

/// One soname's answer in `.note.nixos.ldcache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheHint {
    /// The name asked for.
    pub(crate) soname: BString,
    /// `=absolute path` and `?directory`, in order.
    pub(crate) answers: Vec<BString>,
}

/// Bytes at which every loader starts to look at a file; a 64-bit ELF header.
const HEADER: usize = 64;

/// By what a loader tells whether a file is for it, before anything else in it counts (gABI 4 "ELF Identification").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ident {
    /// EI_CLASS
    pub(crate) class: u8,
    /// EI_DATA
    pub(crate) data: u8,
    /// `e_machine`
    pub(crate) code: u16,
    /// EI_OSABI, EI_ABIVERSION and what is behind them
    pub(crate) abi: Abi,
}

/// The last bytes of `e_ident`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Abi {
    /// EI_OSABI
    pub(crate) os: u8,
    /// EI_ABIVERSION
    pub(crate) version: u8,
    /// A byte behind EI_PAD is not zero.
    pub(crate) is_padded: bool,
}

impl Abi {
    /// Reads it from an ELF header.
    fn of(header: &[u8]) -> Option<Self> {
        let is_padded = header.get(9..16)?.iter().any(|byte| *byte != 0);
        Some(Self { os: *header.get(7)?, version: *header.get(8)?, is_padded })
    }
}

impl Ident {
    /// Reads it from the start of a file; `None` where there is no ELF header.
    #[must_use]
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER).filter(|header| has_magic(header))?;
        let data = *header.get(5)?;
        let code = Encoding { is_64: true, is_big_endian: data == 2 }.u16_at(header, 18)?;
        Some(Self { class: *header.get(4)?, data, code, abi: Abi::of(header)? })
    }

    /// The machine that it names.
    pub(super) fn machine(self) -> &'static Machine {
        Machine::of(self.code, Encoding { is_64: self.class == 2, is_big_endian: self.data == 2 })
    }
}

/// An object as the search needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its canonical path in the file system that it was found in.
    pub(crate) path: BString,
    /// Device and inode: a second path of the same file is not loaded again.
    pub(crate) identity: (u64, u64),
    /// EI_CLASS
    pub(crate) class: Class,
    /// Most significant byte first.
    pub(crate) is_big_endian: bool,
    /// `e_machine`.
    pub(crate) code: u16,
    /// The same with its class and byte order.
    pub(crate) machine: &'static Machine,
    /// PT_INTERP: this is a program.
    pub(crate) interpreter: Option<BString>,
    /// DT_SONAME.
    pub(crate) soname: Option<BString>,
    /// The last bytes of `e_ident`.
    pub(crate) abi: Abi,
    /// What glibc loads at start with it: DT_NEEDED, DT_FILTER and DT_AUXILIARY, in order.
    pub(crate) dependencies: Vec<(Ask, BString)>,
    /// DT_RPATH or DT_RUNPATH.
    pub(crate) path_tag: TaggedPath,
    /// DF_1_NODEFLIB: neither cache nor default directories.
    pub(crate) no_default_directories: bool,
    /// ET_EXEC or DF_1_PIE: no library.
    pub(crate) is_executable: bool,
    /// setuid, setgid or with capabilities: the loader ignores LD_LIBRARY_PATH.
    pub(crate) is_secure: bool,
    /// `.note.nixos.ldcache`, which a patched loader asks before it searches.
    pub(crate) hints: Option<Vec<CacheHint>>,
    /// What it says about versions of symbols, or why that cannot be read.
    pub(crate) versions: Result<SymbolVersions, Arc<str>>,
}

/// setuid and setgid bits of a file's mode.
const SET_ID: u32 = 0o6000;

impl Object {
    /// Reads it from a checked view; `mode` is the file's `st_mode`.
    #[must_use]
    pub(crate) fn of(view: &ElfView<'_>, path: BString, identity: (u64, u64), mode: u32) -> Self {
        let asks = |tag| match tag {
            dt::DT_NEEDED => Some(Ask::Needed),
            DT_FILTER => Some(Ask::Filter),
            DT_AUXILIARY => Some(Ask::Auxiliary),
            _ => None,
        };
        let named = view.dynamic.entries.iter().filter_map(|entry| Some((asks(entry.tag)?, entry.value)));
        let name = |at| view.strings.get(StringOffset::new(at)).map(BStr::to_owned);
        let search_path = view.search_path().map(BStr::to_owned).unwrap_or_default();
        let path_tag = match view.path_tags() {
            PathTags::None => TaggedPath::None,
            PathTags::Rpath(_) => TaggedPath::Rpath(search_path),
            PathTags::Runpath(_) => TaggedPath::Runpath(search_path, false),
            PathTags::Both(_) => TaggedPath::Runpath(search_path, true),
        };
        let flags = view.dynamic.value(dt::DT_FLAGS_1).unwrap_or(0);
        let interpreter = view.interpreter().map(BStr::to_owned);
        Self {
            path,
            identity,
            class: view.encoding.class(),
            is_big_endian: view.encoding.is_big_endian,
            code: view.header.e_machine,
            machine: view.machine(),
            is_secure: interpreter.is_some() && mode & SET_ID != 0,
            interpreter,
            soname: view.soname().map(BStr::to_owned),
            abi: Abi::of(view.bytes).unwrap_or_default(),
            dependencies: named.filter_map(|(ask, at)| Some((ask, name(at)?))).collect(),
            path_tag,
            is_executable: view.header.e_type == ET_EXEC || flags & dt::DF_1_PIE != 0,
            no_default_directories: flags & dt::DF_1_NODEFLIB != 0,
            versions: SymbolVersions::parse(view).map_err(|error| error.to_string().into()),
            hints: ldcache::find(view).map(|note| hints(note.descriptor.of(view.bytes).unwrap_or_default())),
        }
    }

    /// A library of which no more is known than its DT_SONAME: it stands for one that only the target has.
    #[must_use]
    pub(crate) fn opaque(path: BString, identity: (u64, u64), soname: BString, machine: &'static Machine) -> Self {
        let (code, class, is_big_endian) = machine.ident();
        Self {
            path,
            identity,
            class,
            is_big_endian,
            code,
            machine,
            interpreter: None,
            soname: Some(soname),
            abi: Abi::default(),
            dependencies: Vec::new(),
            path_tag: TaggedPath::None,
            no_default_directories: false,
            is_executable: false,
            is_secure: false,
            hints: None,
            versions: Ok(SymbolVersions::default()),
        }
    }

    /// DT_NEEDED, in order.
    pub(crate) fn needed(&self) -> impl Iterator<Item = &BString> {
        self.dependencies.iter().filter(|(ask, _)| *ask == Ask::Needed).map(|(_, name)| name)
    }

    /// By what a loader tells whether it is for it.
    #[must_use]
    pub(crate) fn ident(&self) -> Ident {
        let data = if self.is_big_endian { 2 } else { 1 };
        Ident { class: self.class.ident(), data, code: self.code, abi: self.abi }
    }

    /// The same object in a file that has capabilities: a program is started with more rights than its user has.
    #[must_use]
    pub(crate) fn with_capabilities(self, has_capabilities: bool) -> Self {
        Self { is_secure: self.is_secure || (has_capabilities && self.is_program()), ..self }
    }

    /// Whether PT_INTERP says that people start it.
    #[must_use]
    pub(crate) fn is_program(&self) -> bool {
        self.interpreter.is_some()
    }

    /// The directory that it lies in.
    #[must_use]
    pub(crate) fn directory(&self) -> &BStr {
        directory_of(self.path.as_bstr())
    }

    /// The last component of its path.
    #[must_use]
    pub(crate) fn file_name(&self) -> &BStr {
        split_name(self.path.as_bstr()).map_or(self.path.as_bstr(), |(_, name)| name)
    }
}

/// A path without its last component, as `$ORIGIN` sees it; `.` for a bare name.
#[must_use]
pub(super) fn directory_of(path: &BStr) -> &BStr {
    match split_name(path) {
        Some((directory, _)) if directory.is_empty() => "/".into(),
        Some((directory, _)) => directory,
        None => ".".into(),
    }
}

/// What stands before and behind the last slash of a path.
fn split_name(path: &BStr) -> Option<(&BStr, &BStr)> {
    let (directory, name) = path.split_at_checked(path.rfind_byte(b'/')?)?;
    Some((directory.as_bstr(), name.get(1..)?.as_bstr()))
}

/// Pairs of NUL-terminated strings until an empty soname; what cannot be read any more is left out.
#[must_use]
pub(crate) fn hints(descriptor: &[u8]) -> Vec<CacheHint> {
    let mut strings = descriptor.split(|byte| *byte == 0);
    let mut hints = Vec::new();
    while let Some(soname) = strings.next().filter(|soname| !soname.is_empty()) {
        let Some(answers) = strings.next() else { break };
        let answers = answers.split_str(":").filter(|answer| !answer.is_empty()).map(BString::from).collect();
        hints.push(CacheHint { soname: soname.into(), answers });
    }
    hints
}
