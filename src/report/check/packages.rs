//! What a check says of each package: its findings by kind, and its objects that ask for the driver.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::run::CheckRun;
use crate::check::{Finding, ObjectReport, Severity, Verdict};
use crate::report::ReportSubject;

/// A package of the tree that was checked.
#[derive(Debug)]
pub(super) struct CheckedPackage<'r> {
    /// Where it lies; `None` for what is said of everything together.
    pub path: Option<PathBuf>,
    /// What is wrong in it, in path order.
    pub findings: Vec<&'r Finding>,
    /// Its objects that ask for the driver, in path order.
    pub objects: Vec<&'r ObjectReport>,
}

/// Findings of one rule that are equally bad, by what they say and of which files.
pub(super) type SameKind<'r> = Vec<(String, Vec<&'r Path>)>;

/// All packages of which there is something to say, those with the worst first.
pub(super) fn packages(run: &CheckRun) -> Vec<CheckedPackage<'_>> {
    let mut packages: BTreeMap<Option<PathBuf>, CheckedPackage<'_>> = BTreeMap::new();
    let key = |path: &Path| (!path.as_os_str().is_empty()).then(|| package_of(path));
    let new = |path: &Option<PathBuf>| CheckedPackage { path: path.clone(), findings: Vec::new(), objects: Vec::new() };
    for finding in &run.report.findings {
        packages.entry(key(&finding.path)).or_insert_with_key(new).findings.push(finding);
    }
    for object in run.report.objects.iter().filter(|object| !object.requests.is_empty()) {
        packages.entry(key(&object.facts.shown)).or_insert_with_key(new).objects.push(object);
    }
    let mut packages: Vec<CheckedPackage<'_>> = packages.into_values().collect();
    packages.sort_by_key(CheckedPackage::rank);
    packages
}

impl<'r> CheckedPackage<'r> {
    /// Where it stands among others: the worse, the earlier. Packages that are equally bad stay in path order.
    fn rank(&self) -> (Reverse<bool>, Reverse<Option<Severity>>, Reverse<bool>) {
        let has = |verdict| self.count(verdict) > 0;
        (Reverse(has(Verdict::Fail)), Reverse(self.worst()), Reverse(has(Verdict::Runtime)))
    }

    /// The worst finding.
    pub(super) fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// Whether something in it fails, or is an error.
    pub(super) fn is_bad(&self) -> bool {
        self.worst() == Some(Severity::Error) || self.count(Verdict::Fail) > 0
    }

    /// How many of its objects have this verdict.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.objects.iter().filter(|object| object.verdict() == Some(verdict)).count()
    }

    /// How many of its findings are this bad.
    pub(super) fn severity_count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// What people call it: a store path without its hash, a distribution without the folders above it, and a folder from
    /// the tree on that was asked about.
    pub(super) fn name(&self, subject: &ReportSubject) -> PathBuf {
        let Some(path) = &self.path else { return PathBuf::from("Everything together") };
        let named = |index: usize| path.components().rev().nth(index).map(|part| part.as_os_str());
        let last = named(0).unwrap_or_default();
        let is_site =
            |name: Option<&OsStr>| name.is_some_and(|name| name == "site-packages" || name == "dist-packages");
        if is_site(named(2)) && named(1) == Some(OsStr::new("nvidia")) {
            return Path::new("nvidia").join(last);
        }
        if is_site(named(1)) {
            return PathBuf::from(last);
        }
        let without_hash = last.to_str().and_then(|name| name.split_once('-')).filter(|(hash, _)| hash.len() == 32);
        match without_hash {
            Some((_, name)) if named(1) == Some(OsStr::new("store")) => PathBuf::from(name),
            _ if path.as_os_str().is_empty() => PathBuf::from("."),
            _ => match subject.given.as_slice() {
                [tree] => path.strip_prefix(tree).ok().filter(|below| !below.as_os_str().is_empty()),
                _ => None,
            }
            .unwrap_or(path)
            .to_owned(),
        }
    }

    /// A path as it is known within the package.
    pub(super) fn below<'p>(&self, path: &'p Path) -> &'p Path {
        let below = self.path.as_ref().and_then(|package| path.strip_prefix(package).ok());
        below.filter(|below| !below.as_os_str().is_empty()).unwrap_or(path)
    }

    /// Its findings by kind, the worst first: what they say, and of which files.
    pub(super) fn kinds(&self) -> Vec<(&'r Finding, SameKind<'r>)> {
        let mut kinds: BTreeMap<(Reverse<Severity>, &str), Vec<&'r Finding>> = BTreeMap::new();
        for finding in &self.findings {
            kinds.entry((Reverse(finding.severity), finding.rule.code)).or_default().push(finding);
        }
        let same = |findings: Vec<&'r Finding>| {
            let first = findings.first().copied()?;
            let mut places: BTreeMap<String, usize> = BTreeMap::new();
            let mut said: SameKind<'r> = Vec::new();
            for finding in findings {
                let place = *places.entry(finding.message()).or_insert_with_key(|message| {
                    said.push((message.clone(), Vec::new()));
                    said.len().saturating_sub(1)
                });
                if let Some((_, paths)) = said.get_mut(place) {
                    paths.push(&finding.path);
                }
            }
            Some((first, said))
        };
        kinds.into_values().filter_map(same).collect()
    }
}

