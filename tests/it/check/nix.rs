//! Closures of real Nix builds, in a store of their own: what `check` says of them, and what their programs then do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::image::{Checked, text};
use crate::harness::{Tree, binary, command, expect, program, require, run, skip};

const TEST: &str = "closures_of_real_builds_are_judged";

/// What cuInit of compat and of the stub returns; a library that finds none; a program that does not start.
const COMPAT: i32 = 22;
const STUB: i32 = 34;
const NOTHING: i32 = 100;
const NOT_STARTED: i32 = 127;

struct Nix {
    tree: Tree,
}

/// The outputs of one application.
#[derive(Clone, Debug)]
struct Application {
    out: PathBuf,
    linked: PathBuf,
    asks: PathBuf,
    wrapped: PathBuf,
}

#[derive(Default)]
struct Results {
    built: BTreeMap<String, Application>,
    fixed: BTreeMap<String, Application>,
    lists: BTreeMap<String, PathBuf>,
}

impl Nix {
    fn new() -> Self {
        let nix = Self { tree: Tree::new() };
        for folder in ["store", "state", "log", "conf", "home"] {
            nix.tree.folder(folder);
        }
        let lines = [
            "sandbox = false",
            "substitute = false",
            "build-users-group =",
            "filter-syscalls = false",
            "sync-before-registering = false",
            "fsync-metadata = false",
            "max-jobs = 2",
        ];
        nix.tree.file("conf/nix.conf", lines.join("\n").as_bytes());
        nix
    }

    /// The environment that makes a program use this store.
    fn with<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let path = |name: &str| self.tree.join(name);
        for name in ["NIX_PATH", "NIX_SSL_CERT_FILE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR"] {
            command.env_remove(name);
        }
        command
            .env("NIX_STORE_DIR", path("store"))
            .env("NIX_STATE_DIR", path("state"))
            .env("NIX_LOCALSTATE_DIR", path("state"))
            .env("NIX_LOG_DIR", path("log"))
            .env("NIX_CONF_DIR", path("conf"))
            .env("NIX_DATA_DIR", path("share"))
            .env("HOME", path("home"))
            .env("NIX_USER_CONF_FILES", "")
            .env("NIX_REMOTE", "")
    }

    fn build(&self) -> Results {
        let expression = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/check/closure.nix");
        let libc = expect(command("gcc").arg("-print-file-name=libc.so.6"), 0).stdout;
        let mut build = command("nix-build");
        self.with(&mut build).args(["--no-out-link", "--option", "cores", "1"]).arg(expression);
        build.args(["--argstr", "libc", libc.trim(), "--argstr", "loader", &loader()]);
        build.arg("--argstr").arg("program").arg(program());
        let run = expect(&mut build, 0);
        let mut results = Results::default();
        for line in std::fs::read_to_string(run.stdout.trim()).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let (kind, name) = (words[0], words[1].to_owned());
            let path = |index: usize| PathBuf::from(words[index]);
            if kind == "list" {
                results.lists.insert(name, path(2));
                continue;
            }
            let application = Application { out: path(2), linked: path(3), asks: path(4), wrapped: path(5) };
            if kind == "built" { &mut results.built } else { &mut results.fixed }.insert(name, application);
        }
        results
    }

    fn check(&self, arguments: &[&str]) -> Checked {
        let mut program = binary();
        let run = run(self.with(&mut program).args(["check", "--json"]).args(arguments));
        Checked::of(run)
    }

    fn check_closure(&self, application: &Application, arguments: &[&str]) -> Checked {
        self.check(&[&["--closure", text(&application.out)], arguments].concat())
    }
}

/// The loader that this machine's programs name.
fn loader() -> String {
    let headers = expect(command("readelf").args(["-lW", "/bin/sh"]), 0).stdout;
    let (_, behind) = headers.split_once("interpreter: ").expect("/bin/sh has an interpreter");
    behind.split(']').next().unwrap().to_owned()
}

/// What a program exits with.
fn starts(program: PathBuf) -> i32 {
    run(&mut command(program)).code
}

impl Application {
    fn results(&self) -> [i32; 3] {
        [self.linked.join("bin/linked"), self.asks.join("bin/asks"), self.wrapped.join("bin/app")].map(starts)
    }
}

