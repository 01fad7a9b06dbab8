//! `archs`, and the reader of fat binaries behind it: on fat binaries from the builder, on what nvcc makes, on any bytes.

mod any;
mod damage;
mod hollow;
mod kinds;
mod nvcc;
mod output;
mod outside;
mod places;

use std::collections::BTreeMap;
use std::path::PathBuf;

use cuda_runpath::cuda::{self, GpuCode};
use cuda_runpath::elf::contents::Contents;
use serde_json::Value;

use crate::elfgen::{Kind, Machine, Spec};
use crate::harness::{Run, Tree, invoke};

/// What `archs --json -v` says of files, by name.
struct Told {
    run: Run,
    files: BTreeMap<String, Value>,
}

/// Gives files to one run of the program.
fn told<N: AsRef<str>>(files: impl IntoIterator<Item = (N, Vec<u8>)>, options: &[&str]) -> Told {
    let tree = Tree::in_memory();
    for (name, bytes) in files {
        tree.file(name.as_ref(), &bytes);
    }
    let run = invoke([&["archs", "--json", "-v"], options, &[tree.path().to_str().unwrap()]].concat());
    run.assert_orderly("archs");
    let name = |path: PathBuf| path.strip_prefix(tree.path()).unwrap().to_str().unwrap().to_owned();
    let files = run.files().into_iter().map(|(path, file)| (name(path), file)).collect();
    Told { run, files }
}

/// What `archs` says of one file.
fn told_of(bytes: Vec<u8>) -> Value {
    told([("file", bytes)], &[]).files.remove("file").expect("the file is listed")
}

/// `.nv_fatbin sm_87 cubin 2`, in the order of the output; `- 1` behind it for one without kernels.
fn listed(file: &Value) -> Vec<String> {
    let line = |row: &Value| {
        let word = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("no {name} in {row}")).to_owned();
        let hollow = match row["withoutKernels"].as_u64() {
            Some(0) => String::new(),
            hollow => format!(" - {}", hollow.expect("a number")),
        };
        format!("{} {} {} {}{hollow}", word("section"), word("architecture"), word("kind"), row["count"])
    };
    file["code"].as_array().unwrap_or_else(|| panic!("no code in {file}")).iter().map(line).collect()
}

fn problems(file: &Value) -> Vec<&str> {
    file["problems"].as_array().unwrap().iter().map(|problem| problem.as_str().unwrap()).collect()
}

/// The same of a fat binary by itself, read by the library: `sm_87 cubin 2`.
fn of(fatbin: &[u8]) -> (Vec<String>, Vec<String>) {
    summary(&cuda::of_fatbin(fatbin))
}

/// Of an ELF file.
fn of_elf(image: &[u8]) -> (Vec<String>, Vec<String>) {
    summary(&cuda::of_contents(&Contents::parse(image).expect("a sound image")))
}

fn summary(code: &GpuCode) -> (Vec<String>, Vec<String>) {
    let line = |(code, tally): (cuda::Code, cuda::Tally)| {
        let hollow = if tally.empty > 0 { format!(" - {}", tally.empty) } else { String::new() };
        format!("{} {} {}{hollow}", code.architecture(), code.kind.name(), tally.count)
    };
    let problems = code.places.iter().flat_map(|place| &place.problems);
    (code.total().into_iter().map(line).collect(), problems.map(ToString::to_string).collect())
}

/// A library with a section.
pub(crate) fn library(section: &'static str, bytes: &[u8]) -> Spec {
    Spec::new(Machine::X86_64, Kind::Library).gpu_code(section, bytes)
}

/// Containers with so many zeros in front of each but the first.
fn row(containers: &[Vec<u8>], gap: usize) -> Vec<u8> {
    containers.join(&vec![0; gap][..])
}
