//! Who asks for the driver, however the name stands in the file: what compilers and languages make of it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cuda_runpath::cuda::{Consumer, DriverLibraries};
use cuda_runpath::elf::view::Subject;
use proptest::prelude::*;

use super::objects::{dlopens, library};
use crate::harness::{Tree, command, found, require};

/// What an object asks for, and how.
fn asks(bytes: &[u8]) -> Vec<(String, &'static str)> {
    let Ok(Subject::Object(view)) = Subject::parse(bytes) else { panic!("no object") };
    let consumer = Consumer::of(&view, &DriverLibraries::with(&[]).unwrap());
    consumer.requests.iter().map(|request| (request.soname.clone(), request.kind.name())).collect()
}

/// Compiles a source in which `NAME` is a library's name.
fn compiled(tree: &Tree, compiler: &[&str], file: &str, source: &str, name: &str) -> Vec<u8> {
    let (source_path, out) = (tree.path().join(file), tree.path().join("out"));
    fs::write(&source_path, source.replace("NAME", &format!("\"{name}\""))).unwrap();
    let [program, flags @ ..] = compiler else { panic!("no compiler") };
    let run = command(program).args(flags).arg(&source_path).arg("-o").arg(&out).output().unwrap();
    assert!(run.status.success(), "{compiler:?} {file}: {}", String::from_utf8_lossy(&run.stderr));
    fs::read(out).unwrap()
}

const ARRAY: &str = "#include <dlfcn.h>\nint main(void) { char name[] = NAME; return !dlopen(name, 1); }\n";
const COPY: &str = "#include <dlfcn.h>\n#include <string.h>\n#include <stdlib.h>\n\
    int main(int n, char **v) { char *name = malloc(64); strcpy(name, NAME); if (n > 1) strcat(name, v[1]); \
    return !dlopen(name, 1); }\n";
const STRING: &str = "#include <dlfcn.h>\n#include <string>\n\
    int main() { std::string name = NAME; return !dlopen(name.c_str(), 1); }\n";
const COMPARE: &str = "#include <dlfcn.h>\n#include <string.h>\n\
    int main(int n, char **v) { return !dlopen(v[0], 1) && n > 1 && !memcmp(v[1], NAME, sizeof NAME - 1); }\n";
const RUST: &str = "use std::ffi::{CString, c_char, c_int, c_void};\n\
    unsafe extern \"C\" { fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void; }\n\
    fn main() { let name = CString::new(String::from(NAME)).unwrap(); \
    std::process::exit(unsafe { dlopen(name.as_ptr(), 1) }.is_null() as i32) }\n";

/// One for each way in which the last piece comes.
const NAMES: [&str; 4] = ["libcuda.so.1", "libcuda.so", "libnvidia-ml.so.1", "libgdrapi.so.2"];

#[test]
fn what_compilers_make_of_a_copied_name_is_found() {
    let test = "names::compilers";
    let tree = Tree::new();
    let mut seen = std::collections::BTreeSet::new();
    for (compiler, sources) in [
        ("gcc", [("a.c", ARRAY), ("b.c", COPY)].as_slice()),
        ("g++", &[("s.cpp", STRING)]),
        ("clang", &[("a.c", ARRAY), ("b.c", COPY)]),
        ("clang++", &[("s.cpp", STRING)]),
        ("aarch64-linux-gnu-gcc", &[("a.c", ARRAY), ("b.c", COPY)]),
    ] {
        // clang is not on every machine that has all else.
        if compiler.starts_with("clang") && !found(compiler) || !require(compiler, test) {
            continue;
        }
        for level in ["-O0", "-O1", "-O2", "-Os"] {
            for (file, source) in sources {
                for name in NAMES {
                    let asked = asks(&compiled(&tree, &[compiler, level], file, source, name));
                    let [(soname, kind)] = asked.as_slice() else {
                        panic!("{compiler} {level} {file} {name}: {asked:?}")
                    };
                    assert_eq!(soname, name, "{compiler} {level} {file}");
                    seen.insert(*kind);
                }
            }
        }
    }
    assert!(!found("gcc") || seen.contains("code"), "{seen:?}");
}

/// A constant of eight bytes that is only compared asks for nothing, and neither does the runtime's own.
#[test]
fn a_name_that_is_compared_in_code_is_no_request() {
    if !require("gcc", "names::compare") {
        return;
    }
    let tree = Tree::new();
    for level in ["-O0", "-O2", "-O3"] {
        let asked = asks(&compiled(&tree, &["gcc", level], "c.c", COMPARE, "libcuda.so.1"));
        assert!(asked.iter().all(|(_, kind)| *kind == "string"), "{asked:?}");
    }
}

