#!/usr/bin/env bash
# Measures: how the time of `cuda-runpath fix --in-place` and `fix --check` grows with threads and with files. Beside them the
#   physical limit, a parallel walk that reads 64 bytes of each file, and the same walk with as many positional writes to
#   each ELF object as an edit makes (walk.c). One tree of small files for each size, ELF one in ten.
# Needs: Linux, bash, python3, readelf, cc. Room in TMPDIR for two trees of the largest size (1,000,000 files: 10 GB).
# Run: benches/scaling.sh
#   Environment: see lib.sh; SIZES (default "1000 10000 100000", files) and THREADS (default 1, 2, 4, 8, 16 as far as there are
#   CPUs), measured with the largest size of up to 100,000.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cc
cpus=$(nproc)
read -ra sizes <<<"${SIZES:-1000 10000 100000}"
threads=()
for count in ${THREADS:-1 2 4 8 16}; do ((count > cpus)) || threads+=("$count"); done
cc -O2 -pthread -o "$work/walk" "$here/walk.c"
compat=/nix/store/00000000000000000000000000000000-cuda12.8-cuda_compat-12.8.39/compat
fix=("$program" fix -q --compat "$compat")
target=$work/copy

small_tree "$work/sample" 1
fixed=$("$program" fix --dry-run -vv --compat "$compat" "$work/sample" | grep -c '^would fix')
made=$("$program" fix --dry-run -vv --compat "$compat" "$work/sample" | grep -c '^    [a-z]* *0x')
writes=$(((made + fixed - 1) / fixed))
say "$made writes to $fixed objects: the walk makes $writes to each"

# measure SIZE THREADS: labels are KIND-SIZE-THREADS.
measure() {
    local key=$1-$2
    copy "$work/tree$1" "$target"
    settle "$target"
    timed "walk-$key" -- "$work/walk" "$target" "$2"
    timed "limit-$key" -- "$work/walk" "$target" "$2" "$writes"
    settle "$target"
    timed "check-$key" --ok 1 -- "${fix[@]}" -j "$2" --check "$target"
    timed "fix-$key" -- "${fix[@]}" -j "$2" --in-place "$target"
    timed "again-$key" -- "${fix[@]}" -j "$2" --in-place "$target"
}

middle=${sizes[0]}
for size in "${sizes[@]}"; do
    say "generating $size files"
    small_tree "$work/tree$size" $((size / 100))
    ((size > 100000)) || middle=$size
done
for ((run = 1; run <= runs; run++)); do
    say "run $run of $runs"
    for count in "${threads[@]}"; do measure "$middle" "$count"; done
    for size in "${sizes[@]}"; do [[ $size == "$middle" && " ${threads[*]} " == *" $jobs "* ]] || measure "$size" "$jobs"; done
done

# line TITLE SIZE THREADS
line() {
    local key=$2-$3 each
    each=$(awk "BEGIN { printf \"%.2f µs\", $(value "fix-$key/wall") / $2 * 1e6 }")
    row "$1" "walk-$key/wall/time" "limit-$key/wall/time" "check-$key/wall/time" "fix-$key/wall/time" \
        "fix-$key/wall/ratio/limit-$key" "fix-$key/cpu/time" "again-$key/wall/time" "=$each"
}
header "medians of $runs, $cpus CPUs" 'walk' "walk and $writes writes" 'fix --check' 'fix --in-place' 'to walk and writes' \
    'CPU' 'second run' 'each file'
for count in "${threads[@]}"; do line "$middle files, -j $count" "$middle" "$count"; done
for size in "${sizes[@]}"; do line "$size files, -j $jobs" "$size" "$jobs"; done
exit "$failed"
