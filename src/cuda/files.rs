//! Files that are GPU code, or hold some: which kind a file is, is told by its first bytes, never by its name.

use bstr::{BStr, BString};

use super::code::{Form, GpuCode, Place, WHOLE_FILE};
use super::cubin;
use super::fatbin;
use super::field::len;
use super::frame;
use super::problem::CodeProblem;
use super::ptx;
use super::scan::{Counting, Scanner};
use super::spans::FatBinary;
use crate::elf::archive::{self, members};
use crate::elf::contents::{Contents, Part};
use crate::elf::data::DataMap;
use crate::elf::error::ParseError;
use crate::elf::units::FileRange;

/// Names are for people.
const LONGEST_NAME: usize = 255;

/// Whether a file that begins with these bytes, four or more, may be one with GPU code: a text only if it turns out to be
/// PTX.
#[must_use]
pub(crate) fn may_have_code(start: &[u8]) -> bool {
    let magics = [cubin::MAGIC, fatbin::MAGIC, frame::MAGIC, archive::MAGIC];
    magics.iter().any(|magic| start.iter().zip(*magic).all(|(a, b)| a == b)) || ptx::may_be(start)
}

/// The GPU code of a file of any kind; None where it is of no kind that can have some.
///
/// # Errors
/// [`ParseError`] for an ELF file that contradicts itself.
pub(crate) fn of_file(bytes: &[u8], data: &DataMap, counting: Counting) -> Result<Option<GpuCode>, ParseError> {
    // One for all members of an archive: what a file may cost does not grow with their number.
    let mut scanner = Scanner::of(len(bytes.len()), counting);
    if bytes.starts_with(archive::MAGIC) {
        return Ok(Some(of_archive(bytes, data, &mut scanner)));
    }
    of_member(bytes, data, &mut scanner)
}

/// The same of a file without holes.
///
/// # Errors
/// As [`of_file`].
pub fn of_bytes(bytes: &[u8]) -> Result<Option<GpuCode>, ParseError> {
    of_file(bytes, &DataMap::default(), Counting::Off)
}

/// The GPU code of a file, and where each of its containers lies.
///
/// # Errors
/// As [`of_file`].
pub(crate) fn located(bytes: &[u8], data: &DataMap) -> Result<Option<(GpuCode, Vec<FatBinary>)>, ParseError> {
    let mut scanner = Scanner::locating(len(bytes.len()));
    let code = if bytes.starts_with(archive::MAGIC) {
        Some(of_archive(bytes, data, &mut scanner))
    } else {
        of_member(bytes, data, &mut scanner)?
    };
    Ok(code.map(|code| (code, scanner.into_located())))
}

/// Of a file whose contents are not to be found.
#[must_use]
pub(crate) fn unparsed(error: ParseError) -> GpuCode {
    let mut place = whole(Form::Container);
    place.note(error.into());
    GpuCode { places: vec![place] }
}

/// Reads a file that is one or more containers.
#[must_use]
pub fn of_fatbin(bytes: &[u8]) -> GpuCode {
    containers(bytes, &mut Scanner::of(len(bytes.len()), Counting::Off))
}

fn containers(bytes: &[u8], scanner: &mut Scanner) -> GpuCode {
    let part = Part::new(BStr::new(".nv_fatbin"), bytes, 0, false);
    let places = scanner.scan(&part);
    GpuCode { places: places.map(|place| Place { name: WHOLE_FILE.into(), ..place }).collect() }
}

fn whole(form: Form) -> Place {
    Place::new(WHOLE_FILE.into(), form)
}

/// A file that is no archive.
fn of_member(bytes: &[u8], data: &DataMap, scanner: &mut Scanner) -> Result<Option<GpuCode>, ParseError> {
    let mut place = whole(Form::File);
    if cubin::is_cubin(bytes) {
        scanner.raw(bytes, 0, &mut place);
    } else if bytes.starts_with(cubin::MAGIC) {
        return Ok(Some(scanner.contents(&Contents::parse_sparse(bytes, data)?)));
    } else if fatbin::is_fatbin(bytes) {
        return Ok(Some(containers(bytes, scanner)));
    } else if bytes.starts_with(frame::MAGIC) {
        place.form = Form::Frame;
        scanner.frame(bytes, 0, &mut place);
    } else if let Some(module) = ptx::may_be(bytes).then(|| ptx::of_file(bytes)).flatten() {
        scanner.add(&mut place, module, bytes);
    }
    Ok(place.is_told().then(|| GpuCode { places: vec![place] }))
}

/// The members of an archive, sections of one name together.
fn of_archive(bytes: &[u8], data: &DataMap, scanner: &mut Scanner) -> GpuCode {
    let mut broken = whole(Form::Container);
    let found = members(bytes).filter_map(|member| {
        let problem = match member {
            Err(error) => CodeProblem::Archive(error),
            Ok((name, _, body)) if body.starts_with(archive::MAGIC) => {
                CodeProblem::Archive(format!("{} is one itself, which is not looked into", shortened(name)))
            }
            Ok((name, start, body)) => {
                scanner.enter(start);
                let range = FileRange::between(start, start.saturating_add(len(body.len())));
                let data = range.map(|range| data.part(range)).unwrap_or_default();
                match of_member(body, &data, scanner) {
                    Ok(code) => return code.map(|code| of_member_named(name, code)),
                    Err(error) => CodeProblem::Archive(format!("{}: {error}", shortened(name))),
                }
            }
        };
        broken.note(problem);
        None
    });
    let mut code = GpuCode::together(found);
    code.places.extend(Some(broken).filter(Place::is_told));
    code
}

/// Offsets in problems are those in the member.
fn of_member_named(name: &[u8], mut code: GpuCode) -> GpuCode {
    for problem in code.places.iter_mut().flat_map(|place| &mut place.problems) {
        *problem = CodeProblem::Archive(format!("{}: {problem}", shortened(name)));
    }
    code
}

fn shortened(name: &[u8]) -> BString {
    BString::from(name.get(..LONGEST_NAME).unwrap_or(name))
}