/// The package of a file by the folders that it lies in: a store path, what a Python environment installs (NVIDIA's wheels
/// share a folder), or else its directory.
pub(super) fn package_of(path: &Path) -> PathBuf {
    let parts: Vec<Component<'_>> = path.components().collect();
    let is = |at: usize, name: &str| parts.get(at).is_some_and(|part| part.as_os_str() == OsStr::new(name));
    let first = |count: usize| parts.iter().take(count).collect::<PathBuf>();
    for at in 0..parts.len() {
        if is(at, "nix") && is(at.saturating_add(1), "store") && parts.len() > at.saturating_add(2) {
            return first(at.saturating_add(3));
        }
        if is(at, "site-packages") || is(at, "dist-packages") {
            let shared = usize::from(is(at.saturating_add(1), "nvidia"));
            let package = at.saturating_add(2).saturating_add(shared);
            // A module that lies there by itself is a package.
            return first(package.min(parts.len()));
        }
    }
    path.parent().map(Path::to_owned).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> PathBuf {
        CheckedPackage { path: Some(path.into()), findings: Vec::new(), objects: Vec::new() }
            .name(&ReportSubject::of_file("/opt".as_ref()))
    }

    #[test]
    fn packages_are_called_as_people_call_them() {
        for (path, called) in [
            ("/nix/store/0123456789abcdef0123456789abcdef-torch-2.15", "torch-2.15"),
            ("/nix/store/short-torch", "/nix/store/short-torch"),
            ("/venv/lib/site-packages/torch", "torch"),
            ("/venv/lib/site-packages/nvidia/cublas", "nvidia/cublas"),
            ("/opt/app/bin", "app/bin"),
            ("/usr/bin", "/usr/bin"),
            ("", "."),
        ] {
            assert_eq!(name(path), Path::new(called), "{path}");
        }
    }

    #[test]
    fn packages_are_told_by_their_folders() {
        for (path, package) in [
            ("/nix/store/abc-torch-2.15/lib/python3.12/site-packages/torch/lib/a.so", "/nix/store/abc-torch-2.15"),
            ("img/nix/store/abc-app/bin/app", "img/nix/store/abc-app"),
            ("/venv/lib/site-packages/torch/lib/libtorch.so", "/venv/lib/site-packages/torch"),
            ("/venv/lib/site-packages/nvidia/cublas/lib/libcublas.so.12", "/venv/lib/site-packages/nvidia/cublas"),
            ("/venv/lib/site-packages/_cffi.so", "/venv/lib/site-packages/_cffi.so"),
            ("/usr/lib/python3/dist-packages/numpy/core/a.so", "/usr/lib/python3/dist-packages/numpy"),
            ("/opt/app/bin/app", "/opt/app/bin"),
            ("app", ""),
            ("", ""),
        ] {
            assert_eq!(package_of(Path::new(path)), Path::new(package), "{path}");
        }
    }
}
