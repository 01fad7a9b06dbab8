//! What every subcommand prints, as files to read. `SNAPSHOTS=overwrite cargo test goldens` writes them anew.

use snapbox::assert_data_eq;

use crate::elfgen::preset;
use crate::harness::{Run, Tree, binary, run};

const COMPAT: &str = "/nix/store/00000000000000000000000000000000-cuda12.8-cuda_compat-12.8.39/compat";

/// A tree whose bytes are the same on every machine.
fn tree() -> Tree {
    let tree = Tree::new();
    for (path, name) in [
        ("bin/.app-wrapped", "rung-e-slack-pie"),
        ("lib/libbig.so", "exec-32-be"),
        ("lib/libfour.so", "rung-b-overwrite"),
        ("lib/libsix.so", "rung-f-empty-note"),
        ("lib/libtail.so", "rung-a-share"),
        ("lib/static-pie", "skip-static-pie"),
    ] {
        tree.file(format!("tree/{path}"), &preset(name).build());
    }
    let mut cut = preset("rung-b-overwrite").build();
    cut.truncate(700);
    tree.file("tree/lib/libcut.so", &cut);
    tree.file("tree/share/notes.txt", b"not ELF\n");
    tree
}

fn run_in(tree: &Tree, arguments: &str) -> Run {
    run(binary().args(arguments.split(' ')).current_dir(tree.path()))
}

/// Both streams and the exit code, as a terminal shows them.
fn transcript(tree: &Tree, arguments: &str) -> String {
    let run = run_in(tree, arguments);
    let mut text = format!("$ cuda-runpath {arguments}\n{}", run.stdout);
    if !run.stderr.is_empty() {
        text += &format!("-- standard error\n{}", run.stderr);
    }
    text + &format!("-- exit {}\n", run.code)
}

#[test]
fn fix_for_people() {
    let tree = tree();
    let compat = format!("fix --compat {COMPAT} tree");
    let transcripts = [
        transcript(&tree, &format!("{compat} --dry-run -vv")),
        transcript(&tree, &format!("{compat} --diff -q")),
        transcript(&tree, &format!("{compat} --diff")),
        transcript(&tree, &format!("{compat} --check --exclude libcut.so")),
        transcript(&tree, &format!("{compat} --in-place")),
        transcript(&tree, &format!("{compat} --in-place -v")),
        transcript(&tree, &format!("{compat} --check --exclude libcut.so")),
        transcript(&tree, "fix tree --tag rpath --actions stubs --color always --exclude lib"),
    ];
    assert_data_eq!(transcripts.join("\n"), snapbox::file!["goldens/fix.txt"].raw());
}

#[test]
fn fix_for_programs() {
    let tree = tree();
    let transcript = transcript(&tree, &format!("fix --json --compat {COMPAT} --in-place tree"));
    assert_data_eq!(transcript, snapbox::file!["goldens/fix.json.txt"].raw());
}

#[test]
fn show_for_people_and_programs() {
    let tree = tree();
    let transcripts = [transcript(&tree, "show tree -vv"), transcript(&tree, "show tree --json")];
    assert_data_eq!(transcripts.join("\n"), snapbox::file!["goldens/show.txt"].raw());
}

#[test]
fn wrong_usage() {
    let tree = tree();
    let transcripts = [
        "fix",
        "fix missing tree/share",
        "fix tree --compat relative/directory",
        "fix tree --driver /a:/b",
        "fix tree --actions compat,order-only",
        "fix tree --actions everything",
        "fix tree --actions compat",
        "fix tree --dry-run --check",
        "fix tree --output tree",
        "fix tree --revert receipt",
        "fix --revert tree/share/notes.txt",
        "fix tree --exclude [",
        "fix --files-from missing",
        "unfix tree",
        "man unfix",
    ];
    let transcripts: Vec<String> = transcripts.iter().map(|arguments| transcript(&tree, arguments)).collect();
    assert_data_eq!(transcripts.join("\n"), snapbox::file!["goldens/usage.txt"].raw());
}

#[test]
fn help_and_version() {
    let tree = Tree::new();
    let commands = [
        "--help",
        "fix --help",
        "fix -h",
        "slim --help",
        "show --help",
        "check --help",
        "archs --help",
        "explain --help",
        "doctor --help",
        "rules --help",
        "completions --help",
        "man --help",
        "--version",
    ];
    let transcripts: Vec<String> = commands.iter().map(|arguments| transcript(&tree, arguments)).collect();
    // With the commit, which is another one each time.
    let transcripts = transcripts.join("\n").replace(env!("CUDA_RUNPATH_VERSION"), env!("CARGO_PKG_VERSION"));
    assert_data_eq!(transcripts, snapbox::file!["goldens/help.txt"].raw());
}

/// A pipe gets names as they are: the next program has to open them.
#[test]
fn names_reach_a_pipe_unchanged() {
    use std::os::unix::ffi::OsStrExt as _;
    let tree = Tree::new();
    let name = std::ffi::OsStr::from_bytes(b"a\xff\x01\n\x1b[31m b");
    tree.file(name, &preset("rung-e-slack").build());
    for arguments in [&["fix", "--dry-run", "."][..], &["show", "."], &["show", "--print0", "."]] {
        let run = run(binary().args(arguments).current_dir(tree.path()));
        let found = run.bytes().windows(name.len()).any(|window| window == name.as_bytes());
        assert!(found, "{arguments:?}: {}", run.bytes().escape_ascii());
    }
}

/// Generated text: that it is there, and is of the kind it should be.
#[test]
fn completions_and_manual() {
    let tree = Tree::new();
    for (shell, sign) in
        [("bash", "complete -F"), ("zsh", "#compdef cuda-runpath"), ("fish", "complete -c cuda-runpath")]
    {
        let run = run_in(&tree, &format!("completions {shell}"));
        run.assert_code(0, shell);
        assert!(run.stdout.contains(sign) && run.stdout.contains("only-consumers"), "{shell}");
    }
    for (page, sign) in
        [("man", "cuda\\-runpath\\-fix"), ("man fix", "\\-\\-in\\-place"), ("man check", "CRP200 stub\\-first")]
    {
        let run = run_in(&tree, page);
        run.assert_code(0, page);
        assert!(run.stdout.contains(".TH") && run.stdout.contains(sign), "{page}: {}", run.stdout);
    }
}
