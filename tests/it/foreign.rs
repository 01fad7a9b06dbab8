//! Files that other tools wrote, or that are read by somebody else than a dynamic loader of the host.

use std::path::{Path, PathBuf};

use crate::elfgen::{Kind, Machine, Spec, read::Image as Elf};
use crate::harness::{MODES, Run, Snapshot, Tree, binary, command, expect, require, run};

/// Longer than the padding that linkers leave.
fn long_path() -> String {
    format!("/{}", "x".repeat(9000))
}

fn fix(file: &Path, driver: &str, mode: &[&str]) -> Run {
    run(binary().args(["fix", "--driver", driver]).args(mode).arg(file))
}

fn compile(tree: &Tree, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let (file, source_path) = (tree.join(name), tree.join(format!("{name}.c")));
    std::fs::write(&source_path, source).unwrap();
    expect(command("cc").args(["-O1", "-o"]).arg(&file).arg(&source_path).args(flags), 0);
    file
}

fn starts(file: &Path) -> i32 {
    run(&mut command(file)).code
}

const PLAIN: &str = "int main(void) { return 42; }\n";

/// The offset of the program header with a type in a 64-bit little-endian file.
fn header_of(bytes: &[u8], kind: u8) -> usize {
    let table = usize::try_from(u64::from_le_bytes(bytes[32..40].try_into().unwrap())).unwrap();
    let mut headers = (0..usize::from(bytes[56])).map(|index| table + index * 56);
    headers.find(|at| bytes[*at] == kind).expect("a program header")
}

/// LIEF from 0.15 to 1.0 leaves PT_PHDR with a size that is not the table's. Kernel and loaders take its address alone.
#[test]
fn a_pt_phdr_of_another_size_may_stay_as_it_is() {
    if !cfg!(target_pointer_width = "64") || !require("cc", "a_pt_phdr_of_another_size_may_stay_as_it_is") {
        return;
    }
    let tree = Tree::new();
    for (shape, flags) in [("pie", &["-pie", "-fPIE"][..]), ("exec", &["-no-pie"])] {
        let good = std::fs::read(compile(&tree, shape, PLAIN, flags)).unwrap();
        let at = header_of(&good, 6);
        for entries in [-2_i64, -1, 1, 2] {
            let mut bytes = good.clone();
            for field in [at + 32, at + 40] {
                let size = u64::from_le_bytes(bytes[field..field + 8].try_into().unwrap());
                bytes[field..field + 8].copy_from_slice(&size.strict_add_signed(56 * entries).to_le_bytes());
            }
            for mode in MODES {
                for driver in ["/d", &long_path()] {
                    let file = tree.place(format!("wrong-{shape}"));
                    std::fs::write(&file, &bytes).unwrap();
                    crate::harness::set_mode(&file, 0o755);
                    assert_eq!(starts(&file), 42);
                    let ended = fix(&file, driver, mode);
                    assert_eq!(ended.code, 0, "{shape} {entries} {mode:?}: {}", ended.said());
                    assert_eq!(starts(&file), 42, "{shape} {entries} {mode:?}");
                    assert_eq!(Elf::read(&file).runpath().unwrap(), driver.as_bytes());
                    expect(binary().args(["fix", "--check", "--driver", driver]).arg(&file), 0);
                }
            }
        }
    }
}

/// LIEF adds PT_LOADs without any rights, behind all others: strings there end the program at its start.
#[test]
fn no_string_goes_where_it_may_not_be_read() {
    if !require("cc", "no_string_goes_where_it_may_not_be_read") {
        return;
    }
    let tree = Tree::new();
    // A last PT_LOAD of its own, whose rights are taken.
    let source = format!("{PLAIN}__attribute__((section(\".last\"), used)) const char last[] = \"last\";\n");
    let flags = ["-pie", "-fPIE", "-Wl,-z,separate-code", "-Wl,--section-start=.last=0x900000"];
    let good = compile(&tree, "good", &source, &flags);
    let mut bytes = std::fs::read(&good).unwrap();
    let table = usize::try_from(u64::from_le_bytes(bytes[32..40].try_into().unwrap())).unwrap();
    let headers: Vec<usize> = (0..usize::from(bytes[56])).map(|index| table + index * 56).collect();
    let last = *headers.iter().rfind(|at| bytes[**at] == 1).unwrap();
    assert_eq!(&bytes[last + 16..last + 20], 0x0090_0000_u32.to_le_bytes());
    bytes[last + 4] = 0;
    for mode in MODES {
        for driver in ["/d", &long_path()] {
            let file = tree.place("rights");
            std::fs::write(&file, &bytes).unwrap();
            crate::harness::set_mode(&file, 0o755);
            assert_eq!(starts(&file), 42);
            let ended = fix(&file, driver, mode);
            assert_eq!((ended.code, starts(&file)), (0, 42), "{mode:?}: {}", ended.said());
            assert_eq!(Elf::read(&file).runpath().unwrap(), driver.as_bytes());
        }
    }
}

