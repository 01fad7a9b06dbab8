//! From arguments to an input: one function for each kind.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, bail};
use bstr::ByteSlice;

use super::args::{CheckArgs, ImageArgs, Inputs};
use super::paths;
use crate::check::{CheckReport, Closure};
use crate::fsio::{ImagePath, Sysroot};
use crate::oci::ImageError;
use crate::tree::{EntryKind, HostSource, ImageSource, Input, Packed, Root, RootError, Source, packed};

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
    // A list may name archives among others.
    if args.inputs.files_from.is_none()
        && !sysroot.is_image()
        && let Some(image) = only_image(&paths, &args.image)?
    {
        return Ok(of_image(image));
    }
    Ok(tree(&sysroot, &paths))
}

/// The release that `check --against` compares with: of the same kind as what is checked, and an unpacked image where that is
/// a saved one.
pub(super) fn of_other_release(old: &Path, args: &CheckArgs, is_image: bool) -> anyhow::Result<Input> {
    if args.closure_from.is_some() {
        let list = read_closure_of("--against", old, args.attrs_key.as_deref())?;
        return Ok(closure(&paths::sysroot(args.wanted.root.as_deref())?, list));
    }
    let old = [old.to_owned()];
    if args.closure {
        return Ok(closure(&Sysroot::host(), nix_closure(&old)?));
    }
    if args.wanted.root.is_some() {
        let sysroot = paths::sysroot_of("--against", &old[0])?;
        let mut given = args.inputs.paths.clone();
        if given.is_empty() {
            given.push(PathBuf::from("/"));
        }
        // Names of the image that is checked: one of this machine cannot be of both.
        let images = given.iter().map(|path| ImagePath::new(Path::new("/").join(path))).collect();
        return Ok(Input::image(Arc::new(HostSource::new(sysroot)), images));
    }
    let options = ImageArgs { image_platform: args.image.image_platform.clone() };
    match image(&old[0], &options)? {
        Some(image) => Ok(of_image(image)),
        None if is_image && old[0].is_dir() => {
            let source = Arc::new(HostSource::new(paths::sysroot_of("--against", &old[0])?));
            Ok(Input { is_saved: true, ..Input::image(source, vec![ImagePath::new("/")]) })
        }
        None => Ok(tree(&Sysroot::host(), &old)),
    }
}

/// The report about an image that cannot be judged; `None` for what is no image, or where it is not said which.
pub(super) fn unreadable_image(args: &CheckArgs, error: &anyhow::Error) -> Option<CheckReport> {
    let of_image = error.downcast_ref::<ImageError>()?;
    let path = args.inputs.paths.first().filter(|_| !of_image.is_usage())?;
    let whole = format!("{error:#}");
    let reason = whole.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&whole);
    Some(CheckReport::of_unreadable_image(path, reason))
}

/// A saved image, of which everything is looked at.
fn of_image(image: ImageSource) -> Input {
    let environment = image.environment().to_vec();
    Input { environment, is_saved: true, ..Input::image(Arc::new(image), vec![ImagePath::new("/")]) }
}

type ResolvedRoot = Result<Root, RootError>;

/// What `show` and `archs` look at: where the files come from, and the roots of the walk.
pub(super) fn of_files(inputs: &Inputs, image: &ImageArgs) -> anyhow::Result<(Arc<dyn Source>, Vec<ResolvedRoot>)> {
    if inputs.files_from.is_none()
        && let Some(image) = only_image(&inputs.paths, image)?
    {
        let input = of_image(image);
        let roots = input.roots();
        return Ok((input.source, roots));
    }
    let source = host();
    let roots = paths::roots(&*source, inputs)?;
    Ok((source, roots))
}

/// The saved image that is the only argument; none where no argument is one.
fn only_image(paths: &[PathBuf], options: &ImageArgs) -> anyhow::Result<Option<ImageSource>> {
    for path in paths {
        if let Some(found) = image(path, options)? {
            if paths.len() > 1 {
                bail!("{}: an image is looked at alone, and {} paths are given", path.display(), paths.len());
            }
            return Ok(Some(found));
        }
    }
    if options.image_platform.is_some() {
        bail!("--image-platform is for a saved image, and no PATH is one");
    }
    Ok(None)
}

/// The saved image at a path of this machine; none where that is something else.
///
/// # Errors
/// It is an archive, or an image that cannot be judged.
fn image(path: &Path, options: &ImageArgs) -> anyhow::Result<Option<ImageSource>> {
    let source = HostSource::new(Sysroot::host());
    let Ok(root) = Root::resolve(&source, ImagePath::new(path)) else { return Ok(None) };
    let Some(Packed::Image(kind)) = packed(&source, &root) else { return Ok(None) };
    let wanted = options.image_platform.as_ref();
    let name = || format!("{}: it is {kind}, which cannot be looked at as a container's image", path.display());
    Ok(Some(if matches!(source.kind(&root.real), Ok(EntryKind::Directory)) {
        let folder = Sysroot::image(path).with_context(name)?;
        ImageSource::of_folder(folder, wanted).with_context(name)?
    } else {
        match source.open(root.site(), &|_| true).with_context(name)? {
            Some(archive) => ImageSource::of_archive(archive, wanted).with_context(name)?,
            None => return Ok(None),
        }
    }))
}

/// An argument `IMAGE:/PATH`, if there is such an image.
pub(super) fn in_saved_image(argument: &Path, options: &ImageArgs) -> anyhow::Result<Option<(ImageSource, ImagePath)>> {
    let text = argument.as_os_str().as_bytes();
    for colon in text.find_iter(":/") {
        let (name, path) = text.split_at(colon);
        if let Some(found) = image(Path::new(std::ffi::OsStr::from_bytes(name)), options)? {
            let path = path.get(1..).unwrap_or_default();
            return Ok(Some((found, ImagePath::new(std::ffi::OsStr::from_bytes(path)))));
        }
    }
    Ok(None)
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
    read_closure_of("--closure-from", file, key)
}

fn read_closure_of(option: &str, file: &Path, key: Option<&str>) -> anyhow::Result<Closure> {
    let name = || format!("{option} {}", file.display());
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
