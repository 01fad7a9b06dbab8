# A small package set: what the cases build from, and the hooks in both flavours.
#
# program: the cuda-runpath program, an absolute path. hooksFile, overlayFile, flakeFile: the expressions under test.
{
  program,
  hooksFile,
  overlayFile,
  flakeFile,
  bash ? "/bin/bash",
  setup ? ./stdenv/setup.sh,
  keepToPermissions ? false,
  have32 ? true,
  haveForeign ? true,
}:
let
  env = import ./stdenv { inherit bash setup keepToPermissions; };
  inherit (env)
    lib
    stdenv
    mkDerivation
    runCommand
    makeSetupHook
    ;

  # Says in the log how it was called, so that cases can count.
  cuda-runpath =
    runCommand "cuda-runpath-0"
      {
        source = builtins.path {
          path = program;
          name = "cuda-runpath";
        };
        pname = "cuda-runpath";
        passthru.pname = "cuda-runpath";
        meta.mainProgram = "cuda-runpath";
      }
      ''
        install -D -m 0755 "$source" "$out/libexec/cuda-runpath"
        mkdir "$out/bin"
        printf '#!%s\necho "called: cuda-runpath $*" >&2\nexec %s "$@"\n' \
            ${bash} "$out/libexec/cuda-runpath" >"$out/bin/cuda-runpath"
        chmod +x "$out/bin/cuda-runpath"
      '';

  libcuda =
    folder: result:
    ''
      mkdir -p "$out/${folder}"
      gcc -shared -fPIC -DRESULT=${toString result} -Wl,-soname,libcuda.so.1 \
          -o "$out/${folder}/libcuda.so.1" ${./project/libcuda.c}
      ln -s libcuda.so.1 "$out/${folder}/libcuda.so"
    '';
  cuda_cudart = runCommand "cuda12.8-cuda_cudart-12.8.90" { } (libcuda "lib/stubs" 34);
  cuda_compat =
    runCommand "cuda12.8-cuda_compat-12.8.39"
      {
        passthru.pname = "cuda_compat";
        meta.available = true;
      }
      (libcuda "compat" 11);
  # What a user's machine has in /run; mounted there when programs run.
  driver = runCommand "driver" { } (libcuda "lib" 12);

  # Everything that does not depend on where a case's outputs are, made once.
  fixtures = runCommand "fixtures" { stubs = "${cuda_cudart}/lib/stubs"; } ''
    mkdir "$out"
    for name in app owned consumer; do
        gcc -c -fPIC -o "$out/$name.o" ${./project}/$name.c
    done
    gcc -static -o "$out/static" ${./project/static.c}
    gcc -static-pie -o "$out/static-pie" ${./project/static.c}
    gcc -o "$out/load" ${./project/load.c}
    gcc -g -shared -fPIC -o whole.so ${./project/consumer.c}
    objcopy --only-keep-debug whole.so "$out/consumer.debug"
    ${lib.optionalString have32 ''
      gcc -m32 -shared -fPIC -nostdlib -Wl,--enable-new-dtags,-rpath,"$stubs" -o "$out/bits32.so" ${./project/owned.c}
    ''}
    ${lib.optionalString haveForeign ''
      llvm-mc -triple=aarch64-linux-gnu -filetype=obj -o foreign.o ${./project/foreign.s}
      ld.lld -shared --enable-new-dtags -rpath "$stubs" -o "$out/foreign.so" foreign.o
    ''}
  '';

  autoPatchelfHook = makeSetupHook { name = "auto-patchelf-hook"; } ./standin/auto-patchelf.sh;
  makeWrapper = makeSetupHook { name = "make-wrapper-hook"; } ./standin/make-wrapper.sh;
  makeBinaryWrapper = makeSetupHook {
    name = "make-binary-wrapper-hook";
    substitutions.wrapperSource = "${./project/wrapper.c}";
  } ./standin/make-binary-wrapper.sh;

  writeText = name: text: runCommand name { inherit text; } ''printf '%s' "$text" >"$out"'';

  # Calls a package expression with those of its arguments that this set has.
  scope = {
    inherit
      lib
      stdenv
      runCommand
      makeSetupHook
      cuda-runpath
      ;
    inherit writeText;
  };
  callWith = more: f: f (builtins.intersectAttrs (lib.functionArgs f) (scope // more));

  flavour =
    make:
    let
      hooks = make cuda_compat;
      package = name: list: runCommand name { inherit list; } ''
        mkdir -p "$out/nix-support"
        printf '%s ' $list >"$out/nix-support/propagated-build-inputs"
      '';
    in
    hooks
    // {
      withoutCompat = make null;
      # A package that makes whoever uses it use hooks, as the newer redistributables do.
      stubsPackage = package "cuda12.8-cuda_cudart-12.8.90-stubs" [ hooks.removeStubsFromRunpathHook ];
      allPackage = package "cuda-hooks" [
        hooks.autoAddDriverRunpath
        hooks.autoAddCudaCompatRunpath
        hooks.removeStubsFromRunpathHook
      ];
    };
  pkgs = {
  inherit
    lib
    stdenv
    mkDerivation
    runCommand
    makeSetupHook
    cuda-runpath
    cuda_cudart
    cuda_compat
    driver
    fixtures
    autoPatchelfHook
    makeWrapper
    makeBinaryWrapper
    writeText
    have32
    haveForeign
    ;
  nixpkgs = lib.genAttrs [ "extensible" "scoped" "without-compat" ] (
    kind:
    import ./standin/nixpkgs.nix {
      inherit pkgs;
      overlay = import overlayFile;
      extensible = kind != "scoped";
      cuda_compat = if kind == "without-compat" then null else cuda_compat;
    }
  );
  flake = (import flakeFile).outputs {
    self.overlays.default = import overlayFile;
    nixpkgs = {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (_system: {
        extend = _overlay: pkgs.nixpkgs.extensible;
      });
    };
  };
  ours = flavour (
    cudaCompat:
    callWith {
      inherit cudaCompat;
      cudaStubLibDir = "${cuda_cudart}/lib/stubs";
    } (import hooksFile)
  );
  today = flavour (cuda_compat: callWith { inherit cuda_compat; } (import ./today));
};
in
pkgs
