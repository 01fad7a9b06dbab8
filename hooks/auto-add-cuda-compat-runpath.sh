# shellcheck shell=bash
# autoAddCudaCompatRunpath: puts cuda_compat's directory in front of every search path, before the driver's.
# shellcheck source=hooks/shared/register.sh
source @cudaRunpathShared@

# Empty where cuda_compat is not available.
_cudaRunpathCompat="@libcudaPath@"
cudaRunpathOption --compat "$_cudaRunpathCompat"

addCudaCompatRunpath() {
    if [[ -z $_cudaRunpathCompat ]]; then
        cudaRunpathLog Error "addCudaCompatRunpath: cuda_compat is not available"
        return 1
    fi
    cudaRunpathFixOne compat addCudaCompatRunpath "$@"
}

if [[ -z ${dontUseAutoAddCudaCompatRunpath-} && -z ${_cudaRunpathCompatOnce-} ]]; then
    _cudaRunpathCompatOnce=1
    if [[ -n $_cudaRunpathCompat ]]; then
        # Other hooks look for exactly this entry.
        postFixupHooks+=("autoFixElfFiles addCudaCompatRunpath")
        cudaRunpathRegister compat
    else
        echo "auto-add-cuda-compat-runpath-hook: cuda_compat not available, skipping hook"
    fi
fi
