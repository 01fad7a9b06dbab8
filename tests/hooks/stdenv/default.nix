# A small stdenv: mkDerivation, runCommand and makeSetupHook, as far as setup hooks can see them.
#
# bash: the shell that runs builds, an absolute path. setup: the setup script; tools are the machine's.
# keepToPermissions: builds run as root without the right to pass over file modes, as they would as nixbld.
{
  bash ? "/bin/bash",
  setup ? ./setup.sh,
  keepToPermissions ? false,
}:
let
  lib = import ./lib.nix;

  builder = if keepToPermissions then "/usr/bin/setpriv" else bash;
  prefix = lib.optionals keepToPermissions [
    "--bounding-set"
    "-dac_override,-dac_read_search"
    "--"
    bash
  ];

  stdenvFolder = derivation {
    name = "stdenv";
    system = builtins.currentSystem;
    builder = bash;
    args = [
      "-ec"
      ''
        PATH=/usr/bin:/bin
        mkdir "$out"
        {
            echo 'export SHELL=${bash}'
            echo 'initialPath="/usr/local /usr /"'
            echo 'defaultNativeBuildInputs="${./fixup-output.sh}"'
            echo 'defaultBuildInputs=""'
            cat ${setup}
        } >"$out/setup"
      ''
    ];
  };

  getDev = input: if lib.isDerivation input then input.dev or input else input;
  inputLists = [
    "depsBuildBuild"
    "nativeBuildInputs"
    "depsBuildTarget"
    "depsHostHost"
    "buildInputs"
    "depsTargetTarget"
    "propagatedBuildInputs"
    "propagatedNativeBuildInputs"
  ];

  mkDerivation =
    attrs:
    let
      inputs = lib.genAttrs inputLists (list: map getDev (lib.filter (i: i != null) (attrs.${list} or [ ])));
      arguments =
        removeAttrs attrs [
          "meta"
          "passthru"
          "env"
        ]
        # env is exported in both modes: by the setup script where attributes are not exported.
        // (if attrs.__structuredAttrs or false then { env = attrs.env or { }; } else attrs.env or { })
        // inputs
        // {
          name = attrs.name or "${attrs.pname}-${attrs.version}";
          system = builtins.currentSystem;
          stdenv = stdenvFolder;
          inherit builder;
          args = prefix ++ [
            "-e"
            ./builder.sh
          ];
          outputs = attrs.outputs or [ "out" ];
          strictDeps = attrs.strictDeps or false;
        };
    in
    derivation arguments
    // (attrs.passthru or { })
    // {
      passthru = attrs.passthru or { };
      meta = attrs.meta or { };
      overrideAttrs = change: mkDerivation (attrs // (if lib.isFunction change then change attrs else change));
    };

  runCommand =
    name: env: buildCommand:
    mkDerivation (env // { inherit name buildCommand; });

  # Only exported variables whose names start with a lower-case letter take the place of @name@.
  makeSetupHook =
    {
      name,
      propagatedBuildInputs ? [ ],
      propagatedNativeBuildInputs ? [ ],
      substitutions ? { },
      passthru ? { },
      meta ? { },
    }:
    script:
    runCommand name
      (
        substitutions
        // {
          strictDeps = true;
          inherit passthru meta;
          propagatedHooks = map getDev propagatedBuildInputs;
          propagatedNativeHooks = map getDev propagatedNativeBuildInputs;
        }
      )
      ''
        mkdir -p "$out/nix-support"
        text=$(<${script})
        while read -r variable; do
            if [[ "$variable" == [a-z]* ]]; then text=''${text//"@$variable@"/"''${!variable}"}; fi
        done < <(compgen -e)
        printf '%s\n' "$text" >"$out/nix-support/setup-hook"
        if [[ -n "$propagatedHooks" ]]; then
            printf '%s ' "$propagatedHooks" >"$out/nix-support/propagated-build-inputs"
        fi
        if [[ -n "$propagatedNativeHooks" ]]; then
            printf '%s ' "$propagatedNativeHooks" >"$out/nix-support/propagated-native-build-inputs"
        fi
      '';

  platform = {
    system = builtins.currentSystem;
    isLinux = true;
    isi686 = builtins.currentSystem == "i686-linux";
    canExecute = other: other.system == builtins.currentSystem;
    parsed.cpu.name = lib.head (lib.splitString "-" builtins.currentSystem);
  };
in
{
  inherit
    lib
    mkDerivation
    runCommand
    makeSetupHook
    ;
  stdenv = {
    inherit mkDerivation;
    buildPlatform = platform;
    hostPlatform = platform;
    targetPlatform = platform;
  };
}
