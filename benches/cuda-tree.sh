#!/usr/bin/env bash
# Measures: `cuda-runpath fix` on real NVIDIA libraries, the pip wheels of the CUDA runtime, cuBLAS, NCCL, cuFFT and cuDNN for
#   x86_64 and of the runtime and NCCL for aarch64, in both write modes, twice each; and checks what came out:
#   both modes leave the same bytes; the second run writes nothing and touches no file; every library of this machine's
#   architecture that could be dlopen'ed before (a fresh process each) can be after; readelf -aW finds nothing new to
#   complain about; readelf shows the wanted search path in each file that was fixed.
# Needs: Linux, bash, python3 with pip, readelf; network unless DIR holds the libraries. No GPU and no driver.
#   Room in TMPDIR for one copy (3.5 GB), and for the libraries themselves without DIR. The wheels are NVIDIA's; do not
#   redistribute them.
# Run: benches/cuda-tree.sh [DIR]
#   DIR: a folder with x86_64/ and aarch64/, each the unpacked wheels; what is missing is downloaded there, what is there is
#   only read. Without DIR: a temporary folder. Environment: see lib.sh. Exit code 1 when a check fails.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

compat=/nix/store/00000000000000000000000000000000-cuda12.8-cuda_compat-12.8.39/compat
driver=/run/opengl-driver/lib

