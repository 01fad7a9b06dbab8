//! `action.yml`: its steps are scripts, and run here as GitHub runs them, with its files and folders. What GitHub itself does
//! between them (conditions, outputs, the upload) is read from the file.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::check::objects::linked;
use crate::harness::{Run, Tree, command, expect, invoke, program, require, run};
use crate::saved::build::hex;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The file as a value.
fn action() -> Value {
    let text = std::fs::read_to_string(root().join("action.yml")).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("action.yml: {error}"))
}

fn steps() -> Vec<Value> {
    action()["runs"]["steps"].as_array().unwrap().clone()
}

/// What a runner gives a step.
struct Runner {
    tree: Tree,
    inputs: BTreeMap<&'static str, String>,
}

impl Runner {
    /// With the inputs' defaults.
    fn new() -> Self {
        let tree = Tree::in_memory();
        tree.folder("temp");
        tree.folder("work");
        let inputs = [
            ("INPUT_PATHS", ""),
            ("INPUT_ARGS", ""),
            ("INPUT_PLATFORM", ""),
            ("INPUT_ARCH", ""),
            ("INPUT_ALLOW", ""),
            ("INPUT_BASELINE", ""),
            ("INPUT_AGAINST", ""),
            ("INPUT_FAIL_ON", "error"),
            ("INPUT_SARIF", "true"),
            ("INPUT_SUMMARY", "true"),
            ("INPUT_VERSION", ""),
        ];
        Self { tree, inputs: inputs.map(|(name, value)| (name, value.to_owned())).into() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        assert!(self.inputs.insert(name, value.to_owned()).is_some(), "{name}");
        self
    }

    /// Runs a script with the variables that `action.yml` gives it and no others.
    fn step(&self, script: &str, more: &[(&str, &Path)]) -> Run {
        for file in ["output", "summary", "path"] {
            self.tree.file(file, b"");
        }
        let mut bash = command("bash");
        bash.arg(root().join(".github/action").join(script)).current_dir(self.tree.join("work"));
        bash.envs([
            ("GITHUB_ACTION_PATH", root().to_owned()),
            ("GITHUB_OUTPUT", self.tree.join("output")),
            ("GITHUB_STEP_SUMMARY", self.tree.join("summary")),
            ("GITHUB_PATH", self.tree.join("path")),
            ("RUNNER_TEMP", self.tree.join("temp")),
        ]);
        let step = steps().into_iter().find(|step| step["id"] == script).unwrap();
        for name in step["env"].as_object().unwrap().keys() {
            if let Some(value) = self.inputs.get(name.as_str()) {
                bash.env(name, value);
            }
        }
        run(bash.envs(more.iter().copied()))
    }

    fn check(&self) -> Run {
        self.step("check", &[("PROGRAM", &program())])
    }

    fn told(&self, file: &str) -> String {
        std::fs::read_to_string(self.tree.join(file)).unwrap()
    }

    /// `name=value` lines of GITHUB_OUTPUT.
    fn outputs(&self) -> BTreeMap<String, String> {
        let text = self.told("output");
        let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
        text.lines().map(pair).collect()
    }

    fn sarif(&self) -> Value {
        serde_json::from_slice(&std::fs::read(&self.outputs()["sarif"]).unwrap()).unwrap()
    }
}

#[test]
fn the_action_hangs_together() {
    let action = action();
    assert_eq!(action["runs"]["using"], "composite");
    let declared: BTreeSet<String> = action["inputs"].as_object().unwrap().keys().cloned().collect();
    let mut used = BTreeSet::new();
    let mut scripts = BTreeSet::new();
    for step in steps() {
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap();
            if let Some(input) = value.strip_prefix("${{ inputs.").and_then(|rest| rest.strip_suffix(" }}")) {
                assert_eq!(*name, format!("INPUT_{}", input.to_uppercase().replace('-', "_")), "{step:#}");
                used.insert(input.to_owned());
            }
        }
        match (step["run"].as_str(), step["uses"].as_str()) {
            (Some(line), None) => {
                assert_eq!(step["shell"], "bash");
                // A text of the workflow would become a part of the script.
                assert!(!line.contains("${{"), "{line}");
                scripts.extend(line.split("/.github/action/").nth(1).map(|rest| rest.trim_end_matches('"').to_owned()));
            }
            (None, Some(other)) => {
                let (_, version) = other.split_once('@').unwrap();
                assert!(version.starts_with('v') && version[1..].parse::<u32>().is_ok(), "{other} is pinned by major");
            }
            _ => panic!("{step:#}"),
        }
    }
    assert_eq!(used, declared, "inputs that are declared and those that a step gets");
    let there: BTreeSet<String> = std::fs::read_dir(root().join(".github/action"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .inspect(|entry| assert_ne!(entry.metadata().unwrap().permissions().mode() & 0o111, 0, "{entry:?}"))
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(scripts, there);
    // Every name that a script reads is one that the step has.
    for script in there {
        let text = std::fs::read_to_string(root().join(".github/action").join(&script)).unwrap();
        let step = steps().into_iter().find(|step| step["id"] == *script).unwrap();
        let known = step["env"].as_object().unwrap();
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        for word in words.filter(|word| word.starts_with("INPUT_") && word.len() > 6) {
            assert!(known.contains_key(word), "{script} reads {word}");
        }
    }
}

#[test]
fn a_finding_is_told_everywhere_and_fails_at_the_end() {
    let runner = Runner::new().with("INPUT_PATHS", "out\n\n  a b\n");
    runner.tree.file("work/out/lib/libbad.so", &linked().build());
    runner.tree.file("work/  a b/libspace.so", &linked().build());
    let checked = runner.check();
    checked.assert_code(0, "the step itself");
    assert_eq!(runner.outputs()["exit-code"], "1");
    for path in ["out/lib/libbad.so", "  a b/libspace.so"] {
        assert!(checked.stdout.contains(&format!("::error file={path},title=CRP100")), "{}", checked.said());
        assert!(runner.told("summary").contains(path), "{}", runner.told("summary"));
    }
    assert!(runner.told("summary").starts_with("## cuda-runpath check\n"));
    assert_eq!(runner.sarif()["runs"][0]["results"].as_array().unwrap().len(), 2);

    // A release in which nothing is worse.
    let runner = runner.with("INPUT_AGAINST", "out").with("INPUT_PATHS", "out");
    let compared = runner.check();
    assert_eq!((runner.outputs()["exit-code"].as_str(), compared.stdout.as_str()), ("0", ""), "{}", compared.said());
    assert_eq!(runner.sarif()["runs"][0]["results"].as_array().unwrap().len(), 0);

    let runner = runner.with("INPUT_AGAINST", "").with("INPUT_FAIL_ON", "never");
    let runner = runner.with("INPUT_SARIF", "false").with("INPUT_SUMMARY", "false");
    runner.check().assert_code(0, "nothing fails it");
    assert_eq!(runner.outputs(), BTreeMap::from([("exit-code".to_owned(), "0".to_owned())]));
    assert_eq!(runner.told("summary"), "");
}

/// No input becomes a command or another option.
#[test]
fn inputs_are_arguments_and_nothing_else() {
    for (name, value) in [
        ("INPUT_PATHS", "$(touch hit)\n`touch hit`\n; touch hit\n*\n--exclude"),
        ("INPUT_PATHS", "-h"),
        ("INPUT_ARGS", "--exclude\n$(touch hit)\n--exclude\n`touch hit`; touch hit"),
        ("INPUT_PLATFORM", "$(touch hit)"),
        ("INPUT_ARCH", "8.7; touch hit"),
        ("INPUT_ALLOW", "\"; touch hit; \""),
        ("INPUT_BASELINE", "a b"),
        ("INPUT_AGAINST", "$(touch hit)"),
        ("INPUT_FAIL_ON", "never --against $(touch hit)"),
        ("INPUT_SARIF", "$(touch hit)"),
    ] {
        let paths = if name == "INPUT_PATHS" { value } else { "out" };
        let runner = Runner::new().with("INPUT_PATHS", paths).with(name, value);
        runner.tree.file("work/out/lib/libbad.so", &linked().build());
        runner.check().assert_code(0, name);
        assert!(!runner.tree.join("work/hit").exists(), "{name}");
        // What is no path and no value is wrong usage; --exclude of nothing and another word than true are not.
        let wanted = if ["INPUT_ARGS", "INPUT_SARIF"].contains(&name) { "1" } else { "2" };
        assert_eq!(runner.outputs()["exit-code"], wanted, "{name}");
    }
}

/// A release as benches/static.sh makes it, with this program in it.
fn release(tree: &Tree, version: &str) -> PathBuf {
    let machine = expect(command("uname").arg("-m"), 0).stdout;
    let name = format!("cuda-runpath-{version}-{}-unknown-linux-musl", machine.trim());
    let file = tree.executable(format!("made/{name}/cuda-runpath"), &std::fs::read(program()).unwrap());
    let archive = tree.place(format!("releases/v{version}/{name}.tar.gz"));
    expect(command("tar").arg("-C").arg(tree.join("made")).arg("-czf").arg(&archive).arg(&name), 0);
    std::fs::remove_file(file).unwrap();
    let sum = format!("{}  {name}.tar.gz\n", hex(&std::fs::read(&archive).unwrap()));
    tree.file(format!("releases/v{version}/SHA256SUMS"), format!("{}  other\n{sum}", "0".repeat(64)).as_bytes());
    archive
}

#[test]
fn a_release_is_installed_by_its_checksum() {
    if !require("curl", "a_release_is_installed_by_its_checksum") {
        return;
    }
    let runner = Runner::new();
    let archive = release(&runner.tree, env!("CARGO_PKG_VERSION"));
    let address = PathBuf::from(format!("file://{}", runner.tree.join("releases").display()));
    let install = |runner: &Runner| runner.step("install", &[("RELEASES", &address)]);
    let installed = install(&runner);
    installed.assert_code(0, "a release");
    assert_eq!(installed.stdout, invoke(["--version"]).stdout);
    let folder = runner.tree.join("temp/cuda-runpath/bin");
    assert_eq!(runner.told("path"), format!("{}\n", folder.display()));
    let program = PathBuf::from(&runner.outputs()["program"]);
    assert_eq!(program, folder.join("cuda-runpath"));
    expect(command(&program).arg("--version"), 0);

    // Another file under its name, and no line for it.
    let mut bytes = std::fs::read(&archive).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let other = install(&runner);
    assert_eq!((other.code, runner.outputs().len()), (2, 0), "{}", other.said());
    assert!(other.stdout.contains("::error") && other.stdout.contains("SHA256SUMS"), "{}", other.said());
    runner.tree.file(format!("releases/v{}/SHA256SUMS", env!("CARGO_PKG_VERSION")), b"");
    assert_eq!(install(&runner).code, 2, "no checksum");

    for version in ["9.9.9", "../../etc", "1.0 --x", "$(touch hit)"] {
        let runner = Runner::new().with("INPUT_VERSION", version);
        let missing = install(&runner);
        assert_eq!((missing.code, runner.outputs().len()), (2, 0), "{version}: {}", missing.said());
        assert!(missing.stdout.contains("::error title=cuda-runpath::"), "{version}: {}", missing.said());
    }
}

/// Where there is no release, and where it is wanted, the action's own source is built.
#[test]
fn the_source_is_built_where_there_is_no_release() {
    if !require("curl", "the_source_is_built_where_there_is_no_release") {
        return;
    }
    for version in ["", "source"] {
        let runner = Runner::new().with("INPUT_VERSION", version);
        // In place of cargo: says how it was called, and puts this program where it would.
        let script = format!(
            "#!/bin/sh\necho \"$@\" >>{}\nfor last; do :; done\ncp {} \"$last/bin/cuda-runpath\"\n",
            runner.tree.join("called").display(),
            program().display()
        );
        runner.tree.executable("fake/cargo", script.as_bytes());
        let path = format!("{}:{}", runner.tree.join("fake").display(), std::env::var("PATH").unwrap());
        let nowhere = format!("file://{}", runner.tree.join("nothing").display());
        let built = runner.step("install", &[("RELEASES", Path::new(&nowhere)), ("PATH", Path::new(&path))]);
        built.assert_code(0, version);
        let folder = runner.tree.join("temp/cuda-runpath");
        let wanted = format!("install --quiet --locked --path {} --root {}\n", root().display(), folder.display());
        assert_eq!(runner.told("called"), wanted);
        assert_eq!(built.stdout.contains("::notice"), version.is_empty(), "{}", built.said());
        assert_eq!(runner.outputs()["program"], folder.join("bin/cuda-runpath").to_str().unwrap());
    }
}
