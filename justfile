# The tasks of this repository; CONTRIBUTING.md has the same table with plain commands, and a test that the two agree.

_default:
    @just --list

# Everything that continuous integration runs; on Debian, as root, it installs what the tests need
test:
    ./tests/run

# Every combination, hours of fuzzing, AddressSanitizer and whole fleets; prints what became of every layout
test-long:
    ./tests/run --long

# Format and lints
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# The examples, options, links and tables of README and docs
papers:
    cargo test --test it readme

# Writes the goldens anew: read the difference before you commit it
goldens:
    SNAPSHOTS=overwrite cargo test --test it -- goldens formats docs_list_every_finding

# Fuzzes with the stable compiler; an input that breaks a target becomes a test in tests/it/regressions.rs
fuzz seconds="60" *targets:
    ./tests/fuzz/run {{seconds}} {{targets}}

# Makes the fuzz corpus anew from what runs of the fuzzer learned
fuzz-keep:
    ./tests/fuzz/keep

# Small objects of every linker, as seeds for the fuzz targets
fuzz-objects folder:
    ./tests/fuzz/objects {{folder}}

# Edits a copy of every ELF file of trees and compares what loaders and readers make of it
fleet +trees:
    ./tests/fleet/run {{trees}}

# Makes files with other languages and tools, edits, runs, strips and reverts them
producers *arguments:
    cargo build --release
    ./tests/fleet/producers {{arguments}}

# The program and the tests that feed it whole files, with AddressSanitizer
asan:
    ./tests/asan

# Holds the instructions of fix --check to within 5 % of tests/instructions.txt
instructions:
    cargo build --release
    ./tests/instructions

# Takes the instructions as they are
instructions-write:
    cargo build --release
    ./tests/instructions --write

# The setup hooks in a real Nix; a pattern chooses cases
hooks pattern="":
    cargo build --release
    ./tests/hooks/run {{pattern}}

# The README's first example
demo:
    ./fixtures/demo/run.sh

# The image, closures and GPU code that the other examples look at
demo-closure:
    ./fixtures/demo/closure.sh

# The crate as it would be published, and its tests in it
package:
    ./tests/package

# What is released: one static binary each for x86-64 and aarch64 that runs, with checksums
static:
    ./benches/static.sh --twice

# A whole tree in both write modes, beside a bare walk, cp and two hooks
bench-tree tree="":
    cargo build --release
    ./benches/tree.sh {{tree}}

# One large library, beside patchelf
bench-library library="":
    cargo build --release
    ./benches/one-library.sh {{library}}

# fix beside an older build of it, in turn
bench-before OLD:
    cargo build --release
    ./benches/before.sh {{OLD}}

# A million files, 300,000 names in one directory, 5,000 levels, 200,000 objects
bench-extremes:
    cargo build --release
    ./benches/extremes.sh

# How the time grows with threads and with files
bench-scaling:
    cargo build --release
    ./benches/scaling.sh

# Failed opens at the start of programs, before and after
bench-startup *programs:
    cargo build --release
    ./benches/startup.sh {{programs}}

# What the setup hooks cost a build
bench-hooks:
    cargo build --release
    ./benches/hooks.sh

# check of a closure of 500 store paths
bench-closure:
    cargo build --release
    ./benches/closure.sh

# check --symbols beside check, over 20,000 objects
bench-symbols:
    cargo build --release
    ./benches/symbols.sh

# fix of NVIDIA's own libraries, and whether each can still be opened
bench-cuda-tree folder="":
    cargo build --release
    ./benches/cuda-tree.sh {{folder}}

# archs beside NVIDIA's cuobjdump
bench-archs cuobjdump +folders:
    cargo build --release
    ./benches/archs.py {{cuobjdump}} {{folders}}

# check and archs of a tree beside an older build, in turn, and their peak memory
bench-truth OLD tree:
    cargo build --release
    ./benches/truth.sh {{OLD}} {{tree}}

# Who asks for the driver in trees, by how that is known
bench-requests +trees:
    cargo build --release
    ./benches/requests.py {{trees}}

# Which libcuda PyTorch loads on a real GPU, before and after
bench-gpu python driver compat="" cuda="":
    cargo build --release
    ./benches/gpu.sh {{python}} {{driver}} {{compat}} {{cuda}}

# slim beside cp -a, on a tree of CUDA libraries
bench-slim tree arch="":
    cargo build --release
    ./benches/slim.sh {{tree}} {{arch}}

# The same bits on a real GPU before and after slim
bench-slim-gpu python cuda="":
    cargo build --release
    ./benches/slim-gpu.sh {{python}} {{cuda}}

# Measures one command, as the benches do
measure +arguments:
    ./benches/measure.py {{arguments}}

# Shows that two builds do the same, byte for byte
same old new +trees:
    ./benches/same.sh {{old}} {{new}} {{trees}}
