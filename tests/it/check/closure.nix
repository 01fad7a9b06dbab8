# Closures for nix.rs: cuda_compat, a stub package and three consumers (linked, dlopen in a library, wrapped), with search
# paths in good and bad order, each as it is linked and as `fix` leaves it. Builds use the machine's compiler.
{
  # The program under test, and the machine's loader and libc: strings, which stay outside of the store.
  program,
  loader,
  libc,
}:

let
  driver = "/run/opengl-driver/lib";
  names = set: builtins.attrNames set;
  map' = f: set: builtins.listToAttrs (map (name: { inherit name; value = f name set.${name}; }) (names set));

  run =
    name: attributes: script:
    derivation (
      {
        inherit name;
        system = builtins.currentSystem;
        builder = "/bin/bash";
        args = [
          "-euc"
          ''
            export PATH=/usr/bin:/bin
            ${script}
          ''
        ];
      }
      // attributes
    );

  glibc = run "glibc-2.36" { } ''
    mkdir -p $out/lib
    cp -L ${loader} $out/lib/ld.so.1
    cp -L ${libc} $out/lib/libc.so.6
  '';

  # What cuInit returns tells which libcuda was loaded.
  libcuda = result: ''
    for number in {0..23}; do echo "int cuFunction$number(void) { return ${result}; }"; done >libcuda.c
    echo "int cuInit(unsigned flags) { (void)flags; return ${result}; }" >>libcuda.c
    gcc -O2 -shared -fPIC -nostdlib -Wl,-soname,libcuda.so.1 -Wl,-rpath,${driver} -o libcuda.so.1 libcuda.c
  '';

  compat = run "cuda12.8-cuda_compat-12.8.39" { } ''
    ${libcuda "22"}
    mkdir -p $out/compat
    cp libcuda.so.1 $out/compat/libcuda.so.1
  '';

  # The same store path, which nothing refers to.
  strayed = builtins.unsafeDiscardStringContext "${compat}/compat";

  stubs = run "cuda12.8-cuda_cudart-12.8.90-stubs" { } ''
    ${libcuda "34"}
    mkdir -p $out/lib/stubs
    cp libcuda.so.1 $out/lib/stubs/libcuda.so
    ln -s libcuda.so $out/lib/stubs/libcuda.so.1
  '';

  cudart = run "cuda12.8-cuda_cudart-12.8.90-lib" { } ''
    mkdir -p $out/lib
    echo "int cudaRuntime;" >cudart.c
    gcc -shared -fPIC -nostdlib -Wl,-soname,libcudart.so.12 -o $out/lib/libcudart.so.12.8.90 cudart.c
    ln -s libcudart.so.12.8.90 $out/lib/libcudart.so.12
  '';

  objects = run "objects" { } ''
    mkdir $out
    cd $out
    cat >linked.c <<SOURCE
    int cuInit(unsigned);
    int main(void) { return cuInit(0); }
    SOURCE
    cat >ask.c <<SOURCE
    #include <dlfcn.h>
    int ask(void) {
        void *library = dlopen("libcuda.so.1", RTLD_NOW);
        int (*start)(unsigned) = library ? (int (*)(unsigned))dlsym(library, "cuInit") : 0;
        return start ? start(0) : 100;
    }
    SOURCE
    echo "int ask(void); int main(void) { return ask(); }" >main.c
    for source in linked ask main; do gcc -O1 -fPIC -c $source.c; done
  '';

  consumers =
    {
      # Entries of every search path; of the library's where that is another one; and of the wrapper's variable.
      order,
      library ? order,
      hidden ? order,
      wrapper ? [ ],
    }:
    fixed:
    let
      path = entries: builtins.concatStringsSep ":" (entries ++ [ "${glibc}/lib" ]);
    in
    run "app"
      {
        outputs = [
          "out"
          "linked"
          "asks"
          "wrapped"
        ];
        # What a package refers to besides.
        inherit cudart;
      }
      ''
        link() { gcc -Wl,--dynamic-linker=${glibc}/lib/ld.so.1 -Wl,--enable-new-dtags "$@"; }
        mkdir -p $linked/bin $asks/bin $asks/lib $wrapped/bin $out
        link -o $linked/bin/linked -Wl,-rpath,${path order} ${objects}/linked.o -L${stubs}/lib/stubs -lcuda
        link -shared -Wl,-soname,libask.so -Wl,-rpath,${path library} -o $asks/lib/libask.so ${objects}/ask.o
        link -o $asks/bin/asks -Wl,-rpath,${path (order ++ [ "$asks/lib" ])} ${objects}/main.o -L$asks/lib -lask
        link -o $wrapped/bin/.app-wrapped -Wl,-rpath,${path hidden} ${objects}/main.o ${objects}/ask.o
        {
            echo "#! /bin/bash -e"
            for entry in ${toString wrapper}; do
                echo "LD_LIBRARY_PATH='$entry'\''${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
                echo "export LD_LIBRARY_PATH"
            done
            echo "exec $wrapped/bin/.app-wrapped \"\$@\""
        } >$wrapped/bin/app
        chmod +x $wrapped/bin/app
        echo "$linked $asks $wrapped $cudart" >$out/parts
        ${if fixed then "${program} fix --in-place -q --progress never --compat ${compat}/compat $linked $asks $wrapped" else ""}
      '';

  cases = {
    good.order = [
      "${compat}/compat"
      driver
    ];
    compat-after-driver.order = [
      driver
      "${compat}/compat"
    ];
    stub-first.order = [
      "${stubs}/lib/stubs"
      driver
    ];
    no-driver.order = [ ];
    # Two entries with nothing between them.
    empty-entry.order = [
      "${compat}/compat"
      driver
      ""
    ];
    program-only = {
      inherit (cases.good) order;
      library = [ ];
    };
    compat-missing.order = [ driver ];
    compat-strayed.order = [
      strayed
      driver
    ];
    wrapper-lends = {
      inherit (cases.good) order;
      hidden = [ ];
      # The last one comes to stand in front.
      wrapper = [
        driver
        "${compat}/compat"
      ];
    };
    wrapper-misleads = {
      inherit (cases.good) order;
      wrapper = [ "${stubs}/lib/stubs" ];
    };
  };

  # Every form in which Nix tells a closure.
  plain =
    root:
    run "graph"
      {
        exportReferencesGraph = [
          "graph"
          root
        ];
      }
      ''
        cp graph $out
      '';
  structured =
    graphs:
    run "attributes"
      {
        __structuredAttrs = true;
        exportReferencesGraph = graphs;
      }
      ''
        source "''${NIX_ATTRS_SH_FILE:-.attrs.sh}"
        cp "''${NIX_ATTRS_JSON_FILE:-.attrs.json}" "''${outputs[out]}"
      '';
  # As closureInfo of nixpkgs writes them.
  info =
    root:
    run "closure-info" { attributes = structured { closure = [ root ]; }; } ''
      mkdir $out
      /usr/bin/python3 - $attributes $out <<SCRIPT
      import json, sys
      closure = json.load(open(sys.argv[1]))["closure"]
      with open(sys.argv[2] + "/store-paths", "w") as file:
          file.writelines(entry["path"] + "\n" for entry in closure)
      with open(sys.argv[2] + "/registration", "w") as file:
          for entry in closure:
              fields = [entry["path"], entry["narHash"], entry["narSize"], "", len(entry["references"])]
              file.writelines(f"{field}\n" for field in fields + entry["references"])
      SCRIPT
    '';

  built = map' (_: case: consumers case false) cases;
  fixed = map' (_: case: consumers case true) cases;
  listed = built.stub-first;
  lines =
    kind: set: map (name: "${kind} ${name} ${set.${name}.out} ${set.${name}.linked} ${set.${name}.asks} ${set.${name}.wrapped}") (names set);
in
# One line for each closure and for each list: what it is, its name, its paths.
run "results"
  {
    text = builtins.concatStringsSep "\n" (
      lines "built" built
      ++ lines "fixed" fixed
      ++ [
        "list store-paths ${info listed}/store-paths"
        "list registration ${info listed}/registration"
        "list graph ${plain listed}"
        "list attributes ${structured { closure = [ listed ]; }}"
        "list several ${structured {
          closure = [ listed ];
          another = [ built.good ];
        }}"
      ]
    );
  }
  ''
    echo "$text" >$out
  ''
