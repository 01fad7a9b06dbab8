"""Small jobs on all CUDA libraries that PyTorch has, each with a hash of the bits that it gives: slim-gpu.sh runs it with a
tree in PYTHONPATH before and after `cuda-runpath slim`, and compares.

Prints one JSON object: for each job a hash, or the first line of the error; how long the first one took; which files of
the tree are mapped, how many mappings there are, and what they take in memory.
"""

import hashlib
import itertools
import json
import os
import re
import sys
import time

os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
started = time.monotonic()
import torch  # noqa: E402

functional = torch.nn.functional
CUDA = "cuda"


def random(*shape, dtype=torch.float32):
    """The same in every run: made on the CPU."""
    generator = torch.Generator().manual_seed(hash(shape) & 0xFFFF)
    if dtype in (torch.int8, torch.int32, torch.int64):
        return torch.randint(-8, 8, shape, generator=generator, dtype=dtype).to(CUDA)
    real = torch.randn(*shape, generator=generator)
    return (torch.complex(real, real.flip(-1)) if dtype.is_complex else real).to(dtype).to(CUDA)


def positive(size, dtype):
    x = random(size, size, dtype=dtype)
    return x @ x.mH + size * torch.eye(size, dtype=dtype, device=CUDA)


def short(dtype):
    return str(dtype).removeprefix("torch.")


def matmuls():
    types = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128]
    for dtype, size in itertools.product(types, [16, 127, 1024]):
        yield f"mm {short(dtype)} {size}", lambda d=dtype, s=size: random(s, s, dtype=d) @ random(s, s, dtype=d)
    for dtype in types:
        yield f"bmm {short(dtype)}", lambda d=dtype: torch.bmm(random(7, 65, 33, dtype=d), random(7, 33, 80, dtype=d))
        yield f"mv {short(dtype)}", lambda d=dtype: random(300, 200, dtype=d) @ random(200, dtype=d)
    for dtype in types[:3]:
        arguments = lambda d: (random(64, 256, dtype=d), random(512, 256, dtype=d), random(512, dtype=d))
        yield f"linear {short(dtype)}", lambda d=dtype: functional.linear(*arguments(d))
        yield f"linear gelu {short(dtype)}", lambda d=dtype: functional.gelu(functional.linear(*arguments(d)))
    yield "int8 mm", lambda: torch._int_mm(random(64, 64, dtype=torch.int8), random(64, 64, dtype=torch.int8))

    def fp8():
        a, b = (random(64, 64).to(torch.float8_e4m3fn) for _ in range(2))
        one = torch.ones((), device=CUDA)
        return torch._scaled_mm(a, b.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)

    yield "fp8 mm", fp8


