//! One bad file stops nothing else, only files are opened, and what a stranger named does not reach a terminal as it is.

use super::*;
use crate::elfgen::{Kind, Machine, Spec};

/// Where a system file of an image is read, and what is searched for in it.
const SYSTEM_FILES: [&str; 5] = [
    "etc/ld.so.cache",
    "lib64/ld-linux-x86-64.so.2",
    "proc/driver/nvidia/version",
    "etc/nv_tegra_release",
    "run/opengl-driver/lib/libcuda.so.1",
];

fn fifo(tree: &Tree, path: &str) -> PathBuf {
    let path = tree.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    expect(command("mkfifo").arg(&path), 0);
    path
}

fn asks_for_the_driver(interpreter: &str) -> Vec<u8> {
    let program = Spec::new(Machine::X86_64, Kind::Pie).interpreter(interpreter).runpath("/run/opengl-driver/lib");
    program.needs("libcuda.so.1").build()
}

/// To open one waits until another process opens the other end, which none does.
#[test]
fn no_command_waits_for_a_fifo() {
    let test = "files::no_command_waits_for_a_fifo";
    if !require("mkfifo", test) || !require("timeout", test) {
        return;
    }
    let tree = Tree::new();
    let ends = |arguments: &[&OsStr]| {
        let run = run(command("timeout").arg("60").arg(program()).args(arguments));
        run.assert_orderly(&format!("{arguments:?}"));
        assert!(!run.stdout.is_empty() || !run.stderr.is_empty(), "{arguments:?} says nothing");
    };
    for file in SYSTEM_FILES {
        let image = tree.folder(file.replace('/', "-"));
        fifo(&tree, image.join(file).to_str().unwrap());
        tree.file(image.join("bin/app"), &asks_for_the_driver("/lib64/ld-linux-x86-64.so.2"));
        let root = [OsStr::new("--root"), image.as_os_str()];
        ends(&[&[OsStr::new("check")], &root[..]].concat());
        ends(&[&[OsStr::new("doctor")], &root[..]].concat());
        ends(&[&[OsStr::new("explain")], &root[..], &[OsStr::new("/bin/app")]].concat());
    }
    // The file itself says what is opened.
    let named = fifo(&tree, "tree/fifo");
    let app = tree.file("tree/app", &asks_for_the_driver(named.to_str().unwrap()));
    for words in [["check"].as_slice(), &["explain"], &["show"], &["archs"], &["fix", "--dry-run", "--clean"]] {
        let words = words.iter().map(OsStr::new);
        ends(&words.clone().chain([app.as_os_str()]).collect::<Vec<_>>());
    }
    for command in ["check", "show", "archs", "fix"] {
        ends(&[OsStr::new(command), named.as_os_str()]);
    }
}

/// What was not read is told, whatever findings are wanted, and the rest is done.
#[test]
fn a_check_is_not_one_of_what_was_not_read() {
    let tree = Tree::new();
    let good = tree.file("good.so", &Spec::new(Machine::X86_64, Kind::Library).runpath("relative").build());
    let options: [&[&str]; 5] =
        [&[], &["--only", "CRP200"], &["--skip", "CRP700"], &["--fail-on", "never"], &["--json"]];
    for options in options {
        let run = expect(binary().arg("check").args(options).arg(&good).arg(tree.join("missing")), 2);
        assert!(run.stderr.contains("missing: cannot read it: No such file"), "{options:?}: {}", run.said());
        let is_told = run.stdout.contains("CRP301");
        assert_eq!(is_told, !options.contains(&"--only"), "{options:?}: {}", run.said());
    }
    assert!(expect(binary().args(["check", "--json"]).arg(&good).arg("missing"), 2).json()["findings"].is_array());
}

/// Ten are taken before the first file; the machine has many more threads than the rest is for.
#[test]
fn few_descriptors_mean_fewer_workers() {
    if !has_cc("files::few_descriptors_mean_fewer_workers") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        for number in 0..60 {
            tree.library(format!("{number}/libuser.so"));
        }
        let script = "ulimit -n 20; exec \"$@\"";
        let mut command = command("sh");
        command.args(["-c", script, "sh"]).arg(program()).arg("fix").args(mode).arg("-j64").arg(tree.path());
        let run = expect(&mut command, 0);
        assert!(run.stdout.contains("60 fixed"), "{}", run.said());
    }
}

