# A release gate for images of dockerTools that Nix's own builders run: fails unless every object of the image gets the right
# libcuda on every host that is named.
#
#   checkImage {
#     image = dockerTools.buildLayeredImage { name = "app"; contents = [ myPackage ]; };
#     cdi = ./nvidia.yaml;
#   }
{
  lib,
  runCommand,
  cuda-runpath,
}:

{
  # buildImage's or buildLayeredImage's archive, or the script of streamLayeredImage.
  image,
  name ? "${image.name or "image"}-driver-check",
  # A host's spec of the Container Device Interface, or a list of them.
  cdi ? null,
  # Usual hosts in its place, such as [ "ubuntu" "nixos" ]; with neither, all that there are.
  hosts ? [ ],
  # Further arguments of `cuda-runpath check`.
  arguments ? [ ],
}:

runCommand name
  {
    nativeBuildInputs = [ cuda-runpath ];
    inherit image;
    arguments =
      lib.concatMap (spec: [
        "--cdi"
        "${spec}"
      ]) (if cdi == null then [ ] else if builtins.isList cdi then cdi else [ cdi ])
      ++ lib.optionals (hosts != [ ]) [
        "--container"
        (lib.concatStringsSep "," hosts)
      ]
      ++ arguments;
  }
  ''
    mkdir "$out"
    # A stream is a script that prints the archive.
    if [ -f "$image" ] && [ -x "$image" ]; then
      "$image" >image.tar
      image=image.tar
    fi
    status=0
    cuda-runpath check --progress never --color never $arguments "$image" >"$out/report" || status=$?
    cat "$out/report"
    exit "$status"
  ''
