{
  description = "Puts cuda_compat and /run/opengl-driver/lib in front of the RUNPATH of every ELF object";

  inputs.nixpkgs.url = "nixpkgs";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forAll = make: nixpkgs.lib.genAttrs systems (system: make (nixpkgs.legacyPackages.${system}.extend self.overlays.default));
    in
    {
      overlays.default = import ./nix/overlay.nix;

      packages = forAll (pkgs: {
        inherit (pkgs) cuda-runpath cudaRunpathHook;
        default = pkgs.cuda-runpath;
      });

      devShells = forAll (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ pkgs.cuda-runpath ];
          packages = [
            pkgs.clippy
            pkgs.rustfmt
            pkgs.patchelf
            pkgs.elfutils
            pkgs.lld
            pkgs.mold
            pkgs.shellcheck
            pkgs.shfmt
          ];
        };
      });
    };
}
