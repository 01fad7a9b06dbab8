#!/usr/bin/env bash
# Measures: `cuda-runpath slim` on a tree of CUDA libraries: `--output` beside `cp -a`, `--in-place --no-compact` beside the
#   same `cp -a`, in turn; peak anonymous memory with one thread; how many bytes of whole pages that go leave the files; and
#   that every library of this machine's architecture that could be dlopen'ed before can be after.
# Needs: Linux, bash, python3. No GPU. Room in TMPDIR for one copy of the tree.
# Run: benches/slim.sh TREE [ARCH]
#   TREE: such as the unpacked wheels of PyTorch with its CUDA libraries; ARCH: 9.0 by default.
#   Environment: see lib.sh. Exit code 1 when a figure is not reached.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
(($# >= 1)) || die 'usage: benches/slim.sh TREE [ARCH]'
tree=$1 arch=${2:-9.0}
copy=$work/copy

for ((run = 0; run < runs; run++)); do
    say "run $((run + 1)) of $runs"
    timed cp -- cp -a "$tree" "$copy"
    sync -f "$copy"
    timed in-place --ok 0,1 --stdout "$work/in-place.txt" -- \
        "$program" slim --arch "$arch" --in-place --no-compact -j "$jobs" "$copy"
    rm -rf "$copy"
    sync -f "$work"
    timed output --ok 0,1 --stdout "$work/output.txt" -- \
        "$program" slim --arch "$arch" -j "$jobs" --output "$copy" "$tree"
    ((run == runs - 1)) || rm -rf "$copy"
    sync -f "$work"
done
"$program" slim --arch "$arch" --dry-run --json --no-compact "$tree" >"$work/level-1.json" || (($? == 1))
"$program" slim --arch "$arch" --dry-run --json "$tree" >"$work/level-2.json" || (($? == 1))
traced memory --ok 0,1 --stdout /dev/null -- "$program" slim --arch "$arch" --dry-run -j 1 "$tree"

header "slim --arch $arch, ${tree##*/}" wall 'times cp -a' anonymous ''
row 'cp -a' cp/wall/time =- =- =-
verdict "$(value output/wall) <= 1.0 * $(value cp/wall)"
row 'slim --output' output/wall/time output/wall/ratio/cp =- "$answer"
verdict "$(value in-place/wall) <= 0.25 * $(value cp/wall)"
row 'slim --in-place --no-compact' in-place/wall/time in-place/wall/ratio/cp =- "$answer"
verdict "$(value memory/anonymous) <= 64 * 1048576"
row 'slim --dry-run, one thread' =- =- memory/anonymous/bytes "$answer"

python3 - "$work/level-1.json" "$work/level-2.json" "$tree" "$copy" <<'PY' || failed=1
import ctypes, json, os, subprocess, sys
one, two = (json.load(open(path)) for path in sys.argv[1:3])
tree, copy = sys.argv[3:]
sums = two["summary"]
gone = sums["length"]["before"] - sums["length"]["after"]
print(f"\nGPU code {sums['code']['before'] >> 20} -> {sums['code']['after'] >> 20} MiB, files with it "
      f"{sums['length']['before'] >> 20} -> {sums['length']['after'] >> 20} MiB: {gone / 2**30:.3f} GiB shorter")
dead = sum(f["code"]["before"] - f["code"]["after"] for f in one["files"] if f["outcome"].endswith("slim"))
print(f"{dead >> 20} MiB of code go, {gone / max(dead, 1):.3f} of that leave the files")
load = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
folders = sorted({os.path.dirname(os.path.join(at, f)) for at, _, files in os.walk(tree) for f in files if ".so" in f})
def loads(root, path):
    environment = dict(os.environ, LD_LIBRARY_PATH=":".join(f.replace(tree, root, 1) for f in folders))
    return subprocess.run([sys.executable, "-c", load, path], env=environment, capture_output=True).returncode == 0
before = after = 0
for file in two["files"]:
    if not file["outcome"].endswith("slim") or ".so" not in file["path"]:
        continue
    if loads(tree, file["path"]):
        before += 1
        after += loads(copy, file["path"].replace(tree, copy, 1))
print(f"{before} libraries that were slimmed could be loaded before, {after} of them can be after")
sys.exit(before != after)
PY
exit "$failed"
