//! Files that list a closure: four kinds, told apart by their contents. None of them needs Nix.

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry};

use bstr::{BStr, BString, ByteSlice};
use serde_json::{Map, Value};

use crate::nix;

/// Store paths, and who refers to whom as far as the list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// All store paths, sorted.
    pub(crate) paths: BTreeSet<BString>,
    /// What each refers to; empty for a plain list.
    pub(crate) references: BTreeMap<BString, BTreeSet<BString>>,
}

/// The references of a closure the other way round: who refers to a path.
pub(super) struct Referrers<'c> {
    /// In order of their names.
    of: HashMap<&'c BStr, Vec<&'c BStr>>,
    /// How many references may still be followed.
    patience: usize,
}

/// As many references are followed for all ways together. A closure of this size with a way for each path would need
/// their square.
const MOST_FOLLOWED: usize = 1 << 22;

/// Why a file is no list of a closure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClosureError {
    /// None of the known kinds.
    #[error(
        "is none of: closureInfo's store-paths or registration, an exportReferencesGraph file, a .attrs.json \
         (line {line}: {found:?} is not {expected})"
    )]
    Unknown {
        /// The line, from 1.
        line: usize,
        /// What stands there.
        found: BString,
        /// What should.
        expected: &'static str,
    },
    /// JSON without a closure in it.
    #[error("is JSON without a list of objects that have \"path\"{}; name the attribute with --attrs-key", .0.as_ref().map(|key| format!(" under {key:?}")).unwrap_or_default())]
    NoGraph(Option<String>),
    /// Several attributes hold a closure.
    #[error("has closures under {0}; choose with --attrs-key")]
    SeveralGraphs(String),
    /// JSON with a path that depends on the current directory.
    #[error("has the path {0:?}, which is not absolute")]
    Relative(String),
    /// JSON of `nix path-info` with a whole path where a name in the store should be.
    #[error("has {0:?} under \"info\", which is no name in the store directory")]
    NoBaseName(String),
    /// A list that has no attributes.
    #[error("is no .attrs.json: --attrs-key {0} names nothing in it")]
    NoAttributes(String),
    /// Nothing in it.
    #[error("names no store path")]
    Empty,
}

impl Closure {
    /// Reads a list; `key` names the attribute of a `.attrs.json`.
    ///
    /// # Errors
    /// [`ClosureError`] for anything that is not one of the kinds from its first to its last line.
    pub(crate) fn parse(text: &[u8], key: Option<&str>) -> Result<Self, ClosureError> {
        let closure = match serde_json::from_slice::<Value>(text) {
            Ok(json @ (Value::Object(_) | Value::Array(_))) => from_json(&json, key)?,
            _ => match key {
                Some(key) => return Err(ClosureError::NoAttributes(key.to_owned())),
                None => from_lines(text)?,
            },
        };
        if closure.paths.is_empty() {
            return Err(ClosureError::Empty);
        }
        Ok(closure)
    }

    /// Who refers to whom.
    #[must_use]
    pub(super) fn referrers(&self) -> Referrers<'_> {
        let mut of: HashMap<&BStr, Vec<&BStr>> = HashMap::new();
        for (parent, children) in &self.references {
            for child in children {
                of.entry(child.as_bstr()).or_default().push(parent.as_bstr());
            }
        }
        Referrers { of, patience: MOST_FOLLOWED }
    }

    fn add(&mut self, path: &[u8], references: BTreeSet<BString>) {
        self.paths.insert(path.into());
        if !references.is_empty() {
            self.references.insert(path.into(), references);
        }
    }
}

