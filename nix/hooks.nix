# The setup hooks, under the names that nixpkgs uses. `cudaCompat` is cuda_compat or null, `cudaStubLibDir` the stub
# directory of the CUDA release that cudaRunpathFixupHook serves.
{
  lib,
  stdenv,
  makeSetupHook,
  writeText,
  # The hook runs on the build machine, whatever it builds for.
  cuda-runpath,
  cudaCompat ? null,
  cudaStubLibDir ? "",
}:

let
  driverLink = "/run/opengl-driver" + lib.optionalString (stdenv.hostPlatform.isi686 or false) "-32";
  driverLib = "${driverLink}/lib";

  # `meta.available` is false where the platform is no Jetson; people also set `cuda_compat = null`.
  compatAvailable = cudaCompat != null && (cudaCompat.meta.available or false);
  libcudaPath = lib.optionalString compatAvailable "${cudaCompat}/compat";

  # Objects of another machine (firmware, cross fixtures) are no business of this host's driver; its 32-bit ones are.
  machine = stdenv.targetPlatform.parsed.cpu.name;
  narrow = {
    x86_64 = " i686";
    aarch64 = " armv7l";
  };
  machines = machine + (narrow.${machine} or "");

  cudaRunpathShared = writeText "cuda-runpath-hooks.sh" (
    builtins.replaceStrings
      [
        "@cudaRunpath@"
        "@cudaRunpathMachines@"
      ]
      [
        "${cuda-runpath}/bin/cuda-runpath"
        machines
      ]
      (builtins.readFile ../hooks/shared/register.sh + builtins.readFile ../hooks/shared/run.sh)
  );

  hook =
    file: arguments: substitutions:
    makeSetupHook (
      arguments
      // {
        substitutions = substitutions // {
          inherit cudaRunpathShared;
        };
      }
    ) file;
in
rec {
  autoFixElfFiles = hook ../hooks/auto-fix-elf-files.sh { name = "auto-fix-elf-files"; } { };

  addDriverRunpath =
    hook ../hooks/add-driver-runpath.sh
      {
        name = "add-driver-runpath";
        passthru = {
          inherit driverLink;
        };
      }
      {
        inherit driverLink;
      };

  autoAddDriverRunpath = hook ../hooks/auto-add-driver-runpath.sh {
    name = "auto-add-driver-runpath-hook";
    propagatedBuildInputs = [
      addDriverRunpath
      autoFixElfFiles
    ];
  } { };

  autoAddCudaCompatRunpath =
    hook ../hooks/auto-add-cuda-compat-runpath.sh
      {
        name = "auto-add-cuda-compat-runpath-hook";
        propagatedBuildInputs = [ autoFixElfFiles ];
        passthru.enableHook = compatAvailable;
      }
      {
        inherit libcudaPath;
      };

  # buildRedist greps propagated-build-inputs for this name.
  removeStubsFromRunpathHook =
    hook ../hooks/remove-stubs-from-runpath.sh
      {
        name = "removeStubsFromRunpathHook";
        propagatedBuildInputs = [ autoFixElfFiles ];
      }
      {
        driverLinkLib = driverLib;
      };

  cudaRunpathFixupHook =
    hook ../hooks/cuda-runpath-fixup.sh
      {
        name = "cuda-runpath-fixup-hook";
        propagatedBuildInputs = [ autoFixElfFiles ];
      }
      {
        cudaCompatLibDir = libcudaPath;
        inherit cudaStubLibDir;
        driverLibDir = driverLib;
      };

  cudaRunpathHook =
    hook ../hooks/cuda-runpath-hook.sh
      {
        name = "cuda-runpath-hook";
        propagatedBuildInputs = [
          addDriverRunpath
          autoFixElfFiles
        ];
        passthru.enableHook = true;
      }
      {
        inherit driverLink libcudaPath;
      };
}
