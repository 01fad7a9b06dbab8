//! Libraries by architectures as a picture: a square is the darker, the more bytes it stands for. The same as figures stands
//! in the table beside it.

use std::collections::BTreeSet;
use std::path::Path;

use maud::{Markup, html};

use crate::cuda::{Code, CodeKind, Tallies, bytes_of};
use crate::report::html::{path_shown, shown};
use crate::report::size::size;

/// A row: the file, what people call it here, and its code.
#[derive(Clone, Debug)]
pub(super) struct LibraryRow<'r> {
    /// As it was given.
    pub path: &'r Path,
    /// Its name without what all have in front of theirs.
    pub name: &'r Path,
    /// What it has.
    pub code: Tallies,
}

/// How many shades there are.
const SHADES: u32 = 6;

/// Where the first square stands, and how high a row is.
const LEFT: usize = 268;
const ROW: usize = 19;
const TOP: usize = 104;

/// The columns share this width, each between the narrowest and the widest.
const COLUMNS: usize = 720;
const NARROWEST: usize = 14;
const WIDEST: usize = 44;

/// For the sum at the end of a row.
const SUM: usize = 72;

/// The width of a letter, at most.
const LETTER: usize = 8;

/// A name has room for so many characters.
const MOST_OF_A_NAME: usize = 40;

/// The columns: machine code first, then each other kind.
pub(super) fn columns(total: &Tallies) -> Vec<Code> {
    let mut columns: Vec<Code> = total.keys().copied().collect();
    columns.sort_by_key(|code| (code.kind, code.capability));
    columns
}

/// A shade for each halving of the most that a square stands for, from 1.
pub(super) fn shade(bytes: u64, most: u64) -> &'static str {
    const NAMES: [&str; 6] = ["h1", "h2", "h3", "h4", "h5", "h6"];
    let last = SHADES.saturating_sub(1);
    let halvings = most.max(1).ilog2().saturating_sub(bytes.max(1).ilog2()).min(last);
    usize::try_from(last.saturating_sub(halvings)).ok().and_then(|at| NAMES.get(at)).copied().unwrap_or("h1")
}

/// The picture.
pub(super) fn picture(rows: &[LibraryRow<'_>], columns: &[Code], dead: &BTreeSet<Code>) -> Markup {
    let wide = COLUMNS.checked_div(columns.len()).unwrap_or(WIDEST).clamp(NARROWEST, WIDEST);
    let right = LEFT.saturating_add(wide.saturating_mul(columns.len()));
    let bottom = TOP.saturating_add(ROW.saturating_mul(rows.len()));
    let (width, height) = (right.saturating_add(SUM), bottom.saturating_add(4));
    let most = rows.iter().flat_map(|row| row.code.values()).map(|tally| tally.bytes).max().unwrap_or(0);
    let x_of = |at: usize| LEFT.saturating_add(wide.saturating_mul(at));
    html! {
        svg.picture width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } role="img"
            aria-label={
                "Bytes of GPU code of " (rows.len()) " libraries for " (columns.len())
                " kinds of code; the table below has the same as figures"
            } {
            pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                rect width="1.5" height="6" {}
            }
            @for (at, code) in columns.iter().enumerate() {
                @if dead.contains(code) {
                    rect.stripes x=(x_of(at)) y=(TOP) width=(wide) height=(bottom.saturating_sub(TOP)) {}
                }
                (heading(*code, x_of(at).saturating_add(wide / 2).saturating_add(4), dead.contains(code)))
            }
            (groups(columns, &x_of))
            @for (at, row) in rows.iter().enumerate() {
                @let y = TOP.saturating_add(ROW.saturating_mul(at));
                line.rule x1="0" x2=(width) y1=(y) y2=(y) {}
                (library(row, (y, right)))
                @for (at, code) in columns.iter().enumerate() {
                    @if let Some(tally) = row.code.get(code) {
                        rect.(shade(tally.bytes, most)).gone[dead.contains(code)]
                            x=(x_of(at).saturating_add(1)) y=(y.saturating_add(1)) rx="2"
                            width=(wide.saturating_sub(2)) height=(ROW.saturating_sub(2)) {
                            title { (path_shown(row.name)) ", " (code.kind.title()) (code.architecture()) ": " (size(tally.bytes)) }
                        }
                    }
                }
            }
        }
    }
}

fn heading(code: Code, x: usize, is_dead: bool) -> Markup {
    let y = TOP.saturating_sub(6);
    // The kind stands above its group.
    let name = code.architecture().replace("compute_", "").replace("sm_", "");
    html! {
        text.gone[is_dead] x=(x) y=(y) transform={ "rotate(-90 " (x) " " (y) ")" } {
            (name) @if is_dead { " dead" }
        }
    }
}

/// A line above the columns of each kind.
fn groups(columns: &[Code], x_of: &dyn Fn(usize) -> usize) -> Markup {
    let mut groups: Vec<(CodeKind, usize, usize)> = Vec::new();
    for (at, code) in columns.iter().enumerate() {
        match groups.last_mut() {
            Some((kind, _, end)) if *kind == code.kind => *end = at,
            _ => groups.push((code.kind, at, at)),
        }
    }
    let is_narrow = |(kind, first, last): &(CodeKind, usize, usize)| {
        x_of(last.saturating_add(1)).saturating_sub(x_of(*first)) < words(*kind).len().saturating_mul(LETTER)
    };
    let are_narrow = groups.split_last().is_some_and(|(_, others)| others.iter().any(is_narrow));
    html! {
        @for (number, (kind, first, last)) in groups.iter().enumerate() {
            @let (from, to) = (x_of(*first).saturating_add(2), x_of(last.saturating_add(1)).saturating_sub(2));
            line.group x1=(from) x2=(to) y1="36" y2="36" {}
            // A name that is wider than its group would meet the next one: each second one stands higher then.
            text.group x=(from) y=(if are_narrow && number % 2 == 1 { 14 } else { 30 }) { (words(*kind)) }
        }
    }
}

fn words(kind: CodeKind) -> &'static str {
    match kind {
        CodeKind::Cubin => "machine code, sm_…",
        CodeKind::Ptx => "PTX",
        CodeKind::RelocatablePtx => "relocatable PTX",
        CodeKind::TileIr => "Tile IR",
        CodeKind::LtoIr => "LTO-IR",
    }
}

fn library(row: &LibraryRow<'_>, (y, right): (usize, usize)) -> Markup {
    let base = y.saturating_add(13);
    let name = row.name.file_name().map_or_else(|| path_shown(row.name), |name| shown(name.as_encoded_bytes()));
    let short = match name.char_indices().nth(MOST_OF_A_NAME) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name,
    };
    html! {
        text.name x=(LEFT.saturating_sub(8)) y=(base) { (short) title { (path_shown(row.path)) } }
        text.bytes x=(right.saturating_add(SUM).saturating_sub(4)) y=(base) { (size(bytes_of(&row.code))) }
    }
}
