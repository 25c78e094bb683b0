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
from accelsim.simulation.flow import Progress
from accelsim.simulation.inputs import ActivationsLike
from accelsim.simulation.result import Result
from accelsim.simulation.session import Session


def simulate(
    network: "str | Path | Network | CompressedNetwork",
    hardware: "str | Path | Accelerator" = "eie-64",
    activations: ActivationsLike = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    **overrides: Any,
) -> Result:
    """Run a network on a machine, cycle for cycle.

    network: a file or bundled name (`accelsim.load`), or a network. One that is not compressed yet is
        compressed with the default recipe first, without pruning, and a note says so.
    hardware: preset (`eie-64`, `eie-256`), TOML file or `Accelerator`; `overrides` change its fields.
    activations: the network's first input, float32[*shape] or [batch, *shape]; or by name of an input
        or a layer; or the path of an .npy or .npz file. Default: the network's own, else a dense input
        drawn from `seed`.
    progress: called with the name of each step, first for its values, then for its cycles, and with
        the fraction of the work that is done

    Raises InputError or one of its kinds for anything that does not fit.
    """
    machine = accelerator(hardware, **overrides)
    session = open_session(network, activations, machine, seed=seed)
    return session.run(machine, progress)


def open_session(
    network: "str | Path | Network | CompressedNetwork",
    activations: ActivationsLike,
    machine: Accelerator,
    *,
    seed: int = 0,
) -> Session:
    """A session for the network, compressed for the machine's code width if it was not yet."""
    if not isinstance(seed, int | np.integer):
        raise InputError(f"seed={seed!r}: give a whole number of 0 or more")
    ready, notes = compressed(network, machine.code_bits, seed=seed)
    return Session(ready, activations, seed=seed, notes=notes)


def compressed(
    network: "str | Path | Network | CompressedNetwork", code_bits: int, *, seed: int = 0
) -> tuple[CompressedNetwork, tuple[str, ...]]:
    """The network, from a file if need be, with `code_bits`-bit codes if it had none; and notes."""
    if isinstance(network, str | Path):
        network = load(network)
    if isinstance(network, CompressedNetwork):
        return network, ()
    if not isinstance(network, Network):
        raise InputError(
            f"network: {type(network).__name__}: give a path, a bundled name or a network"
        )
    notes: tuple[str, ...] = ()
    if any(layer.weights is not None for layer in network.layers):
        notes = (
            f"the network was not compressed: its weights now share {code_bits}-bit codes "
            "(nothing was pruned or retrained)",
        )
    return compress(network, code_bits=code_bits, seed=seed), notes
