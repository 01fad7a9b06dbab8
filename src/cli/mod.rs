//! The command line: arguments and environment in, printers and an exit code out. No decisions about files.

mod against;
mod archs;
mod args;
mod check;
mod choices;
mod completions;
mod container;
mod cpu;
mod doctor;
mod exit;
mod explain;
mod fix;
mod input;
mod judge;
mod man;
mod output;
mod paths;
mod policy;
mod progress;
mod rules;
mod settings;
mod show;
mod signals;
mod slim;
mod subject;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
pub use exit::Status;

/// Parses the arguments, runs the subcommand and says how it ended.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error).into(),
    };
    let result = cli.check_format().and_then(|()| match &cli.command {
        Command::Fix(fix) => fix::run(fix, &cli.global),
        Command::Slim(slim) => slim::run(slim, &cli.global),
        Command::Show(show) => show::run(show, &cli.global),
        Command::Check(check) => check::run(check, &cli.global),
        Command::Archs(archs) => archs::run(archs, &cli.global),
        Command::Explain(explain) => explain::run(explain, &cli.global),
        Command::Doctor(doctor) => doctor::run(doctor, &cli.global),
        Command::Rules(rules) => rules::run(rules, &cli.global),
        Command::Completions(completions) => completions::run(completions),
        Command::Man(man) => man::run(man),
    });
    result.unwrap_or_else(|error| exit::report(&error, &cli.global)).into()
}
