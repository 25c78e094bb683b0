"""What an operator's reader works with: the node's inputs, and the drafts that it adds to."""

from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from accelsim.errors import NetworkError
from accelsim.network.graph import Operation
from accelsim.network.onnx.constants import Constant
from accelsim.network.onnx.drafts import Data, Drafts
from accelsim.network.onnx.nodes import integers, where
from accelsim.network.onnx.sample_shape import SampleShape

if TYPE_CHECKING:
    from onnx import NodeProto

Value: TypeAlias = Constant | Data


@dataclass
class Context:
    """Tensors so far by name, and the drafts of the network.

    opset: version of the operators
    used: names of all tensors that something reads
    """

    opset: int
    drafts: Drafts
    values: ChainMap[str, Value]
    used: frozenset[str]

    def has(self, node: "NodeProto", index: int) -> bool:
        """Whether the node takes an input `index`."""
        return len(node.input) > index and bool(node.input[index])

    def value(self, node: "NodeProto", index: int) -> Value:
        """Return the node's input `index`, data or constant."""
        name = node.input[index] if len(node.input) > index else ""
        if name not in self.values:
            raise NetworkError(
                f"{where(node)}: input {name!r} is no constant, no input of the model, and no "
                "output of a node before: export the model again"
            )
        return self.values[name]

    def data(self, node: "NodeProto", index: int = 0) -> Data:
        """Return the node's input `index`, which must depend on the network's input."""
        value = self.value(node, index)
        if isinstance(value, Constant):
            raise NetworkError(
                f"{where(node)}: give the data as its "
                f"{('first', 'second')[index] if index < 2 else f'{index + 1}.'} input"
            )
        if value.integer_type:
            raise NetworkError(
                f"{where(node)}: takes input {value.source!r}, which has ONNX type "
                f"{value.integer_type}: give a model whose inputs are of type float"
            )
        return value

    def constant(self, node: "NodeProto", index: int) -> Constant:
        """Return the node's input `index`, which must be known at import."""
        value = self.value(node, index)
        if isinstance(value, Data):
            raise NetworkError(
                f"{where(node)}: input {node.input[index]!r} is no constant: export its values"
            )
        return value

    def operands(self, node: "NodeProto", first: int = 0) -> list[Constant | None]:
        """Return the node's inputs from `first` on, which must be constants; None for what is not given."""
        given = range(first, len(node.input))
        constants = [self.constant(node, i) if self.has(node, i) else None for i in given]
        return [None] * first + constants

    def axes(self, node: "NodeProto") -> list[int] | None:
        """Return the axes that a node names, as an input since opset 13, as an attribute before."""
        return self.constant(node, 1).numbers() if self.has(node, 1) else integers(node, "axes")

    def add(self, node: "NodeProto", op: Operation, *inputs: str, part: str = "") -> str:
        """Draft a step named after the node, or a part of it."""
        return self.drafts.add(name_of(node) + part, op, *inputs)

    def step(self, node: "NodeProto", op: Operation, shape: SampleShape, *inputs: str) -> Data:
        """Draft the node's one step, which gives data of `shape`."""
        return Data(self.add(node, op, *inputs), shape)

    def seen_as(self, node: "NodeProto", data: Data, shape: SampleShape) -> Data:
        """The same values in another shape."""
        return replace(data, shape=shape, node=name_of(node))


Reader: TypeAlias = Callable[[Context, "NodeProto"], Value | list[Value]]


def name_of(node: "NodeProto") -> str:
    """Return the name that a node's step would like: its own, or that of its output."""
    return node.name or node.output[0] or "step"
