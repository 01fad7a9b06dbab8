//! `cuda-runpath rules`

use std::io::{self, Write};

use anyhow::Context;

use super::args::{Format, Global, RulesArgs, SchemaOf};
use super::exit::Status;
use super::output;
use crate::check::{RULES, rule::rule};
use crate::report;

/// The manual is written for terminals of this width.
const WIDTH: usize = 80;

pub(super) fn run(args: &RulesArgs, global: &Global) -> anyhow::Result<Status> {
    let mut out = output::stdout();
    if let Some(document) = args.schema {
        let schema = match document {
            SchemaOf::Check => report::check::json::SCHEMA_FILE,
            SchemaOf::Against => report::against::json::SCHEMA_FILE,
        };
        out.write_all(schema.as_bytes())?;
        out.flush()?;
        return Ok(Status::Clean);
    }
    let one = match &args.code {
        None => None,
        Some(code) => {
            Some(rule(code).with_context(|| format!("{code}: no such finding; cuda-runpath rules lists them"))?)
        }
    };
    let palette = output::palette(global, &io::stdout());
    match one {
        None if matches!(global.format, Format::Markdown) => report::rules::markdown::print(&mut out)?,
        Some(rule) if matches!(global.format, Format::Markdown) => report::rules::markdown::print_one(rule, &mut out)?,
        None if global.is_json() => report::rules::json::print(RULES, &mut out)?,
        Some(rule) if global.is_json() => report::rules::json::print(&[rule], &mut out)?,
        None => report::rules::human::print(&palette, &mut out)?,
        Some(rule) => report::rules::human::print_one(rule, &palette, WIDTH, &mut out)?,
    }
    Ok(Status::Clean)
}
