# shellcheck shell=bash
# autoFixElfFiles ACTION: does something to every object of every output.
# shellcheck source=hooks/shared/register.sh
source @cudaRunpathShared@

# elfHasDynamicSection FILE: whether a dynamic loader reads it.
elfHasDynamicSection() {
    [[ -n $("$_cudaRunpathProgram" show --print0 -- "$1" | tr '\0' '\n') ]]
}

# Our own actions are merged into the one run at the end of fixupPhase when that is still to come; without phases, or
# called by hand later, they happen now. Another action is the package's own function: it gets one object at a time.
autoFixElfFiles() {
    local action=$1 word="" file list
    case $action in
    addDriverRunpath) word=driver ;;
    addCudaCompatRunpath) word=compat ;;
    removeStubsFromRunpath) word=stubs ;;
    cudaRunpathFixup) word=order-only ;;
    esac
    if [[ -n $word ]]; then
        case " ${_cudaRunpathActions[*]-} " in
        *" $word "*)
            [[ $_cudaRunpathPhase == pending ]] || cudaRunpathRun
            return
            ;;
        esac
        # cuda_compat is not available: nothing to add.
        if [[ $word == compat && -z ${_cudaRunpathCompat-} ]]; then return 0; fi
    fi
    if [[ -n $word ]]; then
        cudaRunpathFix "$word" "${_cudaRunpathOutputs[@]}"
        return
    fi
    list=$(mktemp)
    "$_cudaRunpathProgram" show --print0 -- "${_cudaRunpathOutputs[@]}" >"$list" || return
    while IFS= read -r -d '' file; do
        # Not in a condition: bash would not stop at the first failing command of the function then.
        "$action" "$file"
    done <"$list"
    rm -f "$list"
}
