"""`accelsim.simulate`: a network, or a file with one, on a machine."""

from pathlib import Path
from typing import Any

import numpy as np

from accelsim.compression.compressor import compress
from accelsim.compression.layer import CompressedNetwork
from accelsim.compression.loading import load
from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.network.layers import Network
from accelsim.simulation.inputs import ActivationsLike
from accelsim.simulation.result import Result
from accelsim.simulation.session import Session


def simulate(
    network: "str | Path | Network | CompressedNetwork",
    hardware: "str | Path | Accelerator" = "eie-64",
    activations: ActivationsLike = None,
    *,
    seed: int = 0,
    **overrides: Any,
) -> Result:
    """Run a network on a machine, cycle for cycle.

    network: a file or bundled name (`accelsim.load`), or a network. One that is not compressed yet is
        compressed with the default recipe first, without pruning, and a note says so.
    hardware: preset (`eie-64`, `eie-256`), TOML file or `Accelerator`; `overrides` change its fields.
    activations: input of the first layer, float32[n_in] or [batch, n_in]; or per layer name; or the
        path of an .npy or .npz file. Default: the network's own, else a dense input drawn from `seed`.

    Raises InputError or one of its kinds for anything that does not fit.
    """
    machine = accelerator(hardware, **overrides)
    return open_session(network, activations, machine, seed=seed).run(machine)


def open_session(
    network: "str | Path | Network | CompressedNetwork",
    activations: ActivationsLike,
    machine: Accelerator,
    *,
    seed: int = 0,
) -> Session:
    """A session for the network, compressed for the machine's code width if it was not yet."""
    if isinstance(network, str | Path):
        network = load(network)
    if not isinstance(network, Network | CompressedNetwork):
        raise InputError(
            f"network: {type(network).__name__}: give a path, a bundled name or a network"
        )
    if not isinstance(seed, int | np.integer):
        raise InputError(f"seed={seed!r}: give a whole number of 0 or more")
    notes: tuple[str, ...] = ()
    if isinstance(network, Network):
        if any(layer.weights is not None for layer in network.layers):
            notes = (
                f"the network was not compressed: its weights now share {machine.code_bits}-bit codes "
                "(nothing was pruned or retrained)",
            )
        network = compress(network, code_bits=machine.code_bits, seed=seed)
    return Session(network, activations, seed=seed, notes=notes)
