# The functions that packages expect in lib, as far as the tests' expressions use them.
let
  inherit (builtins)
    attrNames
    concatLists
    filter
    foldl'
    isAttrs
    listToAttrs
    map
    split
    ;
  self = {
    inherit (builtins)
      attrNames
      attrValues
      concatLists
      concatMap
      concatStringsSep
      elem
      filter
      functionArgs
      head
      isFunction
      isString
      length
      map
      mapAttrs
      tail
      ;
    id = x: x;
    fix =
      f:
      let
        x = f x;
      in
      x;
    extends =
      more: make: final:
      let
        previous = make final;
      in
      previous // more final previous;
    imap0 = f: list: builtins.genList (index: f index (builtins.elemAt list index)) (builtins.length list);
    hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
    removePrefix =
      prefix: text:
      if self.hasPrefix prefix text then
        builtins.substring (builtins.stringLength prefix) (-1) text
      else
        text;
    cleanSourceWith =
      { src, filter }:
      builtins.path {
        path = src;
        inherit filter;
        name = "source";
      };
    any = builtins.any;
    all = builtins.all;
    optional = yes: x: if yes then [ x ] else [ ];
    optionals = yes: xs: if yes then xs else [ ];
    optionalString = yes: text: if yes then text else "";
    optionalAttrs = yes: set: if yes then set else { };
    genAttrs =
      names: f:
      listToAttrs (
        map (name: {
          inherit name;
          value = f name;
        }) names
      );
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    concatMapStringsSep = separator: f: list: builtins.concatStringsSep separator (map f list);
    concatStrings = builtins.concatStringsSep "";
    splitString = separator: text: filter builtins.isString (split (self.escapeRegex separator) text);
    escapeRegex = builtins.replaceStrings [ "." "+" "*" "?" "|" "(" ")" "[" "]" "^" "$" ] [
      "\\."
      "\\+"
      "\\*"
      "\\?"
      "\\|"
      "\\("
      "\\)"
      "\\["
      "\\]"
      "\\^"
      "\\$"
    ];
    escapeShellArg = text: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";
    escapeShellArgs = self.concatMapStringsSep " " self.escapeShellArg;
    isDerivation = x: isAttrs x && x.type or null == "derivation";
    getLib = x: x.lib or x;
    getBin = x: x.bin or x;
    getDev = x: x.dev or x;
    getExe = x: "${self.getBin x}/bin/${x.meta.mainProgram or x.pname or x.name}";
    getExe' = x: name: "${self.getBin x}/bin/${name}";
    makeLibraryPath = self.concatMapStringsSep ":" (x: "${self.getLib x}/lib");
    warn = message: builtins.trace "warning: ${message}";
    flatten = x: if builtins.isList x then concatLists (map self.flatten x) else [ x ];
    foldl' = foldl';
    importJSON = file: builtins.fromJSON (builtins.readFile file);
    recursiveUpdate =
      a: b:
      a
      // builtins.mapAttrs (
        name: value: if isAttrs (a.${name} or null) && isAttrs value then self.recursiveUpdate a.${name} value else value
      ) b;
    licenses.mit = {
      spdxId = "MIT";
    };
    maintainers = { };
    platforms.linux = [
      "x86_64-linux"
      "aarch64-linux"
      "i686-linux"
    ];
    sourceTypes.fromSource = { };
  };
in
self
