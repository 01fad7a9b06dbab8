//! Runs the program under test, and every other command, and keeps what it left: exit code and both streams.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use bstr::ByteSlice as _;

use super::require;

/// What a run left behind.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The exit code, [`SIGNALLED`] plus the signal that ended the program, or [`NOT_STARTED`].
    pub(crate) code: i32,
    /// Standard output as text, for messages and for what must be text.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Standard output as it came: not public, so that no run is made of a text and of other bytes.
    bytes: Vec<u8>,
}

/// More than any exit code.
const SIGNALLED: i32 = 1000;
/// The kernel refuses to execute the file, which is an answer too.
const NOT_STARTED: i32 = 2000;
/// How a program ends that reads or writes where nothing is mapped.
pub(crate) const SEGMENTATION_FAULT: i32 = SIGNALLED + 11;
/// How a program ends that was killed.
pub(crate) const KILLED: i32 = SIGNALLED + 9;

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let signalled = || SIGNALLED + output.status.signal().unwrap_or(0);
        Self {
            code: output.status.code().unwrap_or_else(signalled),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }
}

impl Run {
    /// Standard output as it came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same run with other words in place of those that differ from run to run.
    pub(crate) fn replace(&self, from: &str, to: &str) -> Self {
        Self {
            code: self.code,
            stdout: self.stdout.replace(from, to),
            stderr: self.stderr.replace(from, to),
            bytes: self.bytes.replace(from, to),
        }
    }

    /// Whether the program ended by itself, so that the code is its own.
    pub(crate) fn exited(&self) -> bool {
        self.code < SIGNALLED
    }

    /// Everything said, for a failed assertion.
    pub(crate) fn said(&self) -> String {
        format!("exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }

    /// No input may make the program panic or die from a signal.
    pub(crate) fn assert_orderly(&self, what: &str) {
        assert!(!self.stderr.contains("panicked at"), "{what}: {}", self.stderr);
        assert!(matches!(self.code, 0..=2), "{what}: {}", self.said());
    }

    pub(crate) fn assert_code(&self, code: i32, what: &str) {
        self.assert_orderly(what);
        assert_eq!(self.code, code, "{what}: {}", self.said());
    }

    /// The one JSON document that was printed.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("no JSON: {error}\n{}", self.said()))
    }

    /// What `--json` says of each file, by its path.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, serde_json::Value> {
        let document = self.json();
        let files = document["files"].as_array().unwrap_or_else(|| panic!("no files\n{}", self.said()));
        let path = |file: &serde_json::Value| file["path"].as_str().unwrap_or_else(|| panic!("no path: {file}")).into();
        let by_path: BTreeMap<_, _> = files.iter().map(|file| (path(file), file.clone())).collect();
        assert_eq!(by_path.len(), files.len(), "a file is listed twice: {}", self.said());
        by_path
    }

    /// What it says of the one file that was looked at.
    pub(crate) fn file(&self) -> serde_json::Value {
        let mut files = self.files();
        assert_eq!(files.len(), 1, "files: {}", self.said());
        files.pop_first().expect("one").1
    }
}

/// The program under test. `CUDA_RUNPATH_BIN` names another one, for example an installed package.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("CUDA_RUNPATH_BIN").map_or_else(|| env!("CARGO_BIN_EXE_cuda-runpath").into(), PathBuf::from)
}

/// A command with an environment in which nothing of the caller's matters.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // What is compiled for coverage leaves a file wherever it runs.
    command.env("LLVM_PROFILE_FILE", "/dev/null");
    for name in [
        "LD_LIBRARY_PATH",
        "NIX_BUILD_TOP",
        "NIX_BUILD_CORES",
        "NIX_STORE",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "LD_PRELOAD",
        "out",
        "outputs",
    ] {
        command.env_remove(name);
    }
    // Where the program keeps what it signs with.
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// A command for the program under test.
pub(crate) fn binary() -> Command {
    command(program())
}

/// Does something to a command as long as its file is busy: a file that this process just wrote is open for writing in a child
/// that another thread is starting, until that child executes.
fn unless_busy<T>(
    command: &mut Command,
    mut start: impl FnMut(&mut Command) -> std::io::Result<T>,
) -> std::io::Result<T> {
    for _ in 0..200 {
        match start(command) {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
    panic!("{command:?} stays busy")
}

/// Starts a command.
pub(crate) fn spawn(command: &mut Command) -> Child {
    unless_busy(command, Command::spawn).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    unless_busy(command, Command::output).map_or_else(
        |error| {
            let stderr = format!("{command:?}: {error}\n");
            Run { code: NOT_STARTED, stdout: String::new(), stderr, bytes: Vec::new() }
        },
        Run::from,
    )
}

/// Runs a command, and wants this exit code.
pub(crate) fn expect(command: &mut Command, code: i32) -> Run {
    let run = run(command);
    run.assert_code(code, &format!("{command:?}"));
    run
}

/// Runs the program under test.
pub(crate) fn invoke<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Run {
    run(binary().args(arguments))
}

/// Address space that every hostile run gets: an allocation that the file's size does not justify dies here.
pub(crate) const MEMORY: u64 = 512 << 20;

/// Runs the program under test under [`MEMORY`]; without `prlimit` it runs unbounded, and says so once.
pub(crate) fn run_bounded<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(test: &str, arguments: I) -> Run {
    static BOUNDED: OnceLock<bool> = OnceLock::new();
    // A sanitizer maps terabytes that it never uses.
    let sanitized = std::env::var_os("ASAN_OPTIONS").is_some();
    if !sanitized && *BOUNDED.get_or_init(|| require("prlimit", test)) {
        // An endless loop ends by the bound on processor time, as a signal.
        return run(limited(&[&format!("--as={MEMORY}"), "--cpu=300"]).args(arguments));
    }
    invoke(arguments)
}

/// A command for the program under test, under limits that `prlimit` sets. glibc reserves 64 MiB of address space for each of
/// its arenas, and threads that wait for the disk have many: of a limit they would leave a rest of any size. One arena has
/// what was asked for.
pub(crate) fn limited(limits: &[&str]) -> Command {
    let mut limited = command("prlimit");
    limited.env("MALLOC_ARENA_MAX", "1").args(limits).arg(program());
    limited
}

/// Copies a file that will be executed; what was there before goes. Another process does it: a descriptor that this one writes
/// with may be in a child of another test for a moment, and a file that is open for writing cannot be executed. It also keeps
/// holes.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    expect(command("cp").args(["-L", "--remove-destination"]).arg(from).arg(to), 0);
}

/// A process that said that it is ready, and waits for the end of its input (the fixtures' `wait`).
pub(crate) struct Waiting(Child);

impl Waiting {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = spawn(command);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "{command:?}");
        Self(child)
    }

    /// Lets it go on to its end, and says with which code; `None` where a signal ended it.
    pub(crate) fn finish(mut self) -> Option<i32> {
        drop(self.0.stdin.take());
        self.0.wait().unwrap().code()
    }
}
