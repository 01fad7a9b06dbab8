#!/usr/bin/env bash
# Measures: `cuda-runpath check` of a closure of 500 store paths and 20,000 ELF objects, each with a RUNPATH of ten store
#   paths and eight DT_NEEDED libraries, one in ten a program, one in five an object that asks for the driver.
#   Wall time, CPU, peak memory, files opened; beside it the walk that reads 64 bytes of each file (walk.c).
# Needs: Linux, bash, python3, readelf, cc, strace (for the files that are opened). About 500 MB in TMPDIR.
# Run: benches/closure.sh
#   Environment: see lib.sh. Exit code 1 when a limit is not kept: 5 seconds, 300 MiB, each file opened at most once.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cc strace

image=$work/image
store=$image/nix/store
# Store paths have hashes of 32 letters; the last digits tell them apart.
path_of() { printf '/nix/store/%032d-cuda12.8-package%d' "$1" "$1"; }

generate() {
    local index object directory needed=() rpath='' kinds=$work/kinds
    say 'generating a closure of 500 store paths'
    mkdir -p "$kinds" "$store"
    printf 'int answer(void) { return 42; }\n' >"$kinds/lib.c"
    printf 'const char *name = "libcuda.so.1"; void *dlopen(const char *, int); void *ask(void) { return dlopen(name, 1); }\n' \
        >"$kinds/consumer.c"
    printf 'int main(void) { return 0; }\n' >"$kinds/program.c"
    # Eight libraries, each in a store path of its own; every object needs them all.
    for ((index = 0; index < 8; index++)); do
        cc -shared -fPIC -Wl,-soname,"libbase$index.so" -o "$kinds/libbase$index.so" "$kinds/lib.c"
        needed+=("$kinds/libbase$index.so")
        rpath+=:$(path_of "$index")/lib
    done
    rpath="/run/opengl-driver/lib:\$ORIGIN$rpath"
    local flags=("-Wl,--no-as-needed" "${needed[@]}" "-Wl,--enable-new-dtags" "-Wl,-rpath,$rpath")
    cc -shared -fPIC -o "$kinds/library" "$kinds/lib.c" "${flags[@]}"
    cc -shared -fPIC -o "$kinds/consumer" "$kinds/consumer.c" "${flags[@]}"
    cc -o "$kinds/program" "$kinds/program.c" "${flags[@]}"
    for ((index = 0; index < 500; index++)); do
        directory=$image$(path_of "$index")/lib
        mkdir -p "$directory"
        path_of "$index" >>"$work/store-paths"
        echo >>"$work/store-paths"
        if ((index < 8)); then cp "$kinds/libbase$index.so" "$directory"; fi
        for ((object = 0; object < 40; object++)); do
            case $((object % 10)) in
            0) cp "$kinds/program" "$directory/program$object" ;;
            1 | 2) cp "$kinds/consumer" "$directory/libconsumer$object.so" ;;
            *) cp "$kinds/library" "$directory/liblibrary$object.so" ;;
            esac
        done
    done
}

generate
cc -O2 -pthread -o "$work/walk" "$here/walk.c"
check=("$program" check --closure-from "$work/store-paths" --root "$image" -j "$jobs" --skip CRP312)

for ((run = 1; run <= runs; run++)); do
    say "run $run of $runs"
    timed check --ok 0 --stdout "$work/report" -- "${check[@]}"
    timed walk -- "$work/walk" "$store" "$jobs"
done
traced check --stdout "$work/report" -- "${check[@]}"
say "$(cat "$work/report")"
# A file is opened in its directory, whose path -y tells.
strace -f -y -e trace=openat,open -o "$work/opens" "${check[@]}" >"$work/report"
most=$(grep -o '</[^>]*/lib>, "[^"/]*", O_RDONLY[^)]*' "$work/opens" | sort | uniq -c | sort -rn | awk 'NR == 1 { print $1 }')
[ -n "$most" ] || die "strace saw no library being opened"

line() { row "$1" "$2/wall/time" "$2/cpu/time" "${3:-=}" "${4:-=}"; }
header '500 store paths, 20,008 ELF objects' wall CPU 'peak resident' 'most opens of one file'
line 'walk: 64 bytes of each file' walk
line 'check --closure-from' check check/resident/bytes "=$most"
verdict "$(value check/wall) < 5" 'under 5 s'
within=$answer
verdict "$(value check/resident) < 300 * 1048576" 'under 300 MiB'
memory=$answer
verdict "$most <= 1" 'at most 1'
row limit "$within" = "$memory" "$answer"
exit "$failed"
