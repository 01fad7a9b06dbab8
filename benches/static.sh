#!/usr/bin/env bash
# Builds: the program as one static binary for x86-64 and one for aarch64 (musl, no libraries, any Linux), and shows that each
#   runs: an aarch64 library is edited by the aarch64 binary under qemu, and by the other one, with the same result.
# Needs: rustup with the targets x86_64-unknown-linux-musl and aarch64-unknown-linux-musl (added when missing, which needs the
#   network), qemu-aarch64-static for the second, readelf. Nothing else: Rust's own linker and musl are used.
# Run: benches/static.sh
#   The binaries stay under target/TARGET/release. Exit code 1 when one is not static or does not do its work.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
# One binary for others to run: size before the last percent of speed.
export CARGO_PROFILE_RELEASE_STRIP=symbols
objects=tests/fuzz/corpus/objects
printf '| binary | size | static | says | edits like this machine'"'"'s |\n|---|---:|---|---|---|\n'
cp -r "$objects" "$work/reference"
cargo run --quiet --release -- fix --in-place --quiet "$work/reference" 2>/dev/null || true
for machine in x86_64 aarch64; do
    target=$machine-unknown-linux-musl
    rustup target list --installed | grep -qx "$target" || rustup target add "$target" >&2
    cargo build --quiet --release --target "$target"
    program=target/$target/release/cuda-runpath
    runner=()
    [[ $machine == "$(uname -m)" ]] || runner=("qemu-$machine-static")
    static=yes
    ! readelf -lW "$program" | grep -q INTERP || static=no
    ! readelf -dW "$program" 2>/dev/null | grep -q NEEDED || static=no
    says=$("${runner[@]}" "$program" --version) || says=nothing
    cp -r "$objects" "$work/$machine"
    "${runner[@]}" "$program" fix --in-place --quiet "$work/$machine" 2>/dev/null || true
    same=yes
    diff -rq "$work/reference" "$work/$machine" >&2 || same=no
    [[ $static == yes && $says == cuda-runpath* && $same == yes ]] || failed=1
    printf '| %s | %d KiB | %s | %s | %s |\n' "$target" $(($(stat -c %s "$program") / 1024)) "$static" "$says" "$same"
done
exit "$failed"
