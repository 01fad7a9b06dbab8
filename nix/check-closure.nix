# A release gate that Nix's own builders run: fails unless every object of the closure has the right search path.
#
#   checkClosure { drv = myPackage; compat = "${cudaPackages.cuda_compat}/compat"; }
{
  lib,
  runCommand,
  closureInfo,
  cuda-runpath,
}:

{
  drv,
  name ? "${drv.name or "closure"}-runpath-check",
  compat ? null,
  # Further arguments of `cuda-runpath fix --check`.
  arguments ? [ "--only-consumers" ],
}:

runCommand name
  {
    nativeBuildInputs = [ cuda-runpath ];
    storePaths = "${closureInfo { rootPaths = [ drv ]; }}/store-paths";
    compatArguments = lib.optionals (compat != null) [
      "--compat"
      compat
    ];
    inherit arguments;
  }
  ''
    cuda-runpath fix --check --progress never --color never --files-from "$storePaths" $compatArguments $arguments | tee report
    mkdir "$out"
    mv report "$out/report"
  ''
