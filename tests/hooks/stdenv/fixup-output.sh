# Part of every build, as a default native input: what fixupOutput does to an output.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # The setup script reads outputDev and sets prefix.

# Where fixupPhase writes what a package propagates.
outputDev=out

# Drops entries that hold nothing the object needs. /run/opengl-driver/lib does not exist in a build and is dropped too.
shrinkRunpaths() {
    if [[ -n "${dontPatchELF:-}" || ! -e "$prefix" ]]; then return 0; fi
    local file
    while IFS='' read -r -d '' file; do
        if isELF "$file"; then patchelf --shrink-rpath "$file" 2>/dev/null || true; fi
    done < <(find "$prefix" -type f -print0)
}

stripOutput() {
    local -a folders=()
    local folder
    if [[ -n "${dontStrip:-}" ]]; then return 0; fi
    for folder in lib lib32 lib64 libexec bin sbin; do
        if [[ -d "$prefix/$folder" ]]; then folders+=("$prefix/$folder"); fi
    done
    if ((${#folders[@]} == 0)); then return 0; fi
    find "${folders[@]}" -path "$prefix/lib/debug" -prune -o -type f -print0 |
        xargs -0 -r -n 1 -- strip -S -p 2>/dev/null || true
}

fixupOutputHooks+=(shrinkRunpaths stripOutput)
