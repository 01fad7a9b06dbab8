//! What glibc's loader says it did (`LD_DEBUG=libs,files`), in the shape of [`super::compare::Searched`].

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::compare::Searched;
use crate::harness::Run;
use crate::harness::run::spawn;

/// Everything that a traced process searched for.
#[derive(Debug)]
pub(super) struct Trace {
    /// In the order in which it happened.
    pub(super) searches: Vec<Searched>,
    pub(super) run: Run,
}

/// Runs a command under LD_DEBUG. What the loader writes goes to files in `scratch`, one for each process; only the
/// first process's is read.
pub(super) fn traced(command: &mut Command, scratch: &Path) -> Trace {
    logged(command.env("LD_DEBUG", "libs,files").env("LD_DEBUG_OUTPUT", scratch.join(LOG)), scratch)
}

/// The start of the name of every file that the loader writes.
pub(super) const LOG: &str = "ld-debug";

/// Runs a command that sees to it that the loader writes to `scratch`.
pub(super) fn logged(command: &mut Command, scratch: &Path) -> Trace {
    let child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let log = scratch.join(format!("{LOG}.{}", child.id()));
    let run: Run = child.wait_with_output().expect("the traced program ends").into();
    let text = std::fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_else(|error| panic!("{command:?} left no trace: {error}\n{}", run.stderr));
    std::fs::remove_file(&log).expect("the trace is ours");
    Trace { searches: parse(&text), run }
}

/// Reads a trace. The loader answers names that are in the process already without a word.
pub(super) fn parse(text: &str) -> Vec<Searched> {
    let mut searches: Vec<Searched> = Vec::new();
    for line in text.lines().filter_map(message) {
        if let Some((name, asker)) = asks(line) {
            searches.push(Searched { by: asker.into(), name: name.into(), tried: Vec::new(), found: None });
        } else if let Some(path) = line.strip_prefix("  trying file=") {
            let search = searches.last_mut().expect("a place is tried in a search");
            search.tried.push(path.into());
        } else if let Some(name) =
            line.strip_prefix("file=").and_then(|rest| rest.split_once(" [0];  generating link map"))
        {
            // No object asks for the one that is given to the loader.
            let asked = searches.last_mut().filter(|search| search.name == name.0 && search.found.is_none());
            if let Some(search) = asked {
                // A name with a slash is mapped without being tried.
                search.found = Some(search.tried.last().cloned().unwrap_or_else(|| name.0.into()));
            }
        }
    }
    searches
}

/// A line without the process's number; anything else is the program's own output.
fn message(line: &str) -> Option<&str> {
    let (process, message) = line.split_once(":\t")?;
    process.trim_start().bytes().all(|byte| byte.is_ascii_digit()).then_some(message)
}

/// `file=libx.so [0];  needed by /bin/x [0]`, or `dynamically loaded by`.
fn asks(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("file=")?.split_once(" [0];  ")?;
    let asker = rest.strip_prefix("needed by ").or_else(|| rest.strip_prefix("dynamically loaded by "))?;
    Some((name, asker.strip_suffix(" [0]")?))
}

/// A second path of a file that is in the process is found without being mapped again, which the trace does not tell
/// from nothing found.
pub(super) fn recognise_loaded(searches: &mut [Searched], program: &Path) {
    let identity = |path: &PathBuf| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let mut loaded: Vec<(u64, u64)> = identity(&program.to_owned()).into_iter().collect();
    for search in searches {
        match &search.found {
            Some(found) => loaded.extend(identity(found)),
            None => {
                let last = search.tried.last();
                let again = last.filter(|last| identity(last).is_some_and(|id| loaded.contains(&id)));
                search.found = again.cloned();
            }
        }
    }
}

#[test]
fn traces_are_read_whatever_the_program_prints() {
    let text = "\
      8698:\t
      8698:\tfile=libx.so [0];  needed by ./a [0]
      8698:\tfind library=libx.so [0]; searching
      8698:\t search path=/n/tls:/n\t\t(RUNPATH from file ./a)
      8698:\t  trying file=/n/tls/libx.so
hello:\tworld
      8698:\t  trying file=/n/libx.so
      8698:\t search cache=/etc/ld.so.cache
      8698:\t
      8698:\tfile=libx.so [0];  generating link map
      8698:\t  dynamic: 0x00007f3ead64bb60  base: 0x00007f3ead479000   size: 0x00000000001e1f50
      8698:\tfile=/y/liby.so [0];  dynamically loaded by /n/libx.so [0]
";
    let searches = parse(text);
    let expected = [
        Searched {
            by: "./a".into(),
            name: "libx.so".into(),
            tried: vec!["/n/tls/libx.so".into(), "/n/libx.so".into()],
            found: Some("/n/libx.so".into()),
        },
        Searched { by: "/n/libx.so".into(), name: "/y/liby.so".into(), tried: Vec::new(), found: None },
    ];
    assert_eq!(searches, expected);
}
