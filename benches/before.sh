#!/usr/bin/env bash
# Measures: `cuda-runpath fix` beside an older build of it, in turn: a first look (--check), edits in place, a second run.
#   One tree of small files, ELF one in ten, and one of ELF objects alone.
# Needs: Linux, bash, python3, readelf, cc; an older build. Room in TMPDIR for two trees (20,000 files: 400 MB).
# Run: benches/before.sh OLD
#   Environment: see lib.sh; FILES (default 20000).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cc
old=$(realpath "${1:?usage: before.sh OLD}")
files=${FILES:-20000}
options=(fix -q -j "$jobs" --compat /nix/store/00000000000000000000000000000000-cuda12.8-cuda_compat-12.8.39/compat)
target=$work/copy

say "generating $files files, and as many objects"
small_tree "$work/mixed" $((files / 100))
mkdir "$work/objects"
mapfile -t objects < <(find "$work/mixed" -type f -name 'object*' | sort)
for ((index = 0; index < files; index++)); do
    ((index % 100)) || mkdir "$work/objects/$((index / 100))"
    cp "${objects[index % ${#objects[@]}]}" "$work/objects/$((index / 100))/$index.so"
done

# measure TREE NAME PROGRAM
measure() {
    local key=$1-$2
    copy "$work/$1" "$target"
    settle "$target"
    timed "check-$key" --ok 0,1 -- "$3" "${options[@]}" --check "$target"
    timed "fix-$key" -- "$3" "${options[@]}" --in-place "$target"
    timed "again-$key" -- "$3" "${options[@]}" --in-place "$target"
}
for ((run = 1; run <= runs; run++)); do
    say "run $run of $runs"
    for tree in mixed objects; do
        if ((run % 2)); then
            measure "$tree" old "$old"
            measure "$tree" new "$program"
        else
            measure "$tree" new "$program"
            measure "$tree" old "$old"
        fi
    done
done
header "$files files, medians of $runs, -j $jobs" 'before' 'now' 'ratio' 'CPU before' 'CPU now' 'ratio'
for tree in mixed objects; do
    for what in check fix again; do
        row "$tree, $what" "$what-$tree-old/wall/time" "$what-$tree-new/wall/time" \
            "$what-$tree-new/wall/ratio/$what-$tree-old" "$what-$tree-old/cpu/time" "$what-$tree-new/cpu/time" \
            "$what-$tree-new/cpu/ratio/$what-$tree-old"
    done
done
exit "$failed"
