//! The generator must be right before it may judge: other tools accept its images, and the loader runs them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::read::Image;
use super::{Kind, Machine, Spec, Tag, presets};
use crate::support::{Run, Tree, command, compile, require};

/// Loads a library (or nothing) and prints what its functions and variables say.
const LOADER: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        void *library = dlopen(argv[i], RTLD_NOW);
        if (!library) { fprintf(stderr, "%s\n", dlerror()); return 1; }
        int (*probe)(void) = (int (*)(void))dlsym(library, "probe");
        int *data = dlsym(library, "answer_data"), *tls = dlsym(library, "tls_value");
        if (!probe || !data || *data != 40) { fprintf(stderr, "symbols are wrong\n"); return 2; }
        if (tls && (tls[0] != 0x7157 || tls[1] != 0x7258 || tls[2] != 0 || tls[3] != 0)) { fprintf(stderr, "TLS is wrong\n"); return 3; }
        printf("%d\n", probe());
    }
    return 0;
}
"#;

/// The loader program, compiled once per test run.
pub(crate) fn loader(test: &str) -> Option<PathBuf> {
    static LOADED: OnceLock<Option<PathBuf>> = OnceLock::new();
    LOADED.get_or_init(|| compile("load", LOADER, test)).clone()
}

/// Loads or runs an image; the answer is 40 plus the number of the folder whose `libdep.so.1` won.
pub(crate) fn answer(
    spec: &Spec,
    file: &std::path::Path,
    library_path: Option<&std::path::Path>,
    test: &str,
) -> Option<Result<i32, String>> {
    let mut command = match spec.kind {
        Kind::Library => {
            let mut load = command(loader(test)?);
            load.arg(file);
            load
        }
        _ => command(file),
    };
    if let Some(folder) = library_path {
        command.env("LD_LIBRARY_PATH", folder);
    }
    let run = started(&mut command);
    Some(match (spec.kind, run.code) {
        (Kind::Library, Some(0)) => run.stdout.trim().parse().map_err(|_| run.stdout),
        (Kind::Exec | Kind::Pie, Some(code)) if run.stderr.is_empty() => Ok(code),
        (_, code) => Err(format!("{code:?} {}", run.stderr)),
    })
}

/// Runs a program that was just written. A child that another thread is starting may still hold the file open for writing: until it has
/// become another program, the kernel answers "text file busy".
fn started(command: &mut std::process::Command) -> Run {
    for _ in 0..100 {
        match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Err(error) => return Run { code: None, stdout: String::new(), stderr: error.to_string() },
            Ok(output) => return output.into(),
        }
    }
    panic!("the file stays busy")
}

/// Puts `libdep.so.1` whose `which` returns `number` into `folder` of the tree.
pub(crate) fn dependency(tree: &Tree, folder: &str, number: u32) -> PathBuf {
    let file = tree.file(format!("{folder}/libdep.so.1"), &Spec::dependency(Machine::X86_64, number).build());
    file.parent().expect("a folder").to_path_buf()
}

/// Writes an image, executable.
pub(crate) fn program(tree: &Tree, name: &str, bytes: &[u8]) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = tree.file(name, bytes);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("an executable file");
    file
}

#[test]
fn presets_have_names_of_their_own_and_cover_classes_and_orders() {
    let list = presets();
    assert!(list.len() >= 40, "{} presets", list.len());
    let names: BTreeSet<_> = list.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), list.len(), "a name is used twice");
    for rung in "abcdefghijkl".chars() {
        assert!(names.iter().any(|name| name.starts_with(&format!("rung-{rung}-"))), "no preset for rung {rung}");
    }
    let shapes: BTreeSet<_> = list.iter().map(|(_, spec)| format!("{:?} {:?}", spec.class, spec.order)).collect();
    assert_eq!(shapes.len(), 4, "{shapes:?}");
}

#[test]
fn own_reader_finds_what_the_spec_says() {
    for (name, spec) in presets().into_iter().filter(|(_, spec)| spec.is_dynamic()) {
        let bytes = spec.build();
        let image = Image::parse(&bytes).unwrap_or_else(|| panic!("{name} cannot be read back"));
        if matches!(spec.kind, Kind::DebugFile | Kind::DebugFileKeepingSizes) {
            continue;
        }
        let runpath = spec.paths.iter().rev().find(|(tag, _)| *tag == Tag::Runpath);
        let wanted = runpath.or(spec.paths.last()).map(|(_, path)| path.clone());
        assert_eq!(image.runpath(), wanted, "{name}");
        assert_eq!(image.spare, spec.spare, "{name}");
        let strings = image.strings().unwrap_or_else(|| panic!("{name}: strings"));
        for wanted in
            spec.needed.iter().chain(&spec.soname).chain(&spec.imports).chain(&spec.exports).chain(&spec.verdef)
        {
            assert!(strings.iter().any(|(_, text)| text == wanted.as_bytes()), "{name}: {wanted} is missing");
        }
        for load in image.loads() {
            let (file, memory) =
                (image.memory(load.address, load.file_size), load.memory_size.min(load.file_size + 4096));
            assert!(file.is_some() && image.memory(load.address, memory).is_some(), "{name}: {load:?}");
        }
    }
}

