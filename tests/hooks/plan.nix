# The cases as one text that `run` reads: lines of fields that end with "|".
#
#   letter|NAME|DIRECTORY         how a search path entry is printed
#   use|NAME|STORE PATH           what `run` itself needs
#   case|NAME|DERIVATION          begins a case; what follows belongs to it
#   build|OUTPUT                  an output that must exist once the derivation is built
#   path|FILE|WANTED|WANTED...    any of them
#   returns|PROGRAM|STATUS, loads|LIBRARY|STATUS, nodriver|FILE|STATUS, crashes|PROGRAM
#   fails|OUTPUT, log|REGEX, nolog|REGEX, count|REGEX|LINES, same|FILE|FILE
#   equal|WANTED|GOT|WHAT         something that evaluation alone shows
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
  # What the expressions promise without a build.
  equal =
    what: wanted: got:
    line [
      "case"
      "evaluation/${what}"
      ""
    ]
    + line [
      "equal"
      wanted
      got
      what
    ];
  evaluation =
    let
      h = pkgs.ours;
      yes = x: if x then "true" else "false";
    in
    equal "driver-link" "/run/opengl-driver" h.addDriverRunpath.driverLink
    + equal "driver-link-passthru" "/run/opengl-driver" h.addDriverRunpath.passthru.driverLink
    + equal "compat-enabled" "true" (yes h.autoAddCudaCompatRunpath.enableHook)
    + equal "compat-null" "false" (yes h.withoutCompat.autoAddCudaCompatRunpath.enableHook)
    + equal "stubs-store-name" "true" (
      yes (builtins.match ".*removeStubsFromRunpathHook.*" h.removeStubsFromRunpathHook.outPath != null)
    );
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
+ lib.optionalString (arguments.withOurs or true) (ours + evaluation)
