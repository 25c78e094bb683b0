"""Where a traced torch module is turned into a graph: what is known so far of its tensors.

A tensor of torch has an axis that counts examples (the batch); one of our graph has not. The module
was run on batches of two sizes, so the axis that differs is the batch's, wherever it stands. An axis
may also hold the batch times something (``x.view(-1, features)`` of a sequence): then the batch is the
outer of the two, and our tensor keeps the axis with the something.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from accelsim.network.arrays import Float32
from accelsim.network.builder import GraphBuilder
from accelsim.network.graph import Operation, Reshape, Shape
from accelsim.network.layers import Layer
from accelsim.network.shapes import Matrix

# Sizes of the two batches: primes, so that they are no factors of each other.
BATCHES = (2, 3)

Node: TypeAlias = Any  # torch.fx.Node
Module: TypeAlias = Any  # torch.nn.Module
Tensor: TypeAlias = Any  # torch.Tensor


class UnsupportedError(Exception):
    """Why a node cannot be turned into steps; caught where nodes are gone through."""


class Dims(NamedTuple):
    """A tensor's sizes in torch, for a batch of BATCHES[0], and which axis counts examples.

    parts: what that axis holds of each example: more than 1 where other axes went into it
    """

    sizes: tuple[int, ...]
    batch: int
    parts: int = 1

    @classmethod
    def of(cls, sizes: tuple[int, ...], sizes_of_more: tuple[int, ...]) -> "Dims":
        """From the sizes for both batches. Raises UnsupportedError where examples are mixed."""
        pairs = list(enumerate(zip(sizes, sizes_of_more, strict=True)))
        axes = [axis for axis, (one, other) in pairs if one != other]
        if len(axes) != 1:
            raise UnsupportedError("mixes the examples of a batch")
        parts, left = divmod(sizes[axes[0]], BATCHES[0])
        if left or parts * BATCHES[1] != sizes_of_more[axes[0]]:
            raise UnsupportedError("mixes the examples of a batch")
        return cls(sizes, axes[0], parts)

    @property
    def shape(self) -> Shape:
        """Sizes of one example."""
        middle = () if self.parts == 1 else (self.parts,)
        return (*self.sizes[: self.batch], *middle, *self.sizes[self.batch + 1 :])

    @property
    def outer(self) -> int:
        """Values that stand before the batch: a reshape that keeps it keeps examples together."""
        return math.prod(self.sizes[: self.batch])

    def axis(self, axis: int) -> int:
        """Which axis of one example an axis of the tensor is."""
        axis = axis + len(self.sizes) if axis < 0 else axis
        if axis == self.batch:
            raise UnsupportedError("works across the examples of a batch")
        return axis - (axis > self.batch and self.parts == 1)


class Value(NamedTuple):
    """A tensor: its name in the graph, and its sizes in torch."""

    name: str
    dims: Dims


@dataclass
class Context:
    """Everything that handlers of nodes read and add to.

    results: what each node gave when the module ran: Dims of a tensor that depends on the input, a
        constant tensor, or a plain Python value, also in tuples
    values: the graph's tensors by node; None after an unsupported node
    tuples: for nodes that give several tensors: functions that make each of them
    zeros: nodes that give nothing but zeros, such as a state to start from
    """

    builder: GraphBuilder
    results: Mapping[Node, Any]
    values: dict[Node, Value | None] = field(default_factory=dict)
    tuples: dict[Node, list[Any]] = field(default_factory=dict)
    zeros: set[Node] = field(default_factory=set)
    layers: dict[str, Layer] = field(default_factory=dict)

    def value(self, node: Node) -> Value:
        """The graph's tensor of a node."""
        value = self.values.get(node)
        if value is None:
            raise UnsupportedError("reads something that is no tensor of the graph")
        return value

    def image(self, node: Node, rank: int) -> Value:
        """A tensor [batch, channels, ...] with `rank` axes."""
        value = self.value(node)
        if len(value.dims.sizes) != rank or value.dims.batch != 0 or value.dims.parts != 1:
            raise UnsupportedError(f"takes a batch with {rank} axes, the batch first")
        return value

    def plain(self, argument: Any) -> Any:
        """An argument with nodes in it replaced by what they gave."""
        if isinstance(argument, tuple | list):
            return type(argument)(self.plain(item) for item in argument)
        if isinstance(argument, slice):
            parts = (argument.start, argument.stop, argument.step)
            return slice(*(self.plain(part) for part in parts))
        return self.results.get(argument, argument)

    def weight(self, argument: Any) -> Tensor | None:
        """An argument that must be a constant tensor, or None."""
        tensor = self.plain(argument)
        if isinstance(tensor, Dims):
            raise UnsupportedError("has weights that depend on the input")
        return tensor

    def source(self, node: Node) -> Any:
        """A call's first argument: the tensor that it works on."""
        return self.argument(node, 0, "input")

    def argument(self, node: Node, position: int, name: str, default: Any = None) -> Any:
        """An argument of a call, by position or by name."""
        if len(node.args) > position:
            return node.args[position]
        return node.kwargs.get(name, default)

    def step(self, node: Node, op: Operation, *inputs: str) -> Value:
        """Add a step that gives what the node gave."""
        name = self.builder.add(self.builder.unique(node.name), op, *inputs)
        return Value(name, self.dims(node))

    def dims(self, node: Node) -> Dims:
        """Sizes of what a node gave."""
        dims = self.results[node]
        if isinstance(dims, UnsupportedError):
            raise dims
        if not isinstance(dims, Dims):
            raise UnsupportedError("gives something that is no tensor of the graph")
        return dims

    def shaped(self, name: str, tensor: str, shape: Shape) -> str:
        """The tensor in another shape; itself if it has that shape."""
        if self.builder.shapes[tensor] == (shape or (1,)):
            return tensor
        return self.builder.add(self.builder.unique(name), Reshape(shape=shape or (1,)), tensor)

    def weighted(self, name: str, op: Operation, layer: Layer, *inputs: str) -> str:
        """Add a layer and the step that applies it; returns the step's name."""
        self.keep(layer)
        matrices = {layer.name: Matrix(layer.n_out, layer.n_in)}
        return self.builder.add(self.builder.unique(name), op, *inputs, matrices=matrices)

    def keep(self, layer: Layer) -> None:
        """Add a layer."""
        if layer.name in self.layers:
            raise UnsupportedError("is applied twice: a layer has one place in the graph")
        self.layers[layer.name] = layer

    def constant(self, name: str, values: Any) -> str:
        """Add a constant and return its name."""
        self.builder.constants[name] = np.ascontiguousarray(values, np.float32)
        return name


def array(tensor: Tensor | None) -> Float32 | None:
    """A copy of a tensor's values as float32; None stays None."""
    if tensor is None:
        return None
    if not getattr(tensor, "is_floating_point", bool)():
        raise UnsupportedError(f"has weights of type {tensor.dtype}")
    copied: Float32 = np.array(tensor.detach().float().cpu().numpy(), np.float32)
    return copied
