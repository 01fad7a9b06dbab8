//! An unpacked image with a Nix store in it, so that no test depends on the machine that it runs on.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::elfgen::Spec;
use crate::harness::{Run, Tree, binary, names, run, set_mode};

/// A path in the store: every store path of an image has the same hash.
macro_rules! store {
    ($path:literal) => {
        concat!("/nix/store/00000000000000000000000000000000-", $path)
    };
}
pub(crate) use store;

pub(crate) struct Image {
    tree: Tree,
}

impl Image {
    pub(crate) fn new() -> Self {
        let image = Self { tree: Tree::in_memory() };
        image.folder("/", 0o755);
        image
    }

    /// Where a path of the image lies on this machine.
    pub(crate) fn host(&self, path: &str) -> PathBuf {
        self.tree.join("image").join(path.trim_start_matches('/'))
    }

    /// A path beside the image: what is no part of it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.tree.join(name)
    }

    pub(crate) fn put(&self, path: &str, spec: &Spec) -> &Self {
        self.file(path, &spec.build())
    }

    pub(crate) fn file(&self, path: &str, bytes: &[u8]) -> &Self {
        self.tree.file(self.host(path), bytes);
        self
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        self.tree.symlink(target, self.host(path));
        self
    }

    pub(crate) fn folder(&self, path: &str, mode: u32) -> &Self {
        set_mode(&self.tree.folder(self.host(path)), mode);
        self
    }

    /// Writes the list of all store paths, as closureInfo does, and says where.
    pub(crate) fn store_paths(&self) -> PathBuf {
        let names = names(&self.host("/nix/store"));
        let list: String = names.iter().map(|name| format!("/nix/store/{}\n", name.to_str().unwrap())).collect();
        self.tree.file("store-paths", list.as_bytes())
    }

    /// `check` of the whole image.
    pub(crate) fn check<S: AsRef<str>>(&self, arguments: &[S]) -> Checked {
        Checked::of(self.run("check", arguments))
    }

    /// `check` of the closure of all store paths.
    pub(crate) fn check_closure<S: AsRef<str>>(&self, arguments: &[S]) -> Checked {
        let list = self.store_paths();
        let mut all = vec!["--closure-from", list.to_str().unwrap()];
        all.extend(arguments.iter().map(AsRef::as_ref));
        self.check(&all)
    }

    /// A subcommand in the image, with the JSON format.
    pub(crate) fn run<S: AsRef<str>>(&self, command: &str, arguments: &[S]) -> Run {
        let mut program = binary();
        program.args([command, "--json", "--root"]).arg(self.host("/"));
        program.args(arguments.iter().map(AsRef::as_ref));
        run(&mut program)
    }
}

/// What a check said.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) run: Run,
    pub(crate) json: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) code: String,
    pub(crate) severity: String,
    pub(crate) path: String,
    pub(crate) about: String,
    pub(crate) message: String,
}

impl Checked {
    pub(crate) fn of(run: Run) -> Self {
        run.assert_orderly("check");
        Self { json: run.json(), run }
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        findings(&self.json["findings"])
    }

    /// The codes in the order in which they are reported by code, each as often as it is found.
    pub(crate) fn codes(&self) -> String {
        let mut codes: Vec<String> = self.findings().into_iter().map(|finding| finding.code).collect();
        codes.sort();
        codes.join(" ")
    }

    /// Verdict and answer for one request of one object.
    pub(crate) fn verdict(&self, path: &str, soname: &str) -> (String, String) {
        let request = self.request(path, soname);
        let text = |key: &str| request[key].as_str().unwrap().to_owned();
        (text("verdict"), text("answer"))
    }

    pub(crate) fn request(&self, path: &str, soname: &str) -> &Value {
        let objects = self.json["objects"].as_array().unwrap();
        let object = objects.iter().find(|object| object["path"] == path);
        let object = object.unwrap_or_else(|| panic!("{path} is not in {:#}", self.json["objects"]));
        let requests = object["requests"].as_array().unwrap();
        requests.iter().find(|request| request["soname"] == soname).unwrap_or_else(|| panic!("{object:#}"))
    }
}

pub(crate) fn findings(list: &Value) -> Vec<Finding> {
    let finding = |value: &Value| {
        let text = |key: &str| value[key].as_str().unwrap_or_else(|| panic!("{key} of {value:#}")).to_owned();
        Finding {
            code: text("code"),
            severity: text("severity"),
            path: text("path"),
            about: text("about"),
            message: text("message"),
        }
    };
    list.as_array().unwrap().iter().map(finding).collect()
}

/// The one argument that is a path of this machine.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
