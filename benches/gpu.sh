#!/usr/bin/env bash
# Shows on a real GPU: which libcuda a tree of PyTorch and NVIDIA libraries loads before and after `cuda-runpath fix`, what
#   CUDA says then, and that `check` says so before the run. LD_LIBRARY_PATH is unset and the loader's cache is hidden (in a
#   mount namespace), as on NixOS: nothing but the search paths of the files leads to the driver.
# Needs: Linux as root, bash, unshare (util-linux), python3 (for the JSON), an NVIDIA GPU with its driver, a Python with
#   torch; cuda_compat and nvcc for the parts that say so. Room in TMPDIR for a copy of the tree.
# Run: benches/gpu.sh PYTHON DRIVER [COMPAT [CUDA]]
#   PYTHON: an interpreter that has torch; DRIVER: the folder of the driver's libcuda.so.1; COMPAT: cuda_compat's folder;
#   CUDA: the toolkit's folder, with bin/nvcc and lib64/stubs. Environment: CUDA_RUNPATH (see lib.sh), TMPDIR.
#   Exit code 1 when something is not as predicted.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
(($# >= 2)) || die 'usage: benches/gpu.sh PYTHON DRIVER [COMPAT [CUDA]]'
python=$1 driver=$(realpath "$2") compat=${3:-} cuda=${4:-}
need unshare nvidia-smi
link=/run/opengl-driver/lib
tree=$work/tree

# hidden COMMAND...: without LD_LIBRARY_PATH and without the loader's cache, the driver's folder at its place on NixOS.
if unshare --mount true 2>/dev/null; then
    hidden() {
        # shellcheck disable=SC2016 # that shell expands it
        unshare --mount --propagation private bash -c '
            mount --bind "$1/no-cache" /etc/ld.so.cache
            # Where the driver is installed into a default directory, that is hidden too.
            for directory in /lib /lib64 /usr/lib /usr/lib64 /usr/lib/*-linux-gnu; do
                [[ -e $directory/libcuda.so.1 ]] || continue
                mkdir -p "$1/overlay"
                mount -t tmpfs none "$1/overlay"
                mkdir "$1/overlay/upper" "$1/overlay/work"
                mount -t overlay -o "lowerdir=$(realpath "$directory"),upperdir=$1/overlay/upper,workdir=$1/overlay/work" \
                    none "$(realpath "$directory")"
                rm -f "$directory"/libcuda.so*
            done
            mkdir -p /run/opengl-driver
            mount -t tmpfs none /run/opengl-driver
            ln -s "$2" /run/opengl-driver/lib
            shift 2
            exec env -u LD_LIBRARY_PATH -u LD_PRELOAD "$@"' hidden "$work" "$driver" "$@"
    }
else
    # In a container that may not mount: the same done to the container itself, and taken back at the end.
    [[ ! -e $link ]] || die "$link is there already, and nothing can be mounted over it"
    say 'no mount namespace: /etc/ld.so.cache is moved away until the end'
    trap 'mv /etc/ld.so.cache.away /etc/ld.so.cache; rm -rf "$link" "$work"' EXIT
    mkdir -p "${link%/*}"
    ln -s "$driver" "$link"
    mv /etc/ld.so.cache /etc/ld.so.cache.away
    hidden() { env -u LD_LIBRARY_PATH -u LD_PRELOAD "$@"; }
fi
: >"$work/no-cache"

# observe NAME COMMAND...: NAME.json is what it prints, NAME.loads are the objects that libcuda was loaded for.
observe() {
    local name=$1
    shift
    hidden env LD_DEBUG=files LD_DEBUG_OUTPUT="$work/$name.debug" "$@" >"$work/$name.json" 2>"$work/$name.stderr" || true
    cat "$work/$name.debug".* 2>/dev/null |
        sed -En 's/.*file=libcuda\.so\.1 \[0\];  (dynamically loaded|needed) by (.*) \[0\]$/\2/p' | sort -u >"$work/$name.loads"
    rm -f "$work/$name.debug".*
}
torch() { observe "$1" env PYTHONPATH="$tree" "$python" "$here/gpu.py" "${@:2}"; }

# predict NAME ARGUMENT...: what check says of the tree, without running anything of it.
predict() {
    hidden "$program" check --json --fail-on never "${@:2}" "$tree" >"$work/$1.check"
}

# line TITLE NAME WANTED: one row, and whether the outcome is WANTED (a regular expression) and as it was predicted.
line() {
    python3 - "$work" "$1" "$2" "$3" "$tree" "$driver" <<'PY' || failed=1
import json, os, re, sys
work, title, name, wanted, tree, driver = sys.argv[1:]
# The link to the driver is there for what runs hidden only.
real_path = lambda path: os.path.realpath(path.replace("/run/opengl-driver/lib", driver, 1))
read = lambda end: open(f"{work}/{name}{end}").read()
try:
    seen = json.loads(read(".json").strip().splitlines()[-1])
except (ValueError, IndexError):
    seen = {"error": (read(".stderr").strip().splitlines() or ["nothing printed"])[-1], "libcuda": []}
outcome = seen.get("error") or f"product {seen['product']}"
mapped = " ".join(seen["libcuda"]) or "none"
loaders = read(".loads").split("\n")[:-1]
said, agree = set(), True
if os.path.exists(f"{work}/{name}.check"):
    check = json.loads(read(".check"))
    objects = {os.path.realpath(o["path"]): o for o in check["objects"]}
    for loader in loaders:
        for request in objects.get(os.path.realpath(loader), {}).get("requests", []):
            if request["soname"] == "libcuda.so.1":
                place = request.get("place")
                said.add(f"{request['verdict']}: {place or 'nowhere'}")
                real = {real_path(place)} if place else set()
                agree &= real == {os.path.realpath(m) for m in seen["libcuda"]}
    agree &= bool(said) == bool(loaders)
    codes = sorted({f["code"] for f in check["findings"] if f["severity"] == "error" or f["code"] in ("CRP402",)})
    said = ", ".join(sorted(said)) + (" (" + " ".join(codes) + ")" if codes else "")
else:
    said = "-"
good = bool(re.search(wanted, f"{outcome} | {mapped}")) and agree
short = lambda text: text.replace(tree, "TREE").replace(work, "WORK")
print(f"| {title} | {short(said)} | {short(mapped)} | {short(outcome)} | {'pass' if good else '**FAIL**'} |")
for library, state in seen.get("libraries", {}).items():
    print(f"| - {library} |  |  | {state} | {'pass' if state == 'right' else '**FAIL**'} |")
    good &= state == "right"
sys.exit(not good)
PY
}

site=$("$python" -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))')
say "copying $site"
mkdir -p "$tree"
cp -a --reflink=auto "$site/." "$tree/"
gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)
say "$gpu"
header "torch, no LD_LIBRARY_PATH, no ld.so.cache, $gpu" 'check says (before)' 'libcuda mapped' 'what CUDA says' 'as predicted'

torch untouched
predict untouched
line 'as it was installed' untouched 'none$'

"$program" fix --in-place -q "$tree"
predict driver
torch driver all
line "(a) fix" driver "product.*($driver|$link)/"

stubs=''
[[ -z $cuda ]] || stubs=$cuda/lib64/stubs
if [[ -n $stubs && -e $stubs/libcuda.so ]]; then
    # A folder whose name does not tell that it holds a stub, in front of everything, in all that ask for libcuda.
    mkdir -p "$work/planted"
    cp "$(realpath "$stubs/libcuda.so")" "$work/planted/libcuda.so.1"
    "$program" fix --in-place -q --only-consumers --driver "$work/planted" "$tree"
    predict stub
    torch stub
    line '(c) a stub planted in front' stub 'planted'
    "$program" fix --in-place -q --stub "$work/planted" "$tree"
    predict unstub
    torch unstub
    line '(c) fix --stub' unstub "product.*($driver|$link)/"
fi

if [[ -n $compat ]]; then
    "$program" fix --in-place -q --compat "$compat" "$tree"
    predict compat --compat "$compat" --host-driver "${gpu##*, }"
    torch compat
    line '(b) fix --compat' compat "$(realpath "$compat")/"
    "$program" fix --in-place -q --compat "$compat" --drop-compat "$tree"
    predict dropped --compat "$compat" --host-driver "${gpu##*, }"
    torch dropped
    line '(b) fix --drop-compat' dropped "product.*($driver|$link)/"
fi

if [[ -n $cuda && -x $cuda/bin/nvcc && -n $stubs ]]; then
    cat >"$work/program.cu" <<'CU'
#include <cuda.h>
#include <cstdio>
#include <cstring>
__global__ void add(int *x) { *x += 2; }
int main() {
    int version = 0, value = 40, *device = nullptr;
    CUresult started = cuInit(0);
    cuDriverGetVersion(&version);
    cudaMalloc(&device, sizeof value);
    cudaMemcpy(device, &value, sizeof value, cudaMemcpyDefault);
    add<<<1, 1>>>(device);
    cudaError_t ended = cudaMemcpy(&value, device, sizeof value, cudaMemcpyDefault);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096], path[4096] = "";
    while (fgets(line, sizeof line, maps)) {
        const char *slash = strchr(line, '/');
        if (slash && strstr(slash, "libcuda.so"))
            sscanf(slash, "%4095s", path);
    }
    if (started == CUDA_SUCCESS && ended == cudaSuccess)
        printf("{\"product\": %d, \"libcuda\": [\"%s\"]}\n", value, path);
    else
        printf("{\"error\": \"cuInit %d, %s\", \"libcuda\": [\"%s\"]}\n", started, cudaGetErrorString(ended), path);
}
CU
    mkdir -p "$work/link/stubs"
    cp "$(realpath "$stubs/libcuda.so")" "$work/link/stubs/libcuda.so.1"
    tree=$work/program
    mkdir -p "$tree"
    "$cuda/bin/nvcc" -Wno-deprecated-gpu-targets -o "$tree/program" "$work/program.cu" -L "$stubs" -lcuda \
        -Xlinker -rpath,"$work/link/stubs"
    predict linked
    observe linked "$tree/program"
    line '(e) program of nvcc, a stub in its RUNPATH' linked 'cuInit 34'
    "$program" fix --in-place -q "$tree"
    predict relinked
    observe relinked "$tree/program"
    line '(e) the same after fix' relinked "product.*($driver|$link)/"
fi

printf '\ndoctor:\n\n'
hidden "$program" doctor ${compat:+--compat "$compat"} || true
exit "$failed"
