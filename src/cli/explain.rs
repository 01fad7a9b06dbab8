//! `cuda-runpath explain`

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use anyhow::bail;
use bstr::BString;
use globset::GlobSet;

use super::args::{ExplainArgs, Format, Global};
use super::container::{self, Hosts};
use super::exit::Status;
use super::{cpu, input, output, paths, policy, settings};
use crate::check::{Question, Scope};
use crate::fsio::ImagePath;
use crate::report;
use crate::tree::{self, ContainerInput, HostSource, Root, Source, SourceWorld, Workers};

pub(super) fn run(args: &ExplainArgs, global: &Global) -> anyhow::Result<Status> {
    let sysroot = paths::sysroot(args.wanted.root.as_deref())?;
    let saved = if sysroot.is_image() { None } else { input::in_saved_image(&args.file, &args.image)? };
    let is_image = sysroot.is_image() || saved.is_some();
    let scope = if is_image { Scope::Image } else { Scope::Tree };
    let mut policy = policy::policy(&args.wanted, scope)?;
    policy.symbols = args.symbols;
    let own_environment = saved.as_ref().map_or(Vec::new(), |(image, _)| image.environment().to_vec());
    let mut environment = policy::environment(&args.wanted, &own_environment)?;
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
    let hosts = Hosts::of(&args.container, &args.wanted, false)?;
    if hosts.is_asked() && !is_image {
        bail!("--cdi and --container are for an image: IMAGE:/PATH, or --root DIR");
    }
    let of_file = if hosts.is_asked() { tree::machine_of_object(&*source, &file) } else { None };
    let mut machine = SourceWorld::new(Arc::clone(&source), None);
    if let Some(of_file) = of_file {
        if args.wanted.driver.is_empty() {
            policy.paths.elf64.driver.clear();
            policy.paths.elf32.driver.clear();
        }
        let container = ContainerInput {
            source: Arc::clone(&source),
            host: container::host_root(&args.container)?,
            hosts: &|machine| hosts.of_machine(machine, &policy, &args.wanted),
            environment: &|added| policy::environment(&args.wanted, &[own_environment.as_slice(), added].concat()),
            must_run: true,
        };
        let workers = Workers::new(settings::jobs(global));
        let root = vec![Root::resolve(&*source, ImagePath::new("/"))];
        let listing = paths::listing_of(&*source, root, &GlobSet::empty(), &workers);
        let made = tree::world_of_container(&container, listing, of_file, &policy, &workers)?;
        if let Some((world, of_container, around)) = made {
            (machine, policy) = (world, of_container);
            environment.library_path = around.library_path;
            environment.preload = around.preload;
        }
    }
    let explanation = tree::explain(&mut machine, &policy, environment, (&file, program.as_ref()), &question)?;
    let mut out = output::stdout();
    match global.format {
        _ if global.is_json() => report::explain::json::print(&args.file, &explanation, &mut out)?,
        Format::Html => report::explain::html::print(&args.file, &explanation, &mut out)?,
        Format::Markdown => report::explain::markdown::print(&args.file, &explanation, &mut out)?,
        _ => report::explain::human::print(&output::human(global), &args.file, &explanation, &mut out)?,
    }
    Ok(Status::Clean)
}
