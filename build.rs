//! Tells the program which commit it was built from: CUDA_RUNPATH_COMMIT (builds without a repository, such as Nix's),
//! the repository's HEAD, or what cargo wrote into a published package.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=CUDA_RUNPATH_COMMIT");
    let commit = given().or_else(head).or_else(published);
    let commit = commit.map_or(String::new(), |commit| format!(" ({commit})"));
    println!("cargo:rustc-env=CUDA_RUNPATH_VERSION={}{commit}", env!("CARGO_PKG_VERSION"));
}

fn given() -> Option<String> {
    let commit = std::env::var("CUDA_RUNPATH_COMMIT").ok()?;
    (!commit.is_empty()).then_some(commit)
}

fn head() -> Option<String> {
    // Not of a repository that this directory happens to lie in.
    if !Path::new(".git").exists() {
        return None;
    }
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn published() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\":")?;
    let commit = rest.trim_start().strip_prefix('"')?.get(..12)?;
    commit.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| commit.to_owned())
}
