#!/usr/bin/env python3
"""Counts who asks for a driver library in trees, by how that is known, and lists each (file, name) pair for a look by hand.

Needs: Python 3.9 or newer; a release build, or the program in CUDA_RUNPATH.

    requests.py TREE...          one Markdown row for each tree, then every pair that is not DT_NEEDED or a note

Packages of a distribution need not be installed: `apt-get download` and `dpkg-deb -x` make a tree of them.
"""

import json
import os
import pathlib
import subprocess
import sys

KINDS = ("needed", "note", "string", "literal", "code", "built")


def main(trees):
    here = pathlib.Path(__file__).resolve().parent
    program = os.environ.get("CUDA_RUNPATH", here.parent / "target/release/cuda-runpath")
    pairs = []
    print("| tree | ELF objects | ask | " + " | ".join(KINDS) + " |")
    print("|---" + "|---:" * (len(KINDS) + 2) + "|")
    for tree in trees:
        run = subprocess.run([program, "show", "--json", "-v", tree], stdout=subprocess.PIPE, check=False)
        objects = [file for file in json.loads(run.stdout)["files"] if "driverLibraries" in file]
        del run
        counts = dict.fromkeys(KINDS, 0)
        asking = 0
        for entry in objects:
            requests = entry["driverLibraries"]
            asking += bool(requests)
            for request in requests:
                counts[request["kind"]] += 1
                pairs.append((request["kind"], entry["path"], request["soname"]))
        cells = [tree, len(objects), asking] + [counts[kind] for kind in KINDS]
        print("| " + " | ".join(map(str, cells)) + " |")
    print()
    for kind, path, soname in sorted(pairs):
        if kind not in ("needed", "note"):
            print(kind, path, soname)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