impl<'c> Referrers<'c> {
    /// The shortest way of references from a path that no other one refers to; `None` when too many were followed.
    pub(super) fn way_to(&mut self, target: &'c BStr) -> Option<Vec<&'c BStr>> {
        let mut children: HashMap<&BStr, &BStr> = HashMap::new();
        let mut queue = vec![target];
        let mut done = 0_usize;
        while let Some(path) = queue.get(done).copied() {
            done += 1;
            let parents = self.of.get(path).map(Vec::as_slice).unwrap_or_default();
            self.patience = self.patience.checked_sub(parents.len().saturating_add(1))?;
            for parent in parents.iter().copied().filter(|parent| *parent != target) {
                if let Entry::Vacant(new) = children.entry(parent) {
                    new.insert(path);
                    queue.push(parent);
                }
            }
        }
        let first = queue.last().copied().unwrap_or(target);
        Some(std::iter::successors(Some(first), |path| children.get(path).copied()).collect())
    }
}

fn from_json(json: &Value, key: Option<&str>) -> Result<Closure, ClosureError> {
    let no_graph = || ClosureError::NoGraph(key.map(str::to_owned));
    let graph = match (json, key) {
        (Value::Array(_), None) => json,
        (Value::Object(attributes), Some(key)) => {
            attributes.get(key).filter(|value| is_graph(value)).ok_or_else(no_graph)?
        }
        (Value::Object(attributes), None) => {
            if let Some(wrapped) = Wrapped::of(attributes) {
                return wrapped.closure();
            }
            // `nix path-info --json --json-format 1` has the store paths as its keys.
            if attributes.keys().any(|key| nix::is_in_store(key.as_bytes())) {
                json
            } else {
                let graphs: Vec<(&String, &Value)> = attributes.iter().filter(|(_, value)| is_graph(value)).collect();
                match graphs.as_slice() {
                    [(_, graph)] => *graph,
                    [] => return Err(no_graph()),
                    more => {
                        let keys: Vec<&str> = more.iter().map(|(key, _)| key.as_str()).collect();
                        return Err(ClosureError::SeveralGraphs(keys.join(", ")));
                    }
                }
            }
        }
        _ => return Err(no_graph()),
    };
    let mut closure = Closure::default();
    let mut add = |path: &str, entry: &Value| {
        if !path.starts_with('/') {
            return Err(ClosureError::Relative(path.to_owned()));
        }
        let references = entry.get("references").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        closure.add(path.as_bytes(), references.iter().filter_map(Value::as_str).map(BString::from).collect());
        Ok(())
    };
    match graph {
        Value::Array(entries) => {
            for entry in entries {
                add(entry.get("path").and_then(Value::as_str).ok_or_else(no_graph)?, entry)?;
            }
        }
        Value::Object(entries) => entries.iter().try_for_each(|(path, entry)| add(path, entry))?,
        _ => return Err(no_graph()),
    }
    Ok(closure)
}

/// What `nix path-info --json-format 2` prints: names without the store's directory, which stands beside them once.
struct Wrapped<'j> {
    store: &'j str,
    entries: &'j Map<String, Value>,
}

impl<'j> Wrapped<'j> {
    fn of(attributes: &'j Map<String, Value>) -> Option<Self> {
        attributes.get("version").and_then(Value::as_u64).filter(|version| *version >= 2)?;
        let store = attributes.get("storeDir").and_then(Value::as_str)?;
        Some(Self { store, entries: attributes.get("info").and_then(Value::as_object)? })
    }

    fn closure(&self) -> Result<Closure, ClosureError> {
        if !self.store.starts_with('/') {
            return Err(ClosureError::Relative(self.store.to_owned()));
        }
        let path = |name: &str| {
            let is_name = !name.is_empty() && !name.contains('/');
            let path = is_name.then(|| BString::from(format!("{}/{name}", self.store.trim_end_matches('/'))));
            path.ok_or_else(|| ClosureError::NoBaseName(name.to_owned()))
        };
        let mut closure = Closure::default();
        for (name, entry) in self.entries {
            let references = entry.get("references").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let references: Result<_, _> = references.iter().filter_map(Value::as_str).map(path).collect();
            closure.add(&path(name)?, references?);
        }
        Ok(closure)
    }
}

fn is_graph(value: &Value) -> bool {
    let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
    !entries.is_empty() && entries.iter().all(|entry| entry.get("path").is_some_and(Value::is_string))
}

/// What stands between the path and the number of references: nothing but a deriver in exportReferencesGraph files, hash
/// and size before it in registrations (`nix-store --load-db`).
#[derive(Clone, Copy)]
enum Record {
    Graph,
    Registration,
}

fn from_lines(text: &[u8]) -> Result<Closure, ClosureError> {
    let lines: Vec<&[u8]> = text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').collect();
    if text.is_empty() {
        return Err(ClosureError::Empty);
    }
    let is_path = |line: Option<&&[u8]>| line.is_some_and(|line| line.starts_with(b"/"));
    let is_number = |line: Option<&&[u8]>| line.is_some_and(|line| number(line).is_some());
    if is_path(lines.first()) && !is_path(lines.get(1)) && is_number(lines.get(2)) {
        let after_deriver = lines.get(3).is_some_and(|line| line.is_empty() || line.starts_with(b"/"));
        // A registration has hash, size, deriver, count; a graph has deriver, count.
        let is_hash = lines.get(1).is_some_and(|line| !line.is_empty());
        let kind = if is_hash && after_deriver { Record::Registration } else { Record::Graph };
        return records(&lines, kind);
    }
    if is_path(lines.first()) && is_path(lines.get(1)) && is_number(lines.get(2)) {
        return records(&lines, Record::Graph);
    }
    let mut closure = Closure::default();
    for (line, path) in (1_usize..).zip(&lines) {
        closure.add(absolute(line, path)?, BTreeSet::new());
    }
    Ok(closure)
}

