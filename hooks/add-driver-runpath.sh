# shellcheck shell=bash
# addDriverRunpath [--force-rpath] [--] FILE...: puts the driver directory in front of each object's search path.
# shellcheck source=hooks/shared/register.sh
source @cudaRunpathShared@

cudaRunpathDriver "@driverLink@/lib"

addDriverRunpath() {
    local tag=runpath file files=()
    while [[ $# -gt 0 ]]; do
        case $1 in
        --force-rpath) tag=rpath ;;
        --)
            shift
            break
            ;;
        --*)
            cudaRunpathLog Error "addDriverRunpath: unknown argument: $1"
            return 1
            ;;
        *) break ;;
        esac
        shift
    done
    for file in "$@"; do
        # A glob may name directories and dangling links beside objects.
        if [[ -f $file ]] || [[ ! -e $file && ! -L $file ]]; then files+=("$file"); fi
    done
    [[ ${#files[@]} -gt 0 ]] || return 0
    cudaRunpathFix driver --tag "$tag" "${files[@]}"
}
