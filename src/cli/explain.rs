//! `cuda-runpath explain`

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use bstr::BString;

use super::args::{ExplainArgs, Global};
use super::exit::Status;
use super::{cpu, input, output, paths, policy};
use crate::check::{Question, Scope};
use crate::fsio::ImagePath;
use crate::report;
use crate::tree::{self, HostSource, Source, SourceWorld};

pub(super) fn run(args: &ExplainArgs, global: &Global) -> anyhow::Result<Status> {
    let sysroot = paths::sysroot(args.wanted.root.as_deref())?;
    let saved = if sysroot.is_image() { None } else { input::in_saved_image(&args.file, &args.image)? };
    let is_image = sysroot.is_image() || saved.is_some();
    let scope = if is_image { Scope::Image } else { Scope::Tree };
    let mut policy = policy::policy(&args.wanted, scope)?;
    policy.symbols = args.symbols;
    let mut environment =
        policy::environment(&args.wanted, saved.as_ref().map_or(&[], |(image, _)| image.environment()))?;
    environment.without_compat = args.without_compat;
    if args.without_compat {
        environment.without = paths::directories("--compat", &args.wanted.compat)?;
    }
    if !is_image {
        let here = std::env::current_dir()?;
        environment.working_directory = Some(BString::from(here.as_os_str().as_bytes()));
        environment.cpu = cpu::detect();
    }
    let in_image = |path: &std::path::PathBuf| paths::in_image(path, &sysroot);
    let question = match &args.soname {
        Some(name) => Question::Name(BString::from(name.as_bytes())),
        None if args.recursive => Question::Everything,
        None => Question::Own,
    };
    let program = args.program.as_ref().map(in_image);
    let (source, file): (Arc<dyn Source>, ImagePath) = match saved {
        Some((image, file)) => (Arc::new(image), file),
        None => (Arc::new(HostSource::new(sysroot.clone())), in_image(&args.file)),
    };
    let mut machine = SourceWorld::new(source, None);
    let explanation = tree::explain(&mut machine, &policy, environment, (&file, program.as_ref()), &question)?;
    let mut out = output::stdout();
    if global.is_json() {
        report::explain::json::print(&args.file, &explanation, &mut out)?;
    } else {
        report::explain::human::print(&output::human(global), &args.file, &explanation, &mut out)?;
    }
    Ok(Status::Clean)
}
