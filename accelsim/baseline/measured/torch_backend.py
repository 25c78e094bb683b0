"""torch as a way to multiply, on a CPU or a CUDA GPU: the same code for both. Imported when called."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np

from accelsim.baseline.measured.device import Gpu, flush_bytes
from accelsim.baseline.measured.kernels import Kernel, KernelMaker, Weights
from accelsim.baseline.measured.nvml import driver_version, nvml_meter
from accelsim.baseline.measured.procedure import Meter, Run, Way
from accelsim.network.arrays import Float32

GPU_WARM_UP_S = 0.2
REMEDY = "PyTorch is not installed: pip install 'accelsim[gpu]'"


def installed() -> bool:
    """Whether torch can be imported."""
    return find_spec("torch") is not None


def has_cuda() -> bool:
    """Whether torch finds a CUDA GPU."""
    import torch

    return bool(torch.cuda.is_available())


@contextmanager
def all_threads(cpus: int) -> Iterator[None]:
    """Let torch use that many threads, and as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(cpus)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ways(device: str, cache_bytes: int, meter: Meter | None) -> tuple[Way, ...]:
    """Both products of torch on `cpu` or `cuda`, measured by torch."""
    backend = TorchBackend(device, cache_bytes, meter)
    return tuple(Way(maker, backend) for maker in kernel_makers(device))


def gpu_meter() -> Meter | None:
    """The energy of the GPU that torch uses, where it can be read."""
    return nvml_meter(_uuid())


def kernel_makers(device: str) -> tuple[KernelMaker, KernelMaker]:
    """Dense and CSR products of torch on `cpu` or `cuda`."""

    def dense(weights: Weights, inputs: Float32) -> Kernel:
        matrix = _on(device, weights.dense)
        return _kernel("torch dense", device, matrix.nbytes, matrix, inputs)

    def csr(weights: Weights, inputs: Float32) -> Kernel:
        parts = [_on(device, part) for part in _csr_parts(weights)]
        size = sum(part.nbytes for part in parts)
        return _kernel("torch sparse CSR", device, size, _csr(parts, weights), inputs)

    return dense, csr


def _kernel(name: Any, device: str, weight_bytes: int, matrix: Any, inputs: Float32) -> Kernel:
    import torch

    vectors = _on(device, inputs)
    cuda = f" and CUDA {torch.version.cuda}" if device == "cuda" else ""
    return Kernel(
        name=name,
        package=f"torch {torch.__version__}{cuda}",
        threads="GPU" if device == "cuda" else f"torch may use {torch.get_num_threads()} threads",
        weight_bytes=weight_bytes,
        run=lambda: matrix @ vectors,
        read=lambda result: np.asarray(result.cpu()),
    )


def _csr_parts(weights: Weights) -> tuple[Any, Any, Any]:
    """Row pointers, column indices and values as SciPy has them; both indices are of one width."""
    matrix = weights.csr
    return matrix.indptr, matrix.indices, matrix.data


def _csr(parts: list[Any], weights: Weights) -> Any:
    import torch

    size = (weights.layer.n_out, weights.layer.n_in)
    with warnings.catch_warnings():  # "beta", each time; its results are checked against dense
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(*parts, size=size, check_invariants=False)


def _on(device: str, array: Any) -> Any:
    import torch

    return torch.from_numpy(array).to(device)


class TorchBackend:
    """What torch runs on, as `procedure.Backend`; on a GPU its events are the clock."""

    def __init__(self, device: str, cache_bytes: int, meter: Meter | None = None) -> None:
        import torch

        self._cuda = device == "cuda"
        self.flush_bytes = flush_bytes(cache_bytes)
        self.meter = meter
        self._buffer = torch.ones(math.ceil(self.flush_bytes / 4), device=device)

    def warm_up(self, run: Run) -> None:
        """Once; on a GPU until its clock, which drops while layers are made ready, is up again."""
        deadline = perf_counter() + (GPU_WARM_UP_S if self._cuda else 0)
        run()
        while perf_counter() < deadline:
            run()
        self.finish()

    def flush(self) -> None:
        """Read through the buffer: what was written would be written back during the sample."""
        self._buffer.sum()

    def sample_us(self, run: Run, loops: int) -> float:
        """Time per product of so many in a row.

        On a GPU a flush before it is still under way while the product is being launched, so that the
        time between the events is the GPU's alone.
        """
        return self._events_us(run, loops) if self._cuda else self._clock_us(run, loops)

    def _events_us(self, run: Run, loops: int) -> float:
        import torch

        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(loops):
            run()
        end.record()
        end.synchronize()
        return 1e3 * float(start.elapsed_time(end)) / loops

    def _clock_us(self, run: Run, loops: int) -> float:
        start = perf_counter_ns()
        for _ in range(loops):
            run()
        return (perf_counter_ns() - start) / 1e3 / loops

    def finish(self) -> None:
        """Wait for the GPU."""
        if self._cuda:
            import torch

            torch.cuda.synchronize()


def cuda_gpu() -> Gpu:
    """Describe the GPU that torch uses."""
    import torch

    facts = torch.cuda.get_device_properties(torch.cuda.current_device())
    return Gpu(
        name=facts.name,
        memory_bytes=facts.total_memory,
        cache_bytes=facts.L2_cache_size,
        driver=driver_version(),
        cuda=str(torch.version.cuda),
    )


def _uuid() -> str:
    """The GPU's own number, which the library that counts energy knows it by."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
