//! What was searched for, tried and found, as the loader and as `explain` tell it, and whether that is the same.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

/// One search of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Searched {
    /// Who asks.
    pub(super) by: PathBuf,
    pub(super) name: String,
    /// Files in the order in which they were tried.
    pub(super) tried: Vec<PathBuf>,
    /// The last of them, if it was taken.
    pub(super) found: Option<PathBuf>,
}

/// Where relative paths start, and where absolute ones do.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) here: PathBuf,
    /// The image that the loader runs in; `/` for this machine.
    pub(super) root: PathBuf,
}

impl Ground {
    pub(super) fn of(here: &Path) -> Self {
        Self { here: here.to_owned(), root: "/".into() }
    }

    /// Where a path of the image leads, links and all; by itself, so that it shares no mistake with what is tested.
    fn follow(&self, path: &Path) -> Option<PathBuf> {
        let mut done = PathBuf::from("/");
        let mut left: Vec<PathBuf> = vec![path.to_owned()];
        for _ in 0..1000 {
            let Some(next) = left.pop() else { return Some(done) };
            let mut parts = next.components();
            match parts.next() {
                None => continue,
                Some(Component::RootDir) => done = PathBuf::from("/"),
                Some(Component::ParentDir) => _ = done.pop(),
                Some(part) => done.push(part),
            }
            left.push(parts.as_path().to_owned());
            let host = self.root.join(done.strip_prefix("/").expect("an absolute path"));
            if std::fs::symlink_metadata(&host).ok()?.is_symlink() {
                left.push(std::fs::read_link(&host).ok()?);
                done.pop();
            }
        }
        None
    }

    fn is_directory(&self, path: &Path) -> bool {
        let found = self.follow(path);
        found.is_some_and(|found| self.root.join(found.strip_prefix("/").expect("an absolute path")).is_dir())
    }

    /// Both sides write the same file in several ways (`/a//b`, `./b`); links and `..` mean something and stay.
    fn plain(&self, path: &Path) -> PathBuf {
        self.here.join(path).components().filter(|part| *part != Component::CurDir).collect()
    }

    /// Both sides tell who asks by different paths: opened under, and resolved.
    fn resolved(&self, path: &Path) -> PathBuf {
        let plain = self.plain(path);
        self.follow(&plain).unwrap_or(plain)
    }

    /// Whatever a loader says of directories that are not there depends on what it tried before.
    pub(super) fn comparable(&self, searched: &Searched) -> Searched {
        let tried = searched.tried.iter().map(|file| self.plain(file));
        Searched {
            by: self.resolved(&searched.by),
            name: searched.name.clone(),
            tried: tried.filter(|file| self.is_directory(file.parent().expect("a file"))).collect(),
            found: searched.found.as_ref().map(|found| self.plain(found)),
        }
    }
}

/// How what is loaded at start is asked for.
const AT_START: [&str; 4] = ["needed", "filter", "auxiliary", "preloaded"];

/// Reads the searches of `explain --json`, without those that the process answers by itself; with `all` also those that are
/// not made at start.
pub(super) fn explained(json: &Value, all: bool) -> Vec<Searched> {
    let searches = json["searches"].as_array().expect("a list of searches");
    let wanted = searches.iter().filter(|search| all || AT_START.iter().any(|kind| search["kind"] == *kind));
    wanted.filter_map(one).collect()
}

fn one(search: &Value) -> Option<Searched> {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text in {search}")).to_owned();
    let steps = search["steps"].as_array().expect("a list of steps");
    if steps.iter().any(|step| step["source"] == "loaded") {
        return None;
    }
    let nowhere = ["absent", "relative", "ignored", "token"];
    let looked = |step: &&Value| !nowhere.contains(&step["outcome"].as_str().expect("an outcome"));
    let tried = steps.iter().filter(looked).filter(|step| step["source"] != "path");
    Some(Searched {
        by: text(&search["by"]).into(),
        name: text(search.get("expanded").unwrap_or(&search["name"])),
        tried: tried.map(|step| text(&step["place"]).into()).collect(),
        found: steps.iter().find(|step| step["outcome"] == "hit").map(|step| text(&step["place"]).into()),
    })
}

/// What the loader did up to the search that ends the process, and how many of them were compared.
pub(super) fn differences(ground: &Ground, traced: &[Searched], explained: &[Searched]) -> (usize, Vec<String>) {
    let comparable = |searches: &[Searched]| searches.iter().map(|s| ground.comparable(s)).collect::<Vec<_>>();
    let (traced, explained) = (comparable(traced), comparable(explained));
    let mut found = Vec::new();
    for index in 0..traced.len().max(explained.len()) {
        match (traced.get(index), explained.get(index)) {
            (Some(really), Some(told)) if really == told => {}
            (really, told) => {
                found.push(format!("search {index}:\n  loader  {really:?}\n  explain {told:?}"));
                // Everything behind a search that only one side made is shifted.
                break;
            }
        }
    }
    (traced.len(), found)
}

/// Leaves out what follows the first search that found nothing: a program does not start without its libraries.
pub(super) fn until_failure(mut searches: Vec<Searched>) -> Vec<Searched> {
    if let Some(at) = searches.iter().position(|search| search.found.is_none()) {
        searches.truncate(at + 1);
    }
    searches
}
