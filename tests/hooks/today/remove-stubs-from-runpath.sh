# shellcheck shell=bash
removeStubsFromRunpath() {
    local -a new=()
    local entry driver='' old
    old=$(patchelf --print-rpath "$1")
    while IFS='' read -r -d : entry; do
        case "$entry" in
        @driverLinkLib@)
            if [ -n "$driver" ]; then continue; fi
            driver=1
            ;;
        *-cuda*/stubs)
            if [ -n "$driver" ]; then continue; fi
            driver=1
            entry=@driverLinkLib@
            ;;
        esac
        new+=("$entry")
    done <<<"$old:"
    patchelf --set-rpath "$(
        IFS=:
        echo "${new[*]}"
    )" "$1"
}

removeStubsFromRunpathLast() { postFixupHooks+=("autoFixElfFiles removeStubsFromRunpath"); }

if [ -z "${removeStubsFromRunpathOnce-}" ]; then
    declare -g removeStubsFromRunpathOnce=1
    prePhases+=(removeStubsFromRunpathLast)
fi
