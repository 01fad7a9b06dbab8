//! What is printed, and what arguments mean.

use super::{code, pair, usual};
use crate::elfgen::{Machine, Spec};
use crate::fatgen::{Entry, JOINT, filler};
use crate::harness::{Tree, binary, run};
use snapbox::assert_data_eq;

/// A tree whose bytes are the same on every machine.
fn tree() -> Tree {
    let tree = Tree::new();
    let library = Spec::library(Machine::X86_64).gpu_code(".nv_fatbin", &usual().before);
    tree.file("tree/libk.so", &library.build());
    tree.file("tree/app", &Spec::pie(Machine::X86_64).gpu_code(".nv_fatbin", &usual().before).build());
    let parts = [Entry::cubin(75), Entry::cubin(90)];
    let joint = [(code(75, 4000), false), (Entry::joint(&parts, &filler(60)), true)];
    assert_eq!(joint[1].0.kind, JOINT);
    tree.file("tree/joint.fatbin", &pair(&joint).before);
    tree.file("tree/old.fatbin", &pair(&[(code(75, 4000), false)]).before);
    tree.file("tree/right.fatbin", &pair(&[(code(90, 4000), true)]).before);
    tree.file("tree/notes.txt", b"nothing of that kind\n");
    tree.file("tree/libcut.so", &library.build()[..900]);
    tree
}

fn transcript(tree: &Tree, arguments: &str) -> String {
    let run = run(binary().args(arguments.split(' ')).current_dir(tree.path()));
    let mut text = format!("$ cuda-runpath {arguments}\n{}", run.stdout);
    if !run.stderr.is_empty() {
        text += &format!("-- standard error\n{}", run.stderr);
    }
    text + &format!("-- exit {}\n", run.code)
}

#[test]
fn goldens_for_people_and_programs() {
    let tree = tree();
    let transcripts = [
        transcript(&tree, "slim --arch 9.0 --dry-run -vv tree"),
        transcript(&tree, "slim --arch 9.0 --check --exclude libcut.so --exclude old.fatbin tree"),
        transcript(&tree, "slim --arch 9.0 --dry-run --json --exclude app tree"),
        transcript(&tree, "slim tree"),
        transcript(&tree, "slim --arch tree"),
        transcript(&tree, "slim --arch 9.1 tree"),
        transcript(&tree, "slim --arch ,, tree"),
        transcript(&tree, "slim --arch 9.0 --check --output x tree"),
        transcript(&tree, "slim --arch 9.0 missing"),
        transcript(&tree, "slim --arch 9.0 --output tree tree"),
    ];
    assert_data_eq!(transcripts.join("\n"), snapbox::file!["../goldens/slim.txt"].raw());
}

/// Lists as people, shells and Nix write them.
#[test]
fn architectures_in_every_spelling() {
    let bytes = pair(&[(code(75, 40), true), (code(90, 40), true), (code(100, 40), false)]);
    for arch in ["7.5,9.0", "sm_75 sm_90", "75;90a", "7.5 9.0a", "compute_75,sm_90"] {
        let tree = Tree::in_memory();
        let file = tree.file("k.fatbin", &bytes.before);
        let ended = run(binary().args(["slim", "--arch", arch]).arg(&file));
        ended.assert_code(0, arch);
        assert!(std::fs::read(&file).unwrap() == bytes.after, "{arch}");
    }
}
