# shellcheck shell=bash
elfHasDynamicSection() { patchelf --print-rpath "$1" >/dev/null 2>&1; }

autoFixElfFiles() {
    local action=$1 output file
    for output in $(getAllOutputNames); do
        find "${!output}" -type f -print0 | while IFS='' read -r -d '' file; do
            if elfHasDynamicSection "$file"; then "$action" "$file"; fi
        done
    done
}
