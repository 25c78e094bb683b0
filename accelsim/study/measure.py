"""`accelsim.measure`: the same network timed on real hardware, here and now."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from accelsim.baseline.measured.cpu import Measurement, measure_cpu
from accelsim.baseline.measured.gpu import check_gpu, measure_gpu
from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import InputError
from accelsim.hardware.accelerator import accelerator
from accelsim.network.layers import Network
from accelsim.simulation.inputs import ActivationsLike
from accelsim.simulation.network import open_session


def measure(
    network: "str | Path | Network | CompressedNetwork",
    target: Literal["cpu", "gpu"] = "cpu",
    activations: ActivationsLike = None,
    *,
    batches: Sequence[int] = (1, 64),
    repetitions: int = 30,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Measurement:
    """Time every layer on this computer, with caches flushed and warm: see docs/measuring.md.

    cpu: dense BLAS, SciPy CSR, our codebook kernel, and torch dense and CSR where it is installed
    gpu: torch dense and CSR; raises InputError without torch or without a GPU
    A network that is not compressed yet is compressed first, with the default recipe, as in `simulate`.

    Raises InputError or one of its kinds.
    """
    if target not in ("cpu", "gpu"):
        raise InputError(f"measure: target '{target}' is not known: use cpu or gpu")
    if target == "gpu":
        check_gpu()
    session = open_session(network, activations, accelerator(), seed=seed)
    options: dict[str, Any] = {
        "activations": session.inputs.given,
        "batches": batches,
        "repetitions": repetitions,
        "progress": progress,
    }
    if target == "gpu":
        return measure_gpu(session.network, **options)
    return measure_cpu(session.network, with_torch=True, **options)
