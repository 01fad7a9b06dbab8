# shellcheck shell=bash
# removeStubsFromRunpathHook: link-time stub directories become the driver's, or go where that is listed already.
# shellcheck source=hooks/shared/register.sh
source @cudaRunpathShared@

cudaRunpathDriver "@driverLinkLib@"

removeStubsFromRunpath() {
    cudaRunpathFixOne stubs removeStubsFromRunpath "$@"
}

if [[ -z ${dontRemoveStubsFromRunpath-} ]]; then cudaRunpathRegister stubs; fi
