# As much of nixpkgs as the expressions under nix/ ask for, with the overlay applied.
#
# extensible: whether CUDA package sets are made from `_cuda.extensions`, as in newer releases; else each is a scope.
# cuda_compat: null where the package is not available.
{
  pkgs,
  overlay,
  extensible,
  cuda_compat,
}:
let
  inherit (pkgs) lib runCommand;
  callWith = f: arguments: f (builtins.intersectAttrs (lib.functionArgs f) final // arguments);

  # A set that can be made anew with more in it.
  scope = make: {
    set = lib.fix make // {
      overrideScope = more: (scope (lib.extends more make)).set;
    };
  };
  cudaSet = _cudaFinal: { inherit cuda_compat; };
  cuda =
    contents:
    contents
    // {
      extend = more: cuda (contents // more contents contents);
    };

  base = {
    inherit (pkgs)
      lib
      stdenv
      runCommand
      makeSetupHook
      writeText
      ;
    callPackage = file: callWith (if lib.isFunction file then file else import file);
    buildPackages = final;
    closureInfo =
      { rootPaths }:
      runCommand "closure-info"
        {
          exportReferencesGraph = lib.concatLists (
            lib.imap0 (index: path: [
              "graph-${toString index}"
              path
            ]) rootPaths
          );
        }
        ''
          mkdir "$out"
          grep -h "^$NIX_STORE/" "$NIX_BUILD_TOP"/graph-* | grep -v '\.drv$' | sort -u >"$out/store-paths"
          # Hash and size stand in for the real ones.
          while read -r path && read -r deriver && read -r count; do
            printf '%s\nsha256:0\n1\n%s\n%s\n' "$path" "$deriver" "$count"
            for ((; count > 0; count--)); do
              read -r reference
              printf '%s\n' "$reference"
            done
          done < <(cat "$NIX_BUILD_TOP"/graph-*) >"$out/registration"
        '';
    # Building Rust is not what this is about: the arguments are what there is to see.
    rustPlatform.buildRustPackage =
      arguments:
      pkgs.cuda-runpath
      // {
        inherit arguments;
        inherit (arguments) pname version meta;
      };
    installShellFiles = runCommand "install-shell-files" { } "mkdir $out";
    mkShell = arguments: runCommand "shell" { inherit (arguments) packages; } "mkdir $out";
    cudaPackages =
      if extensible then
        lib.fix (builtins.foldl' (made: more: lib.extends more made) cudaSet final._cuda.extensions)
      else
        (scope cudaSet).set;
  }
  // lib.optionalAttrs extensible { _cuda = cuda { extensions = [ ]; }; }
  // lib.genAttrs [ "clippy" "rustfmt" "patchelf" "elfutils" "lld" "mold" "shellcheck" "shfmt" ] (
    name: runCommand name { } "mkdir $out"
  );
  final = base // overlay final base;
in
final