/// `lib` and the rest come from two places, or the characters are wide: each is converted or joined before it is opened.
#[test]
fn a_name_that_is_joined_or_wide_is_found() {
    let tree = Tree::new();
    let joined = "#include <dlfcn.h>\n#include <string.h>\n\
        int main(int n, char **v) { char name[64]; strcpy(name, v[n - 1]); strcat(name, NAME); \
        return !dlopen(name, 1); }\n";
    let wide = "#include <dlfcn.h>\n#include <stdlib.h>\n#include <wchar.h>\n\
        const wchar_t wide[] = L\"libcuda.so.1\"; \
        int main(void) { char name[64]; wcstombs(name, wide, 64); return !dlopen(name, 1); }\n";
    let wider = wide.replace("wchar_t", "__CHAR16_TYPE__").replace("L\"", "u\"").replace("wcstombs", "(void)memmove");
    let wider = wider.replace("#include <wchar.h>", "#include <string.h>");
    for compiler in ["gcc", "clang"] {
        if compiler == "clang" && !found(compiler) || !require(compiler, "names::joined") {
            continue;
        }
        for level in ["-O0", "-O1", "-O2", "-Os"] {
            let compiler = [compiler, level, "-w"];
            for name in ["cuda.so.1", "nvidia-ml.so.1"] {
                let asked = asks(&compiled(&tree, &compiler, "j.c", joined, name));
                assert_eq!(asked, [(format!("lib{name}"), "built")], "{compiler:?}");
            }
            for source in [wide, &wider] {
                let asked = asks(&compiled(&tree, &compiler, "w.c", source, ""));
                assert_eq!(asked, [("libcuda.so.1".to_owned(), "string")], "{compiler:?} {source}");
            }
        }
    }
}

/// Linkers keep a name in the tail of a text that ends in it. Whether it is a name by itself, references tell.
#[test]
fn a_text_that_ends_in_a_name_is_no_request() {
    let tree = Tree::new();
    let says = "#include <dlfcn.h>\n#include <stdio.h>\n\
        int main(int n, char **v) { puts(\"no \" NAME); return !dlopen(v[n - 1], 1); }\n";
    let opens = says.replace("v[n - 1]", "NAME");
    let lists =
        says.replace("int main", "const char *const names[] = {NAME}; int main").replace("v[n - 1]", "names[n - 1]");
    for compiler in ["gcc", "clang", "aarch64-linux-gnu-gcc"] {
        if compiler == "clang" && !found(compiler) || !require(compiler, "names::tails") {
            continue;
        }
        for flags in [["-O0", "-pie"], ["-O2", "-pie"], ["-O0", "-no-pie"], ["-O2", "-no-pie"]] {
            let compiler = [compiler, flags[0], flags[1], "-w"];
            assert_eq!(asks(&compiled(&tree, &compiler, "t.c", says, "libcuda.so.1")), [], "{compiler:?}");
            for source in [&opens, &lists] {
                let asked = asks(&compiled(&tree, &compiler, "t.c", source, "libcuda.so.1"));
                assert_eq!(asked, [("libcuda.so.1".to_owned(), "string")], "{compiler:?} {source}");
            }
        }
    }
}

/// movz and three movk: no compiler makes them of a string alone, but of eight bytes that are stored at once.
#[test]
fn a_name_in_code_of_aarch64_is_found() {
    if !require("aarch64-linux-gnu-gcc", "names::aarch64") {
        return;
    }
    let tree = Tree::new();
    let source = "#include <dlfcn.h>\n#include <stdint.h>\n\
        __attribute__((noinline)) void put(char *p) { *(uint64_t *)p = 0x2e6164756362696cull; \
        *(uint32_t *)(p + 8) = 0x312e6f73; p[12] = 0; }\n\
        int main(void) { char name[16]; put(name); return !dlopen(name, 1); }\n";
    let compared = source.replace("*(uint64_t *)p =", "if (*(uint64_t *)p ==").replace("cull;", "cull)");
    for level in ["-O0", "-O2", "-Os"] {
        let asked = asks(&compiled(&tree, &["aarch64-linux-gnu-gcc", level], "w.c", source, ""));
        assert_eq!(asked, [("libcuda.so.1".to_owned(), "code")], "{level}");
        let asked = asks(&compiled(&tree, &["aarch64-linux-gnu-gcc", level], "w.c", &compared, ""));
        assert_eq!(asked, [], "{level}");
    }
}

#[test]
fn a_constant_of_rust_is_found() {
    if !require("rustc", "names::rust") {
        return;
    }
    let tree = Tree::new();
    for (level, name, kind) in [
        ("-Copt-level=0", "libcuda.so.1", "literal"),
        ("-Copt-level=0", "libnvidia-ml.so.1", "literal"),
        ("-Copt-level=2", "libcuda.so.1", "code"),
        ("-Copt-level=2", "libnvidia-ml.so.1", "literal"),
        ("-Copt-level=s", "libcuda.so", "code"),
    ] {
        let asked = asks(&compiled(&tree, &["rustc", level, "--edition=2024"], "r.rs", RUST, name));
        assert_eq!(asked, [(name.to_owned(), kind)], "{level}");
    }
}

