//! Libraries by architectures: a table in which a cell is the darker, the more bytes it has. The figure stands in it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::Path;

use maud::{Markup, html};

use crate::cuda::{Code, CodeKind, GpuCode, Tallies, bytes_of};
use crate::report::archs::run::ArchsRun;
use crate::report::html::{path_shown, scrolling};
use crate::report::size::{exact, size};
use crate::report::text::counted;

/// As many libraries have a row of their own; of the others each has a line.
const MOST_ROWS: usize = 60;

/// How many shades there are.
const SHADES: u32 = 6;

pub(super) fn section(run: &ArchsRun, all: &GpuCode) -> Markup {
    let mut files: Vec<(&Path, Tallies)> = run.files.iter().filter_map(|report| {
        let code = report.code.as_ref().ok()?.total();
        (!code.is_empty()).then_some((report.path.as_path(), code))
    }).collect();
    files.sort_by_key(|(_, code)| Reverse(bytes_of(code)));
    let (rows, others) = files.split_at_checked(MOST_ROWS).unwrap_or((&files, &[]));
    let (total, dead) = (all.total(), dead(run, all));
    let most = rows.iter().flat_map(|(_, code)| code.values()).map(|tally| tally.bytes).max().unwrap_or(0);
    html! {
        section aria-labelledby="libraries" {
            h2 id="libraries" { "Libraries by architectures" }
            p.lead {
                "Bytes of GPU code. Each shade is twice the bytes of the next lighter one."
                @if !run.gpus.is_empty() { " Striped columns are dead: no target can use what stands in them." }
            }
            (scrolling("Bytes of GPU code by library and architecture", &html! {
                table.heat.sorts {
                    thead { tr {
                        th scope="col" { "Library" } th.n scope="col" { "All" }
                        @for code in total.keys() { (heading(*code, dead.contains(code))) }
                    } }
                    tbody {
                        @for (path, code) in rows { (row(path, code, &total, &dead, most)) }
                    }
                    tfoot { (sum(&total, &dead)) }
                }
            }))
            @if !others.is_empty() { (smaller(others)) }
        }
    }
}

/// Code that no target can use; none where no target is named.
pub(super) fn dead(run: &ArchsRun, all: &GpuCode) -> BTreeSet<Code> {
    if run.gpus.is_empty() { BTreeSet::new() } else { all.unused(&run.gpus).into_keys().collect() }
}

fn heading(code: Code, is_dead: bool) -> Markup {
    html! {
        th.n.dead[is_dead] scope="col" {
            (code.architecture())
            @if code.kind != CodeKind::Cubin { " " (code.kind.title().trim_end()) }
            @if is_dead { " (dead)" }
        }
    }
}

fn row(path: &Path, code: &Tallies, total: &Tallies, dead: &BTreeSet<Code>, most: u64) -> Markup {
    let bytes = bytes_of(code);
    html! {
        tr {
            th scope="row" { (path_shown(path)) }
            td.n data-v=(bytes) title={ (exact(bytes)) " bytes" } { (size(bytes)) }
            @for column in total.keys() {
                @match code.get(column).map(|tally| tally.bytes) {
                    Some(bytes) => { td.n.(shade(bytes, most)).dead[dead.contains(column)] data-v=(bytes) { (size(bytes)) } }
                    None => { td data-v="0" {} }
                }
            }
        }
    }
}

/// A shade for each halving of the most that a cell has.
fn shade(bytes: u64, most: u64) -> &'static str {
    const NAMES: [&str; 6] = ["h1", "h2", "h3", "h4", "h5", "h6"];
    let halvings = most.max(1).ilog2().saturating_sub(bytes.max(1).ilog2()).min(SHADES.saturating_sub(1));
    let shade = SHADES.saturating_sub(1).saturating_sub(halvings);
    usize::try_from(shade).ok().and_then(|shade| NAMES.get(shade)).copied().unwrap_or("h1")
}

fn sum(total: &Tallies, dead: &BTreeSet<Code>) -> Markup {
    html! {
        tr.sum {
            th scope="row" { "All together" }
            td.n { (size(bytes_of(total))) }
            @for (code, tally) in total { td.n.dead[dead.contains(code)] { (size(tally.bytes)) } }
        }
    }
}

fn smaller(others: &[(&Path, Tallies)]) -> Markup {
    html! {
        details {
            summary { (counted(others.len(), "smaller library", "smaller libraries")) ", all counted above" }
            ul.files {
                @for (path, code) in others {
                    li {
                        code { (path_shown(path)) } ": " (size(bytes_of(code))) span.soft {
                            @for code in code.keys() { " " (code.kind.title()) (code.architecture()) }
                        }
                    }
                }
            }
        }
    }
}
