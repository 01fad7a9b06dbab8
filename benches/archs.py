#!/usr/bin/env python3
"""Compares `cuda-runpath archs` with NVIDIA's cuobjdump on real libraries, and measures how long it takes.

For every library below DIR with GPU code: what cuobjdump lists (`--list-elf -all`, `--list-ptx -all`: the sections
.nv_fatbin and __nv_relfatbin) and what `archs` finds there, by kind and architecture; what `archs` finds in sections that
cuobjdump does not read is told apart. cuobjdump prints sm_100f as sm_100.

Needs: Python 3, cuobjdump (PyPI: nvidia-cuda-cuobjdump), the libraries (PyPI: nvidia-cublas-cu12 and the like).
Run: benches/archs.py CUOBJDUMP DIR...     CUDA_RUNPATH: the program (default: target/release/cuda-runpath).
Prints a Markdown table; exit code 1 when something differs.
"""

import collections
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

PROGRAM = os.environ.get("CUDA_RUNPATH") or pathlib.Path(__file__).parent.parent / "target/release/cuda-runpath"
SEEN_BY_BOTH = (".nv_fatbin", "__nv_relfatbin")


def archs(library):
    """Counts by section, then by kind and architecture; all bytes; milliseconds (the median of five)."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run = subprocess.run([PROGRAM, "archs", "--json", library], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    sections = collections.defaultdict(collections.Counter)
    size = 0
    for file in json.loads(run.stdout)["files"]:
        for row in file["code"]:
            if row["form"] != "container":
                continue
            architecture = row["architecture"].split("_")[1].rstrip("f").removesuffix("(a)")
            sections[row["section"]][row["kind"], architecture] += row["count"]
            size += row["bytes"]
    return sections, size, statistics.median(times) * 1000


def cuobjdump(tool, library):
    """Counts by kind and architecture."""
    listed = collections.Counter()
    for option, kind in (("--list-elf", "cubin"), ("--list-ptx", "ptx")):
        run = subprocess.run([tool, option, "-all", library], capture_output=True, text=True)
        for architecture in re.findall(r"\.sm_(\d+a?)f?\.", run.stdout):
            listed[kind, architecture] += 1
    return listed


def main():
    tool, *folders = sys.argv[1:]
    libraries = sorted(path for folder in folders for path in pathlib.Path(folder).rglob("*.so*") if path.is_file())
    print("| library | MB | architectures | entries | bytes | cuobjdump | agrees | sections it does not read | ms |")
    print("|---|---:|---|---:|---:|---:|---|---|---:|")
    differs = False
    for library in libraries:
        sections, size, taken = archs(library)
        if not sections:
            continue
        both = sum((sections[name] for name in SEEN_BY_BOTH if name in sections), collections.Counter())
        both = {key: count for key, count in both.items() if key[0] != "lto-ir"}
        other = {name: sum(rows.values()) for name, rows in sections.items() if name not in SEEN_BY_BOTH}
        listed = cuobjdump(tool, library)
        agrees = both == dict(listed)
        differs |= not agrees
        everything = sum(sections.values(), collections.Counter())
        of_kind = lambda kind: sorted({a for k, a in everything if k == kind}, key=lambda a: int(a.rstrip("a")))
        kinds = "; ".join(f"{kind} {' '.join(of_kind(kind))}" for kind in ("cubin", "ptx", "lto-ir") if of_kind(kind))
        print(
            f"| {library.name} | {library.stat().st_size / 1e6:.0f} | {kinds} | {sum(everything.values())} | {size} "
            f"| {sum(listed.values())} | {'yes' if agrees else '**no**'} "
            f"| {', '.join(f'{name} {count}' for name, count in other.items())} | {taken:.0f} |"
        )
    return differs


sys.exit(main())
