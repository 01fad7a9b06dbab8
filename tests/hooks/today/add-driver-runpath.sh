# shellcheck shell=bash
addDriverRunpath() {
    local force=()
    while (($# > 0)); do
        case "$1" in
        --force-rpath) force=(--force-rpath) ;;
        --)
            shift
            break
            ;;
        --*)
            echo "addDriverRunpath: unknown option $1" >&2
            return 1
            ;;
        *) break ;;
        esac
        shift
    done
    local file old
    for file in "$@"; do
        if ! isELF "$file"; then continue; fi
        old=$(patchelf --print-rpath "$file")
        patchelf --set-rpath "@driverLinkLib@:$old" "${force[@]}" "$file"
    done
}