# download MACHINE PACKAGE...: the newest wheels of that machine, unpacked into $tree/MACHINE.
download() {
    local machine=$1 platform platforms=() wheel
    shift
    for platform in manylinux2014 manylinux_2_17 manylinux_2_18 manylinux_2_27 manylinux_2_28; do
        platforms+=(--platform "${platform}_$machine")
    done
    say "downloading $machine: $*"
    python3 -m pip download -q --no-deps --only-binary=:all: "${platforms[@]}" -d "$work/wheels/$machine" "$@" >&2
    mkdir -p "$tree"
    for wheel in "$work/wheels/$machine"/*.whl; do
        python3 -m zipfile -e "$wheel" "$work/unpacked"
        rm "$wheel"
    done
    mv "$work/unpacked" "$tree/$machine"
}

tree=${1:-$work/tree}
[[ -d $tree/x86_64 ]] || download x86_64 nvidia-{cuda-runtime,cublas,nccl,cufft,cudnn}-cu12
[[ -d $tree/aarch64 ]] || download aarch64 nvidia-{cuda-runtime,nccl}-cu12

# below TREE COMMAND...: runs COMMAND with the names of all regular files, NUL-separated and sorted, on its input.
below() {
    (cd "$1" && find x86_64 aarch64 -type f -print0 | sort -z | "${@:2}")
}
hashes() { below "$1" xargs -0 sha256sum; }
# What a write, a rename or a touch would change.
identities() { below "$1" xargs -0 stat -c '%n %i %s %Y %y %z %f'; }

# elf_files TREE: the ELF objects below it, judged by four bytes, one a line.
elf_files() {
    local file
    while IFS= read -r -d '' file; do
        if is_elf "$1/$file"; then printf '%s\n' "$file"; fi
    done < <(below "$1" cat)
}

# complaints TREE: everything that readelf says against a file, its name in front; sorted.
complaints() {
    local file
    while IFS= read -r file; do
        (cd "$1" && readelf -aW -- "$file" 2>&1 >"$work/dump" || printf 'exit code\n') | sed "s|^|$file: |"
        # What it puts among the tables instead.
        grep -aoE '<(corrupt|no-strings|unknown|localentry: )[^>]*>|out of range|past end' "$work/dump" | sort | uniq -c |
            sed "s|^|$file: |" || true
    done <"$work/elf" | sort
}

# loadable TREE: the libraries of this machine below it that a fresh process can load, dependencies found in the tree.
loadable() {
    local base file path=''
    base=$1/$(uname -m)
    while IFS= read -r file; do
        path+=${path:+:}$1/$file
    done < <(grep "^$(uname -m)/" "$work/elf" | sed 's|/[^/]*$||' | sort -u)
    [[ -d $base ]] || say "no libraries of $(uname -m) here: none is loaded"
    while IFS= read -r file; do
        if LD_LIBRARY_PATH=$path python3 -c 'import ctypes, os, sys; ctypes.CDLL(sys.argv[1], os.RTLD_NOW)' "$1/$file" 2>"$work/reason"; then
            printf '%s\n' "$file"
        else
            say "cannot load $1/$file: $(tail -n 1 "$work/reason")"
        fi
    done < <(grep "^$(uname -m)/" "$work/elf")
}

# search_path FILE: its path as readelf shows it.
search_path() { readelf -dW "$1" 2>/dev/null | sed -n 's/.*(RUNPATH) *Library runpath: \[\(.*\)\]$/\1/p'; }

# shown: passes its input on, and repeats it on stderr.
shown() {
    cat >"$work/shown"
    cat "$work/shown" >&2
    cat "$work/shown"
}

# names_of FILE: the paths of all files that a JSON report says were fixed.
names_of() {
    python3 -c 'import json, sys
for file in json.load(open(sys.argv[1]))["files"]:
    if file["outcome"] == "fixed":
        print(file["path"])' "$1"
}

total_size() { below "$1" xargs -0 stat -c %s | awk '{ sum += $1 } END { printf "%.0f", sum }'; }

say 'looking at the libraries as they are'
elf_files "$tree" >"$work/elf"
complaints "$tree" >"$work/complaints"
loadable "$tree" >"$work/loadable"
size=$(total_size "$tree")

target=$work/copy
modes=(replace in-place)
declare -A touched growth broken complained unwanted missed left
for mode in "${modes[@]}"; do
    command=("$program" fix --compat "$compat" -j "$jobs" --json)
    if [[ $mode == in-place ]]; then command+=(--in-place); fi
    command+=("$target")

    say "$mode: peak memory"
    copy "$tree" "$target"
    settle "$target"
    traced "$mode" -- "${command[@]}"
    hashes "$target" >"$work/$mode-traced.sha256"

    say "$mode: the first and the second run"
    copy "$tree" "$target"
    settle "$target"
    timed "$mode" --stdout "$work/$mode.json" -- "${command[@]}"
    identities "$target" >"$work/before"
    timed "$mode-again" --stdout "$work/$mode-again.json" -- "${command[@]}"
    identities "$target" >"$work/after"
    touched[$mode]=$(comm -13 "$work/before" "$work/after" | wc -l)

    say "$mode: checking what came out"
    hashes "$target" >"$work/$mode.sha256"
    growth[$mode]=$(($(total_size "$target") - size))
    complaints "$target" >"$work/complaints-$mode"
    complained[$mode]=$(comm -13 "$work/complaints" "$work/complaints-$mode" | shown | wc -l)
    loadable "$target" >"$work/loadable-$mode"
    broken[$mode]=$(comm -23 "$work/loadable" "$work/loadable-$mode" | shown | wc -l)
    unwanted[$mode]=0
    while IFS= read -r file; do
        if [[ $(search_path "$file") != "$compat:$driver"?(:*) ]]; then
            say "$file: search path is '$(search_path "$file")'"
            unwanted[$mode]=$((unwanted[$mode] + 1))
        fi
    done < <(names_of "$work/$mode.json")
    rm -rf "$target"
done

# Rows from the program's own report, from the measurements, and from the checks, one cell for each mode.
reported() {
    local cells=() mode
    for mode in "${modes[@]}"; do cells+=("=$(json "$work/$mode${3:-}.json" "summary.$2")"); done
    row "$1" "${cells[@]}"
}
measured() { row "$1" "replace${4:-}/$2/$3" "in-place${4:-}/$2/$3"; }
# checked TITLE VALUE VALUE: both must be 0.
checked() {
    local cells=() count
    for count in "${@:2}"; do
        verdict "$count == 0" "$count"
        cells+=("$answer")
    done
    row "$1" "${cells[@]}"
}

header "NVIDIA wheels, $size bytes, $(wc -l <"$work/elf") ELF by their magic" "${program##*/} fix" "${program##*/} fix --in-place"
reported 'files' files
reported 'ELF objects' elf
reported 'fixed' fixed
reported 'already right' conforming
reported 'skipped' skipped
reported 'failed' failed
reported 'strategies' strategies
reported 'bytes grown, as reported' growth
row 'bytes grown, as found' "=${growth[replace]}" "=${growth[in-place]}"
reported 'bytes written, as reported' written
measured 'bytes written by system calls' syscall bytes
measured 'bytes of page cache dirtied' dirtied bytes
measured 'wall time' wall time
measured 'wall time, second run' wall time -again
measured 'CPU time' cpu time
measured 'peak anonymous memory' anonymous bytes
measured 'peak resident set, mapped file pages included' resident bytes
for mode in "${modes[@]}"; do
    missed[$mode]=$(($(wc -l <"$work/elf") - $(json "$work/$mode.json" summary.elf)))
    left[$mode]=$(json "$work/$mode-again.json" summary.fixed)
done
measured 'bytes of page cache dirtied by the second run (access times)' dirtied bytes -again
checked 'ELF objects missed' "${missed[replace]}" "${missed[in-place]}"
checked 'files fixed by the second run' "${left[replace]}" "${left[in-place]}"
checked 'bytes written by the second run' "$(value replace-again/syscall)" "$(value in-place-again/syscall)"
checked 'files touched by the second run (inode, size, times, mode)' "${touched[replace]}" "${touched[in-place]}"
checked 'fixed files without the wanted search path' "${unwanted[replace]}" "${unwanted[in-place]}"
checked "of $(wc -l <"$work/loadable") loadable libraries, no longer loadable" "${broken[replace]}" "${broken[in-place]}"
checked 'new complaints of readelf -aW' "${complained[replace]}" "${complained[in-place]}"
differing=$(cat "$work"/{replace,in-place}{,-traced}.sha256 | sort | uniq -c | awk '$1 != 4' | wc -l)
checked 'files whose SHA-256 is not the same in all four runs' "$differing" "$differing"
exit "$failed"
