//! Paths of the command line: the files to walk, the globs to leave out, directories, an image's root.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use globset::{Glob, GlobSet, GlobSetBuilder};

use super::args::Inputs;
use crate::fsio::{HostPath, ImagePath, Sysroot};
use crate::runpath::Directory;
use crate::tree::{Failure, Listing, Packed, Root, RootError, Source, Workers, discover, packed};

/// The roots of the walk, from arguments and `--files-from`.
pub(super) fn roots(source: &dyn Source, inputs: &Inputs) -> anyhow::Result<Vec<Result<Root, RootError>>> {
    let mut paths = inputs.paths.clone();
    if let Some(list) = &inputs.files_from {
        paths.extend(read_list(list, inputs.null)?);
    }
    if paths.is_empty() && inputs.files_from.is_none() {
        bail!("no PATH given; name files or directories, or use --files-from");
    }
    Ok(paths.into_iter().map(|path| Root::resolve(source, ImagePath::new(path))).collect())
}

pub(super) fn read_list(list: &Path, null: bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut text = Vec::new();
    if list == Path::new("-") {
        io::stdin().lock().read_to_end(&mut text).context("cannot read the list of files from standard input")?;
    } else {
        text = std::fs::read(list).with_context(|| format!("cannot read the list of files {}", list.display()))?;
    }
    let separator = if null { 0 } else { b'\n' };
    let names = text.split(|byte| *byte == separator).filter(|name| !name.is_empty());
    Ok(names.map(|name| PathBuf::from(OsString::from_vec(name.to_vec()))).collect())
}

/// What the arguments lead to, and what of it cannot be read.
pub(super) fn listing(
    source: &dyn Source,
    mut roots: Vec<Result<Root, RootError>>,
    inputs: &Inputs,
    workers: &Workers,
) -> anyhow::Result<Listing> {
    // A list may name such files among others.
    if inputs.files_from.is_none() {
        roots = refuse_packed(source, roots);
    }
    Ok(listing_of(source, roots, &exclude(inputs)?, workers))
}

/// The same of roots that are resolved already. One that leads nowhere does not keep the others from being read.
pub(super) fn listing_of(
    source: &dyn Source,
    roots: Vec<Result<Root, RootError>>,
    exclude: &GlobSet,
    workers: &Workers,
) -> Listing {
    let (mut known, mut failures) = (Vec::new(), Vec::new());
    for root in roots {
        match root {
            Ok(root) => known.push(root),
            Err(error) => failures.push(Failure { shown: error.given, error: error.source }),
        }
    }
    let mut listing = discover(source, &known, exclude, workers);
    listing.failures.extend(failures);
    listing
}

/// Refuses arguments in which nothing would be looked at: an archive, or an image as it was saved.
pub(super) fn refuse_packed(source: &dyn Source, roots: Vec<Result<Root, RootError>>) -> Vec<Result<Root, RootError>> {
    let refuse = |root: Root| match packed(source, &root) {
        None => Ok(root),
        Some(Packed::Image(what) | Packed::Other(what)) => {
            let why = format!("it is {what}: nothing in it would be looked at; unpack it first");
            Err(RootError { given: root.given.into_path(), source: io::Error::other(why) })
        }
    };
    roots.into_iter().map(|root| root.and_then(refuse)).collect()
}

/// The globs of `--exclude`.
pub(super) fn exclude(inputs: &Inputs) -> anyhow::Result<GlobSet> {
    globs("--exclude", &inputs.exclude)
}

/// The globs of an option.
pub(super) fn globs(option: &str, globs: &[String]) -> anyhow::Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(Glob::new(glob).with_context(|| format!("{option} {glob:?} is not a glob"))?);
    }
    Ok(set.build()?)
}

/// Directories that an option names.
pub(super) fn directories(option: &str, paths: &[PathBuf]) -> anyhow::Result<Vec<Directory>> {
    let directory = |path: &PathBuf| {
        Directory::new(path.as_os_str().as_bytes()).with_context(|| format!("{option} {}", path.display()))
    };
    paths.iter().map(directory).collect()
}

/// What `/` stands for: the directory of `--root`, or this machine's.
pub(super) fn sysroot(root: Option<&Path>) -> anyhow::Result<Sysroot> {
    root.map_or_else(|| Ok(Sysroot::host()), |root| sysroot_of("--root", root))
}

/// The directory that an option names, as a root.
pub(super) fn sysroot_of(option: &str, root: &Path) -> anyhow::Result<Sysroot> {
    match Sysroot::image(root) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            bail!("{option} {}: not a directory", root.display())
        }
        image => image.with_context(|| format!("{option} {}", root.display())),
    }
}

/// The image's name for a path: one of this machine that lies in the image, or else one of the image itself.
pub(super) fn in_image(path: &Path, sysroot: &Sysroot) -> ImagePath {
    if !sysroot.is_image() {
        return ImagePath::new(path);
    }
    let below = std::path::absolute(path).ok().and_then(|here| sysroot.to_image_if_below(&HostPath::new(here)));
    below.unwrap_or_else(|| ImagePath::new(Path::new("/").join(path)))
}
