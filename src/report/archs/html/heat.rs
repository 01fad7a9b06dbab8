//! Libraries by architectures: the picture, and the same as figures.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::PathBuf;

use maud::{Markup, html};

use super::picture::{LibraryRow, columns, picture, shade};
use crate::cuda::{Code, CodeKind, GpuCode, Tallies, bytes_of};
use crate::report::archs::run::ArchsRun;
use crate::report::folder::{below, common_folder};
use crate::report::html::{path_shown, scrolling};
use crate::report::size::{exact, size};
use crate::report::text::counted;
use crate::tree::ArchsReport;

/// As many libraries have a row of their own; of the others each has a line.
const MOST_ROWS: usize = 60;

pub(super) fn section(run: &ArchsRun, all: &GpuCode) -> Markup {
    let common = common(run);
    let with_code = run.files.iter().filter_map(|report| {
        let code = report.code.as_ref().ok()?.total();
        let name = below(&report.path, &common);
        (!code.is_empty()).then_some(LibraryRow { path: &report.path, name, code })
    });
    let mut libraries: Vec<LibraryRow<'_>> = with_code.collect();
    libraries.sort_by_key(|library| Reverse(bytes_of(&library.code)));
    let (rows, others) = libraries.split_at_checked(MOST_ROWS).unwrap_or((&libraries, &[]));
    let (total, dead) = (all.total(), dead(run, all));
    let columns = columns(&total);
    html! {
        section aria-labelledby="libraries" {
            h2 id="libraries" { "Libraries by architectures" }
            p.lead {
                "Bytes of GPU code"
                @if !common.as_os_str().is_empty() { " below " code { (path_shown(&common)) } }
                ". Each shade is twice the bytes of the next lighter one."
                @if !dead.is_empty() { " Striped columns are dead: no target can use what stands in them." }
            }
            div.scroll.pad role="region" aria-label="Picture" tabindex="0" { (picture(rows, &columns, &dead)) }
            details {
                summary { "The same as figures" }
                (scrolling("Bytes of GPU code by library and architecture", &figures(rows, &columns, (&total, &dead))))
            }
            @if !others.is_empty() { (smaller(others)) }
        }
    }
}

/// The folder that all files with code are in.
pub(super) fn common(run: &ArchsRun) -> PathBuf {
    let has_code = |report: &&ArchsReport| report.code.as_ref().is_ok_and(|code| !code.places.is_empty());
    common_folder(run.files.iter().filter(has_code).map(|report| report.path.as_path()))
}

/// Code that no target can use; none where no target is named.
pub(super) fn dead(run: &ArchsRun, all: &GpuCode) -> BTreeSet<Code> {
    if run.gpus.is_empty() { BTreeSet::new() } else { all.unused(&run.gpus).into_keys().collect() }
}

fn figures(rows: &[LibraryRow<'_>], columns: &[Code], (total, dead): (&Tallies, &BTreeSet<Code>)) -> Markup {
    let most = rows.iter().flat_map(|row| row.code.values()).map(|tally| tally.bytes).max().unwrap_or(0);
    html! {
        table.heat.sorts {
            thead { tr {
                th scope="col" { "Library" } th.n scope="col" { "All" }
                @for code in columns {
                    th.n.dead[dead.contains(code)] scope="col" {
                        (code.architecture())
                        @if code.kind != CodeKind::Cubin { " " (code.kind.title().trim_end()) }
                        @if dead.contains(code) { " dead" }
                    }
                }
            } }
            tbody {
                @for row in rows {
                    @let bytes = bytes_of(&row.code);
                    tr {
                        th scope="row" { (path_shown(row.name)) }
                        td.n data-v=(bytes) title={ (exact(bytes)) " bytes" } { (size(bytes)) }
                        @for column in columns {
                            @match row.code.get(column).map(|tally| tally.bytes) {
                                Some(bytes) => {
                                    td.n.(shade(bytes, most)).dead[dead.contains(column)] data-v=(bytes) { (size(bytes)) }
                                }
                                None => { td data-v="0" {} }
                            }
                        }
                    }
                }
            }
            tfoot {
                tr.sum {
                    th scope="row" { "All together" }
                    td.n { (size(bytes_of(total))) }
                    @for code in columns {
                        td.n.dead[dead.contains(code)] { (size(total.get(code).map_or(0, |tally| tally.bytes))) }
                    }
                }
            }
        }
    }
}

fn smaller(others: &[LibraryRow<'_>]) -> Markup {
    html! {
        details {
            summary { (counted(others.len(), "smaller library", "smaller libraries")) ", all counted above" }
            ul.files {
                @for LibraryRow { name, code, .. } in others {
                    li {
                        code { (path_shown(name)) } ": " (size(bytes_of(code))) span.soft {
                            @for code in code.keys() { " " (code.kind.title()) (code.architecture()) }
                        }
                    }
                }
            }
        }
    }
}
