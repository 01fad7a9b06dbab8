//! One look at one file: opened once, told from its first bytes, parsed. Every command that only reads begins here.

use super::source::{Source, SourceFile};
use crate::elf::error::ParseError;
use crate::elf::view::{Subject, has_magic};
use crate::fsio::{FileError, Site};

/// What a look shows.
pub(super) enum Seen<'f> {
    /// Not an ELF file.
    NotElf,
    /// An ELF file, and what its bytes turn out to be.
    Elf(&'f SourceFile, Result<Subject<'f>, ParseError>),
}

/// Opens a file and hands on what it is; its bytes go with the call.
///
/// # Errors
/// [`FileError`] when it cannot be opened or read.
pub(super) fn look<T>(source: &dyn Source, site: Site<'_>, then: impl FnOnce(Seen<'_>) -> T) -> Result<T, FileError> {
    match source.open(site, &has_magic)? {
        None => Ok(then(Seen::NotElf)),
        Some(file) => {
            let told = then(seen(&file));
            file.check_whole().map(|()| told)
        }
    }
}

/// The same for a file that is open already, whatever its first bytes are.
pub(super) fn seen(file: &SourceFile) -> Seen<'_> {
    if has_magic(file.bytes()) {
        Seen::Elf(file, Subject::parse_sparse(file.bytes(), &file.data))
    } else {
        Seen::NotElf
    }
}
