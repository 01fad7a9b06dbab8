# Swaps nixpkgs' hooks for ours, under their own names.
final: prev:

let
  hooksFor =
    pkgs: arguments:
    import ./hooks.nix (
      {
        inherit (pkgs)
          lib
          stdenv
          makeSetupHook
          writeText
          ;
        cuda-runpath = pkgs.buildPackages.cuda-runpath;
      }
      // arguments
    );
  plain = hooksFor final { };

  # Every CUDA release has hooks of its own, with its own cuda_compat.
  cudaHooks =
    cudaFinal: _cudaPrev:
    let
      hooks = hooksFor final { cudaCompat = cudaFinal.cuda_compat or null; };
    in
    {
      inherit (hooks)
        autoAddCudaCompatRunpath
        removeStubsFromRunpathHook
        cudaRunpathFixupHook
        cudaRunpathHook
        ;
      inherit (final) autoAddDriverRunpath;
    };
in
{
  cuda-runpath = final.callPackage ./package.nix { };
  checkClosure = final.callPackage ./check-closure.nix { };
  checkImage = final.callPackage ./check-image.nix { };

  inherit (plain)
    addDriverRunpath
    autoAddDriverRunpath
    autoFixElfFiles
    cudaRunpathHook
    ;
  # The name from before 2024.
  autoAddOpenGLRunpathHook = plain.autoAddDriverRunpath;

  _cuda =
    if prev ? _cuda && prev._cuda ? extend then
      prev._cuda.extend (
        _: cudaPrev: {
          extensions = (cudaPrev.extensions or [ ]) ++ [ cudaHooks ];
        }
      )
    else
      prev._cuda or { };

  # Releases of nixpkgs before `_cuda.extensions` have one scope for each CUDA release.
  cudaPackages = if prev ? _cuda then prev.cudaPackages else prev.cudaPackages.overrideScope cudaHooks;
}
