# The cases as one text that `run` reads: lines of fields that end with "|".
#
#   letter|NAME|DIRECTORY         how a search path entry is printed
#   use|NAME|STORE PATH           what `run` itself needs
#   case|NAME|DERIVATION          begins a case; what follows belongs to it
#   build|OUTPUT                  an output that must exist once the derivation is built
#   path|FILE|WANTED|WANTED...    any of them
#   returns|PROGRAM|STATUS, loads|LIBRARY|STATUS, nodriver|FILE|STATUS, crashes|PROGRAM
#   fails|OUTPUT, log|REGEX, nolog|REGEX, count|REGEX|LINES, same|FILE|FILE
#   forgets|OUTPUT|STORE PATH     the output must not keep the store path alive
#   shell|DERIVATION|COMMAND      must succeed in the nix-shell of the derivation
#   equal|WANTED|GOT              something that evaluation alone shows
arguments:
let
  pkgs = import ./pkgs.nix (
    removeAttrs arguments [
      "withToday"
      "withOurs"
    ]
  );
  inherit (pkgs) lib;
  inherit (import ./cases.nix pkgs) groups;
  stubs = "${pkgs.cuda_cudart}/lib/stubs";
  plain = builtins.unsafeDiscardStringContext;

  letters = {
    C = "${pkgs.cuda_compat}/compat";
    D = "/run/opengl-driver/lib";
    D32 = "/run/opengl-driver-32/lib";
    S = stubs;
    O = "$ORIGIN";
  };

  modes = {
    plain = { };
    strict.strictDeps = true;
    structured.__structuredAttrs = true;
    structured-strict = {
      strictDeps = true;
      __structuredAttrs = true;
    };
  };

  spell =
    owned: path:
    if path == "-" then
      "-"
    else
      lib.concatMapStringsSep ":" (entry: (letters // { L = owned; }).${entry} or entry) (lib.splitString ":" path);

  project =
    name: mode: case: flavour:
    let
      used = case.use flavour;
      command = case.command or false;
      runpath = used.runpath or "";
      # What "L" is becomes known in the build.
      folder = ''
        runpath=''${runpath//@L@/$lib/lib}
      '';
      spelled = lib.optionalString (runpath != "") (spell "@L@" runpath);
      install = ''
        ${folder}
        source ${./project/install.sh}
      '';
    in
    pkgs.mkDerivation (
      {
        name = builtins.replaceStrings [ "/" ] [ "-" ] name;
        outputs = [
          "out"
          "lib"
        ];
        contents = [
          "Owned"
          "App"
        ];
        inherit (pkgs) fixtures;
        inherit stubs;
        runpath = spelled;
        dontUnpack = true;
        ${if command then "buildCommand" else "installPhase"} = ''
          runHook preInstall
          ${install}
          runHook postInstall
          for output in $(getAllOutputNames); do
              if [[ "$output" != missing && ! -e "''${!output}" ]]; then mkdir "''${!output}"; fi
          done
          ${used.after or ""}
        '';
      }
      // mode
      // removeAttrs used [
        "runpath"
        "after"
      ]
    );

  line = fields: lib.concatMapStringsSep "" (field: plain (toString field) + "|") fields + "\n";
  lines = f: list: lib.concatStrings (map (fields: line (f fields)) list);

  planOf =
    name: mode: case: flavour: wanted:
    let
      built = project name mode case flavour;
      file =
        path:
        let
          parts = lib.splitString "/" path;
        in
        lib.concatStringsSep "/" ([ built.${lib.head parts} ] ++ lib.tail parts);
      list = x: if builtins.isList x then x else [ x ];
      each =
        verb: set:
        lines (path: [
          verb
          (file path)
          set.${path}
        ]) (lib.attrNames set);
      # The letter L differs from case to case.
      owned = if builtins.hasAttr "lib" built then "${built.lib}/lib" else "none";
    in
    line [
      "case"
      name
      built.drvPath
    ]
    + line [
      "letter"
      "L"
      owned
    ]
    + (
      if wanted.fails or false then
        line [
          "fails"
          (lib.head (map (output: built.${output}) built.outputs))
        ]
      else
        lines (output: [
          "build"
          built.${output}
        ]) built.outputs
    )
    + lib.concatStrings (
      lib.mapAttrsToList (
        path: want:
        line (
          [
            "path"
            (file path)
          ]
          ++ map (spell owned) (list want)
        )
      ) (wanted.paths or { })
    )
    + each "returns" (wanted.returns or { })
    + each "loads" (wanted.loads or { })
    + each "nodriver" (wanted.withoutDriver or { })
    + lines (path: [
      "crashes"
      (file path)
    ]) (wanted.crashes or [ ])
    + lines (output: [
      "forgets"
      built.${output}
      pkgs.cuda_cudart
    ]) (wanted.forgets or [ ])
    + lines (names: [ "same" ] ++ map file names) (wanted.same or [ ])
    + lines (text: [
      "log"
      text
    ]) (wanted.log or [ ])
    + lines (text: [
      "count"
      text
      wanted.count.${text}
    ]) (lib.attrNames (wanted.count or { }))
    + lines (text: [
      "nolog"
      text
    ]) (wanted.noLog or [ ]);

  planGroups =
    f:
    lib.concatStrings (
      lib.mapAttrsToList (
        group: cases: lib.concatStrings (lib.mapAttrsToList (name: case: f "${group}/${name}" case) cases)
      ) groups
    );

  ours = planGroups (
    name: case:
    lib.optionalString (case.ours != null) (
      lib.concatStrings (
        lib.mapAttrsToList (mode: attrs: planOf "${name}/${mode}" attrs case pkgs.ours case.ours) modes
      )
    )
  );
  today = planGroups (
    name: case:
    lib.optionalString (case.today or null != null) (
      planOf "today/${builtins.baseNameOf name}" { } case pkgs.today case.today
    )
  );
  # A derivation that is no case of cases.nix.
  derivationCase =
    name: built: wanted:
    line [
      "case"
      name
      built.drvPath
    ]
    + line [
      (if wanted.fails or false then "fails" else "build")
      built.outPath
    ]
    + lines (text: [
      "log"
      text
    ]) (wanted.log or [ ]);

  # checkClosure: what a release would be stopped by.
  closures =
    let
      checked =
        flavour:
        pkgs.nixpkgs.extensible.checkClosure {
          drv = project "closure" { } groups.golden.driver-compat flavour;
          compat = letters.C;
          # The C library is the machine's, not the store's.
          arguments = [
            "--skip"
            "CRP312"
          ];
        };
    in
    derivationCase "closure/good" (checked pkgs.ours) { }
    + derivationCase "closure/bad" (checked pkgs.today) {
      fails = true;
      log = [ "-closure/bin/app" ];
    };

  # checkImage: images as dockerTools makes them, store paths with absolute names in a layer of a gzip archive; and a script
  # that prints one.
  images =
    let
      inherit (pkgs.nixpkgs.extensible) checkImage;
      archive =
        paths: pack:
        pkgs.runCommand "image" { inherit paths; } ''
          tar --sort=name -P -cf layer.tar $paths
          digest=$(sha256sum layer.tar | cut -d " " -f 1)
          mkdir "$digest"
          mv layer.tar "$digest/layer.tar"
          printf '{"architecture":"%s","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
              ${if pkgs.system or "" == "aarch64-linux" then "arm64" else "amd64"} "$digest" >config.json
          printf '[{"Config":"config.json","RepoTags":["app:1"],"Layers":["%s/layer.tar"]}]' "$digest" >manifest.json
          tar -cf image.tar "$digest" config.json manifest.json
          ${pack}
        '';
      packed = ''gzip -c image.tar >"$out"'';
      streamed = ''
        { printf '#!%s\nsed "1,/^exit/d" "$0"\nexit\n' "$SHELL"; cat image.tar; } >"$out"
        chmod +x "$out"
      '';
      built = case: project "image" { } groups.golden.${case} pkgs.ours;
      checked =
        image: more:
        checkImage (
          {
            inherit image;
            # The C library is the machine's, not the store's.
            arguments = [
              "--skip"
              "CRP312"
            ];
          }
          // more
        );
      on = hosts: { inherit hosts; };
    in
    derivationCase "image/good" (checked (archive [ (built "driver") ] packed) (on [ "nixos" ])) { }
    + derivationCase "image/streamed" (checked (archive [ (built "driver") ] streamed) (on [ "nixos" ])) { }
    + derivationCase "image/spec" (checked (archive [ (built "driver") ] packed) {
      cdi = ./spec.yaml;
    }) { }
    + derivationCase "image/bad" (checked (archive [
      (built "none")
      pkgs.cuda_cudart
    ] packed) (on [ "nixos" ])) {
      fails = true;
      log = [ "CRP200 stub-first" ];
    }
    + derivationCase "image/none" (checked ./spec.yaml (on [ "nixos" ])) {
      fails = true;
    };

  # nix-shell: no phases, no outputs, a file in the current folder.
  shells =
    let
      shell =
        name: attrs: use: command:
        line [
          "case"
          "shell/${name}"
        ]
        + line [
          "shell"
          (project "shell" attrs { inherit use; } pkgs.ours).drvPath
          command
        ];
      file = "cp $fixtures/load program; chmod u+w program; ";
      wanted = path: "; grep -qF '[${path}]' <<<\"$(readelf -dW program)\"";
      auto = h: { nativeBuildInputs = [ h.autoAddDriverRunpath ]; };
      compat = h: { nativeBuildInputs = [ h.autoAddCudaCompatRunpath ]; };
    in
    shell "driver" { } auto (file + "addDriverRunpath program" + wanted letters.D)
    + shell "driver-older" { olderStdenv = true; } auto (file + "addDriverRunpath program" + wanted letters.D)
    + shell "driver-rpath" { } auto (file + "addDriverRunpath --force-rpath program" + wanted letters.D)
    + shell "compat" { } compat (file + "addCudaCompatRunpath program" + wanted letters.C)
    + shell "error-older" { olderStdenv = true; } auto "! addDriverRunpath --no-such-option 2>error; grep -q no-such error";

  # What the expressions promise without a build.
  equal =
    what: wanted: got:
    line [
      "case"
      "evaluation/${what}"
    ]
    + line [
      "equal"
      wanted
      got
    ];
  evaluation =
    let
      h = pkgs.ours;
      yes = x: if x then "true" else "false";
      inherit (pkgs) nixpkgs;
      same = what: a: b: equal what a.drvPath b.drvPath;
      package = nixpkgs.extensible.cuda-runpath.arguments;
      manifest = builtins.fromTOML (builtins.readFile ../../Cargo.toml);
    in
    equal "driver-link" "/run/opengl-driver" h.addDriverRunpath.driverLink
    + equal "driver-link-passthru" "/run/opengl-driver" h.addDriverRunpath.passthru.driverLink
    + equal "compat-enabled" "true" (yes h.autoAddCudaCompatRunpath.enableHook)
    + equal "compat-null" "false" (yes h.withoutCompat.autoAddCudaCompatRunpath.enableHook)
    + equal "stubs-store-name" "true" (
      yes (builtins.match ".*removeStubsFromRunpathHook.*" h.removeStubsFromRunpathHook.outPath != null)
    )
    + lib.concatStrings (
      lib.mapAttrsToList (
        kind: swapped:
        equal "overlay-driver-link-${kind}" "/run/opengl-driver" swapped.addDriverRunpath.driverLink
        + same "overlay-opengl-${kind}" swapped.autoAddDriverRunpath swapped.autoAddOpenGLRunpathHook
        + same "overlay-cuda-driver-${kind}" swapped.autoAddDriverRunpath swapped.cudaPackages.autoAddDriverRunpath
        + equal "overlay-compat-${kind}" (yes (kind != "without-compat")) (
          yes swapped.cudaPackages.autoAddCudaCompatRunpath.enableHook
        )
        + equal "overlay-hooks-${kind}" "4" (
          lib.length (
            lib.filter lib.isDerivation [
              swapped.cudaPackages.removeStubsFromRunpathHook
              swapped.cudaPackages.cudaRunpathFixupHook
              swapped.cudaPackages.cudaRunpathHook
              swapped.autoFixElfFiles
            ]
          )
        )
      ) nixpkgs
    )
    + equal "package-name" manifest.package.name package.pname
    + equal "package-version" manifest.package.version package.version
    + equal "package-source" "Cargo.lock Cargo.toml build.rs src" (
      lib.concatStringsSep " " (lib.attrNames (builtins.readDir package.src))
    )
    + same "flake-package" nixpkgs.extensible.cuda-runpath pkgs.flake.packages.x86_64-linux.default
    + same "flake-hook" nixpkgs.extensible.cudaRunpathHook pkgs.flake.packages.aarch64-linux.cudaRunpathHook
    + equal "flake-shell" "true" (yes (lib.isDerivation pkgs.flake.devShells.x86_64-linux.default));
in
lines (letter: [
  "letter"
  letter
  letters.${letter}
]) (lib.attrNames letters)
+ lines (name: [
  "use"
  name
  pkgs.${name}
]) [ "driver" ]
+ line [
  "use"
  "load"
  "${pkgs.fixtures}/load"
]
+ line [
  "use"
  "driver-derivation"
  pkgs.driver.drvPath
]
+ line [
  "use"
  "fixtures-derivation"
  pkgs.fixtures.drvPath
]
+ lib.optionalString (arguments.withToday or true) today
+ lib.optionalString (arguments.withOurs or true) (ours + closures + images + shells + evaluation)
