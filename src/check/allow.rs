//! What a team decided to live with: an allowlist with reasons and dates, and a baseline of what was there before.

use std::collections::BTreeSet;
use std::path::Path;

use globset::{Glob, GlobSet};
use serde_json::Value;
use toml::Table;

use super::finding::Finding;
use super::rule::{self, Rule};
use super::rules::files;

/// Year, month, day.
pub(crate) type Date = (u16, u8, u8);

/// Rows of an allowlist.
#[derive(Debug, Default)]
pub(crate) struct Allowlist {
    rows: Vec<Row>,
    /// The paths of all rows, to be asked together: findings and rows can both be many.
    paths: GlobSet,
}

#[derive(Debug)]
struct Row {
    rule: &'static Rule,
    path: Glob,
    reason: String,
    until: Option<Date>,
}

/// Why an allowlist cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AllowError {
    /// Not TOML.
    #[error("is not TOML")]
    Toml(#[from] toml::de::Error),
    /// Another key than `allow`, or no list of tables under it.
    #[error("has {0:?}; rows are [[allow]] tables with code, path, reason and perhaps until")]
    NoRows(String),
    /// A row with something missing, unknown or of another kind.
    #[error("row {row}: {what}")]
    Row {
        /// The row, from 1.
        row: usize,
        /// What is wrong.
        what: RowError,
    },
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    /// A key that is needed.
    #[error("has no {0} (a text, for code and reason not an empty one)")]
    Missing(&'static str),
    /// A code that no rule has.
    #[error("code {0:?} is none of the rules (cuda-runpath rules lists them)")]
    UnknownCode(String),
    /// A key that no row has.
    #[error("has an unknown key {0:?}")]
    UnknownKey(String),
    /// A path that is no glob.
    #[error("path is no glob")]
    Glob(#[from] globset::Error),
    /// A date that is none.
    #[error("until is no date such as 2027-01-31")]
    Date,
}

/// A finding that an allowlist or a baseline excuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// The finding.
    pub(crate) finding: Finding,
    /// Why.
    pub(crate) reason: String,
}

impl Allowlist {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`AllowError`], which names the row: a row without a reason excuses nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, AllowError> {
        let table: Table = text.parse()?;
        if let Some(other) = table.keys().find(|key| *key != "allow") {
            return Err(AllowError::NoRows(other.clone()));
        }
        let Some(rows) = table.get("allow") else { return Ok(Self::default()) };
        let rows = rows.as_array().ok_or_else(|| AllowError::NoRows("allow".to_owned()))?;
        let rows = (1_usize..).zip(rows).map(|(number, row)| {
            let row = row.as_table().ok_or_else(|| AllowError::NoRows("allow".to_owned()))?;
            Row::parse(row).map_err(|what| AllowError::Row { row: number, what })
        });
        let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
        let paths = GlobSet::new(rows.iter().map(|row| &row.path))
            .map_err(|error| AllowError::Row { row: rows.len(), what: error.into() })?;
        Ok(Self { rows, paths })
    }

    /// Takes out what a row excuses, and adds what the rows themselves deserve (CRP703, CRP704) about the file `list`.
    #[must_use]
    pub(crate) fn apply(&self, findings: Vec<Finding>, list: &Path, today: Date) -> (Vec<Finding>, Vec<Allowed>) {
        let (mut kept, mut allowed) = (Vec::new(), Vec::new());
        let mut used = vec![false; self.rows.len()];
        for finding in findings {
            let mut reason = None;
            for index in self.paths.matches(&finding.path) {
                let (Some(row), Some(used)) = (self.rows.get(index), used.get_mut(index)) else { continue };
                if row.rule != finding.rule {
                    continue;
                }
                *used = true;
                if reason.is_none() && !row.is_expired(today) {
                    reason = Some(row.reason.clone());
                }
            }
            match reason {
                None => kept.push(finding),
                Some(reason) => allowed.push(Allowed { finding, reason }),
            }
        }
        for ((number, row), used) in (1_usize..).zip(&self.rows).zip(used) {
            let about = format!("{} {}", row.rule.code, row.path.glob());
            if row.is_expired(today) {
                kept.push(files::row_expired(list, number, about, &row.reason));
            } else if !used {
                kept.push(files::row_unused(list, number, about));
            }
        }
        (kept, allowed)
    }
}

