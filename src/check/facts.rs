//! What is known of a file once it was opened, and no more: nothing here is decided.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use bstr::BString;

use super::policy::CheckPolicy;
use super::record::FileRecord;
use crate::cuda::{
    self, Companion, CompatNote, CompatNoteError, Consumer, Counting, DriverLibraries, DriverLibrary, GpuCode,
    LibraryNames, Request, RequestKind,
};
use crate::elf::data::DataMap;
use crate::elf::journal_mark::carries_journal;
use crate::elf::units::{FileRange, len64};
use crate::elf::view::{ElfView, NotApplicable};
use crate::loader::Object;
use crate::runpath::EntryClass;

/// What is read of a file beyond what the loader reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// Which names are those of driver libraries.
    pub(crate) libraries: &'a DriverLibraries,
    /// Names of other libraries, of which it is asked whether it opens them.
    pub(crate) beside: Option<&'a LibraryNames>,
    /// Its GPU code too.
    pub(crate) gpu_code: bool,
}

impl<'a> Reading<'a> {
    /// What a policy needs to know.
    #[must_use]
    pub(crate) fn of(policy: &'a CheckPolicy) -> Self {
        Self { libraries: &policy.libraries, beside: None, gpu_code: policy.reads_gpu_code() }
    }

    /// The same, and whether it opens these.
    #[must_use]
    pub(crate) fn with(self, beside: &'a LibraryNames) -> Self {
        Self { beside: Some(beside), ..self }
    }

    /// A file's GPU code, if that is asked for.
    #[must_use]
    pub(crate) fn gpu_code(self, bytes: &[u8], data: &DataMap) -> GpuCode {
        if !self.gpu_code {
            return GpuCode::default();
        }
        match cuda::of_file(bytes, data, Counting::Off) {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => cuda::unparsed(error),
        }
    }
}

/// A statically linked program's facts.
#[derive(Clone, Debug)]
pub(crate) struct StaticProgram {
    /// The driver libraries that it names.
    pub(crate) names: Vec<String>,
    /// Its GPU code, if that was asked for.
    pub(crate) gpu_code: GpuCode,
    /// Its size and contents, if that was asked for.
    pub(crate) record: Option<FileRecord>,
}

impl StaticProgram {
    /// Reads a file's bytes.
    #[must_use]
    pub(crate) fn of(bytes: &[u8], data: &DataMap, reading: Reading<'_>) -> Self {
        let whole = FileRange::between(0, len64(bytes));
        let parts = whole.into_iter().flat_map(|whole| data.within(whole)).filter_map(|range| range.of(bytes));
        Self { names: cuda::names_in(parts, reading.libraries), gpu_code: reading.gpu_code(bytes, data), record: None }
    }
}

/// The facts of a file that no loader reads, and that has GPU code: an object file, an archive, a cubin by itself.
#[derive(Clone, Debug)]
pub(crate) struct CodeFile {
    /// It is ELF all the same.
    pub(crate) is_elf: bool,
    /// Its GPU code.
    pub(crate) gpu_code: GpuCode,
    /// Its size and contents, if that was asked for.
    pub(crate) record: Option<FileRecord>,
}

/// An object's facts.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The path as it was given, or found by a search.
    pub shown: PathBuf,
    /// What the loader reads from it.
    pub(crate) object: Arc<Object>,
    /// What it says about driver libraries; nothing for objects that a search found outside of what is checked.
    pub(crate) consumer: Consumer,
    /// The Python script for which it opens libraries: it is the module `_ctypes`.
    pub(crate) script: Option<PathBuf>,
    /// What it opens by name of all that lies in the driver directory and is not the driver's.
    pub(crate) opens: Vec<BString>,
    /// It only stands in for a driver library.
    pub(crate) is_stub: bool,
    /// What a libcuda opens for itself.
    pub(crate) companions: Vec<Companion>,
    /// It is called as a driver library and does nothing.
    does_nothing: bool,
    /// Which library of the driver it is, by its name or by what is in it.
    pub(crate) driver: Option<&'static DriverLibrary>,
    /// What a compat libcuda says of itself.
    pub(crate) compat_note: Option<Result<CompatNote, CompatNoteError>>,
    /// Its GPU code, if that was asked for.
    pub(crate) gpu_code: GpuCode,
    /// It ends like a file in which an edit was interrupted.
    pub(crate) carries_journal: bool,
    /// Its size and contents, if that was asked for.
    pub(crate) record: Option<FileRecord>,
}

