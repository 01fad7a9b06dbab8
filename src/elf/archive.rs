//! The members of an archive (`.a`): object files one behind another, each with a header of text.

use object::read::archive::ArchiveFile;

/// What an archive begins with. A thin one (`!<thin>`) has names only: its members are files by themselves.
pub(crate) const MAGIC: &[u8] = b"!<arch>\n";

/// A member: its name, where it begins, its bytes; or why it and what stands behind it cannot be told.
pub(crate) type Member<'a> = Result<(&'a [u8], u64, &'a [u8]), String>;

/// The members of an archive, in order, tables of symbols and names left out. No byte is in two of them.
pub(crate) fn members(bytes: &[u8]) -> impl Iterator<Item = Member<'_>> {
    let (archive, error) = match ArchiveFile::parse(bytes) {
        Ok(archive) => (Some(archive), None),
        Err(error) => (None, Some(Err(error.to_string()))),
    };
    let members = archive.into_iter().flat_map(move |archive| {
        archive.members().map(move |member| {
            let member = member.map_err(|error| error.to_string())?;
            let body = member.data(bytes).map_err(|error| error.to_string())?;
            Ok((member.name(), member.file_range().0, body))
        })
    });
    members.chain(error)
}