#[test]
fn a_constant_of_go_is_found() {
    if !require("go", "names::go") || !require("gcc", "names::go") {
        return;
    }
    let tree = Tree::new();
    let source = "package main\n\n// #include <dlfcn.h>\n// #include <stdlib.h>\nimport \"C\"\nimport (\n\t\"os\"\n\t\"unsafe\"\n)\n\n\
        var names = []string{NAME, \"libother.so.7\"}\n\n\
        func main() {\n\tfor _, name := range names {\n\t\tn := C.CString(name + os.Getenv(\"MORE\"))\n\
        \t\tdefer C.free(unsafe.Pointer(n))\n\t\tC.dlopen(n, 1)\n\t}\n}\n";
    for mode in ["-buildmode=exe", "-buildmode=pie"] {
        let (file, out) = (tree.path().join("main.go"), tree.path().join("out"));
        fs::write(&file, source.replace("NAME", "\"libnvidia-ml.so.1\"")).unwrap();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
        let mut go = command("go");
        go.env("GOCACHE", cache.join("cache"))
            .env("GOPATH", cache)
            .env("GO111MODULE", "off")
            .env("GOTOOLCHAIN", "local");
        let run = go.env("CGO_LDFLAGS", "-ldl").args(["build", mode, "-o"]).arg(&out).arg(&file).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        assert_eq!(asks(&fs::read(out).unwrap()), [("libnvidia-ml.so.1".to_owned(), "literal")], "{mode}");
    }
}

/// A name without a NUL in a data section, with a pointer to its byte `at` and a length behind the pointer.
fn literal(text: &str, at: usize, len: usize) -> String {
    format!(
        "#include <dlfcn.h>\nconst char text[] = {text:?};\n\
         struct {{ const char *start; unsigned long length; }} volatile name = {{ text + {at}, {len} }};\n\
         int main(void) {{ return !dlopen((const char *)name.start, 1); }}\n"
    )
}

#[test]
fn a_name_without_a_nul_is_told_from_a_text() {
    let test = "names::literal";
    let literal = |text: &str, name: &str, at: usize| (text.to_owned(), name.to_owned(), at, name.len());
    let one = |name: &str| vec![(name.to_owned(), "literal")];
    let cases = [
        (literal("Errorlibnvidia-ml.so.1a Display", "libnvidia-ml.so.1", 5), one("libnvidia-ml.so.1")),
        // Behind a constant that ends in a blank, and in front of one that begins with a blank or a digit.
        (literal("cannot open libcuda.so.1xyz", "libcuda.so.1", 12), one("libcuda.so.1")),
        (literal("xlibcuda.so.1 is missing", "libcuda.so.1", 1), one("libcuda.so.1")),
        (literal("xlibcuda.so.12nd", "libcuda.so.1", 1), one("libcuda.so.1")),
        (literal("xlibcuda.soanything", "libcuda.so", 1), one("libcuda.so")),
        (literal("x/opt/lib/libcuda.so.1anything", "/opt/lib/libcuda.so.1", 1), one("libcuda.so.1")),
        // Texts: the first byte is not referred to, or more than the name is meant.
        (literal("Failed to load libcuda.so.1a", "Failed to load", 0), vec![]),
        (("libcuda.so.1 is missing".into(), String::new(), 0, 23), vec![]),
        (("libcuda.so.1.1anything".into(), String::new(), 0, 12), vec![]),
        (("libcuda.so.12anything".into(), String::new(), 0, 13), vec![]),
        (("libcuda.so-of-ours".into(), String::new(), 0, 18), vec![]),
    ];
    let tree = Tree::new();
    for compiler in ["gcc", "aarch64-linux-gnu-gcc"] {
        if !require(compiler, test) {
            continue;
        }
        for ((text, _, at, len), expected) in &cases {
            for flags in [["-O1", "-pie"], ["-O1", "-no-pie"]] {
                let compiler = [&[compiler], flags.as_slice()].concat();
                let source = self::literal(text, *at, *len);
                let asked = asks(&compiled(&tree, &compiler, "l.c", &source, ""));
                assert_eq!(asked, *expected, "{compiler:?} {text:?} from {at}");
            }
        }
    }
}

