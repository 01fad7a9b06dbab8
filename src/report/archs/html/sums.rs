//! All files together: by architecture, by the place where code stands; and how each target runs each file.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::heat::{common, dead};
use crate::cuda::{Code, Counting, Form, GpuCode, bytes_of};
use crate::report::archs::run::ArchsRun;
use crate::report::archs::words::how;
use crate::report::folder::below;
use crate::report::html::{BarPart, bar, path_shown, scrolling, shown};
use crate::report::size::{exact, percent, size};
use crate::tree::ArchsReport;

/// How code stands in each form, in words.
fn form_words(form: Form) -> &'static str {
    match form {
        Form::Container => "in fat binaries, each with the same kernels for several architectures",
        Form::Frame => "alone in a Zstandard frame",
        Form::Raw => "as it is, among other data",
        Form::File => "as a file by itself",
    }
}

pub(super) fn architectures(run: &ArchsRun, all: &GpuCode) -> Markup {
    let (total, dead) = (all.total(), dead(run, all));
    let bytes = bytes_of(&total);
    let mut files: BTreeMap<Code, usize> = BTreeMap::new();
    for code in run.files.iter().filter_map(|report| report.code.as_ref().ok()) {
        for code in code.total().into_keys() {
            *files.entry(code).or_default() += 1;
        }
    }
    let most = total.values().map(|tally| tally.bytes).max().unwrap_or(0);
    let kernels = run.counting == Counting::Kernels;
    html! {
        section aria-labelledby="architectures" {
            h2 id="architectures" { "Architectures" }
            (scrolling("GPU code by architecture", &html! {
                table.sorts {
                    thead { tr {
                        th scope="col" { "Architecture" } th scope="col" { "Kind" }
                        th.n scope="col" { "Bytes" } th.n scope="col" { "Share" } th scope="col" { "Picture" }
                        th.n scope="col" { "Pieces" } th.n scope="col" { "Files" }
                        @if kernels { th.n scope="col" { "Kernels" } }
                        @if !run.gpus.is_empty() { th scope="col" { "Of use on" } }
                    } }
                    tbody {
                        @for (code, tally) in &total {
                            @let is_dead = dead.contains(code);
                            @let class = if is_dead { "rest" } else { "used" };
                            @let part = BarPart { class, amount: tally.bytes, is_striped: is_dead };
                            tr {
                                th scope="row" { (code.architecture()) }
                                td { (code.kind.name()) }
                                td.n data-v=(tally.bytes) title={ (exact(tally.bytes)) " bytes" } { (size(tally.bytes)) }
                                td.n data-v=(tally.bytes) { (percent(tally.bytes, bytes)) }
                                td.bar data-v=(tally.bytes) { (bar(false, &[part], most, &size(tally.bytes))) }
                                td.n data-v=(tally.count) { (exact(tally.count)) }
                                td.n { (files.get(code).copied().unwrap_or(0)) }
                                @if kernels { td.n data-v=(tally.kernels) { (exact(tally.kernels)) } }
                                @if !run.gpus.is_empty() { td { (of_use(run, *code, is_dead)) } }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn of_use(run: &ArchsRun, code: Code, is_dead: bool) -> String {
    let names: Vec<String> = run.gpus.iter().filter(|gpu| code.serves(**gpu)).map(ToString::to_string).collect();
    match names.as_slice() {
        [] if is_dead => "none: dead".to_owned(),
        [] => "perhaps, with a newer driver".to_owned(),
        some => some.join(", "),
    }
}

pub(super) fn targets(run: &ArchsRun) -> Markup {
    let common = common(run);
    let has_kernels = |report: &&ArchsReport| report.code.as_ref().is_ok_and(|code| code.real().next().is_some());
    html! {
        section aria-labelledby="targets" {
            h2 id="targets" { "Targets" }
            p.lead { "How each target runs each file, and how many of its fat binaries have code for it." }
            (scrolling("How each target runs each file", &html! {
                table.sorts {
                    thead { tr {
                        th scope="col" { "File" }
                        @for gpu in &run.gpus { th scope="col" { (gpu) } }
                        th.n scope="col" { "Dead" }
                    } }
                    tbody {
                        @for report in run.files.iter().filter(has_kernels) {
                            @if let Ok(code) = &report.code {
                                @let dead = bytes_of(&code.unused(&run.gpus));
                                tr {
                                    th scope="row" { span.path { (path_shown(below(&report.path, &common))) } }
                                    @for gpu in &run.gpus { td { (how(code, *gpu)) (served(code, *gpu)) } }
                                    td.n data-v=(dead) { (size(dead)) }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn served(code: &GpuCode, gpu: crate::cuda::Gpu) -> Markup {
    let (all, good) = code.containers_for(gpu);
    html! { @if all > 0 && good < all { span.soft { ", " (exact(good)) " of " (exact(all)) } } }
}

pub(super) fn places(run: &ArchsRun) -> Markup {
    let sum = run.sum();
    let all = sum.values().map(bytes_of).fold(0, u64::saturating_add);
    html! {
        section aria-labelledby="places" {
            h2 id="places" { "Where the code stands" }
            p.lead { "By section and form. A form other than a fat binary is one that other tools do not list." }
            (scrolling("GPU code by section and form", &html! {
                table.sorts {
                    thead { tr {
                        th scope="col" { "Section" } th scope="col" { "Form" } th scope="col" { "How it is kept" }
                        th.n scope="col" { "Bytes" } th.n scope="col" { "Share" } th.n scope="col" { "Pieces" }
                    } }
                    tbody {
                        @for ((name, form), tallies) in &sum {
                            @let bytes = bytes_of(tallies);
                            @let pieces = tallies.values().map(|tally| tally.count).fold(0, u64::saturating_add);
                            tr {
                                th scope="row" { code { (shown(name)) } }
                                td { (form.name()) }
                                td { (form_words(*form)) }
                                td.n data-v=(bytes) { (size(bytes)) }
                                td.n data-v=(bytes) { (percent(bytes, all)) }
                                td.n data-v=(pieces) { (exact(pieces)) }
                            }
                        }
                    }
                }
            }))
        }
    }
}
