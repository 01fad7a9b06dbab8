#!/usr/bin/env bash
# Measures: what the setup hooks cost a build. The flow of the two hooks that are replaced (driver, then compat: find -type f,
#   read four bytes, patchelf --print-rpath, once more, patchelf --set-rpath DIR:old) beside the one call that replaces them,
#   on 1,000 small ELF objects among 4,000 texts, and on one library of 1 GB. Interleaved, each run on a fresh copy whose
#   making is not timed, "just written", as in the fixup phase of a build.
# Needs: Linux, bash, python3, readelf, gcc, patchelf. Room in TMPDIR for four copies of the library.
# Run: benches/hooks.sh
#   Environment: see lib.sh. Exit code 1 unless the call is at least 50 times faster on both.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

compat=/nix/store/00000000000000000000000000000000-cuda12.8-cuda_compat-12.8.39/compat
driver=/run/opengl-driver/lib
need gcc patchelf
export -f hook_flow is_elf

say 'generating 1,000 ELF objects, 4,000 texts, and a library of 1 GB'
mkdir -p "$work/small" "$work/large"
printf 'int answer(void) { return 42; }\n' >"$work/a.c"
gcc -shared -fPIC -Wl,--enable-new-dtags,-rpath,/old/lib -o "$work/a.so" "$work/a.c"
for ((index = 0; index < 1000; index++)); do
    mkdir -p "$work/small/$((index / 100))"
    cp "$work/a.so" "$work/small/$((index / 100))/object$index"
    for text in 1 2 3 4; do printf 'text %s\n' "$index$text" >"$work/small/$((index / 100))/text$index-$text"; done
done
# Bytes that are no hole, as device code is.
head -c 1000000000 /dev/urandom >"$work/code"
gcc -shared -nostdlib -x assembler -Wl,-rpath,/old/lib -o "$work/large/libkernels.so" - <<ASM
.text
.globl answer
.type answer,%function
answer: ret
.section .nv_fatbin,"a",%progbits
.incbin "$work/code"
.section .note.GNU-stack,"",%progbits
ASM
rm "$work/code"

for tree in small large; do
    for ((run = 1; run <= runs; run++)); do
        say "$tree: run $run of $runs"
        copy "$work/$tree" "$work/copy"
        timed "$tree" -- "$program" fix --in-place --compat "$compat" -j "$jobs" "$work/copy"
        copy "$work/$tree" "$work/copy"
        # shellcheck disable=SC2016 # that shell expands it
        timed "$tree-flow" -- bash -c 'hook_flow "$@"' flow "$work/copy" "$driver" "$compat"
    done
done

header "medians of $runs, just written" 'one call' 'two hooks with patchelf' 'ratio' 'limit'
for tree in small large; do
    title='1,000 ELF, 4,000 texts'
    [[ $tree == small ]] || title='one library of 1 GB'
    verdict "$(value "$tree-flow/wall") >= 50 * $(value "$tree/wall")" 'at least 50×'
    row "$title: wall" "$tree/wall/time" "$tree-flow/wall/time" "$tree-flow/wall/ratio/$tree" "$answer"
    row "$title: CPU" "$tree/cpu/time" "$tree-flow/cpu/time" "$tree-flow/cpu/ratio/$tree" =
    row "$title: bytes by system calls" "$tree/syscall/bytes" "$tree-flow/syscall/bytes" "$tree-flow/syscall/ratio/$tree" =
done
exit "$failed"
