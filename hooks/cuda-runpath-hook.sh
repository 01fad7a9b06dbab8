# shellcheck shell=bash
# cudaRunpathHook: compat (where available), driver and no stubs, in one run; checked too with cudaRunpathCheck = true.
# shellcheck source=hooks/shared/register.sh
source @cudaRunpathShared@

cudaRunpathDriver "@driverLink@/lib"
# Another hook may know where it is when this one does not.
_cudaRunpathCompat=${_cudaRunpathCompat:-@libcudaPath@}
cudaRunpathOption --compat "$_cudaRunpathCompat"

if [[ -n $_cudaRunpathCompat ]]; then cudaRunpathRegister compat; fi
cudaRunpathRegister driver
cudaRunpathRegister stubs
