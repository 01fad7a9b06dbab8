//! `cuda-runpath show`

use super::args::{Global, ShowArgs};
use super::exit::Status;
use super::{output, settings};
use crate::cuda::DriverLibraries;
use crate::report;
use crate::tree::{self, FixError, ShowReport, Workers};

pub(super) fn run(args: &ShowArgs, global: &Global) -> anyhow::Result<Status> {
    let (policy_64, policy_32) = settings::show(args)?;
    let libraries = DriverLibraries::with(&[])?;
    let exclude = settings::exclude(&args.inputs)?;
    let mut roots = Vec::new();
    let mut reports = Vec::new();
    for root in settings::roots(&args.inputs)? {
        match root {
            Ok(root) => roots.push(root),
            Err(error) => reports.push(ShowReport { path: error.given, facts: Err(FixError::Walk(error.source)) }),
        }
    }
    let workers = Workers::new(settings::jobs(global));
    let listing = tree::discover(&roots, &exclude, &workers);
    let failures = listing.failures.into_iter();
    reports.extend(failures.map(|f| ShowReport { path: f.shown, facts: Err(FixError::Walk(f.error)) }));
    reports.extend(tree::show(listing.files, (&policy_64, &policy_32), &libraries, &workers));
    reports.sort_by(|a, b| a.path.cmp(&b.path));
    if args.print0 {
        let mut out = output::stdout();
        output::human(global).print_paths(&reports, &mut out, &mut std::io::stderr())?;
    } else if global.is_json() {
        report::print_show(&reports, global.verbose > 0, &mut output::stdout())?;
    } else {
        let mut out = output::stdout();
        output::human(global).print_show(&reports, &mut out, &mut std::io::stderr())?;
    }
    let failed = reports.iter().any(|report| report.facts.is_err());
    Ok(if failed { Status::Failed } else { Status::Clean })
}
