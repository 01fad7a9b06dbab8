//! The entries of a tar archive, one after the other: names from all four places where they may stand, and bounds for what
//! describes an entry.

use std::io::{self, Read};

use bstr::BString;
use tar::{Archive, Entry, EntryType, PaxExtensions};

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TarKind {
    File,
    Directory,
    /// A symbolic link and its text.
    Link(BString),
    /// Another name of an entry.
    HardLink(BString),
    /// A device, a FIFO.
    Special,
}

/// An entry of a tar archive.
#[derive(Clone, Debug)]
pub(super) struct TarEntry {
    pub(super) name: BString,
    pub(super) kind: TarKind,
    pub(super) mode: u32,
    /// Where its contents start in the archive, and how many bytes they have.
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Its first bytes, where they were asked for; fewer in a shorter file are followed by zeros.
    pub(super) start: [u8; 4],
    /// It has `security.capability`.
    pub(super) has_capabilities: bool,
}

/// Bytes of a long name or of all extended attributes of an entry.
const LONGEST_DESCRIPTION: u64 = 1 << 20;

/// Bytes of a block (POSIX.1-2024, pax, "ustar Interchange Format").
const BLOCK: u64 = 512;

/// What stands in front of an entry and describes it.
#[derive(Default, PartialEq, Eq)]
struct Described {
    name: Option<BString>,
    link: Option<BString>,
    has_capabilities: bool,
    size: Option<u64>,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Hands on every entry of an archive with a reader of its contents, until there is no more or `then` fails.
pub(super) fn each_entry<E: From<io::Error>>(
    archive: impl Read,
    then: &mut dyn FnMut(TarEntry, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut archive = Archive::new(archive);
    let mut described = Described::default();
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => described.name = Some(zero_ended(&description(&mut entry)?)),
            EntryType::GNULongLink => described.link = Some(zero_ended(&description(&mut entry)?)),
            EntryType::XHeader => described.take_in(&description(&mut entry)?)?,
            // They are about times and owners.
            EntryType::XGlobalHeader => drop(description(&mut entry)?),
            _ => {
                let told = tell(&entry, kind, std::mem::take(&mut described))?;
                then(told, &mut entry)?;
            }
        }
    }
    if described.is_something() {
        return Err(invalid("what describes an entry has none behind it").into());
    }
    // One block of zeros was read, where there is one; two are the end. Behind one alone some programs read on, others do not.
    let mut second = Vec::new();
    archive.into_inner().take(BLOCK).read_to_end(&mut second)?;
    if second.iter().any(|byte| *byte != 0) {
        return Err(invalid("something behind a single block of zeros").into());
    }
    Ok(())
}

fn description(entry: &mut Entry<'_, impl Read>) -> io::Result<Vec<u8>> {
    if entry.size() > LONGEST_DESCRIPTION {
        return Err(invalid("what describes an entry has more than 1 MiB"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn zero_ended(bytes: &[u8]) -> BString {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().into()
}

impl Described {
    fn is_something(&self) -> bool {
        *self != Self::default()
    }

    /// POSIX.1-2024, pax, "pax Extended Header".
    fn take_in(&mut self, records: &[u8]) -> io::Result<()> {
        for record in PaxExtensions::new(records) {
            let record = record?;
            match record.key_bytes() {
                b"path" => self.name = Some(record.value_bytes().into()),
                b"linkpath" => self.link = Some(record.value_bytes().into()),
                b"size" => {
                    let size = record.value().ok().and_then(|size| size.parse().ok());
                    self.size = Some(size.ok_or_else(|| invalid("the size of an entry is no number"))?);
                }
                b"SCHILY.xattr.security.capability" => self.has_capabilities = true,
                key if key.starts_with(b"GNU.sparse.") => return Err(invalid("a file with holes (GNU.sparse)")),
                _ => {}
            }
        }
        Ok(())
    }
}

fn tell(entry: &Entry<'_, impl Read>, kind: EntryType, described: Described) -> io::Result<TarEntry> {
    let header = entry.header();
    let len = entry.size();
    if described.size.is_some_and(|size| size != len) {
        return Err(invalid("two sizes of one entry"));
    }
    let link = || described.link.clone().or_else(|| Some(header.link_name_bytes()?.into_owned().into()));
    let link = || link().ok_or_else(|| invalid("a link to nothing"));
    let kind = match kind {
        EntryType::Regular | EntryType::Continuous => TarKind::File,
        EntryType::Directory => TarKind::Directory,
        EntryType::Symlink => TarKind::Link(link()?),
        EntryType::Link => TarKind::HardLink(link()?),
        EntryType::Block | EntryType::Char | EntryType::Fifo => TarKind::Special,
        EntryType::GNUSparse => return Err(invalid("a file with holes (GNU sparse)")),
        _ => return Err(invalid("an entry of an unknown kind")),
    };
    // Readers do not agree on where the next entry begins.
    if kind != TarKind::File && len > 0 {
        return Err(invalid("contents of what is no file"));
    }
    let name = described.name.unwrap_or_else(|| header.path_bytes().into_owned().into());
    // The oldest archives had no kind for directories.
    let kind = if kind == TarKind::File && name.ends_with(b"/") { TarKind::Directory } else { kind };
    Ok(TarEntry {
        kind,
        mode: header.mode()?,
        offset: entry.raw_file_position(),
        len,
        start: [0; 4],
        has_capabilities: described.has_capabilities,
        name,
    })
}
