//! Files of Go and Rust, edited and *run*: runtimes that find types, stacks and symbols by tables of their own.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::harness::case::{Case, Strips, Variant, check_all, variant};
use crate::harness::fixtures::{Deps, fixtures, succeed};
use crate::harness::{NATIVE, OldPath, Shape, command, deps, expect, require};

const PATHS: [OldPath; 2] = [OldPath::Runpath, OldPath::None];

/// A mode and the linker's flags of `go build`. Without cgo's external mode the files have no entry to spare in the
/// dynamic section, and their section headers right behind the program headers.
const GO: [(&str, Shape, Variant); 6] = [
    ("go_named.go", Shape::Exec, variant("internal", &["-buildmode=exe", "-linkmode=internal"])),
    ("go_named.go", Shape::Pie, variant("internal-pie", &["-buildmode=pie", "-linkmode=internal"])),
    ("go_named.go", Shape::Exec, variant("internal-small", &["-buildmode=exe", "-linkmode=internal -s -w"])),
    ("go_called.go", Shape::Exec, variant("external", &["-buildmode=exe", "-linkmode=external"])),
    ("go_called.go", Shape::Pie, variant("external-pie", &["-buildmode=pie", "-linkmode=external"])),
    ("go_library.go", Shape::Library, variant("c-shared", &["-buildmode=c-shared", "-linkmode=external"])),
];

#[test]
fn files_of_go_load_as_before() {
    let test = "toolchains::go";
    if require("cc", test) && require("go", test) {
        check_all(test, go_cases(), Strips::All);
    }
}

/// One file of each kind that Go makes, with and without a RUNPATH.
pub(crate) fn go_cases() -> Vec<Case> {
    let cases = GO.into_iter().flat_map(|(source, shape, variant)| {
        PATHS.map(|path| Case::new("go", source, shape, path, variant).made_by(build_go))
    });
    cases.collect()
}

fn build_go(case: &Case, out: &Path) -> Result<(), String> {
    let deps = deps(NATIVE);
    // What Go compiles of its own library is the same every time, and takes half a minute.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let libraries =
        if case.source == "go_named.go" { String::new() } else { format!("-L{} -ldep", deps.old.display()) };
    let mut command = command("go");
    command.env("GOCACHE", cache.join("cache")).env("GOPATH", cache).env("GO111MODULE", "off").env("GOFLAGS", "");
    command.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "1").env("CGO_LDFLAGS", libraries);
    let [mode, link] = case.variant.flags else { return Err("two flags".into()) };
    let path = linked_path(case, deps).map(|path| format!(" -r {path}")).unwrap_or_default();
    command.args(["build", mode]).arg(format!("-ldflags={link}{path}")).arg("-o").arg(out);
    succeed(command.args(["go_check.go", case.source]).current_dir(fixtures()))
}

fn linked_path(case: &Case, deps: &Deps) -> Option<String> {
    (case.path != OldPath::None).then(|| deps.old.display().to_string())
}

/// Flags of `rustc`.
const RUST: [(&str, Shape, Variant); 8] = [
    ("rust_program.rs", Shape::Pie, variant("default", &[])),
    ("rust_program.rs", Shape::Pie, variant("optimised", &["-O", "-Cstrip=symbols"])),
    ("rust_program.rs", Shape::Exec, variant("no-pie", &["-O", "-Crelocation-model=static"])),
    ("rust_program.rs", Shape::Pie, variant("prefer-dynamic", &["-Cprefer-dynamic"])),
    ("rust_program.rs", Shape::Pie, variant("lld", &["-O", "-Clink-arg=-fuse-ld=lld"])),
    ("rust_library.rs", Shape::Library, variant("default", &["--crate-type=cdylib"])),
    ("rust_library.rs", Shape::Library, variant("prefer-dynamic", &["--crate-type=cdylib", "-Cprefer-dynamic"])),
    ("rust_library.rs", Shape::Library, variant("lld", &["--crate-type=cdylib", "-O", "-Clink-arg=-fuse-ld=lld"])),
];

#[test]
fn files_of_rust_load_as_before() {
    let test = "toolchains::rust";
    if require("cc", test) && require("rustc", test) && require("ld.lld", test) {
        check_all(test, rust_cases(), Strips::All);
    }
}

/// One file of each kind that Rust makes, with and without a RUNPATH.
pub(crate) fn rust_cases() -> Vec<Case> {
    standard_library();
    let cases = RUST.into_iter().flat_map(|(source, shape, variant)| {
        PATHS.map(|path| Case::new("rustc", source, shape, path, variant).made_by(build_rust))
    });
    cases.collect()
}

fn build_rust(case: &Case, out: &Path) -> Result<(), String> {
    let deps = deps(NATIVE);
    let mut command = command("rustc");
    command.args(["--edition=2024", "-L"]).arg(&deps.old).args(case.variant.flags).arg("-o").arg(out);
    if let Some(path) = linked_path(case, deps) {
        command.arg(format!("-Clink-arg=-Wl,--enable-new-dtags,-rpath,{path}"));
    }
    if case.shape == Shape::Library {
        command.arg("-Clink-arg=-Wl,-soname,libuser.so");
    }
    command.arg("-Clink-arg=-Wl,--build-id");
    succeed(command.arg(fixtures().join(case.source)))
}

/// Puts Rust's shared standard library beside each `libdep.so`: there is one search path to edit, not two.
fn standard_library() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let printed = expect(command("rustc").args(["--print", "target-libdir"]), 0).stdout;
        let folder = PathBuf::from(printed.trim_end());
        let libraries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for library in libraries.filter(|path| path.extension().is_some_and(|extension| extension == "so")) {
            for folder in [&deps(NATIVE).old, &deps(NATIVE).new] {
                std::os::unix::fs::symlink(&library, folder.join(library.file_name().unwrap())).unwrap();
            }
        }
    });
}