/// Machines whose code is not understood: the neighbours decide.
#[test]
fn a_name_without_a_nul_is_told_by_its_neighbours_elsewhere() {
    let (test, compiler) = ("names::neighbours", "riscv64-linux-gnu-gcc");
    if !require(compiler, test) {
        return;
    }
    let tree = Tree::new();
    for (text, at, expected) in [
        ("Errorlibcuda.so.1anything", 5, vec![("libcuda.so.1".to_owned(), "literal")]),
        ("Failed to load libcuda.so.1anything", 15, vec![]),
        ("Errorlibcuda.so.1: not found", 5, vec![]),
        ("Errorlibcuda.so.1.1x", 5, vec![]),
    ] {
        let asked = asks(&compiled(&tree, &[compiler, "-O1"], "l.c", &literal(text, at, 12), ""));
        assert_eq!(asked, expected, "{text}");
    }
}

/// Functions looked up by name, and no library's name.
#[test]
fn a_name_that_is_built_at_run_time_is_told_by_the_functions() {
    let test = "names::built";
    if !require("gcc", test) {
        return;
    }
    let tree = Tree::new();
    let source = |functions: &str, more: &str| {
        format!(
            "#include <dlfcn.h>\n#include <stdio.h>\nconst char *volatile stem = \"cuda\";\n\
             const char *volatile functions[] = {{ {functions} }};\n{more}\n\
             int main(void) {{ char name[64]; snprintf(name, 64, \"lib%s.so.1\", stem); \
             void *driver = dlopen(name, 1); return !dlsym(driver, functions[0]); }}\n"
        )
    };
    let glued = "const char glued[] = \"nvcudacuInit Unable tocuDeviceGetcuCtxCreate_v2xyz\";\n\
        struct { const char *s; unsigned long n; } volatile parts[] = { { glued + 6, 6 }, { glued + 22, 11 } };";
    for (functions, more, expected) in [
        ("\"cuInit\", \"cuDeviceGet\"", "", vec![("libcuda.so.1".to_owned(), "built")]),
        ("\"x\"", glued, vec![("libcuda.so.1".to_owned(), "built")]),
        ("\"nvmlInit_v2\", \"nvmlShutdown\"", "", vec![("libnvidia-ml.so.1".to_owned(), "built")]),
        ("\"cuInit\"", "", vec![]),
        ("\"accuInit\", \"cuDeviceGet\"", "", vec![]),
        ("\"cuDeviceGet\", \"cuCtxCreate_v2\"", "", vec![]),
        ("\"call cuInit and cuDeviceGet first\"", "", vec![]),
        ("\"cuInit\", \"cuDeviceGet\", \"cudaGetDriverEntryPoint\"", "", vec![]),
        ("\"cuInit\", \"cuDeviceGet\", \"libcuda.so\"", "", vec![("libcuda.so".to_owned(), "string")]),
    ] {
        let asked = asks(&compiled(&tree, &["gcc", "-O1"], "f.c", &source(functions, more), ""));
        assert_eq!(asked, expected, "{functions} {more}");
    }
}

/// The most that a file can make of candidates: each reference is looked for in one pass over code and pointers.
#[test]
fn a_list_of_names_costs_no_more_than_its_bytes() {
    if !require("gcc", "names::hostile") {
        return;
    }
    let tree = Tree::new();
    let list = tree.path().join("list");
    fs::write(&list, "libcuda.so.1 /libnvidia-ml.so.1:libcuda.so_".repeat(100_000)).unwrap();
    let code = tree.path().join("code");
    fs::write(&code, b"\x48\xb8libcuda.\x48\x89\x04\x24\x48\xb8libnvidi\x48\x8d\x05\0\0\0\0".repeat(100_000)).unwrap();
    let source = format!(
        "#include <dlfcn.h>\nint main(int n, char **v) {{ return !dlopen(v[0], 1); }}\n\
         __asm__(\".section .rodata\\n.incbin \\\"{}\\\"\\n.text\\n.incbin \\\"{}\\\"\\n\");\n",
        list.display(),
        code.display()
    );
    let bytes = compiled(&tree, &["gcc", "-O1"], "h.c", &source, "");
    let start = Instant::now();
    assert_eq!(asks(&bytes), []);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// What the search reads, on the whole.
fn victims() -> Vec<Vec<u8>> {
    let texts = ["libcuda.so.1", "xlibnvidia-ml.so.1y", "/a/libcuda.sox", "cuInit", "cuDeviceGet"];
    let code = b"\x48\xb8libcuda.\x48\x89\x04\x24\xc7\x44\x24\x08so.1\x48\x8d\x05\0\0\0\0";
    let spec = texts.iter().fold(library().imports("dlopen").imports("dlsym"), |spec, text| spec.carries(text));
    vec![spec.function("f", code).build(), dlopens(&["libcuda.so.1"]).build()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_change_is_harmless(
        victim in 0_usize..2,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = victims().swap_remove(victim);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(Subject::Object(view)) = Subject::parse(&bytes) {
            let consumer = Consumer::of(&view, &DriverLibraries::with(&["x".into(), ".so".into()]).unwrap());
            prop_assert!(consumer.requests.len() <= 29);
        }
    }
}
