# shellcheck shell=bash
# cudaRunpathFixupHook: adds nothing, puts compat directly in front of the driver and the driver in the place of stubs.
# shellcheck source=hooks/shared/register.sh
source @cudaRunpathShared@

cudaRunpathOption --compat "@cudaCompatLibDir@"
cudaRunpathOption --stub "@cudaStubLibDir@"
cudaRunpathDriver "@driverLibDir@"

cudaRunpathFixup() {
    cudaRunpathFixOne order-only cudaRunpathFixup "$@"
}

if [[ -z ${dontCudaRunpathFixHookOrder-} ]]; then cudaRunpathRegister order-only; fi
