# shellcheck shell=bash
# autoAddDriverRunpath: addDriverRunpath for every object of every output, in fixupPhase.
# shellcheck source=hooks/shared/register.sh
source @cudaRunpathShared@

if [[ -n ${dontUseAutoAddOpenGLRunpath-} ]]; then
    echo "dontUseAutoAddOpenGLRunpath is deprecated, use dontUseAutoAddDriverRunpath"
fi
if [[ -z ${dontUseAutoAddDriverRunpath-}${dontUseAutoAddOpenGLRunpath-} ]]; then
    if [[ -z ${_cudaRunpathDriverOnce-} ]]; then
        _cudaRunpathDriverOnce=1
        echo "Using autoAddDriverRunpath"
        # Other hooks look for exactly this entry.
        postFixupHooks+=("autoFixElfFiles addDriverRunpath")
    fi
    cudaRunpathRegister driver
fi
