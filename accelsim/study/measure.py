"""`accelsim.measure`: the same network timed on real hardware, here and now."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from accelsim.baseline.measured_cpu import Measurement, measure_cpu
from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import InputError
from accelsim.hardware.accelerator import accelerator
from accelsim.network.layers import Network
from accelsim.simulation.inputs import ActivationsLike
from accelsim.simulation.network import open_session


def measure(
    network: "str | Path | Network | CompressedNetwork",
    target: Literal["cpu"] = "cpu",
    activations: ActivationsLike = None,
    *,
    repetitions: int = 30,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Measurement:
    """Time every layer on this computer: dense BLAS and SciPy CSR, batch 1, caches flushed and warm.

    A network that is not compressed yet is compressed first, with the default recipe, as in `simulate`.

    Raises InputError or one of its kinds.
    """
    if target != "cpu":
        raise InputError(f"measure: target '{target}' is not known: use cpu")
    session = open_session(network, activations, accelerator(), seed=seed)
    return measure_cpu(
        session.network,
        activations=session.inputs.given,
        repetitions=repetitions,
        progress=progress,
    )
