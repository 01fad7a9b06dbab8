#!/usr/bin/env bash
# Measures: `cuda-runpath check --symbols` beside `check` without it, over a closure of 500 store paths and 20,000 ELF
#   objects: each has a RUNPATH of ten store paths and eight DT_NEEDED libraries with 300 functions each, and asks for 160
#   of those by a version; one in ten is a program. Wall time, CPU, peak memory. With BEFORE=PROGRAM also an earlier build:
#   what versions cost where symbols are not asked for.
# Needs: Linux, bash, python3, readelf, cc. About 700 MB in TMPDIR.
# Run: benches/symbols.sh
#   Environment: see lib.sh; BEFORE. Exit code 1 when a limit is not kept: 1.6 times the time of check, 300 MiB, and 1.05
#   times the time of the earlier build.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cc

image=$work/image
store=$image/nix/store
path_of() { printf '/nix/store/%032d-package%d' "$1" "$1"; }

generate() {
    local index number object directory needed=() rpath='' kinds=$work/kinds
    say 'generating a closure of 500 store paths'
    mkdir -p "$kinds" "$store"
    : >"$kinds/user.c"
    for ((index = 0; index < 8; index++)); do
        : >"$kinds/lib$index.c"
        for ((number = 0; number < 300; number++)); do
            echo "int package_function_${index}_$number(void) { return $number; }" >>"$kinds/lib$index.c"
        done
        echo "BASE_$index.1 { global: *; };" >"$kinds/lib$index.map"
        cc -shared -fPIC -nostdlib -Wl,-soname,"libbase$index.so,--version-script=$kinds/lib$index.map" \
            -o "$kinds/libbase$index.so" "$kinds/lib$index.c"
        needed+=("$kinds/libbase$index.so")
        rpath+=:$(path_of "$index")/lib
        for ((number = 0; number < 300; number += 15)); do
            echo "int package_function_${index}_$number(void);" >>"$kinds/user.c"
        done
    done
    echo 'int use(void) { return 0' >>"$kinds/user.c"
    for ((index = 0; index < 8; index++)); do
        for ((number = 0; number < 300; number += 15)); do
            echo "+ package_function_${index}_$number()" >>"$kinds/user.c"
        done
    done
    echo '; }' >>"$kinds/user.c"
    printf 'int use(void); int main(void) { return use(); } void _start(void) { main(); }\n' >"$kinds/program.c"
    rpath="/run/opengl-driver/lib:\$ORIGIN$rpath"
    local flags=(-nostdlib "-Wl,--no-as-needed" "${needed[@]}" "-Wl,--enable-new-dtags" "-Wl,-rpath,$rpath")
    cc -shared -fPIC -o "$kinds/library" "$kinds/user.c" "${flags[@]}"
    cc -fPIE -pie -o "$kinds/program" "$kinds/program.c" "$kinds/user.c" "${flags[@]}"
    for ((index = 0; index < 500; index++)); do
        directory=$image$(path_of "$index")/lib
        mkdir -p "$directory"
        path_of "$index" >>"$work/store-paths"
        echo >>"$work/store-paths"
        if ((index < 8)); then cp "$kinds/libbase$index.so" "$directory"; fi
        for ((object = 0; object < 40; object++)); do
            case $((object % 10)) in
            0) cp "$kinds/program" "$directory/program$object" ;;
            *) cp "$kinds/library" "$directory/liblibrary$object.so" ;;
            esac
        done
    done
}

generate
arguments=(check --closure-from "$work/store-paths" --root "$image" -j "$jobs")

for ((run = 1; run <= runs; run++)); do
    say "run $run of $runs"
    timed check --ok 0 --stdout "$work/report" -- "$program" "${arguments[@]}"
    timed symbols --ok 0 --stdout "$work/report-symbols" -- "$program" "${arguments[@]}" --symbols
    if [[ -n ${BEFORE:-} ]]; then timed before --ok 0 --stdout "$work/report-before" -- "$BEFORE" "${arguments[@]}"; fi
done
traced check --stdout "$work/report" -- "$program" "${arguments[@]}"
traced symbols --stdout "$work/report-symbols" -- "$program" "${arguments[@]}" --symbols
say "$(cat "$work/report-symbols")"

line() { row "$1" "$2/wall/time" "$2/cpu/time" "${3:-=}"; }
header '500 store paths, 20,008 ELF objects' wall CPU 'peak resident'
if [[ -n ${BEFORE:-} ]]; then line 'check of the earlier build' before; fi
line check check check/resident/bytes
line 'check --symbols' symbols symbols/resident/bytes
verdict "$(value symbols/cpu) <= 1.6 * $(value check/cpu)" 'at most 1.6 times the CPU time'
within=$answer
verdict "$(value symbols/resident) < 300 * 1048576" 'under 300 MiB'
row limit = "$within" "$answer"
if [[ -n ${BEFORE:-} ]]; then
    verdict "$(value check/cpu) <= 1.05 * $(value before/cpu)" 'versions: at most 1.05 times'
    row 'limit of versions' = "$answer" =
fi
exit "$failed"
