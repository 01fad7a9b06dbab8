//! What only a system can lend: another user, a mount of one's own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use super::{Run, command, require, skip};

/// A user and group that own nothing here.
pub(crate) const NOBODY: u32 = 65534;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command without root's rights: of [`NOBODY`] where the tests are root's, of the caller otherwise. Root needs `setpriv`.
///
/// What is run must lie in a folder that [`NOBODY`] enters, which the build folder need not.
pub(crate) fn as_nobody(program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return command(program);
    }
    let mut user = command("setpriv");
    user.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups", "--"]).arg(program);
    user
}

/// Makes a file or folder [`NOBODY`]'s, where that is not the caller's already.
pub(crate) fn give_to_nobody(path: &Path) {
    if is_root() {
        std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// What [`mounting_shell`]'s scripts know: `fill POINT FREE FROM NAME` mounts a file system with a copy of a file, and so many
/// pages free.
const FILL: &str = r#"
fill() {
    mount -t tmpfs -o size=8m,mode=755 tmpfs "$1"
    cp "$3" "$1/$4"
    # What the fill leaves is exactly the free pages.
    dd if=/dev/zero of="$1/spare" bs=4096 count="$2" 2>/dev/null
    dd if=/dev/zero of="$1/fill" bs=4096 2>/dev/null || true
    rm "$1/spare"
}
"#;

/// A shell that may mount in a namespace of its own; None where the kernel refuses. The script ends at the first command that
/// fails.
pub(crate) fn mounting_shell(test: &str, script: &str) -> Option<Command> {
    if !require("unshare", test) || !require("mount", test) {
        return None;
    }
    let flags: &[&str] = if is_root() { &["-m"] } else { &["-U", "-r", "-m"] };
    if !command("unshare").args(flags).arg("true").status().is_ok_and(|status| status.success()) {
        skip(test, "no mount namespaces here");
        return None;
    }
    let mut shell = command("unshare");
    shell.args(flags).args(["sh", "-ec", &format!("{FILL}{script}"), "sh"]);
    Some(shell)
}

/// What a script says behind `RESULT`; without it, the file system could not be mounted, and the test is skipped.
pub(crate) fn result<'r>(run: &'r Run, test: &str) -> Option<&'r str> {
    let result = run.stdout.lines().find_map(|line| line.strip_prefix("RESULT "));
    if result.is_none() {
        skip(test, &format!("no such mounts here: {}", run.stderr));
    }
    result
}
