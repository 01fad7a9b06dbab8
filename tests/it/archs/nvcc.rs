//! What nvcc makes, compared with what was asked of it and with what cuobjdump says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{listed, problems};
use crate::harness::editors::environment;
use crate::harness::{Tree, command, expect, invoke, require, run, skip};

const KERNELS: &str = "\
__device__ int calls;
__global__ void first(int *out) { out[threadIdx.x] = atomicAdd(&calls, 1); }
__global__ void second(float *out, float by) { out[threadIdx.x] = out[threadIdx.x] * by + 1.5f; }
";
const EMPTY_KERNEL: &str = "__global__ void nothing() {}\n";
const VARIABLE: &str = "__device__ int counter = 3;\n";
const FUNCTION: &str = "__device__ int twice(int value) { return 2 * value; }\n";
const HOST_ONLY: &str = "int host() { return 1; }\n";

/// nvcc and cuobjdump as `tests/run` installs them.
struct Toolkit {
    programs: PathBuf,
    tree: Tree,
}

impl Toolkit {
    fn new(test: &str) -> Option<Self> {
        if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
            println!("{test}: tests/requirements.txt has no nvcc for this machine");
            return None;
        }
        let libraries = environment().join("../lib");
        let found = std::fs::read_dir(&libraries).into_iter().flatten().flatten();
        let mut programs = found.map(|python| python.path().join("site-packages/nvidia/cu13/bin"));
        let Some(programs) = programs.find(|programs| programs.join("nvcc").is_file()) else {
            skip(test, &format!("no nvcc in {}; tests/run puts it there", libraries.display()));
            return None;
        };
        // nvcc has it preprocess and compile.
        require("g++", test).then(|| Self { programs, tree: Tree::in_memory() })
    }

    /// Compiles a source file to `name`.
    fn make(&self, name: &str, source: &str, options: &[&str]) -> PathBuf {
        let (input, output) = (self.tree.file(format!("{name}.cu"), source.as_bytes()), self.tree.join(name));
        self.nvcc(&[options, &[input.to_str().unwrap()]].concat(), &output);
        output
    }

    fn nvcc(&self, arguments: &[&str], output: &Path) {
        let mut nvcc = command(self.programs.join("nvcc"));
        expect(nvcc.args(arguments).arg("-o").arg(output), 0);
    }

    /// The names that cuobjdump has for machine code and PTX: `sm_87 cubin`, and how many of each.
    fn list(&self, file: &Path) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (option, extension) in [("--list-elf", "cubin"), ("--list-ptx", "ptx")] {
            let mut cuobjdump = command(self.programs.join("cuobjdump"));
            let run = run(cuobjdump.args([option, "-all"]).arg(file));
            for line in run.stdout.lines() {
                // `ELF file    1: one.1.sm_87.cubin`
                let mut words = line.rsplit('.');
                assert_eq!(words.next(), Some(extension), "{line}");
                let architecture = words.next().unwrap();
                assert!(architecture.starts_with("sm_"), "{line}");
                *counts.entry(format!("{architecture} {extension}")).or_default() += 1;
            }
        }
        counts
    }
}

/// What `archs` says of a file in which nothing is wrong.
fn archs(file: &Path) -> Value {
    let run = invoke(["archs", "--json", "--unused-for", "7.5,8.7", file.to_str().unwrap()]);
    run.assert_code(0, &file.display().to_string());
    let file = run.file();
    assert!(problems(&file).is_empty(), "{file}");
    file
}

/// The same in cuobjdump's words: PTX is for an `sm`, LTO-IR is not listed, and release 13.5 leaves the `f` of machine code out.
fn as_listed(file: &Value) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for row in file["code"].as_array().unwrap() {
        let architecture = row["architecture"].as_str().unwrap().replace("compute_", "sm_");
        let name = match row["kind"].as_str().unwrap() {
            "cubin" => format!("{} cubin", architecture.trim_end_matches('f')),
            "ptx" => format!("{architecture} ptx"),
            _ => continue,
        };
        *counts.entry(name).or_default() += row["count"].as_u64().unwrap();
    }
    counts
}

/// Compares with what was asked for and with cuobjdump, and returns the report.
fn agreed(toolkit: &Toolkit, file: &Path, wanted: &[&str]) -> Value {
    let told = archs(file);
    assert_eq!(listed(&told), wanted, "{}", file.display());
    assert_eq!(as_listed(&told), toolkit.list(file), "{}", file.display());
    told
}

/// `-gencode` for machine code of an architecture.
macro_rules! code {
    ($number:literal) => {
        concat!("-gencode=arch=compute_", $number, ",code=sm_", $number)
    };
}

