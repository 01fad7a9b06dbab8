# Replaces every object's search path by the folders in which its libraries are found, as nixpkgs' autoPatchelf does:
# the outputs' own lib folders first, then the old path; appendRunpaths last.
# shellcheck shell=bash

autoPatchelfFile() {
    local file=$1 needed entry output old
    local -a found=()
    local -A already=()
    old=$(patchelf --print-rpath "$file")
    for needed in $(patchelf --print-needed "$file"); do
        local -a places=()
        for output in $(getAllOutputNames | tr ' ' '\n' | LC_ALL=C sort); do places+=("${!output}/lib"); done
        local -a entries=()
        IFS=: read -r -a entries <<<"$old"
        for entry in "${places[@]}" "${entries[@]}"; do
            if [[ ! -e "$entry/$needed" ]]; then continue; fi
            if [[ -z "${already[$entry]:-}" ]]; then
                already[$entry]=1
                found+=("$entry")
            fi
            break
        done
    done
    # shellcheck disable=SC2206 # A string of words, or an array.
    found+=(${appendRunpaths[*]:-})
    local IFS=:
    patchelf --set-rpath "${found[*]}" "$file"
}

autoPatchelfPostFixup() {
    if [[ -n "${dontAutoPatchelf:-}" ]]; then return 0; fi
    local output file
    for output in $(getAllOutputNames); do
        while IFS='' read -r -d '' file; do
            if isELF "$file" && patchelf --print-rpath "$file" >/dev/null 2>&1; then autoPatchelfFile "$file"; fi
        done < <(find "${!output}" -type f -print0)
    done
}

postFixupHooks+=(autoPatchelfPostFixup)
