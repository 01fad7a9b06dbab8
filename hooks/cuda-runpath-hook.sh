# shellcheck shell=bash
# cudaRunpathHook: compat (where available), driver and no stubs, in one run; checked too with cudaRunpathCheck = true.
# shellcheck source=hooks/cuda-runpath.sh
source @cudaRunpathShared@

cudaRunpathDriver "@driverLink@/lib"
_cudaRunpathCompat="@libcudaPath@"
cudaRunpathOption --compat "$_cudaRunpathCompat"

if [[ -n $_cudaRunpathCompat ]]; then cudaRunpathRegister compat; fi
cudaRunpathRegister driver
cudaRunpathRegister stubs
