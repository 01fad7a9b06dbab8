//! Findings of one kind together, for people: a tree of wheels has hundreds that say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::packages::package_of;
use crate::check::{Finding, Rule, Severity};
use crate::report::human::Human;

/// What findings stand under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum GroupBy {
    /// The file, but for kinds of which there are many: those stand together, and the first ones are told.
    #[default]
    Many,
    /// The code.
    Code,
    /// The file.
    Path,
    /// The package that the file is of.
    Package,
}

/// More findings of one kind are told together.
const MANY: usize = 10;

/// As many of them are shown.
const FIRST: usize = 3;

/// Findings of one rule that are equally bad: the worst kind comes first, then by code.
type Kinds<'f> = BTreeMap<(std::cmp::Reverse<Severity>, &'static str), Vec<&'f Finding>>;

fn kinds<'f>(findings: impl Iterator<Item = &'f Finding>) -> Kinds<'f> {
    let mut kinds = Kinds::new();
    for finding in findings {
        kinds.entry((std::cmp::Reverse(finding.severity), finding.rule.code)).or_default().push(finding);
    }
    kinds
}

/// Prints findings, which come in path order, in groups.
///
/// # Errors
/// What writing says.
pub(in crate::report) fn print(
    human: &Human,
    by: GroupBy,
    findings: &[&Finding],
    out: &mut dyn Write,
) -> io::Result<()> {
    let all = || findings.iter().copied();
    match by {
        GroupBy::Path => by_path(human, all(), out),
        GroupBy::Code => kinds(all()).values().try_for_each(|kind| {
            title(human, "", kind, out)?;
            kind.iter().try_for_each(|finding| one(human, "  ", finding, out))
        }),
        GroupBy::Many => {
            let kinds = kinds(all());
            let of_kind = |finding: &Finding| kinds.get(&(std::cmp::Reverse(finding.severity), finding.rule.code));
            let is_one_of_many = |finding: &&Finding| of_kind(finding).is_some_and(|kind| kind.len() > MANY);
            by_path(human, all().filter(|finding| !is_one_of_many(finding)), out)?;
            kinds.values().filter(|kind| kind.len() > MANY).try_for_each(|kind| folded(human, "", "code", kind, out))
        }
        GroupBy::Package => {
            let mut packages: BTreeMap<PathBuf, Vec<&Finding>> = BTreeMap::new();
            for finding in all() {
                packages.entry(package_of(&finding.path)).or_default().push(finding);
            }
            for (package, findings) in &packages {
                file(human, package, out)?;
                let kinds = kinds(findings.iter().copied());
                kinds.values().try_for_each(|kind| folded(human, "  ", "path", kind, out))?;
            }
            Ok(())
        }
    }
}

fn by_path<'f>(human: &Human, findings: impl Iterator<Item = &'f Finding>, out: &mut dyn Write) -> io::Result<()> {
    let mut last: Option<&Path> = None;
    for finding in findings {
        if last != Some(&finding.path) {
            file(human, &finding.path, out)?;
            last = Some(&finding.path);
        }
        write!(out, "  ")?;
        rule(human, finding.rule, finding.severity, out)?;
        write!(out, ": ")?;
        human.name(out, finding.message().as_bytes())?;
        writeln!(out)?;
    }
    Ok(())
}

/// The first findings of a kind, and which `--group-by` lists the others.
fn folded(human: &Human, indent: &str, list_by: &str, kind: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
    title(human, indent, kind, out)?;
    let inner = format!("{indent}  ");
    kind.iter().take(FIRST).try_for_each(|finding| one(human, &inner, finding, out))?;
    match kind.len().saturating_sub(FIRST) {
        0 => Ok(()),
        more => writeln!(out, "{inner}and {more} more (--group-by {list_by} lists all)"),
    }
}

/// `error CRP100 driver-unreachable: 12 in 11 files`
fn title(human: &Human, indent: &str, kind: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = kind.first() else { return Ok(()) };
    let files: BTreeSet<&Path> = kind.iter().map(|finding| finding.path.as_path()).collect();
    write!(out, "{indent}")?;
    rule(human, first.rule, first.severity, out)?;
    let word = if files.len() == 1 { "file" } else { "files" };
    writeln!(out, ": {} in {} {word}", kind.len(), files.len())
}

fn one(human: &Human, indent: &str, finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{indent}")?;
    path(human, &finding.path, out)?;
    write!(out, ": ")?;
    human.name(out, finding.message().as_bytes())?;
    writeln!(out)
}

fn rule(human: &Human, rule: &Rule, severity: Severity, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{} {} {}", human.out.severity_label(severity), rule.code, rule.slug)
}

fn file(human: &Human, name: &Path, out: &mut dyn Write) -> io::Result<()> {
    path(human, name, out)?;
    writeln!(out)
}

fn path(human: &Human, path: &Path, out: &mut dyn Write) -> io::Result<()> {
    if path.as_os_str().is_empty() { write!(out, "(all together)") } else { human.path(out, path) }
}
