"""A network's layers on an NVIDIA GPU: torch, dense and CSR, timed with the GPU's own events."""

from collections.abc import Mapping, Sequence

from accelsim.baseline.measured import torch_backend
from accelsim.baseline.measured.device import Device, this_device
from accelsim.baseline.measured.procedure import Progress, Rules, measure_network
from accelsim.baseline.measured.record import Measurement
from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import InputError
from accelsim.network.arrays import Float32


def measure_gpu(
    network: CompressedNetwork,
    *,
    activations: Mapping[str, Float32] | None = None,
    batches: Sequence[int] = (1,),
    repetitions: int = 30,
    budget_s: float = 5.0,
    progress: Progress | None = None,
    device: str = "cuda",
) -> Measurement:
    """Time ``weights @ inputs`` of every layer in float32 with torch, dense and CSR.

    Arguments and caches as in `measure_cpu`; the cache is the GPU's level 2, flushed by reading a buffer
    of four times its size. Weights and inputs are in the GPU's memory before the clock starts. Energy is
    the whole board's, by NVML, where nvidia-ml-py is installed and the driver tells.

    device: `cpu` runs the same code without a GPU
    Raises InputError without torch or a GPU, and as `measure_cpu`.
    """
    check_gpu(device)
    given = network.flow.check_activations(
        network.activations if activations is None else activations
    )
    described, cache_bytes = _describe(device)
    meter = torch_backend.gpu_meter() if device == "cuda" else None
    return measure_network(
        network,
        given,
        torch_backend.ways(device, cache_bytes, meter),
        described,
        Rules(batches, repetitions, budget_s),
        progress=progress,
    )


def check_gpu(device: str = "cuda") -> None:
    """Raise InputError, with a remedy, without torch or without a GPU that it can use."""
    if not torch_backend.installed():
        raise InputError(f"measure gpu: {torch_backend.REMEDY}")
    if device == "cuda" and not torch_backend.has_cuda():
        raise InputError(
            "measure gpu: torch finds no CUDA GPU: use a machine that has one, with its driver and a "
            "torch built for CUDA, or measure cpu"
        )


def _describe(device: str) -> tuple[Device, int]:
    """The computer with its GPU, and the bytes of the cache between products and memory."""
    computer = this_device()
    if device != "cuda":
        return computer, computer.cache_bytes
    gpu = torch_backend.cuda_gpu()
    return computer.model_copy(update={"gpu": gpu}), gpu.cache_bytes