/// Runs a checker over every preset and gives back the lines that it says and that `known` does not explain.
fn complaints(tool: &str, arguments: &[&str], known: &[&str], lines: impl Fn(&Run) -> String) -> Vec<String> {
    let tree = Tree::new();
    let mut list = Vec::new();
    for (name, spec) in presets() {
        let file = tree.file(name, &spec.build());
        let debug = matches!(spec.kind, Kind::DebugFile | Kind::DebugFileKeepingSizes) && tool == "eu-elflint";
        let run: Run = command(tool)
            .args(arguments)
            .args(debug.then_some("--debuginfo"))
            .arg(&file)
            .output()
            .expect("the tool starts")
            .into();
        let said = lines(&run);
        list.extend(
            said.lines()
                .filter(|line| !known.iter().any(|known| line.contains(known)))
                .map(|line| format!("{name}: {line}")),
        );
    }
    list
}

#[test]
fn readelf_accepts_every_preset() {
    if !require("readelf", "readelf_accepts_every_preset") {
        return;
    }
    let list = complaints("readelf", &["-aW"], &[], |run| run.stderr.clone());
    assert!(list.is_empty(), "{}", list.join("\n"));
}

#[test]
fn elflint_accepts_every_preset() {
    if !require("eu-elflint", "elflint_accepts_every_preset") {
        return;
    }
    let known = [
        // Machines, tags and notes that elfutils does not know.
        "unknown machine type",
        "invalid machine flags",
        "entry 8: unknown tag",
        "entry 9: unknown tag",
        "with owner name 'NixOS'",
        "'.rela.dyn': relocation 0: invalid type",
        "'.rela.dyn': relocation 1: invalid type",
        // On purpose.
        "more than one entry with tag RUNPATH",
        "is writable but contains no writable sections",
    ];
    let list = complaints("eu-elflint", &["--gnu-ld", "--quiet"], &known, |run| run.stdout.clone() + &run.stderr);
    assert!(list.is_empty(), "{}", list.join("\n"));
}

#[test]
fn loader_runs_every_preset_of_this_machine() {
    let test = "loader_runs_every_preset_of_this_machine";
    let mut count = 0;
    for (name, spec) in presets().into_iter().filter(|(_, spec)| spec.runs_here()) {
        let tree = Tree::new();
        let old = dependency(&tree, "old", 1);
        let file = program(&tree, name, &spec.build());
        let finds = spec.paths.iter().any(|(_, path)| path.windows(4).any(|part| part == b"/old"));
        let Some(answer) = answer(&spec, &file, (!finds).then_some(old.as_path()), test) else { return };
        let wanted = if spec.needed.is_empty() { 40 } else { 41 };
        assert_eq!(answer, Ok(wanted), "{name}");
        count += 1;
    }
    assert!(count >= 30 || !cfg!(all(target_arch = "x86_64", target_os = "linux")), "{count} presets ran");
}

/// The comparison must accept what is right and see what is wrong, or the tests that rely on it say nothing.
#[test]
fn comparison_sees_every_kind_of_damage() {
    use super::compare::differences;
    for (name, spec) in presets() {
        let editable = matches!(spec.kind, Kind::Library | Kind::Pie | Kind::Exec);
        // `.dynstr` of a file with two paths is never found twice.
        if !editable || spec.paths.len() != 1 {
            continue;
        }
        let bytes = spec.build();
        let image = Image::parse(&bytes).unwrap();
        let path = image.runpath().unwrap();
        let same = differences(&image, &image, &path, &spec.overlay);
        assert!(same.is_empty(), "{name}: {same:?}");
        let spoil = |at: u64, value: u8| {
            let mut bytes = bytes.clone();
            bytes[at as usize] = value;
            Image::parse(&bytes).map_or(1, |other| differences(&image, &other, &path, &spec.overlay).len())
        };
        let code = image.loads().find(|load| load.flags & 1 != 0).unwrap();
        let last = code.offset + code.file_size - 1;
        assert!(spoil(last, bytes[last as usize] ^ 1) > 0, "{name}: a changed instruction");
        let soname = image.tag(1).and_then(|offset| image.offset_of(image.tag(5)? + offset)).unwrap();
        assert!(spoil(soname, b'X') > 0, "{name}: a changed string");
        let symbols = image.offset_of(image.tag(6).unwrap()).unwrap();
        assert!(spoil(symbols + 24, 1) > 0, "{name}: another string of a symbol");
        if let Some(load) = image.segments.iter().position(|segment| segment.kind == 1) {
            let flags = image.table + load as u64 * image.entry_size() + if image.entry_size() == 56 { 4 } else { 24 };
            let at = if image.order == super::Order::Big { flags + 3 } else { flags };
            assert!(spoil(at, 7) > 0, "{name}: a writable and executable segment");
        }
    }
}
