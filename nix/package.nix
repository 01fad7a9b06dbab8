# The program, with its manual pages and completions.
{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
}:

let
  manifest = builtins.fromTOML (builtins.readFile ../Cargo.toml);
  # Only what the build reads: an edited README does not rebuild the program.
  inputs = [
    "Cargo.toml"
    "Cargo.lock"
    "build.rs"
    "src"
  ];
  isInput =
    path: _type:
    let
      below = lib.removePrefix (toString ../. + "/") (toString path);
    in
    lib.any (input: below == input || lib.hasPrefix (input + "/") below) inputs;
in
rustPlatform.buildRustPackage {
  pname = "cuda-runpath";
  inherit (manifest.package) version;

  src = lib.cleanSourceWith {
    src = ../.;
    filter = isInput;
  };
  cargoLock.lockFile = ../Cargo.lock;

  # The integration tests are not in the source and want linkers and a writable root; the library's own run here.
  cargoTestFlags = [ "--lib" ];
  # Cargo refuses a manifest that names a test which is not there.
  postPatch = ''
    sed -i '/^\[\[test\]\]/,/^$/d' Cargo.toml
  '';

  nativeBuildInputs = [ installShellFiles ];
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    for shell in bash zsh fish; do
      "$out/bin/cuda-runpath" completions "$shell" >"cuda-runpath.$shell"
      installShellCompletion --cmd cuda-runpath "--$shell" "cuda-runpath.$shell"
    done
    "$out/bin/cuda-runpath" man >cuda-runpath.1
    for command in fix slim show check archs explain doctor rules completions man; do "$out/bin/cuda-runpath" man "$command" >"cuda-runpath-$command.1"; done
    installManPage cuda-runpath.1 cuda-runpath-*.1
  '';

  meta = {
    inherit (manifest.package) description;
    license = lib.licenses.mit;
    mainProgram = "cuda-runpath";
    platforms = lib.platforms.linux;
  };
}