fn records(lines: &[&[u8]], kind: Record) -> Result<Closure, ClosureError> {
    let mut closure = Closure::default();
    let mut numbered = (1_usize..).zip(lines.iter().copied());
    while let Some((line, path)) = numbered.next() {
        let path = absolute(line, path)?;
        let between = match kind {
            Record::Graph => 1,
            Record::Registration => 3,
        };
        for _ in 0..between {
            numbered.next();
        }
        let missing = || ClosureError::Unknown { line, found: path.into(), expected: "followed by a whole record" };
        let (line, count) = numbered.next().ok_or_else(missing)?;
        let count = number(count).ok_or_else(|| unknown(line, count, "a number of references"))?;
        let mut references = BTreeSet::new();
        for _ in 0..count {
            // A count that the file does not justify ends here, before anything is reserved for it.
            let (line, reference) = numbered.next().ok_or_else(missing)?;
            references.insert(absolute(line, reference)?.into());
        }
        closure.add(path, references);
    }
    Ok(closure)
}

fn absolute(line: usize, path: &[u8]) -> Result<&[u8], ClosureError> {
    if path.starts_with(b"/") { Ok(path) } else { Err(unknown(line, path, "an absolute path")) }
}

fn unknown(line: usize, found: &[u8], expected: &'static str) -> ClosureError {
    let found = found.get(..found.len().min(80)).unwrap_or_default();
    ClosureError::Unknown { line, found: found.into(), expected }
}

fn number(text: &[u8]) -> Option<usize> {
    text.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str, key: Option<&str>) -> Result<Vec<String>, ClosureError> {
        Ok(Closure::parse(text.as_bytes(), key)?.paths.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_kind_of_list_is_told_from_its_contents() {
        let both = Ok(vec!["/nix/store/a-app".to_owned(), "/nix/store/b-lib".to_owned()]);
        assert_eq!(paths("/nix/store/b-lib\n/nix/store/a-app\n", None), both);
        let graph = "/nix/store/a-app\n/nix/store/x.drv\n1\n/nix/store/b-lib\n/nix/store/b-lib\n\n0\n";
        assert_eq!(paths(graph, None), both);
        assert_eq!(paths("/nix/store/b-lib\n\n0\n/nix/store/a-app\n\n1\n/nix/store/b-lib\n", None), both);
        let registration = "/nix/store/b-lib\nsha256:0a\n120\n\n0\n/nix/store/a-app\nsha256:0b\n99\n/nix/store/a.drv\n1\n/nix/store/b-lib\n";
        assert_eq!(paths(registration, None), both);
        let attrs = r#"{"name":"x","outputs":{"out":"/nix/store/o"},
            "closure":[{"path":"/nix/store/a-app","references":["/nix/store/b-lib"]},{"path":"/nix/store/b-lib","references":[]}]}"#;
        assert_eq!(paths(attrs, None), both);
        assert_eq!(paths(attrs, Some("closure")), both);
        let info = r#"{"/nix/store/a-app":{"references":["/nix/store/b-lib"]},"/nix/store/b-lib":{"references":[]}}"#;
        assert_eq!(paths(info, None), both);
    }

    #[test]
    fn anything_else_is_named() {
        assert_eq!(paths("", None), Err(ClosureError::Empty));
        assert!(matches!(paths("hello\n", None), Err(ClosureError::Unknown { line: 1, .. })));
        assert!(matches!(paths("/nix/store/a\nrubbish\n", None), Err(ClosureError::Unknown { line: 2, .. })));
        assert!(matches!(paths("/nix/store/a\n\n7\n/nix/store/b\n", None), Err(ClosureError::Unknown { .. })));
        assert!(matches!(paths("{\"a\":1}", None), Err(ClosureError::NoGraph(None))));
        assert!(matches!(paths("{\"a\":1}", Some("closure")), Err(ClosureError::NoGraph(Some(_)))));
        let two = r#"{"a":[{"path":"/x"}],"b":[{"path":"/y"}]}"#;
        assert!(matches!(paths(two, None), Err(ClosureError::SeveralGraphs(_))));
        assert_eq!(paths(two, Some("b")), Ok(vec!["/y".to_owned()]));
    }

    #[test]
    fn the_way_to_a_path_starts_at_a_root() {
        let graph = "/s/app\n\n1\n/s/mid\n/s/mid\n\n1\n/s/end\n/s/end\n\n0\n";
        let closure = Closure::parse(graph.as_bytes(), None).unwrap();
        let mut referrers = closure.referrers();
        assert_eq!(referrers.way_to("/s/end".into()).unwrap(), ["/s/app", "/s/mid", "/s/end"]);
        assert_eq!(referrers.way_to("/s/app".into()).unwrap(), ["/s/app"]);
    }
}
