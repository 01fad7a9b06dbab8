//! From arguments to an input: one function for each kind.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, bail};
use bstr::ByteSlice;

use super::args::CheckArgs;
use super::paths;
use crate::check::Closure;
use crate::fsio::{ImagePath, Sysroot};
use crate::tree::{HostSource, Input, Source};

/// The files of this machine.
pub(super) fn host() -> Arc<dyn Source> {
    Arc::new(HostSource::new(Sysroot::host()))
}

/// What `check` looks at.
pub(super) fn of_check(args: &CheckArgs) -> anyhow::Result<Input> {
    let sysroot = paths::sysroot(args.wanted.root.as_deref())?;
    if let Some(list) = &args.closure_from {
        return Ok(closure(&sysroot, read_closure(list, args.attrs_key.as_deref())?));
    }
    // clap does not ask for what conflicts with a PATH.
    if args.attrs_key.is_some() {
        bail!("--attrs-key names an attribute of the file of --closure-from");
    }
    let mut paths = args.inputs.paths.clone();
    if let Some(list) = &args.inputs.files_from {
        paths.extend(paths::read_list(list, args.inputs.null)?);
    }
    if paths.is_empty() {
        match (&args.inputs.files_from, sysroot.is_image()) {
            (Some(_), _) => {}
            (None, true) => paths.push(PathBuf::from("/")),
            (None, false) => bail!("no PATH given; name files or directories, or use --closure-from or --root"),
        }
    }
    if args.closure {
        return Ok(closure(&Sysroot::host(), nix_closure(&paths)?));
    }
    Ok(tree(&sysroot, &paths))
}

/// Files and trees of this machine, or those of an image below a directory of it.
fn tree(sysroot: &Sysroot, paths: &[PathBuf]) -> Input {
    let paths = paths.iter().map(|path| paths::in_image(path, sysroot)).collect();
    let source = Arc::new(HostSource::new(sysroot.clone()));
    if sysroot.is_image() { Input::image(source, paths) } else { Input::tree(source, paths) }
}

/// The store paths. What one that is a link leads to is a store path too, or no part of the closure.
fn closure(sysroot: &Sysroot, closure: Closure) -> Input {
    let paths = closure.paths.iter().map(|path| ImagePath::new(std::ffi::OsStr::from_bytes(path)));
    let paths = paths.filter(|path| !sysroot.is_link(path)).collect();
    let source = Arc::new(HostSource::new(sysroot.clone()));
    Input { is_inside: sysroot.is_image(), ..Input::closure(source, paths, closure) }
}

fn read_closure(file: &Path, key: Option<&str>) -> anyhow::Result<Closure> {
    let name = || format!("--closure-from {}", file.display());
    let text = std::fs::read(file).with_context(name)?;
    Closure::parse(&text, key).with_context(name)
}

/// Asks Nix for the closure of the store paths that the arguments lie in.
fn nix_closure(paths: &[PathBuf]) -> anyhow::Result<Closure> {
    let mut real = Vec::with_capacity(paths.len());
    for path in paths {
        real.push(path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?);
    }
    let all = nix_store(&["--query", "--requisites"], &real)?;
    let all: BTreeSet<PathBuf> = all.lines().map(|line| PathBuf::from(std::ffi::OsStr::from_bytes(line))).collect();
    // The registration also has who refers to whom.
    let registration = nix_store(&["--dump-db"], &all.into_iter().collect::<Vec<_>>())?;
    Closure::parse(&registration, None).context("what nix-store --dump-db printed")
}

fn nix_store(arguments: &[&str], paths: &[PathBuf]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("nix-store").args(arguments).arg("--").args(paths).output();
    let output = output.context("--closure needs nix-store; --closure-from reads a list without it")?;
    if !output.status.success() {
        bail!("nix-store {}: {}", arguments.join(" "), output.stderr.trim_ascii().as_bstr());
    }
    Ok(output.stdout)
}