def convolutions():
    types = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
    for dtype, dimensions in itertools.product(types, [1, 2, 3]):
        convolve = getattr(functional, f"conv{dimensions}d")
        back = getattr(functional, f"conv_transpose{dimensions}d")
        data = lambda d=dtype, n=dimensions: random(2, 8, *([16] * n), dtype=d)
        weights = lambda d=dtype, n=dimensions: random(8, 8, *([3] * n), dtype=d)
        yield f"conv{dimensions}d {short(dtype)}", lambda c=convolve, x=data, w=weights: c(x(), w(), padding=1)
        yield f"conv_transpose{dimensions}d {short(dtype)}", lambda c=back, x=data, w=weights: c(x(), w())

        def gradient(c=convolve, x=data, w=weights):
            weight = w().requires_grad_()
            c(x(), weight).square().sum().backward()
            return weight.grad

        yield f"conv{dimensions}d backward {short(dtype)}", gradient
    for groups, stride in [(2, 1), (8, 1), (1, 2)]:
        arguments = {"groups": groups, "stride": stride}
        job = lambda a=arguments: functional.conv2d(random(2, 8, 32, 32), random(8, 8 // a["groups"], 5, 5), **a)
        yield f"conv2d groups {groups} stride {stride}", job
    yield "conv2d channels last", lambda: functional.conv2d(
        random(2, 64, 56, 56).half().to(memory_format=torch.channels_last), random(64, 64, 3, 3).half()
    )
    yield "batch norm", lambda: functional.batch_norm(random(4, 8, 9, 9), None, None, training=True)
    yield "layer norm", lambda: functional.layer_norm(random(4, 300), (300,))
    yield "pool", lambda: functional.max_pool2d(random(2, 8, 32, 32), 3)


def networks():
    for kind, dtype in itertools.product(["RNN", "GRU", "LSTM"], [torch.float16, torch.float32]):

        def recurrent(kind=kind, dtype=dtype):
            torch.manual_seed(1)
            net = getattr(torch.nn, kind)(16, 32, 2, bidirectional=True).to(CUDA, dtype)
            return net(random(5, 3, 16, dtype=dtype))[0]

        yield f"{kind} {short(dtype)}", recurrent
    from torch.nn.attention import SDPBackend, sdpa_kernel

    backends = ["FLASH_ATTENTION", "EFFICIENT_ATTENTION", "MATH", "CUDNN_ATTENTION"]
    for backend, causal, size in itertools.product(backends, [False, True], [64, 128]):

        def attend(backend=backend, causal=causal, size=size):
            query, key, value = (random(2, 4, 100, size + 0 * n, dtype=torch.float16) for n in range(3))
            with sdpa_kernel([getattr(SDPBackend, backend)]):
                return functional.scaled_dot_product_attention(query, key, value, is_causal=causal)

        yield f"attention {backend} {causal} {size}", attend


def transforms():
    for name, dtype in itertools.product(["fft", "ifft", "fft2", "fftn", "rfft", "irfft", "hfft"], ["complex64", "complex128"]):

        def transform(name=name, dtype=getattr(torch, dtype)):
            data = random(6, 60, 60, dtype=dtype)
            return getattr(torch.fft, name)(data.real if name == "rfft" else data)

        yield f"{name} {dtype}", transform
    for length in [8, 97, 1000, 4096, 65536, 1009]:
        yield f"fft of {length}", lambda n=length: torch.fft.fft(random(2, n))


def algebra():
    solvers = {
        "cholesky": torch.linalg.cholesky,
        "qr": torch.linalg.qr,
        "svd": torch.linalg.svdvals,
        "eigh": torch.linalg.eigvalsh,
        "lu": torch.linalg.lu_factor,
        "inv": torch.linalg.inv,
        "det": torch.linalg.slogdet,
        "lstsq": lambda a: torch.linalg.lstsq(a, a).solution,
        "solve": lambda a: torch.linalg.solve(a, a),
        "pinv": torch.linalg.pinv,
    }
    for (name, solve), dtype in itertools.product(solvers.items(), [torch.float32, torch.float64, torch.complex128]):
        yield f"{name} {short(dtype)}", lambda s=solve, d=dtype: s(positive(40, d))
    for name in ["cholesky", "inv", "svd"]:
        yield f"{name} batch", lambda s=solvers[name]: s(positive(20, torch.float32).repeat(9, 1, 1))


def sparse():
    for layout, dtype in itertools.product(["csr", "coo", "bsr"], [torch.float32, torch.float64, torch.float16]):

        def multiply(layout=layout, dtype=dtype):
            dense = random(64, 64, dtype=dtype)
            dense = dense * (dense.abs() > 1)
            made = {"csr": dense.to_sparse_csr, "coo": dense.to_sparse, "bsr": lambda: dense.to_sparse_bsr((8, 8))}
            return made[layout]() @ random(64, 32, dtype=dtype)

        yield f"sparse {layout} {short(dtype)}", multiply

    def triangular():
        upper = positive(30, torch.float64).triu().to_sparse_csr()
        return torch.triangular_solve(random(30, 3, dtype=torch.float64), upper).solution

    yield "sparse triangular", triangular

    def structured():
        from torch.sparse import to_sparse_semi_structured

        mask = torch.tensor([0, 0, 1, 1], device=CUDA).tile((128, 32)).bool()
        return to_sparse_semi_structured(random(128, 128).half() * mask) @ random(128, 128).half()

    yield "cuSPARSELt", structured


def others():
    yield "rand", lambda: torch.cuda.manual_seed(3) or torch.rand(1000, device=CUDA)
    yield "randn", lambda: torch.cuda.manual_seed(3) or torch.randn(1000, device=CUDA)
    yield "sort", lambda: random(100000).sort().values
    yield "topk", lambda: random(100000).topk(100).values
    yield "cumsum", lambda: random(100000, dtype=torch.int64).cumsum(0)
    yield "unique", lambda: random(100000, dtype=torch.int64).unique()
    yield "embedding", lambda: functional.embedding(random(50, dtype=torch.int64).abs(), random(16, 64))
    yield "softmax", lambda: random(64, 1000).softmax(-1)
    yield "jiterator (NVRTC)", lambda: torch.cuda.jiterator._create_jit_fn(
        "template <typename T> T f(T x) { return x * x + 1; }"
    )(random(1000))
    yield "special (NVRTC)", lambda: torch.special.airy_ai(random(1000))
    yield "torch.compile (Triton)", lambda: torch.compile(lambda x: (x.sin() * 2 + x).softmax(-1))(random(64, 512))

    def reduce():
        import torch.distributed as distributed

        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
        distributed.init_process_group("nccl", rank=0, world_size=1)
        for dtype in [torch.float16, torch.float32, torch.int64]:
            x = random(1000, dtype=dtype)
            distributed.all_reduce(x)
        distributed.destroy_process_group()
        return x

    yield "NCCL", reduce


def bits(result):
    if isinstance(result, (tuple, list)) or hasattr(result, "_fields"):
        return b"".join(bits(part) for part in result)
    if result.layout != torch.strided:
        result = result.to_dense()
    return result.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()


def outcome(job):
    try:
        return hashlib.sha256(bits(job())).hexdigest()[:16]
    except Exception as error:
        return "error: " + re.sub(r"\s+", " ", (str(error).splitlines() or [type(error).__name__])[0])[:200]


torch.use_deterministic_algorithms(True, warn_only=True)
torch.backends.cudnn.benchmark = False
torch.backends.cudnn.deterministic = True
first = torch.ones(2, 2, device=CUDA) @ torch.ones(2, 2, device=CUDA)
assert first.sum().item() == 8
ready = time.monotonic() - started
families = [matmuls, convolutions, networks, transforms, algebra, sparse, others]
done = {name: outcome(job) for family in families for name, job in family()}
with open("/proc/self/maps") as maps:
    lines = maps.read().splitlines()
with open("/proc/self/smaps_rollup") as rollup:
    resident = {line.split()[0].rstrip(":"): int(line.split()[1]) for line in rollup if line.endswith("kB\n")}
print(
    json.dumps(
        {
            "jobs": done,
            "ready": round(ready, 3),
            "mappings": len(lines),
            "residentKiB": resident.get("Rss", 0),
            "gpuMiB": torch.cuda.mem_get_info()[1] - torch.cuda.mem_get_info()[0] >> 20,
            "torch": torch.__version__,
            "from": os.path.dirname(torch.__file__),
        }
    )
)
if len(sys.argv) > 1:
    sys.exit(f"no arguments are known, {sys.argv[1]!r} neither")