/// Docker mounts overlayfs so that a name of a lower layer leaves the others when it is written to.
#[test]
fn hard_links_of_a_lower_layer_are_edited() {
    let test = "files::hard_links_of_a_lower_layer_are_edited";
    if !has_cc(test) {
        return;
    }
    let script = r#"
        mount -t tmpfs tmpfs "$1"; cd "$1"; mkdir lower upper work merged
        cp "$2" lower/a.so; ln lower/a.so lower/b.so
        mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work,index=off none merged
        shift 2
        "$@" merged >&2 || echo "RESULT failed"
        "$@" merged --check >&2 && echo "RESULT done" || echo "RESULT left"
    "#;
    for mode in MODES {
        let tree = Tree::new();
        let Some(mut shell) = mounting_shell(test, script) else { return };
        shell.arg(tree.folder("point")).arg(library()).arg(program()).arg("fix").args(mode);
        let run = run(&mut shell);
        let Some(result) = result(&run, test) else { return };
        assert_eq!(result, "done", "{mode:?}: {}", run.said());
        assert!(run.stderr.contains("2 fixed"), "{mode:?}: {}", run.said());
    }
}

/// The reader's decision is no failure: the exit code is that of a report that was read.
#[test]
fn a_closed_pipe_ends_all_commands_alike() {
    let tree = Tree::new();
    let object = tree.file("lib.so", &Spec::new(Machine::X86_64, Kind::Library).runpath("relative").build());
    let object = object.to_str().unwrap();
    let commands: [&[&str]; 12] = [
        &["show", object],
        &["show", "--print0", object],
        &["show", "--json", object],
        &["check", object],
        &["archs", object],
        &["explain", object],
        &["fix", "--check", object],
        &["doctor"],
        &["rules"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
    ];
    for arguments in commands {
        let code = run(binary().args(arguments)).code;
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = binary().args(arguments).stdout(writer).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}

/// Escape sequences, and characters that turn the text around or cannot be seen, from every place that a name can come from.
#[test]
fn nothing_that_a_terminal_obeys_reaches_it() {
    let test = "files::nothing_that_a_terminal_obeys_reaches_it";
    if !require("script", test) {
        return;
    }
    const EVIL: &str = "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\u{2066}\u{200b}";
    let tree = Tree::new();
    let folder = tree.folder(format!("tree/{EVIL}"));
    let name = format!("lib{EVIL}.so");
    let library = |soname: &str| Spec::new(Machine::X86_64, Kind::Library).soname(soname);
    tree.file(folder.join(&name), &library(&name).build());
    let app = Spec::new(Machine::X86_64, Kind::Pie).runpath(folder.to_str().unwrap()).needs(&name);
    tree.file("tree/app", &app.interpreter(&format!("/{EVIL}")).build());
    let whole = library("x").build();
    tree.file(format!("tree/{EVIL}/cut.so"), &whole[..whole.len() / 2]);
    tree.file(format!("tree/.cuda-runpath-{}", "abcdef"), b"");
    let commands = [
        "fix --clean --dry-run -vv tree",
        "fix --diff tree",
        "fix --output copy tree",
        "check -v tree",
        "check --format github tree",
        "show -vv tree",
        "archs -v tree",
        "explain tree/app",
        "explain tree/$EVIL/gone",
        "check tree/$EVIL/gone",
        "fix -$EVIL",
        "fix --output tree tree/$EVIL",
        "fix --exclude [$EVIL tree",
        "check --allow tree/$EVIL tree",
    ];
    for words in commands {
        let words = words.replace("$EVIL", &format!("'{EVIL}'"));
        let line = format!("stty cols 500; '{}' --progress never {words}", program().display());
        let mut command = command("script");
        let out = tree.join("typescript");
        command.args(["-qec", &line]).arg(&out).current_dir(tree.path()).env("TERM", "dumb").env("NO_COLOR", "1");
        run(&mut command);
        let shown = std::fs::read_to_string(&out).unwrap();
        // The first and the last line are script's own, and name the command.
        let shown: Vec<&str> = shown.lines().filter(|line| !line.starts_with("Script ")).collect();
        let shown = shown.join("\n");
        for bad in ["\u{1b}]", "\u{7}", "\u{9b}", "\u{202e}", "\u{2066}", "\u{200b}"] {
            assert!(!shown.contains(bad), "{words}: {bad:?} in {shown:?}");
        }
        assert!(shown.len() > 10, "{words}: {shown:?}");
    }
}

/// Arguments hold directories open: of more than there are descriptors each is gone to again, and must be the same.
#[test]
fn there_may_be_more_arguments_than_descriptors() {
    let test = "files::there_may_be_more_arguments_than_descriptors";
    if !has_cc(test) || !require("prlimit", test) {
        return;
    }
    let tree = Tree::new();
    let mut all = Vec::new();
    for number in 0..150 {
        all.push(tree.library(format!("{number}/libuser.so")));
    }
    let list = tree.file("list", all.iter().map(|path| format!("{}\n", path.display())).collect::<String>().as_bytes());
    for (command, code) in [(&["show"][..], 0), (&["archs"], 0), (&["fix", "--in-place", "-q"], 0)] {
        let ended = run(limited(&["--nofile=64"]).args(command).arg("--files-from").arg(&list));
        assert!(ended.code == code && !ended.stderr.contains("Too many open files"), "{}", ended.said());
    }
    expect(binary().args(["fix", "--check", "-q", "--files-from"]).arg(&list), 0);
}

/// One file that cannot be copied is named, and all others are there.
#[test]
fn a_copy_goes_on_past_what_cannot_be_copied() {
    let test = "files::a_copy_goes_on_past_what_cannot_be_copied";
    if !has_cc(test) || !require("prlimit", test) {
        return;
    }
    let tree = Tree::new();
    for name in ["tree/a.so", "tree/c/d.so"] {
        tree.library(name);
    }
    tree.file("tree/b", &vec![b'x'; 3 << 20]);
    for command in [&["fix"][..], &["slim", "--arch", "9.0"]] {
        let copy = tree.join("copy");
        let mut copying = limited(&["--fsize=2097152"]);
        copying.args(command).arg("--json").arg("--output").arg(&copy).arg(tree.join("tree"));
        let ended = expect(&mut copying, 2);
        assert!(ended.stdout.contains("\"error\"") && ended.stdout.contains("/b\""), "{}", ended.said());
        assert!(copy.join("a.so").exists() && copy.join("c/d.so").exists() && !copy.join("b").exists());
        std::fs::remove_dir_all(copy).unwrap();
    }
}

/// The first line of a receipt is a write like any other.
#[test]
fn a_receipt_that_may_have_no_byte_is_an_error() {
    let test = "files::a_receipt_that_may_have_no_byte_is_an_error";
    if !has_cc(test) || !require("prlimit", test) {
        return;
    }
    let tree = Tree::new();
    let library = tree.library("libuser.so");
    let ended = expect(limited(&["--fsize=0"]).args(["fix", "--receipt"]).arg(tree.join("receipt")).arg(&library), 2);
    assert!(ended.stderr.contains("ulimit -f") && !tree.join("receipt").exists(), "{}", ended.said());
    assert_eq!(loads(&library), OLD);
}

/// GitHub's runner takes commands from standard error, too.
#[test]
fn no_name_is_a_command_on_standard_error() {
    let tree = Tree::new();
    let missing = tree.join("a\n::stop-commands::zz\nb.so");
    let ended = run(binary().args(["check", "--format", "github"]).arg(tree.path()).arg(missing));
    let lines = || ended.stderr.lines().chain(ended.stdout.lines());
    assert!(ended.code == 2 && !lines().any(|line| line.starts_with("::stop-commands")), "{}", ended.said());
}

/// What `chattr` set of a file is its copy's, or told.
#[test]
fn attributes_of_the_inode_stay() {
    let test = "files::attributes_of_the_inode_stay";
    if !has_cc(test) || !require("chattr", test) || !require("lsattr", test) {
        return;
    }
    let tree = Tree::new();
    let library = tree.library("libuser.so");
    if run(command("chattr").arg("+Ad").arg(&library)).code != 0 {
        skip(test, "no such attributes here");
        return;
    }
    expect(fix(NATIVE).arg(&library), 0);
    let told = expect(command("lsattr").arg(&library), 0).stdout;
    let letters = told.split(' ').next().unwrap();
    assert!(letters.contains('A') && letters.contains('d'), "{told}");
}