/// What GNU Common Lisp and bun are, as far as the file tells: a program without a zero-initialised end that asks for the
/// break itself, and one with a section `.bun` in its data.
const DUMPED: &str = "#include <unistd.h>\nlong data = 7;\nvoid _start(void) { sbrk(0); _exit(data == 7 ? 42 : 1); }\n";
const BUN: &str = "__attribute__((section(\".bun\"), used)) long place = 1;\nstatic char zeros[70000];\n\
    int main(int count, char **names) { zeros[count] = 41; return zeros[count] + place; }\n";

fn last_load(file: &Path) -> (u64, u64, u64, u64) {
    let elf = Elf::read(file);
    let last = elf.loads().max_by_key(|load| load.address).expect("a PT_LOAD");
    (last.offset, last.address, last.file_size, last.memory_size)
}

/// A heap that goes on at the end of the last PT_LOAD leaves no place behind it; a hole between two others is one.
#[test]
fn nothing_goes_between_a_dumped_image_and_its_heap() {
    if !require("cc", "nothing_goes_between_a_dumped_image_and_its_heap") {
        return;
    }
    let tree = Tree::new();
    let link = |name: &str, flags: &[&str]| compile(&tree, name, DUMPED, &[&["-nostartfiles"], flags].concat());
    let tight = ["-no-pie", "-Wl,-z,separate-code,-z,max-page-size=4096"];
    let wide = ["-no-pie", "-Wl,-z,noseparate-code,-z,max-page-size=0x200000"];
    for mode in MODES {
        let file = link("tight", &tight);
        let before = Snapshot::of(&file);
        let ended = fix(&file, &long_path(), mode);
        assert!(ended.code == 0 && ended.stderr.contains("dumped image"), "{}", ended.said());
        assert_eq!(Snapshot::of(&file), before);
        // One that lies inside the old ones is none.
        let ended = fix(&file, "/d", mode);
        assert_eq!((ended.code, starts(&file)), (0, 42), "{}", ended.said());

        let file = link("wide", &wide);
        let last = last_load(&file);
        let ended = fix(&file, &long_path(), mode);
        assert_eq!((ended.code, starts(&file)), (0, 42), "{}", ended.said());
        assert_eq!(last_load(&file), last, "the last PT_LOAD is the last, and as long as before");
        assert_eq!(Elf::read(&file).runpath().unwrap(), long_path().as_bytes());
        expect(binary().args(["fix", "--check", "--driver", &long_path()]).arg(&file), 0);
    }
}

/// bun writes what it compiles behind its data segment and shifts what follows, whatever program headers say of that.
#[test]
fn nothing_goes_behind_the_data_of_a_program_that_copies_itself() {
    if !require("cc", "nothing_goes_behind_the_data_of_a_program_that_copies_itself") {
        return;
    }
    let tree = Tree::new();
    for mode in MODES {
        let file = compile(&tree, "bun", BUN, &["-no-pie"]);
        let before = Snapshot::of(&file);
        let ended = fix(&file, &long_path(), mode);
        assert!(ended.code == 0 && ended.stderr.contains("copies itself"), "{}", ended.said());
        assert_eq!(Snapshot::of(&file), before);
        let (end, size) = (last_load(&file), std::fs::metadata(&file).unwrap().len());
        let ended = fix(&file, "/d", mode);
        assert_eq!((ended.code, starts(&file)), (0, 42), "{}", ended.said());
        assert_eq!((last_load(&file), std::fs::metadata(&file).unwrap().len()), (end, size));
        let other = compile(&tree, "other", &BUN.replace("\".bun\"", "\".own\""), &["-no-pie"]);
        assert_eq!((fix(&other, &long_path(), mode).code, starts(&other)), (0, 42));
    }
}

/// Zig's own linker lets the first PT_LOAD end with the table, leaves no entry to spare, and zeros at the end of the file.
#[test]
fn zeros_behind_the_object_are_no_payload() {
    if !require("cc", "zeros_behind_the_object_are_no_payload") {
        return;
    }
    let tree = Tree::new();
    for (zeros, last, is_left_alone) in [(300_000, 0_u8, false), (300_000, 1, true), (3 << 20, 0, false)] {
        for mode in MODES {
            let file = compile(&tree, "zeros", PLAIN, &["-no-pie", "-Wl,-z,noseparate-code"]);
            let mut bytes = std::fs::read(&file).unwrap();
            bytes.extend(vec![0; zeros]);
            *bytes.last_mut().unwrap() = last;
            std::fs::write(&file, bytes).unwrap();
            let ended = fix(&file, &long_path(), mode);
            let said = ended.stderr.contains("carries a payload");
            assert_eq!((ended.code, said), (0, is_left_alone), "{zeros} {last}: {}", ended.said());
            assert_eq!(starts(&file), 42);
        }
    }
}

