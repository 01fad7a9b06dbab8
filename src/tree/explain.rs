//! One object's searches, explained in the world that a check would use.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::ByteSlice;

use super::check::{LARGEST_WRAPPER, inspect_one};
use super::world::{LookError, SourceWorld};
use crate::check::{CheckPolicy, Context, Explanation, Facts, Inspected, Question, Wrapper, library_path};
use crate::fsio::ImagePath;
use crate::loader::{Environment, FileSystem};

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The file is no object.
    #[error("{}", path.display())]
    File {
        /// The file as it was given.
        path: PathBuf,
        /// Why.
        source: LookError,
    },
    /// The program cannot load the object.
    #[error("{} cannot load {}, which is for another machine", program.display(), path.display())]
    NotLoaded {
        /// The object.
        path: PathBuf,
        /// The program.
        program: PathBuf,
    },
}

/// Explains what the object at `path` asks for, in the process of `program` where one is given.
///
/// # Errors
/// [`ExplainError`] when one of them is no object, or the program cannot load the other one.
pub fn explain(
    world: &mut SourceWorld,
    policy: &CheckPolicy,
    environment: Environment,
    (path, program): (&ImagePath, Option<&ImagePath>),
    question: &Question,
) -> Result<Explanation, ExplainError> {
    let facts = object(world, policy, path)?;
    let program_facts = program.map(|program| object(world, policy, program)).transpose()?;
    let objects: Vec<Arc<Facts>> =
        [Some(&facts), program_facts.as_ref()].into_iter().flatten().map(Arc::clone).collect();
    // A relative path is one in the directory where the program is started.
    let here = environment.working_directory.clone().unwrap_or_else(|| "/".into());
    let opened = Path::new(OsStr::from_bytes(&here)).join(path.as_path());
    let context = Context::new(world, policy, environment, &objects);
    let context = if program.is_none() { context.with_own_loader(&facts) } else { context };
    let opened = opened.as_os_str().as_bytes().as_bstr();
    let explanation = context.explain((&facts, opened), program_facts.as_ref(), question);
    explanation.ok_or_else(|| ExplainError::NotLoaded {
        path: path.as_path().to_owned(),
        program: program.unwrap_or(path).as_path().to_owned(),
    })
}

fn object(world: &mut SourceWorld, policy: &CheckPolicy, path: &ImagePath) -> Result<Arc<Facts>, ExplainError> {
    let error = |source| ExplainError::File { path: path.as_path().to_owned(), source };
    let resolved = world.resolve(path).ok_or_else(|| error(LookError::Missing))?;
    match inspect_one(path.as_path(), &resolved, world.source(), policy) {
        Inspected::Object(facts) => {
            world.know(&facts);
            find_wrappers(world, resolved.as_path());
            Ok(facts)
        }
        Inspected::Code(_) => Err(error(LookError::NoObject("GPU code, or a file that no loader reads with some"))),
        Inspected::NotElf => Err(error(LookError::NoObject("not an ELF file"))),
        Inspected::Static(_) => Err(error(LookError::NoObject("statically linked: nothing is searched"))),
        Inspected::NotApplicable(reason) => Err(error(LookError::NoObject(reason.reason()))),
        Inspected::Malformed(reason) | Inspected::Unread(reason) => Err(error(LookError::Unreadable(reason.into()))),
    }
}

/// Takes in the wrappers of a hidden program, which lie beside it, the innermost first.
fn find_wrappers(world: &mut SourceWorld, hidden: &Path) {
    let name = hidden.file_name().unwrap_or_default().as_bytes();
    let Some(plain) = name.strip_prefix(b".").and_then(|name| name.strip_suffix(b"-wrapped")) else { return };
    let inner = (1_usize..).map(|count| [name, &b"_".repeat(count)].concat());
    let read = |name: &[u8]| {
        let shown = hidden.with_file_name(OsStr::from_bytes(name));
        let bytes =
            world.read(shown.as_os_str().as_bytes().as_bstr()).filter(|bytes| bytes.len() <= LARGEST_WRAPPER)?;
        Some(Wrapper { shown, library_path: library_path(&bytes) })
    };
    let wrappers: Vec<Wrapper> = inner.map_while(|name| read(&name)).chain(read(plain)).collect();
    for wrapper in wrappers {
        world.wrap(hidden.as_os_str().as_bytes().into(), wrapper);
    }
}
