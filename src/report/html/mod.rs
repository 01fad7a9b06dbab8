//! What all pages share: the shell, one style, one script, and the parts that several commands show.
//!
//! A page is one file that asks nothing of the network: its policy forbids everything but the style and the script that
//! stand in it, by their digests, so that a browser would run nothing that a name smuggled in, either. What comes from files
//! goes through [`shown()`], and the templates escape by themselves: [`PreEscaped`] is for the two files beside this one.

mod badge;
mod bar;
mod ladder;

pub(super) use badge::{counted_badge, icon, severity_badge, verdict_badge};
pub(super) use bar::{BarPart, bar, key};
pub(super) use ladder::{ends, ladder};

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::subject::ReportSubject;
use super::text::escaped;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What stands above a page's parts.
pub(super) struct PageHead<'a> {
    /// The command that made it.
    pub command: &'static str,
    /// What it says, in a few words: the window's title.
    pub title: &'a str,
    /// What it is about.
    pub subject: &'a ReportSubject,
    /// The first thing that a person sees.
    pub hero: Markup,
    /// The parts that it has: their id and their heading.
    pub parts: Vec<(&'static str, &'static str)>,
}

/// Prints a page.
///
/// # Errors
/// What writing says.
pub(super) fn print(head: &PageHead<'_>, main: &Markup, out: &mut dyn Write) -> io::Result<()> {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="generator" content={ "cuda-runpath " (env!("CARGO_PKG_VERSION")) };
                title { (head.title) " – cuda-runpath " (head.command) }
                // Without one a browser asks the server for it.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the report" }
                (badge::symbols())
                header.top {
                    p.brand {
                        strong { "cuda-runpath " (head.command) }
                        (about(head.subject))
                    }
                    (head.hero)
                    @if head.parts.len() > 1 {
                        nav.toc aria-label="Parts of this report" {
                            ul { @for (id, title) in &head.parts { li { a href={ "#" (id) } { (title) } } } }
                        }
                    }
                }
                main id="main" tabindex="-1" { (main) }
                footer { (footer(head.command)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    out.write_all(page.into_string().as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

fn about(subject: &ReportSubject) -> Markup {
    const MOST: usize = 4;
    html! {
        span {
            @if !subject.kind.is_empty() { (subject.kind) " " }
            @for (at, path) in subject.given.iter().take(MOST).enumerate() {
                @if at > 0 { ", " }
                code { (path_shown(path)) }
            }
            @if subject.given.len() > MOST { " and " (subject.given.len() - MOST) " more" }
            @if let Some(root) = &subject.root { " below " code { (path_shown(root)) } }
        }
    }
}

fn footer(command: &str) -> Markup {
    html! {
        p {
            "Made by cuda-runpath " (env!("CARGO_PKG_VERSION")) ". This file is complete by itself: it loads nothing. "
            "Programs read the same from " code { "cuda-runpath " (command) " --json" } "."
        }
        @if matches!(command, "check" | "explain") {
            p {
                "How to read a search: the loader looks at the places from the top to the bottom and takes the first "
                "library that fits (HIT). A miss is a directory without the file, absent one that is not here; what "
                "stands behind the hit is never reached. With driver, compat and stub a directory is marked that has "
                "the target’s driver, a newer user-space driver, or libraries for linking only."
            }
        }
    }
}

/// The digest by which the policy knows a style or a script.
fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}

/// Text that came from a file: what would not be seen, or turns the order in which other text is seen, as escapes.
pub(super) fn shown(bytes: impl AsRef<[u8]>) -> String {
    escaped(bytes.as_ref())
}

/// The same of a path.
pub(super) fn path_shown(path: &Path) -> String {
    escaped(path.as_os_str().as_bytes())
}

/// A table that may be wider than the window, which a keyboard can scroll then.
pub(super) fn scrolling(label: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(label) tabindex="0" { (table) } }
}

/// A number with what it counts.
pub(super) struct Tile {
    /// Which colour and icon it has, if it is not nothing.
    pub class: &'static str,
    /// What is counted.
    pub label: &'static str,
    /// The number, as it is shown.
    pub number: String,
    /// What else there is to say.
    pub more: String,
}

impl Tile {
    /// A count, which is quiet where it is nothing.
    pub(super) fn of(class: &'static str, label: &'static str, count: usize, more: impl Into<String>) -> Self {
        Self { class, label, number: count.to_string(), more: more.into() }
    }
}

/// Numbers side by side.
pub(super) fn tiles(tiles: &[Tile]) -> Markup {
    html! {
        dl.tiles {
            @for tile in tiles {
                div.(tile.class).zero[tile.number == "0"] {
                    dt { @if let Some(id) = badge::icon_of(tile.class) { (icon(id)) } (tile.label) }
                    dd { (tile.number) }
                    @if !tile.more.is_empty() { dd.more { (tile.more) } }
                }
            }
        }
    }
}