impl Row {
    fn parse(row: &Table) -> Result<Self, RowError> {
        if let Some(unknown) = row.keys().find(|key| !["code", "path", "reason", "until"].contains(&key.as_str())) {
            return Err(RowError::UnknownKey(unknown.clone()));
        }
        let value = |key: &str| row.get(key).and_then(toml::Value::as_str).map(str::trim);
        let text = |key: &'static str| value(key).filter(|text| !text.is_empty()).ok_or(RowError::Missing(key));
        // A finding about everything together has an empty path.
        let path = value("path").ok_or(RowError::Missing("path"))?;
        let code = text("code")?;
        let until = match row.get("until") {
            None => None,
            Some(toml::Value::Datetime(datetime)) => {
                let date = datetime.date.ok_or(RowError::Date)?;
                Some((date.year, date.month, date.day))
            }
            Some(_) => return Err(RowError::Date),
        };
        Ok(Self {
            rule: rule::rule(code).ok_or_else(|| RowError::UnknownCode(code.to_owned()))?,
            path: Glob::new(path)?,
            reason: text("reason")?.to_owned(),
            until,
        })
    }

    fn is_expired(&self, today: Date) -> bool {
        self.until.is_some_and(|until| until < today)
    }
}

/// The findings of an earlier run.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    fingerprints: BTreeSet<String>,
}

impl Baseline {
    /// Reads the JSON document of an earlier `check`; `None` for anything else.
    #[must_use]
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(text).ok()?;
        if document.get("command")?.as_str()? != "check" {
            return None;
        }
        let findings = document.get("findings")?.as_array()?;
        let fingerprint = |finding: &Value| Some(finding.get("fingerprint")?.as_str()?.to_owned());
        Some(Self { fingerprints: findings.iter().map(fingerprint).collect::<Option<_>>()? })
    }

    /// Takes out what was there before.
    #[must_use]
    pub(crate) fn apply(&self, findings: Vec<Finding>) -> (Vec<Finding>, Vec<Allowed>) {
        let (known, kept): (Vec<_>, Vec<_>) =
            findings.into_iter().partition(|finding| self.fingerprints.contains(&finding.fingerprint()));
        let known = known.into_iter().map(|finding| Allowed { finding, reason: "in the baseline".to_owned() });
        (kept, known.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "[[allow]]\ncode = \"CRP105\"\npath = \"**/libx.so\"\nreason = \"upstream #12\"\n";

    fn finding(path: &str) -> Finding {
        Finding::new(&rule::HARDCODED_PATH, path.as_ref(), "x", "m")
    }

    #[test]
    fn rows_excuse_until_their_date() {
        let list = Allowlist::parse(&format!("{ROW}until = 2026-06-30\n")).unwrap();
        let apply = |today| list.apply(vec![finding("a/libx.so"), finding("a/liby.so")], "allow.toml".as_ref(), today);
        let (kept, allowed) = apply((2026, 6, 30));
        assert_eq!((kept.len(), allowed.len()), (1, 1));
        let (kept, allowed) = apply((2026, 7, 1));
        assert_eq!((kept.len(), allowed.len(), kept.last().unwrap().rule.code), (3, 0, "CRP704"));
        let (kept, _) = list.apply(Vec::new(), "allow.toml".as_ref(), (2026, 1, 1));
        assert_eq!(kept.first().unwrap().rule.code, "CRP703");
    }

    #[test]
    fn bad_rows_are_named() {
        let error = |text: &str| Allowlist::parse(text).unwrap_err().to_string();
        assert!(error(&ROW.replace("CRP105", "CRP999")).contains("row 1: code \"CRP999\" is none of the rules"));
        assert!(error(&ROW.replace("reason = \"upstream #12\"\n", "")).contains("row 1: has no reason"));
        assert!(error(&ROW.replace("upstream #12", " ")).contains("row 1: has no reason"));
        assert!(error(&format!("{ROW}untill = 2026-01-01\n")).contains("unknown key \"untill\""));
        assert!(error(&format!("{ROW}until = \"soon\"\n")).contains("until is no date"));
        assert!(error("[[alow]]\n").contains("\"alow\""));
        assert!(error("x").contains("is not TOML"));
        assert!(Allowlist::parse("").unwrap().rows.is_empty());
    }
}
