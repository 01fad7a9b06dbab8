//! Shared by all tests: a temporary tree, the program, snapshots of files, and what to do about a missing tool.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The program under test. `CUDA_RUNPATH_BIN` names another one, for example an installed package.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("CUDA_RUNPATH_BIN").map_or_else(|| env!("CARGO_BIN_EXE_cuda-runpath").into(), PathBuf::from)
}

/// Copies a file that will be executed. Another process does it: a descriptor that this one writes with may be in a child
/// of another test for a moment, and a file that is open for writing cannot be executed.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let run: Run = command("cp").arg("-L").arg(from).arg(to).output().expect("cp starts").into();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

/// Whether `tool` is there. If not, the test is named as skipped, or fails where `CUDA_RUNPATH_REQUIRE_TOOLS=1` says that nothing may be skipped.
pub(crate) fn require(tool: &str, test: &str) -> bool {
    if found(tool) {
        return true;
    }
    skip(test, &format!("{tool} is not installed"));
    false
}

/// Names a test as skipped; where nothing may be skipped it fails.
pub(crate) fn skip(test: &str, reason: &str) {
    let strict = std::env::var_os("CUDA_RUNPATH_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(!strict, "SKIP {test}: {reason}, and CUDA_RUNPATH_REQUIRE_TOOLS=1 forbids skips");
    eprintln!("SKIP {test}: {reason}");
}

/// Whether every combination is wanted (`tests/run --long`), not the choice of them that fits a commit.
#[allow(dead_code, reason = "for the tests with more combinations than a commit can wait for")]
pub(crate) fn long() -> bool {
    std::env::var_os("CUDA_RUNPATH_LONG").is_some_and(|value| value == "1")
}

pub(crate) fn found(tool: &str) -> bool {
    if tool.contains('/') {
        return Path::new(tool).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// What a run left behind: exit code and both streams as text.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// None when a signal ended the program.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Run {
    /// No input may make the program panic or die from a signal.
    pub(crate) fn assert_orderly(&self, what: &str) {
        assert!(!self.stderr.contains("panicked at"), "{what}: {}", self.stderr);
        assert!(matches!(self.code, Some(0..=2)), "{what}: exit {:?}\n{}", self.code, self.stderr);
    }

    pub(crate) fn assert_code(&self, code: i32, what: &str) {
        self.assert_orderly(what);
        assert_eq!(self.code, Some(code), "{what}\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.stdout, self.stderr))
    }
}

/// A command with an environment in which nothing of the caller's matters.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
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
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// A command for the program under test.
pub(crate) fn binary() -> Command {
    command(program())
}

/// Runs the program.
pub(crate) fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Run {
    command(program()).args(arguments).output().expect("the program starts").into()
}

/// Address space that every hostile run gets: an allocation that the file's size does not justify dies here.
pub(crate) const MEMORY: u64 = 512 << 20;

/// Runs the program under [`MEMORY`]; without `prlimit` it runs unbounded, and says so once.
pub(crate) fn run_bounded<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(test: &str, arguments: I) -> Run {
    static BOUNDED: OnceLock<bool> = OnceLock::new();
    // A sanitizer maps terabytes that it never uses.
    let sanitized = std::env::var_os("ASAN_OPTIONS").is_some();
    if !sanitized && *BOUNDED.get_or_init(|| require("prlimit", test)) {
        let mut limited = command("prlimit");
        // An endless loop ends by the bound on processor time, as a signal.
        limited.arg(format!("--as={MEMORY}")).arg("--cpu=300").arg(program()).args(arguments);
        return limited.output().expect("prlimit starts").into();
    }
    run(arguments)
}

/// What must stay the same where nothing was to be written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) bytes: Vec<u8>,
    pub(crate) modified: (i64, i64),
    pub(crate) inode: u64,
    pub(crate) mode: u32,
}

impl std::fmt::Debug for Snapshot {
    // Megabytes of numbers would hide what differs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        self.bytes.hash(&mut hasher);
        let (len, hash) = (self.bytes.len(), hasher.finish());
        write!(f, "{len} bytes #{hash:x}, inode {}, modified {:?}, mode {:o}", self.inode, self.modified, self.mode)
    }
}

impl Snapshot {
    pub(crate) fn of(path: &Path) -> Self {
        let meta = std::fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { bytes, modified: (meta.mtime(), meta.mtime_nsec()), inode: meta.ino(), mode: meta.mode() }
    }

    /// Compares without printing megabytes.
    pub(crate) fn assert_same(&self, now: &Self, what: &str) {
        assert!(self.bytes == now.bytes, "{what}: the bytes changed");
        assert_eq!(
            (self.modified, self.inode, self.mode),
            (now.modified, now.inode, now.mode),
            "{what}: time, inode or mode changed"
        );
    }
}

/// A temporary folder with files in it.
pub(crate) struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The same in memory where there is such a file system: the default write mode waits for the disk after every file, and
    /// tests with thousands of files have nothing to learn from that.
    pub(crate) fn in_memory() -> Self {
        tempfile::tempdir_in("/dev/shm").map_or_else(|_| Self::new(), |folder| Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file with an old time stamp, so that a write within the clock's granularity is seen.
    pub(crate) fn file(&self, name: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().expect("inside the tree")).expect("a folder");
        std::fs::write(&path, bytes).expect("a file");
        age(&path);
        path
    }
}

/// Sets the modification time to a day long ago.
pub(crate) fn age(path: &Path) {
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_modified(then))
        .expect("an old time stamp");
}

/// Compiles a C program once; None where there is no C compiler.
pub(crate) fn compile(name: &str, source: &str, test: &str) -> Option<PathBuf> {
    if !require("cc", test) {
        return None;
    }
    // Built beside and renamed: another test run may be using the last one.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let fresh = folder.join(format!("{name}.{}", std::process::id()));
    let (input, output) = (fresh.with_extension(format!("{}.c", std::process::id())), folder.join(name));
    std::fs::write(&input, source).expect("a source file");
    let run: Run =
        command("cc").arg("-O1").arg("-o").arg(&fresh).arg(&input).arg("-ldl").output().expect("cc starts").into();
    assert_eq!(run.code, Some(0), "cc failed: {}", run.stderr);
    std::fs::rename(&fresh, &output).and_then(|()| std::fs::remove_file(&input)).expect("a compiled helper");
    Some(output)
}

/// A shell that may mount in a namespace of its own; None where the kernel refuses.
pub(crate) fn mounting_shell(test: &str, script: &str) -> Option<Command> {
    if !require("unshare", test) || !require("mount", test) {
        return None;
    }
    let is_root = rustix::process::geteuid().is_root();
    let flags: &[&str] = if is_root { &["-m"] } else { &["-U", "-r", "-m"] };
    if !command("unshare").args(flags).arg("true").status().is_ok_and(|status| status.success()) {
        skip(test, "no mount namespaces here");
        return None;
    }
    let mut shell = command("unshare");
    shell.args(flags).args(["sh", "-c", script, "sh"]);
    Some(shell)
}
