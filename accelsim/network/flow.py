"""A network's graph with its shapes worked out: what runs in which order, on what."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from accelsim.errors import NetworkError
from accelsim.network.arrays import Float32, as_finite_float32
from accelsim.network.graph import Graph, Shape, Step, apart, chain
from accelsim.network.shapes import Matrix, tensor_shapes


class LayerLike(Protocol):
    """What a flow has to know of a layer."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def n_out(self) -> int:
        """Rows of its matrix."""

    @property
    def n_in(self) -> int:
        """Columns of its matrix."""

    @property
    def activation(self) -> Any:
        """Its activation function."""


@dataclass(frozen=True, eq=False)
class Flow:
    """Steps in order, shapes of one example by tensor name (inputs and steps), and constants.

    implied: the network has no graph of its own; its inputs have no names but those of the layers
    """

    graph: Graph
    shapes: Mapping[str, Shape]
    constants: Mapping[str, Float32] = field(default_factory=dict)
    implied: bool = False

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in an order in which they can run."""
        return self.graph.steps

    def input_shape(self, step: Step) -> Shape:
        """Shape of a step's first input."""
        return self.shapes[step.inputs[0]]

    def place(self, name: str) -> str:
        """The input or step that activations called `name` are meant for.

        `name` may be an input, a step, or a layer, which means the step that applies it; `inputs`
        stands for the first input. Raises NetworkError if there is none.
        """
        inputs = list(self.graph.inputs)
        if name == "inputs" and name not in self.shapes:
            name = inputs[0]
            if self.implied:
                return next(step.name for step in self.steps if name in step.inputs)
        if (name in inputs and not self.implied) or any(step.name == name for step in self.steps):
            return name
        for step in self.steps:
            if name in step.op.layers:
                return step.name
        known = [step.name for step in self.steps if step.op.layers]
        raise NetworkError(
            f"activations for '{name}': no such layer; the layers are "
            f"{', '.join(known if self.implied else inputs + known)}"
        )

    def vectors(self, layer: str, n_out: int) -> int:
        """Vectors that a layer of `n_out` rows is multiplied with for one example."""
        step = self.graph.step_of(layer)
        time = self.shapes[step.name][0]
        return time if step.op.kind == "recurrent" else math.prod(self.shapes[step.name]) // n_out

    def shape_at(self, place: str) -> Shape:
        """Shape of what may be given at an input or, as its first input, to a step."""
        if place in self.graph.inputs:
            return self.graph.inputs[place]
        return self.input_shape(next(step for step in self.steps if step.name == place))

    def check_activations(self, activations: Mapping[str, Any]) -> dict[str, Float32]:
        """The activations as float32[*shape] or float32[batch, *shape]; names are kept.

        Raises NetworkError for unknown names and shapes that do not fit.
        """
        checked = {}
        for name, values in activations.items():
            place = self.place(name)
            shape = self.shape_at(place)
            what = f"activations of {'input' if place in self.graph.inputs else 'layer'} '{place}'"
            array = as_finite_float32(values, f"array of {what}")
            batch_axes = array.ndim - len(shape)
            fits = batch_axes in (0, 1) and array.shape[batch_axes:] == shape
            if not fits or array.size == 0:
                sizes = ", ".join(str(size) for size in shape)
                raise NetworkError(
                    f"{what} have shape {array.shape}: give [{sizes}] or [batch, {sizes}]"
                )
            checked[name] = array
        return checked


def flow_of(
    network: str,
    layers: Sequence[LayerLike],
    graph: Graph | None,
    constants: Mapping[str, Any],
    *,
    chained: bool,
) -> Flow:
    """Work out a network's flow; fully connected layers in a row where it has no graph.

    Raises NetworkError for doubled names, layers and shapes that do not fit, and for softmax before
    the end.
    """
    _check_names(network, [layer.name for layer in layers])
    arrays = {
        name: as_finite_float32(values, f"constant '{name}'") for name, values in constants.items()
    }
    sizes = [(layer.name, layer.n_in) for layer in layers]
    implied = graph is None
    if graph is None:
        if chained:
            check_chain([(layer.name, layer.n_out, layer.n_in) for layer in layers])
        graph = chain(sizes) if chained else apart(sizes)
    matrices = {layer.name: Matrix(layer.n_out, layer.n_in) for layer in layers}
    shapes = tensor_shapes(graph, matrices, arrays)
    _check_fused_softmax(graph, layers)
    return Flow(graph, shapes, arrays, implied)


def _check_names(network: str, names: list[str]) -> None:
    if not names:
        raise NetworkError(f"network '{network}': has no layers")
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if twice:
        raise NetworkError(f"network '{network}': two layers are named '{twice[0]}': rename one")


def check_chain(layers: Sequence[tuple[str, int, int]]) -> None:
    """NetworkError unless each layer's n_in is the n_out before it; layers: (name, n_out, n_in)."""
    for (before, n_out, _), (after, _, n_in) in pairwise(layers):
        if n_out != n_in:
            raise NetworkError(
                f"layer '{after}': takes {n_in} inputs, but layer '{before}' before it gives "
                f"{n_out}: reorder the layers or repair their shapes"
            )


def _check_fused_softmax(graph: Graph, layers: Sequence[LayerLike]) -> None:
    read = {name for step in graph.steps for name in step.inputs}
    for layer in layers:
        if layer.activation == "softmax" and graph.step_of(layer.name).name in read:
            raise NetworkError(
                f"layer '{layer.name}': softmax stands before the last layer: "
                "it is computed by the host and is supported at the end only"
            )


def same_constants(one: Mapping[str, Float32], other: Mapping[str, Float32]) -> bool:
    """Whether two sets of constants are equal, bit for bit."""
    return one.keys() == other.keys() and all(
        np.array_equal(one[name].view(np.uint32), other[name].view(np.uint32)) for name in one
    )
