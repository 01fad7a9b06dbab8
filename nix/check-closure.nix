# A release gate that Nix's own builders run: fails unless every object of the closure gets the right libcuda.
#
#   checkClosure {
#     drv = myPackage;
#     compat = "${cudaPackages.cuda_compat}/compat";
#     arguments = [ "--platform" "jetpack6" "--allow" ./allow.toml ];
#   }
{
  lib,
  runCommand,
  closureInfo,
  cuda-runpath,
}:

{
  drv,
  name ? "${drv.name or "closure"}-runpath-check",
  # cuda_compat's directory; with one, every object that asks for libcuda must find it there.
  compat ? null,
  # Further arguments of `cuda-runpath check`.
  arguments ? [ ],
}:

runCommand name
  {
    nativeBuildInputs = [ cuda-runpath ];
    registration = "${closureInfo { rootPaths = [ drv ]; }}/registration";
    arguments =
      lib.optionals (compat != null) [
        "--compat"
        compat
        "--compat-policy"
        "require"
      ]
      ++ arguments;
  }
  ''
    mkdir "$out"
    status=0
    cuda-runpath check --progress never --color never --closure-from "$registration" \
      --runtime-list "$out/runtime.json" $arguments >"$out/report" || status=$?
    cat "$out/report"
    exit "$status"
  ''