impl Facts {
    /// Reads everything, the object's data included.
    #[must_use]
    pub(crate) fn of(view: &ElfView<'_>, shown: PathBuf, object: Object, reading: Reading<'_>) -> Self {
        Self {
            consumer: Consumer::of(view, reading.libraries),
            gpu_code: reading.gpu_code(view.bytes, view.data),
            opens: reading.beside.map(|beside| beside.opened_by(view)).unwrap_or_default(),
            ..Self::of_found(view, shown, object)
        }
    }

    /// Adds what scripts ask for through it: libraries, each with the first script that names it.
    pub(crate) fn open_for(&mut self, names: &BTreeMap<String, PathBuf>, libraries: &DriverLibraries) {
        let requests = &mut self.consumer.requests;
        for (soname, script) in names {
            if !requests.iter().any(|request| request.soname == *soname) {
                self.script.get_or_insert_with(|| script.clone());
                requests.push(Request { soname: soname.clone(), kind: RequestKind::String });
            }
        }
        requests.sort_by_key(|request| libraries.position(request.soname.as_bytes()));
    }

    /// Whether it only stands in for a driver library, in a directory of this role: one that does nothing is a stub
    /// everywhere but where options say that the driver is.
    #[must_use]
    pub(crate) fn stands_in(&self, role: EntryClass) -> bool {
        self.is_stub || (self.does_nothing && !matches!(role, EntryClass::Compat | EntryClass::Driver))
    }

    /// What is known of a library that only the target has.
    #[must_use]
    pub(crate) fn opaque(object: Object) -> Self {
        Self {
            shown: PathBuf::from(OsStr::from_bytes(&object.path)),
            driver: object.soname.as_ref().and_then(|soname| cuda::driver_library(soname)),
            object: Arc::new(object),
            consumer: Consumer::default(),
            script: None,
            opens: Vec::new(),
            is_stub: false,
            companions: Vec::new(),
            does_nothing: false,
            compat_note: None,
            gpu_code: GpuCode::default(),
            carries_journal: false,
            record: None,
        }
    }

    /// Reads what matters of an object that is not checked itself.
    #[must_use]
    pub(crate) fn of_found(view: &ElfView<'_>, shown: PathBuf, object: Object) -> Self {
        Self {
            shown,
            object: Arc::new(object),
            consumer: Consumer::without_data(view),
            script: None,
            opens: Vec::new(),
            is_stub: cuda::is_stub(view),
            companions: cuda::companions_of(view),
            does_nothing: cuda::does_nothing(view),
            driver: cuda::driver_of(view),
            compat_note: CompatNote::of(view),
            gpu_code: GpuCode::default(),
            carries_journal: carries_journal(view.bytes),
            record: None,
        }
    }
}

/// What a file turned out to be.
#[derive(Clone, Debug)]
pub(crate) enum Inspected {
    /// Not ELF.
    NotElf,
    /// An object.
    Object(Arc<Facts>),
    /// A statically linked program.
    Static(StaticProgram),
    /// Another file without a search path.
    NotApplicable(NotApplicable),
    /// The same, or no ELF file, with GPU code, if that was asked for.
    Code(CodeFile),
    /// It was read and contradicts itself.
    Malformed(String),
    /// It could not be read, and why: nothing is known of it.
    Unread(String),
}

impl Inspected {
    /// The same with the size and contents of the file; where it is none that a comparison is about, as it was.
    #[must_use]
    pub(crate) fn recorded(mut self, record: impl FnOnce() -> FileRecord) -> Self {
        match &mut self {
            Self::Object(facts) => Arc::make_mut(facts).record = Some(record()),
            Self::Static(program) => program.record = Some(record()),
            Self::Code(file) => file.record = Some(record()),
            Self::NotElf | Self::NotApplicable(_) | Self::Malformed(_) | Self::Unread(_) => {}
        }
        self
    }
}

/// A file of the list.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// The path as it was given.
    pub(crate) shown: PathBuf,
    /// What it is.
    pub(crate) inspected: Inspected,
}
