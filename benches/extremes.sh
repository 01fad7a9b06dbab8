#!/usr/bin/env bash
# Measures: time and peak memory of `fix --check`, `fix --in-place` and `check` on trees at the edge: FILES files that are no
#   objects (a million), NAMES names in one directory (300,000), LEVELS directories in one another (5,000) with an object in
#   the last, OBJECTS small objects (200,000). Beside each a parallel walk that reads 64 bytes of each file (walk.c).
# Needs: Linux, bash, python3, readelf, cc. Room in TMPDIR for the largest of them (200,000 objects: 3.5 GB; only one is there
#   at a time).
# Run: benches/extremes.sh
#   Environment: see lib.sh (one run of each); FILES, NAMES, LEVELS, OBJECTS.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cc
cc -O2 -pthread -o "$work/walk" "$here/walk.c"
compat=/nix/store/00000000000000000000000000000000-cuda12.8-cuda_compat-12.8.39/compat
tree=$work/tree
printf 'int answer(void) { return 42; }\n' >"$work/a.c"
cc -shared -fPIC -Wl,--enable-new-dtags,-rpath,/old/lib -o "$work/a.so" "$work/a.c"

# make KIND COUNT: the tree.
make_tree() {
    python3 - "$tree" "$work/a.so" "$1" "$2" <<'EOF'
import os, sys
tree, object_, kind, count = sys.argv[1], open(sys.argv[2], "rb").read(), sys.argv[3], int(sys.argv[4])
os.mkdir(tree)

def put(directory, name, contents):
    target = os.open(name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory)
    os.write(target, contents)
    os.close(target)

at = os.open(tree, os.O_RDONLY)
if kind == "levels":
    for _ in range(count):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    put(at, "a.so", object_)
else:
    contents = object_ if kind == "objects" else b"a text\n"
    for index in range(count):
        if kind != "names" and index % 1000 == 0:
            name = str(index // 1000)
            os.mkdir(name, dir_fd=at)
            inner = os.open(name, os.O_RDONLY, dir_fd=at)
        put(at if kind == "names" else inner, f"{index}.so", contents)
EOF
}

# measure TITLE KIND COUNT
measure() {
    say "$1: $3"
    rm -rf "$tree"
    make_tree "$2" "$3"
    timed "walk-$2" --ok 0,1,2 -- "$work/walk" "$tree" "$jobs"
    timed "look-$2" --ok 0,1 -- "$program" fix -q -j "$jobs" --compat "$compat" --check "$tree"
    timed "fix-$2" -- "$program" fix -q -j "$jobs" --compat "$compat" --in-place "$tree"
    timed "again-$2" -- "$program" fix -q -j "$jobs" --compat "$compat" --in-place "$tree"
    timed "check-$2" --ok 0,1 -- "$program" check -q -j "$jobs" "$tree"
    row "$1: $3" "walk-$2/wall/time" "look-$2/wall/time" "fix-$2/wall/time" "again-$2/wall/time" "check-$2/wall/time" \
        "=$(peak fix --compat "$compat" --check)" "=$(peak check)"
}

# peak ARGUMENT...: the resident memory of a run on the tree (ru_maxrss; what this interpreter had before it is no more than
# 12 MiB).
peak() {
    python3 - "$program" "$@" -q -j "$jobs" "$tree" <<'EOF'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB")
EOF
}

header "-j $jobs" 'bare walk' 'fix --check' 'fix --in-place' 'again' 'check' 'peak of fix' 'peak of check'
measure 'files that are no objects' files "${FILES:-1000000}"
measure 'names in one directory' names "${NAMES:-300000}"
measure 'levels' levels "${LEVELS:-5000}"
measure 'objects' objects "${OBJECTS:-200000}"
exit "$failed"
