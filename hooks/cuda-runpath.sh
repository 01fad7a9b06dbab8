# shellcheck shell=bash
# Shared by the setup hooks: what was asked for, and the one run of cuda-runpath over all outputs.
# A hook sources this file, says its options and registers its action. No policy here: the program decides.

if [[ -z ${_cudaRunpathOnce-} ]]; then
    _cudaRunpathOnce=1
    _cudaRunpathProgram=@cudaRunpath@
    _cudaRunpathActions=() # compat, driver, stubs, order-only: what the run at the end does
    _cudaRunpathOptions=() # directories and machines, for every call
    _cudaRunpathPhase=     # registered, pending or finished
    # shellcheck disable=SC2043 # One word until the machines are substituted.
    for _cudaRunpathMachine in @cudaRunpathMachines@; do _cudaRunpathOptions+=(--machine "$_cudaRunpathMachine"); done
fi

# cudaRunpathLog LEVEL TEXT: stdenv's logging where it exists (not in older ones, nor in a plain nix-shell).
cudaRunpathLog() {
    local log=nix${1}Log
    if declare -F "$log" >/dev/null; then "$log" "$2"; else echo "$2" >&2; fi
}

# cudaRunpathOption NAME VALUE: an option of every call, once; an empty value means "not here".
cudaRunpathOption() {
    [[ -n $2 ]] || return 0
    case " ${_cudaRunpathOptions[*]-} " in *" $1 $2 "*) return 0 ;; esac
    _cudaRunpathOptions+=("$1" "$2")
}

# cudaRunpathDriver DIR: the driver directory, unless it is one that the program knows for each ELF class.
cudaRunpathDriver() {
    case $1 in
    /run/opengl-driver/lib | /run/opengl-driver-32/lib) ;;
    *) cudaRunpathOption --driver "$1" ;;
    esac
}

# cudaRunpathRegister ACTION: the run at the end does it too. That run is registered by a phase in front of all others,
# when every hook has been sourced, so that it comes after autoPatchelf wherever a package lists that.
cudaRunpathRegister() {
    case " ${_cudaRunpathActions[*]-} " in *" $1 "*) return 0 ;; esac
    _cudaRunpathActions+=("$1")
    [[ -z $_cudaRunpathPhase ]] || return 0
    _cudaRunpathPhase=registered
    # An array with __structuredAttrs; else a string, of which older stdenvs read only the first element as an array.
    if [[ $(declare -p prePhases 2>/dev/null) == "declare -a"* ]]; then
        prePhases+=(cudaRunpathRegisterPhase)
    else
        # shellcheck disable=SC2178 # It is no array here.
        prePhases="${prePhases-} cudaRunpathRegisterPhase"
    fi
}

cudaRunpathRegisterPhase() {
    _cudaRunpathPhase=pending
    postFixupHooks+=(cudaRunpathRun)
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

# cudaRunpathFix ACTIONS PATH...: one call of the program.
cudaRunpathFix() {
    local actions=$1
    shift
    "$_cudaRunpathProgram" fix --in-place --jobs "${NIX_BUILD_CORES:-0}" --actions "$actions" \
        "${_cudaRunpathOptions[@]}" -- "$@"
}

# cudaRunpathFixOne ACTION FUNCTION FILE: for the functions that take exactly one file.
cudaRunpathFixOne() {
    if [[ $# -ne 3 || -z $3 ]]; then
        cudaRunpathLog Error "$2: expected exactly one file"
        return 1
    fi
    cudaRunpathFix "$1" "$3"
}

# Fills cudaRunpathOutputs with the paths of all outputs, sorted (their names come in hash order).
cudaRunpathListOutputs() {
    local name names
    if declare -F getAllOutputNames >/dev/null; then names=$(getAllOutputNames); else names=${outputs:-out}; fi
    cudaRunpathOutputs=()
    for name in $(tr ' ' '\n' <<<"$names" | LC_ALL=C sort); do cudaRunpathOutputs+=("${!name}"); done
}

# Everything that was registered and is enabled, on all outputs.
cudaRunpathRun() {
    local action actions="" cudaRunpathOutputs
    _cudaRunpathPhase=finished
    cudaRunpathListOutputs
    for action in "${_cudaRunpathActions[@]}"; do
        if [[ $action != order-only ]] && cudaRunpathEnabled "$action"; then actions+=${actions:+,}$action; fi
    done
    if [[ -n $actions ]]; then cudaRunpathFix "$actions" "${cudaRunpathOutputs[@]}" || return; fi
    case " ${_cudaRunpathActions[*]} " in
    *" order-only "*) ! cudaRunpathEnabled order-only || cudaRunpathFix order-only "${cudaRunpathOutputs[@]}" || return ;;
    esac
    if [[ -n ${cudaRunpathCheck-} && -n $actions ]]; then
        cudaRunpathLog Notice "checking what cuda-runpath fixed"
        "$_cudaRunpathProgram" fix --check --actions "$actions" "${_cudaRunpathOptions[@]}" -- "${cudaRunpathOutputs[@]}"
    fi
}
