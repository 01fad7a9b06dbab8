# Every case: a package that uses the hooks, and what must come of it.
#
# use: the hooks (of one flavour) -> what the package says beside the defaults of `project` below.
# ours, today: what must come of it with our hooks and with those that they replace (null: not tried).
#   paths      file (first component: output) -> search path, in letters: L the project's lib folder, C compat, D driver,
#              S stubs, O $ORIGIN, D32 the driver's folder for 32-bit programs; "-" no search path at all
#   returns    program -> exit status when it runs with a driver in place: 11 compat, 12 driver, 34 stub
#   loads      library -> the same, for a library that a program loads
#   withoutDriver  program -> exit status where /run/opengl-driver is missing and ./libcuda.so.1 returns 66
#   log, noLog extended regular expressions for lines of the build log
#   count      extended regular expression -> how many lines of the log match
#   fails      the build must fail
#   forgets    outputs that must not refer to the stubs' package any more
#   same       lists of files that must be one inode
pkgs:
let
  inherit (pkgs) lib;
  all = h: [
    h.autoAddDriverRunpath
    h.autoAddCudaCompatRunpath
    h.removeStubsFromRunpathHook
  ];
  app = path: returns: {
    paths."out/bin/app" = path;
    returns."out/bin/app" = returns;
  };
  native = list: { nativeBuildInputs = list; };

  forgets.forgets = [ "out" ];

  # Nix gives builds a terminal: neither colours nor a progress bar may reach the log.
  plainLog.noLog = [ "[^[:print:][:space:]]" ];

  # One walk over all outputs, whatever the number of hooks.
  once.count."^called: cuda-runpath (-[^ ]+ ([a-z]+ )?)*fix " = 1;

  # Rows of the table "golden results".
  golden = {
    none = {
      use = h: { };
      ours = app "L:S" 34;
      today = app "L:S" 34;
    };
    driver = {
      use = h: native [ h.autoAddDriverRunpath ];
      ours = app "D:L" 12 // once // forgets // plainLog;
      today = app "D:L:S" 12;
    };
    compat = {
      use = h: native [ h.autoAddCudaCompatRunpath ];
      ours = app "C:L:S" 11 // once;
      today = app "C:L:S" 11;
    };
    stubs = {
      use = h: native [ h.removeStubsFromRunpathHook ];
      ours = app "L:D" 12 // once // forgets;
      today = app "L:D" 12;
    };
    driver-compat = {
      use =
        h:
        native [
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
        ];
      ours = app "C:D:L" 11 // once;
      today = app "C:D:L:S" 11;
    };
    compat-driver = {
      use =
        h:
        native [
          h.autoAddCudaCompatRunpath
          h.autoAddDriverRunpath
        ];
      ours = app "C:D:L" 11 // once;
      today = app "D:C:L:S" 12;
    };
    driver-stubs = {
      use =
        h:
        native [
          h.autoAddDriverRunpath
          h.removeStubsFromRunpathHook
        ];
      ours = app "D:L" 12;
      today = app "D:L" 12;
    };
    stubs-driver = {
      use =
        h:
        native [
          h.removeStubsFromRunpathHook
          h.autoAddDriverRunpath
        ];
      ours = app "D:L" 12;
      today = app "D:L" 12;
    };
    all-driver-compat-stubs = {
      use = h: native (all h);
      ours = app "C:D:L" 11 // once // forgets;
      today = app "C:D:L" 11;
    };
    all-stubs-compat-driver = {
      use =
        h:
        native [
          h.removeStubsFromRunpathHook
          h.autoAddCudaCompatRunpath
          h.autoAddDriverRunpath
        ];
      ours = app "C:D:L" 11 // once;
      today = null;
    };
    all-compat-stubs-driver = {
      use =
        h:
        native [
          h.autoAddCudaCompatRunpath
          h.removeStubsFromRunpathHook
          h.autoAddDriverRunpath
        ];
      ours = app "C:D:L" 11;
      today = null;
    };
    all-stubs-driver-compat = {
      use =
        h:
        native [
          h.removeStubsFromRunpathHook
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
        ];
      ours = app "C:D:L" 11;
      today = app "C:D:L" 11;
    };
    all-stubs-propagated = {
      use = h: {
        nativeBuildInputs = [
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
        ];
        buildInputs = [ h.stubsPackage ];
      };
      ours = app "C:D:L" 11 // once;
      today = app "C:D:L" 11;
    };
    all-propagated = {
      use = h: { buildInputs = [ h.allPackage ]; };
      ours = app "C:D:L" 11 // once;
      today = app "C:D:L" 11;
    };
    all-propagated-natively = {
      use = h: { propagatedNativeBuildInputs = [ h.allPackage ]; };
      ours = app "C:D:L" 11 // once;
      today = app "C:D:L" 11;
    };
    twice = {
      use = h: rec {
        nativeBuildInputs = [
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
        ];
        buildInputs = nativeBuildInputs;
      };
      ours = app "C:D:L" 11 // once;
      today = app "C:D:C:D:L:S" 11;
    };
    twice-driver = {
      use = h: rec {
        nativeBuildInputs = [ h.autoAddDriverRunpath ];
        buildInputs = nativeBuildInputs;
      };
      ours = app "D:L" 12;
      today = app "D:D:L:S" 12;
    };
    twice-all = {
      use = h: rec {
        nativeBuildInputs = all h;
        buildInputs = nativeBuildInputs ++ [
          h.allPackage
          h.stubsPackage
        ];
      };
      ours = app "C:D:L" 11 // once;
      today = null;
    };
    hand-and-auto = {
      use = h: {
        nativeBuildInputs = [ h.autoAddCudaCompatRunpath ];
        postFixup = "addCudaCompatRunpath $out/bin/app";
      };
      ours = app "C:L:S" 11;
      today = app "C:C:L:S" 11;
    };
    toggle-driver = {
      use = h: {
        nativeBuildInputs = [
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
        ];
        dontUseAutoAddDriverRunpath = true;
      };
      ours = app "C:L:S" 11;
      today = app "C:L:S" 11;
    };
    compat-empty = {
      use =
        h:
        native [
          h.withoutCompat.autoAddDriverRunpath
          h.withoutCompat.autoAddCudaCompatRunpath
        ];
      ours = app "D:L" 12 // skipMessage // once;
      today = app "D:L:S" 12 // skipMessage;
    };
    redist = {
      use = h: {
        nativeBuildInputs = [
          pkgs.autoPatchelfHook
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
        ];
        appendRunpaths = [ "$ORIGIN" ];
      };
      ours = app "C:D:L:O" 11;
      today = app "C:D:L:S:O" 11;
    };
    redist-stubs = {
      use = h: {
        nativeBuildInputs = [
          pkgs.autoPatchelfHook
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
        ];
        buildInputs = [ h.stubsPackage ];
        appendRunpaths = [ "$ORIGIN" ];
      };
      ours = app "C:D:L:O" 11 // once;
      today = app "C:D:L:O" 11;
    };
    autopatchelf-after = {
      use = h: {
        nativeBuildInputs = [
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
          pkgs.autoPatchelfHook
        ];
        appendRunpaths = [ "$ORIGIN" ];
      };
      ours = app "C:D:L:O" 11 // once;
      today = app "L:C:O" 11;
    };
    wrapper-in-postfixup = {
      use = h: {
        nativeBuildInputs = [
          pkgs.makeBinaryWrapper
          h.autoAddDriverRunpath
        ];
        postFixup = "wrapProgram $out/bin/app";
      };
      ours = {
        paths."out/bin/app" = "D";
        paths."out/bin/.app-wrapped" = "D:L";
        returns."out/bin/app" = 12;
      };
      today = {
        paths."out/bin/app" = "D:";
        paths."out/bin/.app-wrapped" = "D:L:S";
        returns."out/bin/app" = 12;
      };
    };
    no-runpath = {
      use = h: {
        nativeBuildInputs = [ h.autoAddDriverRunpath ];
        contents = [ "Plain" ];
      };
      ours = {
        paths."lib/lib/libplain.so" = "D";
        loads."lib/lib/libplain.so" = 12;
        withoutDriver."lib/lib/libplain.so" = 127;
      };
      today = {
        paths."lib/lib/libplain.so" = "D:";
        loads."lib/lib/libplain.so" = 12;
        withoutDriver."lib/lib/libplain.so" = 66;
      };
    };
    no-runpath-compat = {
      use = h: {
        nativeBuildInputs = [
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
        ];
        contents = [ "Plain" ];
      };
      ours = {
        paths."lib/lib/libplain.so" = "C:D";
        loads."lib/lib/libplain.so" = 11;
      };
      today = {
        paths."lib/lib/libplain.so" = "C:D:";
        loads."lib/lib/libplain.so" = 11;
      };
    };
    hard-links = {
      use = h: {
        nativeBuildInputs = [ h.autoAddDriverRunpath ];
        contents = [ "HardLinks" ];
      };
      ours = {
        paths."out/lib/one.so" = "D";
        paths."out/lib/two.so" = "D";
        loads."out/lib/two.so" = 12;
        same = [
          [
            "out/lib/one.so"
            "out/lib/two.so"
          ]
        ];
      };
      today = {
        paths."out/lib/one.so" = "D:D:S";
        same = [
          [
            "out/lib/one.so"
            "out/lib/two.so"
          ]
        ];
      };
    };
    static-pie = {
      use = h: {
        nativeBuildInputs = all h;
        contents = [
          "Static"
          "StaticPie"
        ];
      };
      ours = {
        paths."out/bin/static-pie" = "-";
        returns."out/bin/static" = 0;
        returns."out/bin/static-pie" = 0;
      };
      today = {
        returns."out/bin/static" = 0;
        # Signal 6 or 11: it ends in an assertion of its own start-up code.
        crashes = [ "out/bin/static-pie" ];
      };
    };
    no-section-headers = {
      use = h: {
        nativeBuildInputs = [ h.autoAddDriverRunpath ];
        contents = [ "Headerless" ];
      };
      ours = {
        paths."out/lib/headerless.so" = "D";
        loads."out/lib/headerless.so" = 12;
      };
      today = {
        paths."out/lib/headerless.so" = "S";
        loads."out/lib/headerless.so" = 34;
      };
    };
  }
  // lib.optionalAttrs pkgs.haveForeign {
    foreign-machine = {
      use = h: {
        nativeBuildInputs = [ h.autoAddDriverRunpath ];
        contents = [ "Foreign" ];
        dontPatchELF = true;
      };
      # Left alone, with a note.
      ours.paths."out/lib/foreign.so" = "S";
      today.paths."out/lib/foreign.so" = "D:S";
    };
  }
  // lib.optionalAttrs pkgs.have32 {
    bits32 = {
      use = h: {
        nativeBuildInputs = [ h.autoAddDriverRunpath ];
        contents = [ "Bits32" ];
        dontPatchELF = true;
      };
      ours.paths."out/lib/bits32.so" = "D32";
      today.paths."out/lib/bits32.so" = "D:S";
    };
  };

  skipMessage.log = [ "^auto-add-cuda-compat-runpath-hook: cuda_compat not available, skipping hook$" ];
  notUsingMessage.noLog = usingMessage.log;
  usingMessage.log = [ "^Using autoAddDriverRunpath$" ];

  # Toggles, messages and what else packages rely on.
  contract = {
    toggle-opengl = {
      use = h: {
        nativeBuildInputs = [
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
        ];
        dontUseAutoAddOpenGLRunpath = true;
      };
      ours = app "C:L:S" 11 // {
        log = [ "dontUseAutoAddOpenGLRunpath.*deprecated" ];
      };
    };
    toggle-compat = {
      use = h: {
        nativeBuildInputs = [
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
        ];
        dontUseAutoAddCudaCompatRunpath = true;
      };
      ours = app "D:L" 12;
    };
    toggle-stubs = {
      use = h: {
        nativeBuildInputs = [ h.removeStubsFromRunpathHook ];
        dontRemoveStubsFromRunpath = true;
      };
      ours = app "L:S" 34;
    };
    toggle-everything = {
      use = h: {
        nativeBuildInputs = all h;
        dontUseAutoAddDriverRunpath = true;
        dontUseAutoAddCudaCompatRunpath = true;
        dontRemoveStubsFromRunpath = true;
      };
      ours = app "L:S" 34;
    };
    toggle-false = {
      use = h: {
        nativeBuildInputs = all h;
        dontUseAutoAddDriverRunpath = false;
        dontUseAutoAddCudaCompatRunpath = false;
        dontRemoveStubsFromRunpath = false;
      };
      ours = app "C:D:L" 11;
    };
    dont-fixup = {
      use = h: {
        nativeBuildInputs = all h;
        dontFixup = true;
      };
      ours = app "L:S" 34;
      today = app "L:S" 34;
    };
    message-driver = {
      use = h: native [ h.autoAddDriverRunpath ];
      ours = usingMessage;
      today = usingMessage;
    };
    message-driver-toggled = {
      use = h: {
        nativeBuildInputs = [ h.autoAddDriverRunpath ];
        dontUseAutoAddDriverRunpath = true;
      };
      ours = notUsingMessage;
      today = notUsingMessage;
    };
    compat-empty-alone = {
      use = h: native [ h.withoutCompat.autoAddCudaCompatRunpath ];
      ours = app "L:S" 34 // skipMessage;
      today = app "L:S" 34 // skipMessage;
    };
    entry-text = {
      use = h: rec {
        nativeBuildInputs = [ h.autoAddDriverRunpath ];
        buildInputs = nativeBuildInputs;
        preFixup = ''
          count=0
          for entry in "''${postFixupHooks[@]}"; do
              if [[ "$entry" == "autoFixElfFiles addDriverRunpath" ]]; then count=$((count + 1)); fi
          done
          [[ "$count" == 1 ]]
        '';
      };
      ours = app "D:L" 12;
      today = null;
    };
    order-only = {
      use = h: {
        nativeBuildInputs = [ h.cudaRunpathFixupHook ];
        runpath = "D:C:L";
        dontPatchELF = true;
      };
      ours = app "C:D:L" 11;
    };
    order-only-stubs = {
      use = h: native [ h.cudaRunpathFixupHook ];
      ours = app "L:C:D" 11;
    };
    order-only-toggled = {
      use = h: {
        nativeBuildInputs = [ h.cudaRunpathFixupHook ];
        dontCudaRunpathFixHookOrder = true;
      };
      ours = app "L:S" 34;
    };
    order-only-and-all = {
      use = h: native ([ h.cudaRunpathFixupHook ] ++ all h);
      ours = app "C:D:L" 11;
    };
    one-hook = {
      use = h: native [ h.cudaRunpathHook ];
      ours = app "C:D:L" 11 // once;
    };
    one-hook-twice-with-all = {
      use = h: rec {
        nativeBuildInputs = [ h.cudaRunpathHook ] ++ all h;
        buildInputs = nativeBuildInputs;
      };
      ours = app "C:D:L" 11 // once;
    };
    one-hook-check = {
      use = h: {
        nativeBuildInputs = [ h.cudaRunpathHook ];
        cudaRunpathCheck = true;
      };
      ours = app "C:D:L" 11;
    };
    slim-archs = {
      use = h: {
        nativeBuildInputs = [ h.cudaRunpathHook ];
        contents = [ "Kernels" ];
        cudaRunpathSlimArchs = [ "9.0" ];
      };
      ours = {
        log = [ "^slimmed .*/lib/libkernels.so: GPU code 9408 -> 4160 bytes" ];
        count."^called: cuda-runpath slim " = 1;
        paths."out/lib/libkernels.so" = "C:D";
      }
      // plainLog;
    };
    slim-archs-flags = {
      use = h: {
        nativeBuildInputs = [ h.cudaRunpathHook ];
        contents = [ "Kernels" ];
        cudaRunpathSlimArchs = [
          "sm_80"
          "9.0a"
        ];
        cudaRunpathSlimFlags = [
          "--keep-ptx"
          "-v"
        ];
      };
      ours.log = [ "^already slim .*/lib/libkernels.so: 9408 bytes of GPU code" ];
    };
    slim-archs-none = {
      use = h: {
        nativeBuildInputs = [ h.cudaRunpathHook ];
        contents = [ "Kernels" ];
        cudaRunpathSlimArchs = [ "7.5" ];
      };
      ours.log = [ "libkernels.so: left as it is, no code in it runs on 7.5 \\(CRP500\\)" ];
    };
    slim-archs-wrong = {
      use = h: {
        nativeBuildInputs = [ h.cudaRunpathHook ];
        contents = [ "Kernels" ];
        cudaRunpathSlimArchs = [ "9.1" ];
      };
      ours.fails = true;
    };
    text-before-hooks = {
      use = h: {
        nativeBuildInputs = [ h.autoAddDriverRunpath ];
        preFixup = "postFixupHooks+=('echo from the array')";
        postFixup = ''
          echo "from the text"
          cp $out/bin/app $out/bin/late
        '';
      };
      ours = {
        paths."out/bin/late" = "D:L";
        log = [ "^from the text$" ];
      };
      today.paths."out/bin/late" = "D:L:S";
    };
    read-only-afterwards = {
      use = h: {
        nativeBuildInputs = all h;
        contents = [ "ReadOnly" ];
        postFixup = "chmod 0444 $out/lib/readonly.so";
        postPhases = [ "modePhase" ];
        modePhase = ''
          [[ "$(stat -c %a "$out/lib/readonly.so")" == 444 ]]
        '';
      };
      ours = {
        paths."out/lib/readonly.so" = "C:D";
        loads."out/lib/readonly.so" = 11;
      };
    };
    read-only-folder = {
      use = h: {
        nativeBuildInputs = all h;
        contents = [ "ReadOnly" ];
        postFixup = "chmod 0555 $out/lib";
      };
      ours.paths."out/lib/readonly.so" = "C:D";
    };
    broken-file = {
      use = h: {
        nativeBuildInputs = all h;
        contents = [ "Broken" ];
      };
      ours = {
        fails = true;
        log = [ "lib/broken\\.so" ];
      };
    };
    # A refusal fails no build that does not need the file.
    full-file = {
      use = h: {
        nativeBuildInputs = all h;
        contents = [ "FullPlain" ];
        dontStrip = true;
        dontPatchELF = true;
      };
      ours = {
        paths."out/lib/full.so" = "/full";
        log = [ "warning: .*lib/full\\.so: left alone" ];
      };
    };
    full-file-strict = {
      use = h: {
        nativeBuildInputs = all h;
        contents = [ "FullPlain" ];
        dontStrip = true;
        dontPatchELF = true;
        cudaRunpathStrict = true;
      };
      ours = {
        fails = true;
        log = [ "error: .*lib/full\\.so: no safe place" ];
      };
    };
    full-consumer = {
      use = h: {
        nativeBuildInputs = all h;
        contents = [ "FullConsumer" ];
        dontStrip = true;
        dontPatchELF = true;
      };
      ours = {
        fails = true;
        log = [ "error: .*lib/consumer\\.so: no safe place" ];
      };
    };
    missing-output = {
      use = h: {
        nativeBuildInputs = [ h.autoAddDriverRunpath ];
        outputs = [
          "out"
          "lib"
          "missing"
        ];
      };
      ours = {
        fails = true;
        log = [ "missing" ];
      };
      today.fails = true;
    };
    action-fails = {
      use = h: {
        nativeBuildInputs = [ h.autoFixElfFiles ];
        preFixup = ''
          refuse() {
              echo "refused $1"
              return 1
          }
          postFixupHooks+=("autoFixElfFiles refuse")
        '';
      };
      ours = {
        fails = true;
        log = [ "^refused /" ];
      };
      today = {
        fails = true;
        log = [ "^refused /" ];
      };
    };
    action-fails-halfway = {
      use = h: {
        nativeBuildInputs = [ h.autoFixElfFiles ];
        preFixup = ''
          halfway() {
              false
              echo "after the failure"
          }
          postFixupHooks+=("autoFixElfFiles halfway")
        '';
      };
      ours = {
        fails = true;
        noLog = [ "^after the failure$" ];
      };
      today = {
        fails = true;
        noLog = [ "^after the failure$" ];
      };
    };
    older-stdenv = {
      use = h: {
        nativeBuildInputs = all h;
        olderStdenv = true;
      };
      ours = app "C:D:L" 11 // usingMessage;
      today = app "C:D:L" 11 // usingMessage;
    };
    older-stdenv-compat-empty = {
      use = h: {
        nativeBuildInputs = [
          h.withoutCompat.autoAddDriverRunpath
          h.withoutCompat.autoAddCudaCompatRunpath
        ];
        olderStdenv = true;
        dontUseAutoAddOpenGLRunpath = true;
      };
      ours = app "L:S" 34 // skipMessage;
    };
    debugging = {
      use = h: {
        nativeBuildInputs = all h;
        env.NIX_DEBUG = "7";
      };
      ours = app "C:D:L" 11;
    };
    own-pre-phases = {
      use = h: {
        nativeBuildInputs = all h;
        prePhases = [
          "firstPhase"
          "secondPhase"
        ];
        firstPhase = "echo 'the first phase'";
        secondPhase = "echo 'the second phase'";
      };
      ours = app "C:D:L" 11 // {
        log = [
          "^the first phase$"
          "^the second phase$"
        ];
      };
    };
    no-core-count = {
      use = h: {
        nativeBuildInputs = all h;
        preFixup = "unset NIX_BUILD_CORES";
      };
      ours = app "C:D:L" 11;
    };
    all-cores = {
      use = h: {
        nativeBuildInputs = all h;
        preFixup = "export NIX_BUILD_CORES=0";
      };
      ours = app "C:D:L" 11;
    };
    output-is-a-link = {
      use = h: {
        nativeBuildInputs = all h;
        outputs = [
          "out"
          "lib"
          "dev"
        ];
        postInstall = "ln -s $out $dev";
      };
      ours = app "C:D:L" 11;
      today = app "C:D:L" 11;
    };
    output-is-a-file = {
      use = h: {
        nativeBuildInputs = all h;
        outputs = [
          "out"
          "lib"
          "single"
        ];
        postInstall = "cp $out/bin/app $single";
      };
      ours.paths."single" = "C:D:L";
      today.paths."single" = "C:D:L";
    };
    dangling-link = {
      use = h: {
        nativeBuildInputs = all h;
        postInstall = "ln -s nowhere $out/bin/dangling; ln -s ${pkgs.cuda_cudart}/lib/stubs $out/lib";
      };
      ours = app "C:D:L" 11;
      today = app "C:D:L" 11;
    };
    mixed-with-those-of-today = {
      use =
        h:
        native [
          pkgs.today.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
          h.removeStubsFromRunpathHook
        ];
      ours = app "C:D:L" 11;
    };
    those-of-today-last = {
      use = h: {
        nativeBuildInputs = all h;
        buildInputs = [
          pkgs.today.autoAddDriverRunpath
          pkgs.today.removeStubsFromRunpathHook
        ];
      };
      ours = app "C:D:L" 11;
    };
    outputs-out-of-order = {
      use = h: {
        nativeBuildInputs = all h;
        outputs = [
          "lib"
          "doc"
          "out"
        ];
        postInstall = "mkdir -p $doc; cp $out/bin/app $doc/app";
      };
      ours = app "C:D:L" 11 // {
        paths."out/bin/app" = "C:D:L";
        paths."doc/app" = "C:D:L";
        log = [ "^called: cuda-runpath (-[^ ]+ ([a-z]+ )?)*fix .* -- [^ ]*-doc [^ ]*-lib [^ ]*$" ];
      };
    };
    whole-project = {
      use = h: {
        nativeBuildInputs = all h;
        contents = [
          "Owned"
          "App"
          "Module"
          "Spaces"
          "Plain"
          "ReadOnly"
          "HardLinks"
          "Symlink"
          "Static"
          "StaticPie"
          "Debug"
          "Headerless"
          "Text"
          "Wrapped"
        ]
        ++ lib.optional pkgs.haveForeign "Foreign"
        ++ lib.optional pkgs.have32 "Bits32";
        postInstall = ''
          cp $out/lib/module "$out/lib/of two"$'\n'"lines.so"
        '';
        preFixup = ''
          kept=("$out/share/a folder/read me.txt" "$out/bin/script" "$out/bin/static" "$out/bin/static-pie"
              "$out/lib/debug/consumer.debug")
          dontStrip=1
          sha256sum "''${kept[@]}" >"$NIX_BUILD_TOP/kept"
        '';
        postPhases = [ "keptPhase" ];
        keptPhase = ''
          sha256sum --check --quiet "$NIX_BUILD_TOP/kept"
          cmp "$out/lib/of two"$'\n'"lines.so" $out/lib/module
        '';
      };
      ours = {
        inherit (plainLog) noLog;
        paths."out/bin/app" = "C:D:L";
        paths."out/bin/.foo-wrapped" = "C:D:L";
        paths."out/lib/module" = "C:D";
        paths."out/lib/a module with spaces.so" = "C:D";
        paths."out/lib/readonly.so" = "C:D";
        paths."out/lib/one.so" = "C:D";
        paths."out/lib/two.so" = "C:D";
        paths."out/lib/headerless.so" = "C:D";
        paths."out/bin/static-pie" = "-";
        paths."lib/lib/libplain.so" = "C:D";
        paths."lib/lib/libowned.so" = "C:D";
        returns."out/bin/app" = 11;
        returns."out/bin/alias" = 11;
        returns."out/bin/foo" = 11;
        returns."out/bin/static" = 0;
        returns."out/bin/static-pie" = 0;
        loads."out/lib/module" = 11;
        loads."out/lib/a module with spaces.so" = 11;
        loads."out/lib/readonly.so" = 11;
        loads."out/lib/headerless.so" = 11;
        loads."lib/lib/libplain.so" = 11;
        same = [
          [
            "out/lib/one.so"
            "out/lib/two.so"
          ]
        ];
      };
    };
  };

  # Functions that packages call themselves.
  byHand = {
    find-while-read = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        contents = [
          "Owned"
          "App"
          "Spaces"
          "ReadOnly"
        ];
        postFixup = ''
          find $out $lib -name '*.so*' | while read lib; do
              addDriverRunpath "$lib"
          done
        '';
      };
      ours = {
        paths."out/bin/app" = "L:S";
        paths."lib/lib/libowned.so" = "D";
        paths."out/lib/a module with spaces.so" = "D";
        paths."out/lib/readonly.so" = "D";
      };
      today = {
        paths."out/bin/app" = "L:S";
        paths."lib/lib/libowned.so" = "D:";
        paths."out/lib/readonly.so" = "D:S";
      };
    };
    globs = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        contents = [
          "Owned"
          "App"
          "Symlink"
          "Text"
        ];
        postFixup = ''
          addDriverRunpath $out/bin/*
          addDriverRunpath $out/lib/lib*.so $out/nothing/*
        '';
      };
      ours = app "D:L" 12;
      # The program and the symbolic link to it.
      today = app "D:D:L:S" 12;
    };
    globs-of-all-kinds = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        contents = [
          "Owned"
          "App"
          "Text"
          "Static"
          "StaticPie"
        ];
        postFixup = ''
          mkdir $out/bin/folder
          ln -s nowhere $out/bin/dangling
          ln -s folder $out/bin/link-to-folder
          addDriverRunpath $out/bin/*
        '';
      };
      ours = app "D:L" 12;
    };
    symlink-alone = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        contents = [
          "Owned"
          "App"
          "Symlink"
        ];
        postFixup = ''
          addDriverRunpath $out/bin/alias
          [[ -L $out/bin/alias ]]
        '';
      };
      ours = app "D:L" 12;
      today = app "D:L:S" 12;
    };
    is-elf-loop = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        contents = [
          "Owned"
          "App"
          "Text"
        ];
        postFixup = ''
          for program in $out/bin/*; do
              isELF "$program" || continue
              addDriverRunpath "$program"
          done
        '';
      };
      ours = app "D:L" 12;
      today = app "D:L:S" 12;
    };
    then-wrap = {
      use = h: {
        nativeBuildInputs = [
          h.addDriverRunpath
          pkgs.makeWrapper
        ];
        postFixup = ''
          addDriverRunpath $out/bin/app
          wrapProgram $out/bin/app
        '';
      };
      ours = {
        paths."out/bin/.app-wrapped" = "D:L";
        returns."out/bin/app" = 12;
      };
      today = {
        paths."out/bin/.app-wrapped" = "D:L:S";
        returns."out/bin/app" = 12;
      };
    };
    own-action = {
      use = h: {
        nativeBuildInputs = [ h.autoFixElfFiles ];
        preFixup = ''
          myOwnAction() { echo "action $1"; }
          postFixupHooks+=("autoFixElfFiles myOwnAction")
        '';
      };
      ours = app "L:S" 34 // {
        log = [
          "^action .*/bin/app$"
          "^action .*/lib/libowned\\.so$"
        ];
      };
      today = app "L:S" 34 // {
        log = [
          "^action .*/bin/app$"
          "^action .*/lib/libowned\\.so$"
        ];
      };
    };
    own-action-skips = {
      use = h: {
        nativeBuildInputs = [ h.autoFixElfFiles ];
        contents = [
          "Owned"
          "App"
          "Static"
          "Symlink"
          "Spaces"
          "Text"
        ];
        postFixup = ''
          myOwnAction() { echo "action $1"; }
          autoFixElfFiles myOwnAction
        '';
      };
      ours = {
        log = [ "^action .*/lib/a module with spaces\\.so$" ];
        noLog = [
          "^action .*/bin/static$"
          "^action .*/bin/script$"
          "^action .*/bin/alias$"
          "^action .*/read me.txt$"
        ];
      };
      today = {
        log = [ "^action .*/lib/a module with spaces\\.so$" ];
        noLog = [
          "^action .*/bin/static$"
          "^action .*/bin/script$"
          "^action .*/bin/alias$"
        ];
      };
    };
    own-action-changes-shell = {
      use = h: {
        nativeBuildInputs = [ h.autoFixElfFiles ];
        # Known actions by hand, one after the other, and an unknown one.
        postFixup = ''
          ours() { patchelf --set-rpath "/from/$(basename "$1")" "$1"; }
          autoFixElfFiles ours
        '';
      };
      ours.paths."out/bin/app" = "/from/app";
      today.paths."out/bin/app" = "/from/app";
    };
    known-action = {
      use = h: {
        nativeBuildInputs = [
          h.autoAddDriverRunpath
          h.autoAddCudaCompatRunpath
        ];
        dontUseAutoAddDriverRunpath = true;
        dontUseAutoAddCudaCompatRunpath = true;
        postFixup = ''
          autoFixElfFiles addDriverRunpath
          autoFixElfFiles addCudaCompatRunpath
        '';
      };
      ours = app "C:D:L" 11;
    };
    force-rpath = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        postFixup = ''
          addDriverRunpath --force-rpath $out/bin/app
          readelf -dW $out/bin/app | grep -q '(RPATH)'
        '';
      };
      ours = app "D:L" 12;
      today = app "D:L:S" 12;
    };
    unknown-option = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        postFixup = ''
          status=0
          addDriverRunpath --no-such-option $out/bin/app || status=$?
          [[ "$status" == 1 ]]
        '';
      };
      ours = app "L:S" 34 // {
        log = [ "--no-such-option" ];
      };
      today = app "L:S" 34 // {
        log = [ "--no-such-option" ];
      };
    };
    unknown-option-fails-build = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        postFixup = "addDriverRunpath --no-such-option $out/bin/app";
      };
      ours.fails = true;
      today.fails = true;
    };
    end-of-options = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        postFixup = ''
          cd $out/bin
          cp app ./--force-rpath
          addDriverRunpath -- --force-rpath app
          mv ./--force-rpath other
        '';
      };
      ours = app "D:L" 12 // {
        paths."out/bin/app" = "D:L";
        paths."out/bin/other" = "D:L";
      };
    };
    no-file = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        postFixup = ''
          addDriverRunpath
          addDriverRunpath --
          addDriverRunpath --force-rpath
        '';
      };
      ours = app "L:S" 34;
      today = app "L:S" 34;
    };
    not-elf = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        contents = [ "Text" ];
        postFixup = ''addDriverRunpath "$out/share/a folder/read me.txt" $out/bin/script && echo "it is fine"'';
        outputs = [ "out" ];
      };
      ours.log = [ "^it is fine$" ];
      today.log = [ "^it is fine$" ];
    };
    many-files = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        contents = [
          "Owned"
          "App"
          "Spaces"
          "Text"
        ];
        postFixup = ''addDriverRunpath $out/bin/script $out/bin/app "$out/lib/a module with spaces.so"'';
      };
      ours = app "D:L" 12 // {
        paths."out/bin/app" = "D:L";
        paths."out/lib/a module with spaces.so" = "D";
      };
    };
    broken-file-by-hand = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        contents = [ "Broken" ];
        outputs = [ "out" ];
        postFixup = "addDriverRunpath $out/lib/broken.so";
      };
      ours = {
        fails = true;
        log = [ "lib/broken\\.so" ];
      };
      today.fails = true;
    };
    in-the-build-folder = {
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        dontPatchELF = true;
        postInstall = ''
          cp $out/bin/app $NIX_BUILD_TOP/app
          addDriverRunpath $NIX_BUILD_TOP/app
          cp $NIX_BUILD_TOP/app $out/bin/copy
        '';
      };
      ours.paths."out/bin/copy" = "D:L";
      today = null;
    };
    compat-by-hand = {
      use = h: {
        nativeBuildInputs = [ h.autoAddCudaCompatRunpath ];
        dontUseAutoAddCudaCompatRunpath = true;
        postFixup = "addCudaCompatRunpath $out/bin/app";
      };
      ours = app "C:L:S" 11;
    };
    compat-no-argument = {
      use = h: {
        nativeBuildInputs = [ h.autoAddCudaCompatRunpath ];
        postFixup = ''
          status=0
          addCudaCompatRunpath || status=$?
          [[ "$status" != 0 ]]
          status=0
          addCudaCompatRunpath "" || status=$?
          [[ "$status" != 0 ]]
          status=0
          addCudaCompatRunpath $out/bin/app $out/bin/app || status=$?
          [[ "$status" != 0 ]]
        '';
      };
      ours = app "C:L:S" 11;
      today = app "C:L:S" 11;
    };
    compat-no-argument-fails-build = {
      use = h: {
        nativeBuildInputs = [ h.autoAddCudaCompatRunpath ];
        postFixup = "addCudaCompatRunpath";
      };
      ours = {
        fails = true;
        log = [ "addCudaCompatRunpath" ];
      };
      today.fails = true;
    };
    compat-by-hand-beside-one-hook = {
      use = h: {
        # The second comes from where there is no cuda_compat.
        nativeBuildInputs = [
          h.autoAddCudaCompatRunpath
          h.withoutCompat.cudaRunpathHook
        ];
        postFixup = "addCudaCompatRunpath $out/bin/app";
      };
      ours = app "C:D:L" 11;
    };
    stubs-by-hand = {
      use = h: {
        nativeBuildInputs = [ h.removeStubsFromRunpathHook ];
        dontRemoveStubsFromRunpath = true;
        postFixup = "removeStubsFromRunpath $out/bin/app";
      };
      ours = app "L:D" 12;
    };
    order-by-hand = {
      use = h: {
        nativeBuildInputs = [ h.cudaRunpathFixupHook ];
        dontCudaRunpathFixHookOrder = true;
        runpath = "D:C:L";
        dontPatchELF = true;
        postFixup = "cudaRunpathFixup $out/bin/app";
      };
      ours = app "C:D:L" 11;
    };
    has-dynamic-section = {
      use = h: {
        nativeBuildInputs = [ h.autoFixElfFiles ];
        contents = [
          "Owned"
          "App"
          "Static"
          "Text"
        ];
        postFixup = ''
          elfHasDynamicSection $out/bin/app
          if elfHasDynamicSection $out/bin/static; then exit 1; fi
          if elfHasDynamicSection $out/bin/script; then exit 1; fi
        '';
      };
      ours = app "L:S" 34;
      today = app "L:S" 34;
    };
    functions-come-along = {
      use = h: {
        nativeBuildInputs = [ h.autoAddDriverRunpath ];
        dontUseAutoAddDriverRunpath = true;
        postFixup = ''
          declare -F addDriverRunpath autoFixElfFiles elfHasDynamicSection
          addDriverRunpath $out/bin/app
        '';
      };
      ours = app "D:L" 12;
      today = app "D:L:S" 12;
    };
  };

  # A derivation without phases.
  runCommandCases = {
    run-command = {
      command = true;
      use = h: {
        nativeBuildInputs = [ h.addDriverRunpath ];
        after = "addDriverRunpath $out/bin/*";
      };
      ours = app "D:L" 12;
      today = app "D:L:S" 12;
    };
    run-command-auto-unused = {
      command = true;
      use = h: {
        nativeBuildInputs = all h;
        after = "";
      };
      ours = app "L:S" 34;
      today = app "L:S" 34;
    };
  };
  # The hooks as the overlay brings them into nixpkgs.
  swapped =
    let
      inherit (pkgs.nixpkgs) extensible scoped;
    in
    {
      extensible = {
        use =
          _:
          native [
            extensible.autoAddDriverRunpath
            extensible.cudaPackages.autoAddCudaCompatRunpath
            extensible.cudaPackages.removeStubsFromRunpathHook
          ];
        ours = app "C:D:L" 11 // once;
      };
      scoped = {
        use =
          _:
          native [
            scoped.cudaPackages.autoAddDriverRunpath
            scoped.cudaPackages.autoAddCudaCompatRunpath
            scoped.cudaPackages.removeStubsFromRunpathHook
          ];
        ours = app "C:D:L" 11 // once;
      };
      one-hook = {
        use = _: native [ extensible.cudaPackages.cudaRunpathHook ];
        ours = app "C:D:L" 11 // once;
      };
      one-hook-without-cuda = {
        use = _: native [ extensible.cudaRunpathHook ];
        ours = app "D:L" 12 // once;
      };
    };
in
{
  groups = {
    inherit golden contract;
    hand = byHand // runCommandCases;
    overlay = swapped;
  };
}