/// `-gencode` for machine code and PTX.
macro_rules! both {
    ($number:literal) => {
        concat!("-gencode=arch=compute_", $number, ",code=[sm_", $number, ",compute_", $number, "]")
    };
}

#[test]
fn every_architecture_that_was_asked_for_is_listed() {
    let test = "every_architecture_that_was_asked_for_is_listed";
    let Some(toolkit) = Toolkit::new(test) else { return };
    let architectures =
        [code!("75"), both!("80"), code!("87"), both!("90a"), both!("100f"), code!("110"), both!("120"), code!("121a")];
    let wanted = [
        ".nv_fatbin sm_75 cubin 1",
        ".nv_fatbin sm_80 cubin 1",
        ".nv_fatbin compute_80 ptx 1",
        ".nv_fatbin sm_87 cubin 1",
        ".nv_fatbin sm_90a cubin 1",
        ".nv_fatbin compute_90a ptx 1",
        ".nv_fatbin sm_100f cubin 1",
        ".nv_fatbin compute_100f ptx 1",
        ".nv_fatbin sm_110 cubin 1",
        ".nv_fatbin sm_120 cubin 1",
        ".nv_fatbin compute_120 ptx 1",
        ".nv_fatbin sm_121a cubin 1",
    ];
    let object = toolkit.make("all.o", KERNELS, &[&architectures[..], &["-c", "-Xcompiler=-fPIC"]].concat());
    agreed(&toolkit, &object, &wanted);

    // Linked with another object, into a library and a static archive's member; then without section headers.
    let other = toolkit.make("other.o", EMPTY_KERNEL, &[code!("75"), code!("87"), "-c", "-Xcompiler=-fPIC"]);
    let library = toolkit.tree.join("liball.so");
    let objects = [object.to_str().unwrap(), other.to_str().unwrap()];
    toolkit.nvcc(&[&objects[..], &["-shared", "-cudart=none", code!("75")]].concat(), &library);
    let linked: Vec<String> = wanted
        .iter()
        .map(|line| line.replace("sm_75 cubin 1", "sm_75 cubin 2").replace("sm_87 cubin 1", "sm_87 cubin 2"))
        .collect();
    let report = agreed(&toolkit, &library, &linked.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((&report["containers"], &report["targets"][1]["containersFor"]), (&2.into(), &2.into()));
    if require("llvm-strip", test) {
        let bare = toolkit.tree.join("libbare.so");
        let mut strip = command("llvm-strip");
        let run = run(strip.arg("--strip-sections").arg("-o").args([&bare, &library]));
        assert_eq!(run.code, 0, "{}", run.stderr);
        let in_segments: Vec<String> = linked.iter().map(|line| line.replace(".nv_fatbin", "PT_LOAD")).collect();
        assert_eq!(listed(&archs(&bare)), in_segments);
    }
}

/// However it is packed, alone or together, the same architectures are there, and as many bytes once they are unpacked.
#[test]
fn packing_changes_sizes_only() {
    let Some(toolkit) = Toolkit::new("packing_changes_sizes_only") else { return };
    let architectures = [both!("75"), both!("87")];
    let wanted = ["(file) sm_75 cubin 1", "(file) compute_75 ptx 1", "(file) sm_87 cubin 1", "(file) compute_87 ptx 1"];
    let sizes = |name: &str, options: &[&str]| {
        let file = toolkit.make(name, KERNELS, &[&architectures[..], options, &["-fatbin"]].concat());
        let report = agreed(&toolkit, &file, &wanted);
        let rows = report["code"].as_array().unwrap();
        let sum = |field: &str| rows.iter().map(|row| row[field].as_u64().unwrap()).sum::<u64>();
        (sum("bytes"), sum("unpacked"))
    };
    let (plain, unpacked) = sizes("none", &["--compress-mode=none"]);
    assert_eq!(plain, unpacked);
    for (name, options, at_most) in [
        ("no", &["-Xfatbin=--compress=false"][..], 100),
        ("speed", &["--compress-mode=speed", "-Xfatbin=-compress-all"], 60),
        ("size", &["--compress-mode=size"], 60),
        ("balance", &["--compress-mode=balance"], 100),
        ("joint", &["--compress-mode=size", "-Xfatbin=-concat"], 50),
        ("joint-speed", &["--compress-mode=speed", "-Xfatbin=-concat"], 60),
    ] {
        let (stored, size) = sizes(name, options);
        assert!(stored * 100 <= plain * at_most, "{name}: {stored} of {plain}");
        // Each by itself is told without its padding.
        assert!(size <= unpacked && unpacked < size + 8 * 4, "{name}: {size}, not {unpacked}");
    }
}

#[test]
fn code_that_is_still_to_be_linked_is_listed() {
    let Some(toolkit) = Toolkit::new("code_that_is_still_to_be_linked_is_listed") else { return };
    let fpic = "-Xcompiler=-fPIC";
    let object = toolkit.make("rdc.o", KERNELS, &["-rdc=true", "-c", fpic, both!("75"), code!("87")]);
    let wanted = ["__nv_relfatbin sm_75 cubin 1", "__nv_relfatbin compute_75 ptx 1", "__nv_relfatbin sm_87 cubin 1"];
    agreed(&toolkit, &object, &wanted);
    // With a source file's name and options in every header.
    let debug = toolkit.make(
        "g.o",
        KERNELS,
        &["-G", "-rdc=true", "-c", fpic, both!("75"), both!("87"), "-Xfatbin=-concat", "--compress-mode=size"],
    );
    agreed(&toolkit, &debug, &[&wanted[..], &["__nv_relfatbin compute_87 ptx 1"]].concat());

    let lto = ["-gencode=arch=compute_75,code=lto_75", "-gencode=arch=compute_87,code=lto_87"];
    let lto_object = toolkit.make("lto.o", KERNELS, &[&lto[..], &["-dc", fpic]].concat());
    agreed(&toolkit, &lto_object, &["__nv_relfatbin compute_75 lto-ir 1", "__nv_relfatbin compute_87 lto-ir 1"]);
    assert_eq!(archs(&lto_object)["targets"][1]["runs"], "missing");

    // Linked for the GPU: machine code in a section of its own, beside what it was made of.
    let linked = toolkit.tree.join("linked.o");
    toolkit.nvcc(&["-dlink", fpic, code!("75"), code!("87"), object.to_str().unwrap()], &linked);
    agreed(&toolkit, &linked, &[".nv_fatbin sm_75 cubin 1", ".nv_fatbin sm_87 cubin 1"]);
    let library = toolkit.tree.join("librdc.so");
    let both = [&linked, &object].map(|path| path.to_str().unwrap());
    toolkit.nvcc(&[&both[..], &["-shared", "-cudart=none", code!("75")]].concat(), &library);
    let mut all = [&[".nv_fatbin sm_75 cubin 1", ".nv_fatbin sm_87 cubin 1"][..], &wanted].concat();
    let mut found = listed(&archs(&library));
    all.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, all);
}

