//! `cuda-runpath show`

use super::args::{Global, ShowArgs};
use super::exit::Status;
use super::{input, output, paths, settings};
use crate::cuda::DriverLibraries;
use crate::report;
use crate::tree::{self, Failure, FixError, ShowReport, Workers};

pub(super) fn run(args: &ShowArgs, global: &Global) -> anyhow::Result<Status> {
    let policies = settings::show(args)?;
    let libraries = DriverLibraries::with(&[])?;
    let (source, roots) = input::of_files(&args.inputs, &args.image)?;
    let workers = Workers::new(settings::jobs(global));
    let listing = paths::listing(&*source, roots, &args.inputs, &workers)?;
    let failed = |failure: Failure| ShowReport { path: failure.shown, facts: Err(FixError::Walk(failure.error)) };
    let mut reports: Vec<ShowReport> = listing.failures.into_iter().map(failed).collect();
    reports.extend(tree::show(&*source, listing.files, &policies, &libraries, &workers));
    reports.sort_by(|a, b| a.path.cmp(&b.path));
    if args.print0 {
        let mut out = output::stdout();
        report::show::human::print_paths(&output::human(global), &reports, &mut out, &mut output::stderr())?;
    } else if global.is_json() {
        report::show::json::print(&reports, global.verbose > 0, &mut output::stdout())?;
    } else {
        let mut out = output::stdout();
        report::show::human::print(&output::human(global), &reports, &mut out, &mut output::stderr())?;
    }
    let failed = reports.iter().any(|report| report.facts.is_err());
    Ok(if failed { Status::Failed } else { Status::Clean })
}
