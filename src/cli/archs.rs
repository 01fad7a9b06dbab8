//! `cuda-runpath archs`

use anyhow::Context;

use super::args::{ArchsArgs, Format, Global};
use super::exit::Status;
use super::{input, output, paths, settings, subject};
use crate::cuda::{Counting, Gpu, GpuCode, Stack};
use crate::report;
use crate::report::archs::ArchsRun;
use crate::tree::{self, ArchsReport, Failure, FixError, Workers};

pub(super) fn run(args: &ArchsArgs, global: &Global) -> anyhow::Result<Status> {
    let gpus = settings::gpus("--unused-for", &args.unused_for)?;
    let host_cuda = args.host_cuda.as_deref().map(str::parse).transpose().context("--host-cuda")?;
    let stack = Stack::of(host_cuda);
    let gpus = gpus.into_iter().map(|capability| Gpu { capability, stack }).collect();
    let counting = if args.kernels { Counting::Kernels } else { Counting::Off };
    let (source, roots) = input::of_files(&args.inputs, &args.image)?;
    let workers = Workers::new(settings::jobs(global));
    let listing = paths::listing(&*source, roots, &args.inputs, &workers)?;
    let failed = |failure: Failure| ArchsReport { path: failure.shown, code: Err(FixError::Walk(failure.error)) };
    let mut files: Vec<ArchsReport> = listing.failures.into_iter().map(failed).collect();
    files.extend(tree::archs(&*source, listing.files, counting, &workers));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let run = ArchsRun { subject: subject::of_inputs(&args.inputs), files, sum_only: args.sum, gpus, counting };
    let print = || -> anyhow::Result<()> {
        let mut out = output::stdout();
        match global.format {
            _ if global.is_json() => report::archs::json::print(&run, global.verbose > 0, &mut out)?,
            Format::Html => report::archs::html::print(&run, &mut out)?,
            Format::Markdown => report::archs::markdown::print(&run, &mut out)?,
            _ => report::archs::human::print(&output::human(global), &run, &mut out, &mut output::stderr())?,
        }
        Ok(())
    };
    print().context("cannot write the report")?;
    let is_unknown = |code: &GpuCode| code.places.iter().any(|place| !place.problems.is_empty());
    if run.files.iter().any(|report| report.code.is_err()) {
        return Ok(Status::Failed);
    }
    let unknown = run.files.iter().any(|report| report.code.as_ref().is_ok_and(is_unknown));
    Ok(if unknown { Status::Findings } else { Status::Clean })
}
