"""Shapes that an ONNX graph computes, such as ``x.view(x.size(0), -1)`` as PyTorch exports it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from accelsim.errors import NetworkError
from accelsim.network.onnx_constants import MAX_RANK, Constant, where
from accelsim.network.sample_shape import SampleShape, Size

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

Sizes: TypeAlias = list[Size]

# Nodes from a tensor to the shape computed from it; exporters write five or so.
_MAX_DEPTH = 50


class ComputedShapes:
    """Evaluates the nodes from Shape and constants to the shape that a Reshape takes.

    seen: shapes of the data by tensor, added as the path through the graph is followed
    """

    def __init__(self, graph: "GraphProto", constants: Mapping[str, Constant]) -> None:
        self.constants = constants
        self.seen: dict[str, SampleShape] = {}
        self._makers: dict[str, NodeProto] = {}
        self._known: dict[str, Sizes] = {}
        for node in graph.node:  # which ONNX wants in the order of computation
            inputs = [name for name in node.input if name]
            if node.op_type in self.STEPS and (
                node.op_type == "Shape" or (inputs and all(name in self for name in inputs))
            ):
                self._makers[node.output[0]] = node

    def __contains__(self, name: str) -> bool:
        """Whether the tensor is a constant or computed from shapes and constants only."""
        return name in self.constants or name in self._makers

    def makes(self, node: "NodeProto") -> bool:
        """Whether the node computes a shape, and so takes no data."""
        return self._makers.get(node.output[0]) is node

    def sizes(self, name: str, user: "NodeProto", depth: int = 0) -> Sizes:
        """Return the values of a tensor that `user` takes; NetworkError if they are not known."""
        if name in self.constants:
            return list(self.constants[name].integers())
        if name not in self._known:
            if name not in self._makers or depth > _MAX_DEPTH:
                raise NetworkError(
                    f"{where(user)}: input {name!r} is no constant: export its values"
                )
            maker = self._makers[name]
            sizes = self.STEPS[maker.op_type](self, maker, depth + 1)
            if len(sizes) > MAX_RANK:
                raise NetworkError(f"{where(maker)}: is a shape of more than {MAX_RANK} sizes")
            self._known[name] = sizes
        return self._known[name]

    def _shape(self, node: "NodeProto", _depth: int) -> Sizes:
        tensor = node.input[0] if node.input else ""
        if tensor not in self.seen:
            raise NetworkError(f"{where(node)}: takes {tensor!r}, which is not on the path before")
        bounds = {item.name: item.i for item in node.attribute}
        return self.seen[tensor].sizes[bounds.get("start") : bounds.get("end")]

    def _same(self, node: "NodeProto", depth: int) -> Sizes:
        return self._input(node, 0, depth)

    def _concat(self, node: "NodeProto", depth: int) -> Sizes:
        return [size for name in node.input for size in self.sizes(name, node, depth)]

    def _gather(self, node: "NodeProto", depth: int) -> Sizes:
        sizes, places = self._input(node, 0, depth), self._input(node, 1, depth)
        try:
            return [sizes[place] for place in _numbers(places, node)]
        except IndexError as error:
            raise NetworkError(f"{where(node)}: gathers {places} of {len(sizes)} sizes") from error

    def _slice(self, node: "NodeProto", depth: int) -> Sizes:
        """Slice the one axis; its bounds are inputs since opset 10, and were attributes before."""
        sizes = self._input(node, 0, depth)
        bounds = {item.name: list(item.ints) for item in node.attribute}
        for field, name in zip(("starts", "ends", "axes", "steps"), node.input[1:], strict=False):
            if name:
                bounds[field] = _numbers(self.sizes(name, node, depth), node)
        start, end, axis, step = (
            (bounds.get(field) or [default])[0]
            for field, default in (("starts", 0), ("ends", len(sizes)), ("axes", 0), ("steps", 1))
        )
        if axis not in (0, -1) or step < 1:
            raise NetworkError(f"{where(node)}: is no plain slice of a shape")
        return sizes[start:end:step]

    def _input(self, node: "NodeProto", index: int, depth: int) -> Sizes:
        return self.sizes(node.input[index] if len(node.input) > index else "", node, depth)

    STEPS: Mapping[str, Callable[["ComputedShapes", "NodeProto", int], Sizes]] = {
        "Shape": _shape,
        "Gather": _gather,
        "Slice": _slice,
        "Concat": _concat,
        # A single size and a list of one are the same here.
        "Squeeze": _same,
        "Unsqueeze": _same,
        "Cast": _same,
        "Identity": _same,
    }


def _numbers(sizes: Sequence[Size], user: "NodeProto") -> list[int]:
    """Return indices or bounds, which must not depend on the number of samples."""
    numbers = [size for size in sizes if isinstance(size, int)]
    if len(numbers) != len(sizes):
        raise NetworkError(f"{where(user)}: takes places that are not known: export their values")
    return numbers
