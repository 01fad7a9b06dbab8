# The hooks that cuda-runpath replaces, written out plainly with patchelf: what the cases' column "today" is about.
{
  makeSetupHook,
  lib,
  cuda_compat,
}:
let
  driverLink = "/run/opengl-driver";
in
rec {
  addDriverRunpath = makeSetupHook {
    name = "add-driver-runpath";
    substitutions.driverLinkLib = "${driverLink}/lib";
  } ./add-driver-runpath.sh;
  autoFixElfFiles = makeSetupHook { name = "auto-fix-elf-files"; } ./auto-fix-elf-files.sh;
  autoAddDriverRunpath = makeSetupHook {
    name = "auto-add-driver-runpath-hook";
    propagatedBuildInputs = [
      addDriverRunpath
      autoFixElfFiles
    ];
  } ./auto-add-driver-runpath.sh;
  autoAddCudaCompatRunpath = makeSetupHook {
    name = "auto-add-cuda-compat-runpath-hook";
    propagatedBuildInputs = [ autoFixElfFiles ];
    substitutions.libcudaPath = lib.optionalString (cuda_compat != null) "${cuda_compat}/compat";
  } ./auto-add-cuda-compat-runpath.sh;
  removeStubsFromRunpathHook = makeSetupHook {
    name = "removeStubsFromRunpathHook";
    propagatedBuildInputs = [ autoFixElfFiles ];
    substitutions.driverLinkLib = "${driverLink}/lib";
  } ./remove-stubs-from-runpath.sh;
}
