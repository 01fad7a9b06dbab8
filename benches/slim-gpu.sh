#!/usr/bin/env bash
# Shows on a real GPU: that PyTorch and all its CUDA libraries give the same bits before and after `cuda-runpath slim`, at
#   level 1, at level 2, in place, and after strip, patchelf and `cuda-runpath fix`; what the start, the mappings and the
#   memory of a process are then; and that cuobjdump lists the kept architectures only, at level 1 (it reads the first part
#   of a section). With a toolkit also a library of nvcc's own, in each way in which it writes fat binaries.
# Needs: Linux, bash, python3, an NVIDIA GPU with its driver, a Python with torch; strip and patchelf; cuobjdump and nvcc for
#   the parts that say so. Room in TMPDIR for two copies of the tree (11 GB).
# Run: benches/slim-gpu.sh PYTHON [CUDA]
#   PYTHON: an interpreter that has torch; CUDA: a toolkit's folder, with bin/nvcc and bin/cuobjdump.
#   Environment: ARCH, the GPU's compute capability (default: asked of nvidia-smi); RUNS, how often the jobs are repeated
#   before, to know which give the same bits at all (default 3); CUDA_RUNPATH (see lib.sh), TMPDIR.
#   Exit code 1 when a job gives other bits or another error.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
(($# >= 1)) || die 'usage: benches/slim-gpu.sh PYTHON [CUDA]'
need nvidia-smi strip patchelf
python=$1 cuda=${2:-}
arch=${ARCH:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1)}
runs=${RUNS:-3}
gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)
site=$("$python" -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))')
original=$work/original tree=$work/tree

say "copying $site"
mkdir -p "$original"
cp -a --reflink=auto "$site/." "$original/"

# jobs NAME TREE: NAME.json is what the jobs give with this tree. -S: no other torch is found.
jobs() {
    say "jobs: $1"
    PYTHONPATH=$2 PYTHONDONTWRITEBYTECODE=1 TORCHINDUCTOR_CACHE_DIR=$work/inductor-$1 TRITON_CACHE_DIR=$work/triton-$1 \
        "$python" -S "$here/slim_jobs.py" >"$work/$1.json" 2>"$work/$1.stderr" ||
        { tail -n 5 "$work/$1.stderr" >&2 && failed=1; }
}

# compared TITLE NAME: a row, and whether every job that always gave the same gives that.
compared() {
    python3 - "$work" "$1" "$2" "$runs" "$tree" <<'PY' || failed=1
import json, os, sys
work, title, name, runs, tree = sys.argv[1:]
read = lambda name: json.loads(open(f"{work}/{name}.json").read().strip().splitlines()[-1])
before = [read(f"before-{run}") for run in range(int(runs))]
now = read(name)
steady = {job for job in before[0]["jobs"] if len({run["jobs"][job] for run in before}) == 1}
other = sorted(job for job in steady if now["jobs"].get(job) != before[0]["jobs"][job])
errors = sum(bits.startswith("error") for bits in now["jobs"].values())
size = sum(os.lstat(os.path.join(at, file)).st_size for at, _, files in os.walk(tree) for file in files)
enough = len(steady) >= 130
good = not other and enough
print(f"| {title} | {len(now['jobs'])} | {len(steady)} | {len(other)} | {errors} | {now['ready']} s | {now['mappings']} |"
      f" {now['residentKiB'] >> 10} MiB | {size >> 20} MiB | {'pass' if good else '**FAIL**'} |")
for job in other:
    print(f"  {job}: {before[0]['jobs'][job]} -> {now['jobs'].get(job)}", file=sys.stderr)
sys.exit(not good)
PY
}

for ((run = 0; run < runs; run++)); do jobs "before-$run" "$original"; done
header "$gpu, slim --arch $arch" jobs 'same bits before' 'other bits' errors 'first job' mappings resident 'file length' ''
tree=$original
compared before before-0
tree=$work/tree

# again: a fresh copy; libraries: those with GPU code that were slimmed.
again() {
    rm -rf "$tree"
    cp -a --reflink=auto "$original" "$tree"
}
libraries() {
    "$program" archs --json "$tree" | python3 -c '
import json, sys
for file in json.load(sys.stdin)["files"]:
    if ".so" in file["path"]: print(file["path"])'
}

again
"$program" slim --arch "$arch" --no-compact -q "$tree" >&2 || (($? == 1))
jobs level-1 "$tree"
compared 'level 1' level-1

