"""What a process loads, and what CUDA says: gpu.sh runs it with a copy of a tree of PyTorch in PYTHONPATH.

Prints one JSON object: where torch is from, which libcuda is mapped, and the product of two matrices or the first line of
the error; with the argument "all" also one small job for each CUDA library that torch uses.
"""

import json
import os
import re
import sys


def jobs(torch):
    """Each library by name, and whether what it says is right."""
    ones = lambda *shape: torch.ones(*shape, device="cuda")

    def like_cpu(work, *shape):
        x = torch.randn(*shape, dtype=torch.float64)
        return torch.allclose(work(x.cuda()).cpu(), work(x), atol=1e-8)

    def positive(x):
        return x @ x.mT + 50 * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)

    def all_reduce():
        import torch.distributed as distributed

        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
        distributed.init_process_group("nccl", rank=0, world_size=1)
        x = ones(4)
        distributed.all_reduce(x)
        distributed.destroy_process_group()
        return x.sum().item() == 4

    return {
        "cuBLAS": lambda: like_cpu(lambda x: x @ x, 50, 50),
        "cuBLASLt": lambda: torch.nn.functional.linear(ones(8, 8).half(), ones(8, 8).half(), ones(8).half()).sum() == 576,
        "cuDNN": lambda: torch.backends.cudnn.is_available()
        and (torch.nn.functional.conv2d(ones(1, 1, 8, 8), ones(1, 1, 3, 3)) == 9).all().item(),
        "cuFFT": lambda: like_cpu(lambda x: torch.fft.fft(x).real, 64),
        "cuSOLVER": lambda: like_cpu(lambda x: torch.linalg.cholesky(positive(x)), 20, 20),
        "cuSPARSE": lambda: like_cpu(lambda x: x.to_sparse_csr() @ x, 20, 20),
        "cuRAND": lambda: 0.4 < torch.rand(10000, device="cuda").mean().item() < 0.6,
        "NCCL": all_reduce,
    }


def first_line(error):
    return re.sub(r"\s+", " ", (str(error).splitlines() or [type(error).__name__])[0])[:200]


def outcome(job):
    try:
        return "right" if job() else "wrong"
    except Exception as error:
        return first_line(error)


result = {}
try:
    import torch

    result["torch"] = os.path.dirname(torch.__file__)
    result["version"] = torch.__version__
    a = torch.arange(4.0, device="cuda").reshape(2, 2)
    result["product"] = (a @ a).tolist()
    if "all" in sys.argv:
        result["libraries"] = {name: outcome(job) for name, job in jobs(torch).items()}
except Exception as error:
    result["error"] = first_line(error)
with open("/proc/self/maps") as maps:
    result["libcuda"] = sorted({line.split()[-1] for line in maps if re.search(r"/libcuda\.so", line)})
print(json.dumps(result))
