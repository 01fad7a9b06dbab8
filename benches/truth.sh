#!/usr/bin/env bash
# Measures: `check` and `archs` of a tree with one thread, beside an older build of it, in turn; and the peak of anonymous
#   memory, also of a library of 2 GB. The older build is to take five times as long for `check`, and `archs` no more than
#   one and a half times as long as with it.
# Needs: Linux, bash, python3, readelf, cc, objcopy; an older build; a tree such as PyTorch's with all of CUDA's wheels
#   (pip install --target TREE torch). Room in TMPDIR for 2 GB.
# Run: benches/truth.sh OLD TREE
#   Environment: see lib.sh.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cc objcopy
old=$(realpath "${1:?usage: truth.sh OLD TREE}")
tree=${2:?usage: truth.sh OLD TREE}

# measure COMMAND NAME PROGRAM
measure() { timed "$1-$2" --ok 0,1 --stdout /dev/null -- "$3" "$1" -j 1 "$tree"; }
for what in check archs; do
    "$old" "$what" -j 1 "$tree" >/dev/null 2>&1 || true
    "$program" "$what" -j 1 "$tree" >/dev/null 2>&1 || true
    for ((run = 1; run <= runs; run++)); do
        say "$what, run $run of $runs"
        measure "$what" old "$old"
        measure "$what" new "$program"
    done
done
say "memory"
traced memory --ok 0,1 --stdout /dev/null -- "$program" check -j 1 "$tree"
traced memory-archs --ok 0,1 --stdout /dev/null -- "$program" archs -j 1 "$tree"
mkdir "$work/large"
printf '#include <dlfcn.h>\nvoid *open_it(void) { return dlopen("libcuda.so.1", RTLD_NOW); }\n' >"$work/large.c"
cc -O1 -shared -fPIC -o "$work/large.o.so" "$work/large.c"
# Data that is no hole, and no name.
python3 - "$work/bytes" <<'P'
import sys

with open(sys.argv[1], "wb") as file:
    block = bytes((index * 7 + (index >> 8)) & 255 for index in range(1 << 20))
    for _ in range(2048):
        file.write(block)
P
objcopy --add-section .large="$work/bytes" --set-section-flags .large=alloc,readonly,data "$work/large.o.so" "$work/large/liblarge.so" 2>/dev/null
rm "$work/bytes"
traced memory-large --ok 0,1 --stdout /dev/null -- "$program" check -j 1 "$work/large"

header "$(basename "$tree"), medians of $runs, one thread" 'before' 'now' 'ratio'
for what in check archs; do
    row "$what" "$what-old/wall/time" "$what-new/wall/time" "$what-new/wall/ratio/$what-old"
done
printf '\n'
header 'peak anonymous memory' 'check' 'archs' 'check of a library of 2 GB'
row 'anonymous' memory/anonymous/bytes memory-archs/anonymous/bytes memory-large/anonymous/bytes
exit "$failed"