again
"$program" slim --arch "$arch" --no-compact --in-place -q "$tree" >&2 || (($? == 1))
jobs in-place "$tree"
compared 'level 1, in place' in-place

rm -rf "$tree"
"$program" slim --arch "$arch" --output "$tree" --json "$original" >"$work/slim.json" || (($? == 1))
jobs level-2 "$tree"
compared 'level 2, --output' level-2
"$program" slim --arch "$arch" --check -q "$tree" >&2 || failed=1

"$program" fix --in-place -q --driver /run/opengl-driver/lib "$tree" >&2
jobs fixed "$tree"
compared 'level 2, then fix' fixed

libraries | while IFS= read -r library; do strip --strip-debug "$library" 2>/dev/null || true; done
jobs stripped "$tree"
compared 'level 2, fix, then strip --strip-debug' stripped

libraries | while IFS= read -r library; do
    patchelf --add-rpath /nowhere/that/is/there "$library" 2>/dev/null || true
done
jobs patched "$tree"
compared 'level 2, fix, strip, then patchelf' patched

if [[ -x $cuda/bin/cuobjdump ]]; then
    printf '\narchitectures that cuobjdump lists (before, after):\n\n'
    listed() {
        "$cuda/bin/cuobjdump" --list-elf "$1" 2>/dev/null | sed -En 's/.*\.(sm_[0-9]+[af]?)\.cubin$/\1/p' | sort | uniq -c |
            tr -s '\n ' ' '
    }
    rm -rf "$tree"
    # It reads the first part of a section only: see docs/slim.md.
    "$program" slim --arch "$arch" --no-compact --output "$tree" -q "$original" >&2 || (($? == 1))
    libraries | while IFS= read -r library; do
        printf -- '- %s:%s ->%s\n' "${library##*/}" "$(listed "$original${library#"$tree"}")" "$(listed "$library")"
    done
fi

if [[ -x $cuda/bin/nvcc ]]; then
    cat >"$work/own.cu" <<'CU'
#include <cstdio>
__device__ int weight = 3;
__constant__ int table[4] = {1, 2, 3, 4};
template <int N> __global__ void work(int *x) { x[threadIdx.x] = x[threadIdx.x] * weight + table[threadIdx.x & 3] + N; }
extern "C" int answer() {
    int host[64], *device = nullptr, sum = 0;
    for (int i = 0; i < 64; i++) host[i] = i;
    cudaMalloc(&device, sizeof host);
    cudaMemcpy(device, host, sizeof host, cudaMemcpyDefault);
    work<1><<<1, 64>>>(device);
    work<7><<<1, 64>>>(device);
    cudaError_t ended = cudaMemcpy(host, device, sizeof host, cudaMemcpyDefault);
    for (int i = 0; i < 64; i++) sum = sum * 31 + host[i];
    if (ended != cudaSuccess) fprintf(stderr, "%s\n", cudaGetErrorString(ended));
    return ended == cudaSuccess ? sum : -1;
}
CU
    printf '\nlibraries of nvcc:\n\n'
    number=${arch//./}
    code=(-gencode "arch=compute_75,code=sm_75" -gencode "arch=compute_80,code=[sm_80,compute_80]"
        -gencode "arch=compute_$number,code=[sm_$number,compute_$number]")
    ask() { python3 -c 'import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).answer())' "$1" 2>&1 | tail -n 1; }
    for option in '' -G -lineinfo -rdc=true '-Xfatbin -compress-all' '-Xfatbin -no-compress' '--compress-mode=size' \
        '--compress-mode=speed' '--compress-mode=none' '-dlto -rdc=true'; do
        read -r -a options <<<"$option"
        own=$work/own.so
        "$cuda/bin/nvcc" -Wno-deprecated-gpu-targets "${options[@]}" "${code[@]}" -shared -Xcompiler -fPIC -o "$own" \
            "$work/own.cu" 2>/dev/null || { printf -- '- %s: nvcc does not take it\n' "${option:-no option}" && continue; }
        wanted=$(ask "$own")
        for mode in '' --no-compact '--in-place --no-compact'; do
            read -r -a how <<<"$mode"
            cp "$own" "$own.slim"
            "$program" slim --arch "$arch" -q "${how[@]}" "$own.slim" >&2 || (($? == 1))
            now=$(ask "$own.slim")
            [[ $now == "$wanted" && $now != -1 ]] || failed=1
            printf -- '- %s, slim %s: %s, %s\n' "${option:-no option}" "$mode" "$wanted" "$now"
        done
    done
fi
exit "$failed"
