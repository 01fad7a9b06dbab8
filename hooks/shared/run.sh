# shellcheck shell=bash
# Shared by the setup hooks, behind register.sh: the calls of cuda-runpath.
# shellcheck disable=SC2154 # register.sh, in front of this one, sets the variables.

# cudaRunpathLog LEVEL TEXT: stdenv's logging where it exists (not in older ones, nor in a plain nix-shell).
cudaRunpathLog() {
    local log=nix${1}Log
    if declare -F "$log" >/dev/null; then "$log" "$2"; else echo "$2" >&2; fi
}

# cudaRunpathEnabled ACTION: unless the package's toggle says otherwise.
cudaRunpathEnabled() {
    case $1 in
    driver) [[ -z ${dontUseAutoAddDriverRunpath-}${dontUseAutoAddOpenGLRunpath-} ]] ;;
    compat) [[ -z ${dontUseAutoAddCudaCompatRunpath-} ]] ;;
    stubs) [[ -z ${dontRemoveStubsFromRunpath-} ]] ;;
    order-only) [[ -z ${dontCudaRunpathFixHookOrder-} ]] ;;
    esac
}

# cudaRunpathFix ACTIONS [--tag TAG] PATH...: one call of the program.
cudaRunpathFix() {
    local actions=$1 tag=runpath strict=()
    shift
    if [[ ${1-} == --tag ]]; then
        tag=$2
        shift 2
    fi
    [[ -z ${cudaRunpathStrict-} ]] || strict=(--strict)
    # Builders may have a terminal; a build log has none.
    "$_cudaRunpathProgram" fix --in-place --progress never --color never --jobs "${NIX_BUILD_CORES:-0}" \
        --actions "$actions" --tag "$tag" "${strict[@]}" "${_cudaRunpathOptions[@]}" -- "$@"
}

# cudaRunpathFixOne ACTION FUNCTION FILE: for the functions that take exactly one file.
cudaRunpathFixOne() {
    if [[ $# -ne 3 || -z $3 ]]; then
        cudaRunpathLog Error "$2: expected exactly one file"
        return 1
    fi
    cudaRunpathFix "$1" "$3"
}

# GPU code for none of cudaRunpathSlimArchs leaves the outputs; a string without __structuredAttrs, a list with it.
cudaRunpathSlim() {
    local flags=() options=() index status=0
    for ((index = 0; index < ${#_cudaRunpathOptions[@]}; index += 2)); do
        case ${_cudaRunpathOptions[index]} in
        --build-output) options+=("${_cudaRunpathOptions[@]:index:2}") ;;
        esac
    done
    read -r -a flags <<<"${cudaRunpathSlimFlags[*]-}"
    "$_cudaRunpathProgram" slim --in-place --progress never --color never --jobs "${NIX_BUILD_CORES:-0}" \
        --arch "${cudaRunpathSlimArchs[*]}" "${options[@]}" "${flags[@]}" -- "$@" || status=$?
    # 1: a file without code for one of them, which is named and was left as it is.
    ((status <= 1)) || return "$status"
}

# Everything that was registered and is enabled, on all outputs.
cudaRunpathRun() {
    local action actions=""
    _cudaRunpathPhase=finished
    if [[ -n ${cudaRunpathSlimArchs[*]-} ]]; then cudaRunpathSlim "${_cudaRunpathOutputs[@]}" || return; fi
    for action in "${_cudaRunpathActions[@]}"; do
        if [[ $action != order-only ]] && cudaRunpathEnabled "$action"; then actions+=${actions:+,}$action; fi
    done
    if [[ -n $actions ]]; then cudaRunpathFix "$actions" "${_cudaRunpathOutputs[@]}" || return; fi
    case " ${_cudaRunpathActions[*]} " in
    *" order-only "*) ! cudaRunpathEnabled order-only || cudaRunpathFix order-only "${_cudaRunpathOutputs[@]}" || return ;;
    esac
    if [[ -n ${cudaRunpathCheck-} && -n $actions ]]; then
        cudaRunpathLog Notice "checking what cuda-runpath fixed"
        "$_cudaRunpathProgram" fix --check --progress never --color never --actions "$actions" \
            "${_cudaRunpathOptions[@]}" -- "${_cudaRunpathOutputs[@]}" || return
        cudaRunpathCheckOutputs
    fi
}

# What each object of the outputs would load; cudaRunpathCheckFlags are further arguments, such as --skip CODE.
cudaRunpathCheckOutputs() {
    local directories=() flags=() index
    # Every option is a pair; `check` has no use for machines and outputs.
    for ((index = 0; index < ${#_cudaRunpathOptions[@]}; index += 2)); do
        case ${_cudaRunpathOptions[index]} in
        --compat | --driver | --stub) directories+=("${_cudaRunpathOptions[@]:index:2}") ;;
        esac
    done
    # A string without __structuredAttrs, a list with it.
    read -r -a flags <<<"${cudaRunpathCheckFlags[*]-}"
    "$_cudaRunpathProgram" check --progress never --color never --jobs "${NIX_BUILD_CORES:-0}" \
        "${directories[@]}" "${flags[@]}" -- "${_cudaRunpathOutputs[@]}"
}