/// Every source file gets a fat binary, and most have no kernels: those are told as having none, whatever they are packed with.
#[test]
fn a_file_without_kernels_is_told_from_one_with_an_empty_kernel() {
    let Some(toolkit) = Toolkit::new("a_file_without_kernels_is_told_from_one_with_an_empty_kernel") else { return };
    for (name, source, options, has_code) in [
        ("none", HOST_ONLY, &["--compress-mode=none"][..], false),
        ("none-size", HOST_ONLY, &["--compress-mode=size"], false),
        ("none-speed", HOST_ONLY, &["--compress-mode=speed", "-Xfatbin=-compress-all"], false),
        ("none-rdc", HOST_ONLY, &["-rdc=true"], false),
        ("none-debug", HOST_ONLY, &["-G", code!("110")], false),
        // A function that no kernel calls is not kept, unless another file may.
        ("function", FUNCTION, &[], false),
        ("function-rdc", FUNCTION, &["-rdc=true"], true),
        ("kernel", EMPTY_KERNEL, &[], true),
        ("kernel-size", EMPTY_KERNEL, &["--compress-mode=size"], true),
        ("kernel-rdc", EMPTY_KERNEL, &["-rdc=true"], true),
        ("variable", VARIABLE, &[], true),
    ] {
        let object = toolkit.make(name, source, &[options, &["-c", both!("75")]].concat());
        let report = archs(&object);
        assert_eq!(as_listed(&report), toolkit.list(&object), "{name}");
        for row in report["code"].as_array().unwrap() {
            assert_eq!(row["withoutKernels"] == row["count"], !has_code, "{name}: {row}");
        }
        let runs = if has_code { "exactly" } else { "missing" };
        assert_eq!(report["targets"][0]["runs"], runs, "{name}");
        let human = invoke(["archs", "--unused-for", "7.5", object.to_str().unwrap()]);
        assert_eq!(human.stdout.contains("no kernels\n"), !has_code, "{name}: {}", human.stdout);
    }
}
