//! `cuda-runpath explain`

use std::os::unix::ffi::OsStrExt;

use bstr::BString;

use super::args::{ExplainArgs, Global};
use super::exit::Status;
use super::{cpu, output, policy, settings};
use crate::check::{Question, Scope};
use crate::report;
use crate::tree::{self, Machine};

pub(super) fn run(args: &ExplainArgs, global: &Global) -> anyhow::Result<Status> {
    let root = policy::root(args.wanted.root.as_deref())?;
    let scope = if root.is_some() { Scope::Image } else { Scope::Tree };
    let policy = policy::policy(&args.wanted, scope)?;
    let mut environment = policy::environment(&args.wanted)?;
    environment.without_compat = args.without_compat;
    if args.without_compat {
        environment.without = settings::directories("--compat", &args.wanted.compat)?;
    }
    if root.is_none() {
        let here = std::env::current_dir()?;
        environment.working_directory = Some(BString::from(here.as_os_str().as_bytes()));
        environment.cpu = cpu::detect();
    }
    let in_image = |path: &std::path::PathBuf| policy::in_image(path, root.as_deref());
    let question = match &args.soname {
        Some(name) => Question::Name(BString::from(name.as_bytes())),
        None if args.recursive => Question::Everything,
        None => Question::Own,
    };
    let (file, program) = (in_image(&args.file), args.program.as_ref().map(in_image));
    let mut machine = Machine::new(root, None);
    let explanation = tree::explain(&mut machine, &policy, environment, (&file, program.as_deref()), &question)?;
    let mut out = output::stdout();
    if global.is_json() {
        report::explain::json::print(&args.file, &explanation, &mut out)?;
    } else {
        report::explain::human::print(&output::human(global), &args.file, &explanation, &mut out)?;
    }
    Ok(Status::Clean)
}