/// Signal processors and virtual machines have loaders of their own; a Hexagon's verifies the end of the file.
#[test]
fn code_for_other_processors_is_left_alone() {
    let tree = Tree::new();
    let good = Spec::new(Machine::X86_64, Kind::Library).runpath("/old").build();
    for (machine, name) in [(164_u16, "hexagon"), (247, "bpf"), (263, "sbpf"), (205, "intel-gpu"), (190, "cuda")] {
        let mut bytes = good.clone();
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        for mode in MODES {
            let file = tree.file(name, &bytes);
            let before = Snapshot::of(&file);
            let ended = run(binary().args(["fix", "--json"]).args(mode).arg(&file));
            assert_eq!((ended.code, ended.json()["summary"]["skipped"].as_u64()), (0, Some(1)), "{}", ended.said());
            assert_eq!(Snapshot::of(&file), before, "{name}");
        }
    }
}

/// NSS verifies `libsoftokn3.chk` beside `libsoftokn3.so` at every start in FIPS mode.
#[test]
fn files_with_a_signature_beside_them_are_named_and_left_alone() {
    let tree = Tree::new();
    let library = Spec::new(Machine::X86_64, Kind::Library).build();
    for (name, signature, contents, is_signed) in [
        ("libsoftokn3.so", "libsoftokn3.chk", &b"\xf1\xc5\x01\x02and more"[..], true),
        ("libsoftokn3.so", "libsoftokn3.chk", b"a list of checks", false),
        ("libgnutls.so.30", ".libgnutls.so.30.hmac", b"[global]\nformat-version = 1\n[x]\nhmac = 00\n", true),
        ("libcrypto.so.1", "fipscheck/libcrypto.so.1.hmac", &[b'a'; 64], true),
        ("libcrypto.so.1", ".libcrypto.so.1.hmac", b"nothing of the kind", false),
    ] {
        let file = tree.file(format!("{is_signed}-{}/{name}", signature.len()), &library);
        tree.file(file.with_file_name(signature), contents);
        let before = Snapshot::of(&file);
        let ended = expect(binary().arg("fix").arg(&file), 0);
        let told = format!("an edit would break its signature {}", file.with_file_name(signature).display());
        assert_eq!(ended.stdout.contains(&told), is_signed, "{}", ended.said());
        assert_eq!(Snapshot::of(&file) == before, is_signed, "{name} {signature}");
    }
}

/// Many functions of one kind.
fn functions(spec: Spec, code: &[u8]) -> Spec {
    (0..24).fold(spec, |spec, number| spec.function(&format!("cuFunction{number}"), code))
}

/// Home-made stubs, at every level of optimisation, with a SONAME and without.
#[test]
fn what_does_nothing_is_a_stub_whoever_made_it() {
    if !require("cc", "what_does_nothing_is_a_stub_whoever_made_it") {
        return;
    }
    let tree = Tree::new();
    tree.folder("link");
    let user = tree.join("libuser.so");
    let runpath = format!("-Wl,--enable-new-dtags,-rpath,{}", tree.join("link").display());
    for (body, is_stub) in [
        ("", true),
        ("int cuInit(unsigned f) { return 0; } int cuDeviceGet(int *d, int n) { return 0; }", true),
        ("int cuInit(unsigned f) { return 999; }", true),
        ("int cuInit(unsigned f) { __builtin_trap(); }", true),
        ("void abort(void); int cuInit(unsigned f) { abort(); }", true),
        (
            "#include <stdio.h>\n#include <stdlib.h>\nstatic int die(const char *n) { fprintf(stderr, \"%s: stub\", n); \
             exit(1); } int cuInit(unsigned f) { return die(\"cuInit\"); }",
            true,
        ),
        ("int puts(const char *); int cuInit(unsigned f) { puts(\"no driver\"); return 999; }", true),
        (
            "int puts(const char *); int ioctl(int, long); \
             int cuInit(unsigned f) { puts(\"no driver\"); return ioctl(3, f); }",
            false,
        ),
        ("int cuInit(unsigned f) { return f ? 1 : 100; } int cuDeviceGet(int *d, int n) { *d = n; return 0; }", false),
    ] {
        for flags in
            [["-O0", "-Wl,-soname,libcuda.so.1"], ["-O2", "-Wl,-soname,libcuda.so.1"], ["-Os", "-Wl,-hash-style=gnu"]]
        {
            // Without a SONAME and without a function nothing says that it is libcuda.
            if body.is_empty() && flags[0] == "-Os" {
                continue;
            }
            let all = [&["-shared", "-fPIC", "-nostdlib", "-w"][..], &flags].concat();
            let cuda = compile(&tree, "link/libcuda.so.1", body, &all);
            let empty = compile(&tree, "libempty.so", "", &["-shared", "-nostdlib", "-Wl,-soname,libcuda.so.1"]);
            let empty = empty.to_str().unwrap().to_owned();
            let needs = ["-shared", "-nostdlib", "-Wl,--no-as-needed", &runpath, &empty];
            assert_eq!(compile(&tree, "libuser.so", "", &needs), user);
            let checked = run(binary().args(["check", "--skip", "CRP302"]).arg(&user));
            assert_eq!(checked.stdout.contains("CRP200"), is_stub, "{body} {flags:?}: {}", checked.said());
            let frozen = run(binary().args(["check"]).arg(&cuda)).stdout.contains("CRP604");
            assert_eq!(frozen, !is_stub && flags[1].contains("soname"), "{body} {flags:?}");
        }
    }
}

