"""How many multiplications a network needs if nothing is skipped: what its size is compared by."""

import math
from collections.abc import Sequence
from typing import Protocol

from accelsim.network.flow import Flow, LayerLike
from accelsim.network.graph import Convolution, Recurrent


class NetworkLike(Protocol):
    """A network, compressed or not."""

    @property
    def layers(self) -> Sequence[LayerLike]:
        """Its layers."""

    @property
    def flow(self) -> Flow:
        """How its layers are applied."""


def dense_macs(network: NetworkLike) -> dict[str, int]:
    """Multiply-accumulates per layer for one example, as if no weight and no input were zero.

    A layer of `n` weights does `n` of them each time that it is applied: once for a vector, at each
    place of a convolution's output (whose groups have matrices of their own), and in each time step.
    Biases and steps without weights count nothing.
    """
    applications: dict[str, int] = {}
    for step in network.flow.steps:
        shape = network.flow.shapes[step.name]
        if isinstance(step.op, Convolution):
            times = math.prod(shape[1:])
        elif isinstance(step.op, Recurrent):
            times = shape[0]
        else:
            times = math.prod(shape[:-1])
        applications |= dict.fromkeys(step.op.layers, times)
    return {
        layer.name: layer.n_out * layer.n_in * applications[layer.name] for layer in network.layers
    }
