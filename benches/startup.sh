#!/usr/bin/env bash
# Measures: what `fix` costs programs that start: the files that the loader tries to open and does not find, before and after
#   `fix` of all files, and of those only that ask for the driver (--only-consumers). Each program is copied together with
#   all its libraries into a tree of its own, with $ORIGIN/../lib as DT_RUNPATH of every file, as an installed package has it.
# Needs: Linux, bash, python3, readelf, strace, ldd. No GPU.
# Run: benches/startup.sh [PROGRAM...]
#   default: those of bash, python3, git, gdb, qemu-img and curl that are installed. Environment: CUDA_RUNPATH (see lib.sh).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need strace ldd
programs=("$@")
((${#programs[@]})) || mapfile -t programs < <(ls /usr/bin/{bash,python3,git,gdb,qemu-img,curl} 2>/dev/null || true)
# The loop has a `program` of its own.
tool=$program
# Directories that are there, as on the target: the loader remembers one that is not.
driver=$work/driver compat=$work/compat
mkdir "$driver" "$compat"

# failed TREE: failed opens of libraries at start of the program in a tree, and all of them.
failed() {
    local program=("$1"/bin/*)
    strace -f -e trace=open,openat -o "$work/trace" env -u LD_LIBRARY_PATH "${program[0]}" --version >/dev/null 2>&1 || true
    printf '%d' "$(grep -c '\.so[^"]*".* = -1 ENOENT' "$work/trace")"
}

header 'failed opens of libraries at start (--version)' 'libraries' 'before' 'fix' 'fix --compat' 'fix --only-consumers'
for program in "${programs[@]}"; do
    program=$(realpath "$program")
    ldd "$program" >/dev/null 2>&1 || continue
    name=$(basename "$program")
    mkdir -p "$work/$name/bin" "$work/$name/lib"
    cp "$program" "$work/$name/bin/"
    ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | xargs -r cp -Lt "$work/$name/lib"
    # Their own directory in front, as a package's build leaves it: the same tool puts it there.
    # shellcheck disable=SC2016 # the loader expands it
    "$tool" fix -q --in-place --driver '$ORIGIN/../lib' "$work/$name"
    cells=("=$(find "$work/$name/lib" -type f | wc -l)" "=$(failed "$work/$name")")
    for way in '' "--compat $compat" --only-consumers; do
        copy "$work/$name" "$work/edited"
        # shellcheck disable=SC2086 # options
        "$tool" fix -q --in-place --driver "$driver" $way "$work/edited"
        cells+=("=$(failed "$work/edited")")
    done
    row "$name" "${cells[@]}"
done
