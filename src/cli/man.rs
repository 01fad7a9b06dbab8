//! `cuda-runpath man`

use std::io::Write;

use anyhow::Context;
use clap::CommandFactory;

use super::args::{Cli, ManArgs};
use super::exit::Status;
use super::output;
use crate::report;

pub(super) fn run(args: &ManArgs) -> anyhow::Result<Status> {
    let mut program = Cli::command();
    program.build();
    let command = match &args.subcommand {
        None => program,
        Some(name) => {
            program.find_subcommand(name).with_context(|| format!("there is no subcommand {name:?}"))?.clone()
        }
    };
    let mut page = Vec::new();
    let has_findings = args.subcommand.as_deref().is_some_and(|name| matches!(name, "check" | "rules"));
    clap_mangen::Man::new(command).render(&mut page)?;
    if has_findings {
        report::rules::man::print(&mut page)?;
    }
    let mut out = output::stdout();
    out.write_all(&page)?;
    out.flush()?;
    Ok(Status::Clean)
}
