#!/usr/bin/env bash
# Measures: a whole tree. `cuda-runpath fix` in both write modes, a second time, and with --check, beside (1) the physical
#   limit, a parallel walk that reads 64 bytes of each file (walk.c); (2) `cp --reflink=auto`, the limit of a mode that writes
#   copies; (3) the flow of the setup hooks that it replaces, twice over the tree (driver, then compat): find -type f, read
#   four bytes, patchelf --print-rpath, once more, patchelf --set-rpath DIR:old.
#   The runs take turns, each that writes on a fresh copy whose making is not timed, "settled" (on the disk and cached) or
#   "just written" (still dirty, as in the fixup phase of a build).
# Needs: Linux, bash, python3, readelf, a C compiler (cc); patchelf in PATH for the flow, which is left out without it.
#   Room in TMPDIR for two copies of the tree.
# Run: benches/tree.sh [TREE]
#   without TREE a generated one: 20,000 files of which 2,000 are small ELF objects. Environment: see lib.sh; FLOW_RUNS (default 3)
#   for the slow flow. Exit code 1 when a limit is not kept.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

compat=/nix/store/00000000000000000000000000000000-cuda12.8-cuda_compat-12.8.39/compat
driver=/run/opengl-driver/lib
flow_runs=${FLOW_RUNS:-3}
need cc

tree=${1:-}
if [[ -z $tree ]]; then
    tree=$work/generated
    say 'generating a tree of 20,000 files'
    small_tree "$tree" 200
elif [[ ! -d $tree ]]; then
    die "$tree is not a directory"
fi

cc -O2 -pthread -o "$work/walk" "$here/walk.c"
find_patchelfs installed
fix=("$program" fix --compat "$compat" -j "$jobs")
target=$work/copy
export -f hook_flow is_elf

for ((run = 1; run <= runs; run++)); do
    say "run $run of $runs"
    copy "$tree" "$target"
    settle "$target"
    timed walk --stdout "$work/counts" -- "$work/walk" "$target" "$jobs"
    timed check-old --ok 1 -- "${fix[@]}" --check "$target"
    timed in-place --stdout "$work/summary" -- "${fix[@]}" --in-place "$target"
    timed walk -- "$work/walk" "$target" "$jobs"
    timed in-place-again -- "${fix[@]}" --in-place "$target"
    timed check-new -- "${fix[@]}" --check "$target"

    copy "$tree" "$target"
    timed in-place-dirty -- "${fix[@]}" --in-place "$target"

    copy "$tree" "$target"
    settle "$target"
    timed cp -- cp -a --reflink=auto "$target" "$work/second"
    rm -rf "$work/second"
    timed replace -- "${fix[@]}" "$target"
    timed replace-again -- "${fix[@]}" "$target"

    copy "$tree" "$target"
    timed replace-dirty -- "${fix[@]}" "$target"

    if ((run <= flow_runs && ${#patchelfs[@]})); then
        copy "$tree" "$target"
        settle "$target"
        # shellcheck disable=SC2016 # that shell expands it
        timed flow -- bash -c 'hook_flow "$@"' flow "$target" "$driver" "$compat"
    fi
done
say 'peak memory'
copy "$tree" "$target"
settle "$target"
traced check-old --ok 1 -- "${fix[@]}" --check "$target"
traced in-place -- "${fix[@]}" --in-place "$target"
traced in-place-again -- "${fix[@]}" --in-place "$target"
copy "$tree" "$target"
settle "$target"
traced replace -- "${fix[@]}" "$target"

# line TITLE LABEL [VERDICT]: what was measured under one label. The ratio of CPU times is for a busy machine, where the walls
# say more about what else ran.
line() {
    row "$1" "$2/wall/time" "$2/wall/ratio/walk" "$2/cpu/time" "$2/cpu/ratio/walk" "$2/syscall/bytes" "$2/dirtied/bytes" "$2/anonymous/bytes" "${3:-=}"
}
# limited TITLE LABEL: the same with the limit that the ratio must keep.
limited() {
    verdict "$(value "$2/wall") <= 3 * $(value walk/wall)" 'at most 3×'
    line "$1" "$2" "$answer"
}

say "$(tail -n 1 "$work/summary")"
name=${program##*/}
header "$(<"$work/counts"), $jobs threads, medians of $runs (flow: $flow_runs)" \
    'wall' 'to the walk' 'CPU' 'to the walk' 'bytes by system calls' 'page cache dirtied' 'peak anonymous' 'limit'
line 'walk: 64 bytes of each file' walk
limited "$name fix --check, nothing fixed yet" check-old
limited "$name fix --in-place" in-place
limited "$name fix --in-place, second run" in-place-again
limited "$name fix --check, all fixed" check-new
line "$name fix --in-place, tree just written" in-place-dirty
line 'cp -a --reflink=auto' cp
line "$name fix" replace
limited "$name fix, second run" replace-again
line "$name fix, tree just written" replace-dirty
if ((${#patchelfs[@]})); then line "two passes of a hook, ${patchelf_names[0]}" flow; fi
exit "$failed"