/// Codes by how often each is found.
fn counted(checked: &Checked) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for finding in checked.findings() {
        *counts.entry(finding.code).or_default() += 1;
    }
    counts.into_iter().map(|(code, count)| format!("{code}x{count}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn closures_of_real_builds_are_judged() {
    if !["nix-build", "gcc", "readelf", "/usr/bin/python3"].iter().all(|tool| require(tool, TEST)) {
        return;
    }
    if Path::new("/run/opengl-driver/lib").exists() {
        return skip(TEST, "this machine has a driver directory");
    }
    let nix = Nix::new();
    let results = nix.build();
    let require = ["--compat-policy", "require"];
    // What is found, and what the linked, the asking and the wrapped program get where there is no driver directory.
    let expected: [(&str, &[&str], &str, [i32; 3]); 11] = [
        ("good", &[], "", [COMPAT; 3]),
        ("good", &require, "", [COMPAT; 3]),
        ("compat-after-driver", &[], "CRP401x3", [COMPAT; 3]),
        ("stub-first", &[], "CRP200x3 CRP201x4 CRP202x1", [STUB; 3]),
        ("no-driver", &[], "CRP100x3", [NOT_STARTED, NOTHING, NOTHING]),
        ("empty-entry", &[], "CRP300x4", [COMPAT; 3]),
        ("program-only", &[], "CRP100x1 CRP103x1", [COMPAT, NOTHING, COMPAT]),
        ("compat-missing", &require, "CRP400x3", [NOT_STARTED, NOTHING, NOTHING]),
        // The directory is in the store, so the program finds it; the closure does not have it.
        ("compat-strayed", &require, "CRP305x4 CRP400x3", [COMPAT; 3]),
        ("wrapper-lends", &[], "", [COMPAT; 3]),
        ("wrapper-misleads", &[], "CRP200x1 CRP202x1", [COMPAT, COMPAT, STUB]),
    ];
    for (name, arguments, codes, exits) in expected {
        let application = &results.built[name];
        let checked = nix.check_closure(application, arguments);
        assert_eq!(counted(&checked), codes, "{name}: {:#?}", checked.findings());
        assert_eq!(application.results(), exits, "{name}");
        assert_eq!(checked.json["summary"]["consumers"], 3, "{name}");
        assert_fixed(&nix, name, &results.fixed[name], arguments);
    }
    let names: std::collections::BTreeSet<&str> = expected.iter().map(|(name, ..)| *name).collect();
    assert!(results.built.keys().map(String::as_str).eq(names), "every closure of closure.nix is judged");
    assert_one_result(&nix, &results);
}

/// `fix` in the build leaves nothing that it repairs, and what it leaves is true.
fn assert_fixed(nix: &Nix, name: &str, application: &Application, arguments: &[&str]) {
    let checked = nix.check_closure(application, arguments);
    let fixable = checked.json["findings"].as_array().unwrap().iter().filter(|finding| finding["fixable"] == true);
    assert_eq!(fixable.count(), 0, "{name}: {:#?}", checked.findings());
    // No edit of an object overrules a wrapper.
    let (left, exits) = match name {
        "wrapper-misleads" => ("CRP200x1 CRP202x1", [COMPAT, COMPAT, STUB]),
        _ => ("", [COMPAT; 3]),
    };
    assert_eq!(counted(&checked), left, "{name}: {:#?}", checked.findings());
    assert_eq!(application.results(), exits, "{name}");
}

/// Every form of a list gives the result that `nix-store` gives.
fn assert_one_result(nix: &Nix, results: &Results) {
    let listed = nix.check_closure(&results.built["stub-first"], &["-v"]);
    for (name, key) in [
        ("store-paths", ""),
        ("registration", ""),
        ("graph", ""),
        ("attributes", ""),
        ("attributes", "closure"),
        ("several", "closure"),
    ] {
        let mut arguments = vec!["-v", "--closure-from", text(&results.lists[name])];
        if !key.is_empty() {
            arguments.extend(["--attrs-key", key]);
        }
        assert_eq!(nix.check(&arguments).run.stdout, listed.run.stdout, "{name} {key}");
    }
    // A link to the output, and a file in it.
    let stub_first = &results.built["stub-first"];
    let link = nix.tree.symlink(&stub_first.out, "result");
    assert_eq!(nix.check(&["-v", "--closure", text(&link)]).run.stdout, listed.run.stdout);
    let linked = nix.check(&["--closure", text(&stub_first.linked.join("bin/linked"))]);
    assert_eq!(counted(&linked), "CRP200x1 CRP201x1 CRP202x1");
    let both = nix.check(&["--closure", text(&stub_first.linked), text(&stub_first.wrapped)]);
    assert_eq!(counted(&both), "CRP200x2 CRP201x2 CRP202x1");
    let refused = |option: &str, argument: &Path| {
        let mut program = binary();
        expect(nix.with(&mut program).args(["check", option]).arg(argument), 2)
    };
    let unknown = nix.tree.file("unknown", b"");
    let run = refused("--closure", &unknown);
    assert!(run.stderr.contains("nix-store") && run.stderr.contains(text(&unknown)), "{}", run.stderr);
    let run = refused("--closure-from", &results.lists["several"]);
    assert!(run.stderr.contains("another, closure") && run.stderr.contains("--attrs-key"), "{}", run.stderr);
}