/// A library of the driver is never edited, compat's excepted, and one that does nothing is none.
#[test]
fn the_drivers_own_libraries_are_left_alone() {
    let tree = Tree::new();
    let spec =
        |soname: &str, code: &[u8]| functions(Spec::new(Machine::X86_64, Kind::Library).soname(soname), code).build();
    let real: &[u8] = &[0x89, 0xf8, 0xc3];
    let compat = tree.folder("compat");
    for (path, soname, code, is_edited) in [
        ("a/libcuda.so.580.95", "libcuda.so.1", real, false),
        ("b/libcuda-43c1b388.so.570.124.06", "libcuda-43c1b388.so.570.124.06", real, false),
        ("c/libnvidia-ml.so.1", "libnvidia-ml.so.1", real, false),
        ("d/libcuda.so", "libcuda.so.1", &[0xb8, 0xe7, 3, 0, 0, 0xc3], true),
        ("e/libcudart.so.12", "libcudart.so.12", real, true),
        ("f/libcuda-tools.so.1", "libcuda-tools.so.1", real, true),
        ("compat/libcuda.so.1", "libcuda.so.1", real, true),
    ] {
        let file = tree.file(path, &spec(soname, code));
        let ended = expect(binary().args(["fix", "--compat"]).arg(&compat).arg(&file), 0);
        assert_eq!(ended.stdout.contains("a library of the driver itself"), !is_edited, "{path}: {}", ended.said());
        assert_eq!(Elf::read(&file).runpath().is_some(), is_edited, "{path}");
    }
}

/// A directory with a stub in it that also has the only library of a name stays, behind the driver's.
#[test]
fn clean_keeps_what_anything_needs() {
    let tree = Tree::new();
    let library = |soname: &str| Spec::new(Machine::X86_64, Kind::Library).soname(soname);
    let stub = functions(library("libcuda.so.1"), &[0xb8, 0x22, 0, 0, 0, 0xc3]).build();
    let at = |path: &str| tree.join(path).display().to_string();
    for path in ["both/libcuda.so", "stubs/libcuda.so.1", "twice/libcuda.so"] {
        tree.file(path, &stub);
    }
    tree.file("both/libcudart.so.12", &library("libcudart.so.12").needs("libdeep.so").build());
    tree.file("twice/libdeep.so", &library("libdeep.so").build());
    let cleaned = |name: &str, spec: Spec| {
        let file = tree.file(name, &spec.build());
        expect(binary().args(["fix", "--clean", "--tag", "keep", "--driver", "/d"]).arg(&file), 0);
        let path = String::from_utf8(Elf::read(&file).runpath().unwrap_or_default()).unwrap();
        expect(binary().args(["fix", "--clean", "--tag", "keep", "--check", "--driver", "/d"]).arg(&file), 0);
        path
    };
    let all = format!("{}:{}:{}", at("stubs"), at("both"), at("twice"));
    let needs = || library("libuser.so").needs("libcudart.so.12").needs("libcuda.so.1");
    assert_eq!(cleaned("user.so", needs().runpath(&all)), format!("/d:{}", at("both")));
    assert_eq!(cleaned("nobody.so", library("libuser.so").runpath(&all)), "/d");
    // What DT_RPATH lends to libcudart, that needs.
    let file = tree.file("lends.so", &needs().rpath(&all).build());
    let ended = expect(binary().args(["fix", "--clean", "--tag", "keep", "--driver", "/d"]).arg(&file), 0);
    let wanted = format!("/d:{}:{}", at("both"), at("twice"));
    assert!(ended.stdout.contains(&format!("-> {wanted}\n")), "{}", ended.said());
}
