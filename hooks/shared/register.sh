# shellcheck shell=bash
# Shared by the setup hooks, in front of run.sh: what was asked for, and when the one run over all outputs happens.
# A hook sources this file, says its options and registers its action. No policy here: the program decides.

if [[ -z ${_cudaRunpathOnce-} ]]; then
    _cudaRunpathOnce=1
    _cudaRunpathProgram=@cudaRunpath@
    _cudaRunpathActions=() # compat, driver, stubs, order-only: what the run at the end does
    _cudaRunpathOptions=() # directories and machines, for every call
    _cudaRunpathPhase=     # registered, pending or finished
    # Now, because a package may use a variable such as $lib for something else later; sorted, names come in hash order.
    _cudaRunpathOutputs=()
    _cudaRunpathNames=${outputs:-out}
    if declare -F getAllOutputNames >/dev/null; then _cudaRunpathNames=$(getAllOutputNames); fi
    for _cudaRunpathName in $(tr ' ' '\n' <<<"$_cudaRunpathNames" | LC_ALL=C sort); do
        _cudaRunpathOutputs+=("${!_cudaRunpathName-}")
        _cudaRunpathOptions+=(--build-output "${!_cudaRunpathName-}")
    done
    # shellcheck disable=SC2043 # One word until the machines are substituted.
    for _cudaRunpathMachine in @cudaRunpathMachines@; do _cudaRunpathOptions+=(--machine "$_cudaRunpathMachine"); done
fi

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
