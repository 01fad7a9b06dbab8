# shellcheck shell=bash
addCudaCompatRunpath() {
    local old
    if (($# != 1)) || [ -z "$1" ]; then
        echo "addCudaCompatRunpath: exactly one file is wanted" >&2
        return 1
    fi
    old=$(patchelf --print-rpath "$1")
    patchelf --set-rpath "@libcudaPath@:$old" "$1"
}

# shellcheck disable=SC2157 # Empty where cuda_compat is not available.
if [ -z "@libcudaPath@" ]; then
    echo "auto-add-cuda-compat-runpath-hook: cuda_compat not available, skipping hook"
else
    postFixupHooks+=("autoFixElfFiles addCudaCompatRunpath")
fi
