//! `cuda-runpath man`

use std::io::Write;

use anyhow::Context;
use clap::CommandFactory;

use super::args::{Cli, ManArgs};
use super::exit::Status;

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
    clap_mangen::Man::new(command).render(&mut page)?;
    std::io::stdout().write_all(&page)?;
    Ok(Status::Clean)
}
