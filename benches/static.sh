#!/usr/bin/env bash
# Builds: what is released. The program as one static binary for x86-64 and one for aarch64 (musl, no libraries, any Linux), each
#   in an archive as cargo binstall and action.yml look for it, and their checksums.
# Shows: that each runs and does the same (an aarch64 machine is qemu), the native one in a root with nothing else in it, where
#   this is root; with --twice that another build in another folder makes the same bytes.
# Needs: rustup with the targets x86_64-unknown-linux-musl and aarch64-unknown-linux-musl (added when missing, which needs the
#   network), qemu-aarch64-static, readelf, GNU tar. Nothing else: Rust's own linker and musl are used.
# Run: benches/static.sh [--twice] [x86_64] [aarch64]
#   target/dist has cuda-runpath-VERSION-TARGET.tar.gz and SHA256SUMS. Exit code 1 when a binary is not static, does not do its
#   work, or is another one the second time.
set -euo pipefail
cd "$(dirname "$0")/.."
twice=no
machines=()
for argument; do
    case $argument in
    --twice) twice=yes ;;
    x86_64 | aarch64) machines+=("$argument") ;;
    *)
        echo "usage: $0 [--twice] [x86_64] [aarch64]" >&2
        exit 2
        ;;
    esac
done
[[ ${#machines[@]} -gt 0 ]] || machines=(x86_64 aarch64)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
# One binary for others to run: size before the last percent of speed.
export CARGO_PROFILE_RELEASE_STRIP=symbols
# Paths of this machine are in no message: the same bytes come out of every folder.
CARGO_ENCODED_RUSTFLAGS=$(printf '%s\x1f' "--remap-path-prefix=$PWD=/cuda-runpath" \
    "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" "--remap-path-prefix=$(rustc --print sysroot)=/rust")
export CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS%$'\x1f'}
# The last commit's time is that of every file in an archive.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
target_dir=${CARGO_TARGET_DIR:-target}
dist=$target_dir/dist
rm -rf "$dist"
mkdir -p "$dist"

# build TARGET FOLDER: the program's path is $program.
build() {
    cargo build --quiet --release --locked --target "$1" --target-dir "$2"
    program=$2/$1/release/cuda-runpath
}

# runs PROGRAM: by itself, in a root with nothing else in it.
in_empty_root() {
    mkdir -p "$work/root"
    cp "$1" "$work/root/program"
    chroot "$work/root" /program --version
    rm -rf "$work/root"
}

printf '| binary | size | static | says | in an empty root | edits like the others | built twice |\n|---|---:|---|---|---|---|---|\n'
reference=
for machine in "${machines[@]}"; do
    target=$machine-unknown-linux-musl
    rustup target list --installed | grep -qx "$target" || rustup target add "$target" >&2
    build "$target" "$target_dir"
    runner=()
    alone="not asked"
    if [[ $machine != "$(uname -m)" ]]; then
        runner=("qemu-$machine-static")
    elif [[ $(id -u) == 0 ]]; then
        alone=$(in_empty_root "$program" | grep -c '^cuda-runpath ') || true
        alone=$([[ $alone == 1 ]] && echo yes || echo no)
    fi
    static=yes
    ! readelf -lW "$program" | grep -q INTERP || static=no
    ! readelf -dW "$program" 2>/dev/null | grep -q NEEDED || static=no
    says=$("${runner[@]}" "$program" --version) || says=nothing
    cp -r tests/fuzz/corpus/objects "$work/$machine"
    "${runner[@]}" "$program" fix --in-place --quiet "$work/$machine" 2>/dev/null || true
    # An edit that was made, or nothing would be compared.
    same=yes
    ! diff -rq tests/fuzz/corpus/objects "$work/$machine" >/dev/null || same=no
    [[ -z $reference ]] || diff -rq "$reference" "$work/$machine" >&2 || same=no
    reference=$work/$machine
    again="not asked"
    if [[ $twice == yes ]]; then
        first=$program
        build "$target" "$work/again"
        again=yes
        cmp "$first" "$program" >&2 || again=no
        rm -rf "$work/again"
        program=$first
    fi
    [[ $static == yes && $says == cuda-runpath* && $alone != no && $same == yes && $again != no ]] || failed=1
    printf '| %s | %d KiB | %s | %s | %s | %s | %s |\n' "$target" $(($(stat -c %s "$program") / 1024)) \
        "$static" "$says" "$alone" "$same" "$again"

    name=cuda-runpath-$version-$target
    mkdir "$work/$name"
    install -m 755 "$program" "$work/$name/cuda-runpath"
    install -m 644 LICENSE README.md CHANGELOG.md "$work/$name/"
    tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go=u-w \
        -cf - "$name" | gzip -9n >"$dist/$name.tar.gz"
done
(cd "$dist" && sha256sum ./*.tar.gz | sed 's#\./##' >SHA256SUMS)
cat "$dist/SHA256SUMS" >&2
exit "$failed"
