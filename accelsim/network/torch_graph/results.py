"""What the nodes of a traced module gave when it ran on batches of two sizes."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from accelsim.network.graph import Shape
from accelsim.network.torch_graph.context import Dims, Node, UnsupportedError

Run: TypeAlias = Mapping[Node, Any]


class _Sizes(tuple[int, ...]):
    """Sizes of a tensor, told from a tuple of numbers."""

    __slots__ = ()


def dependent_nodes(graph: Any, inputs: Mapping[str, Shape]) -> set[Node]:
    """Nodes of a torch.fx.Graph whose values depend on the inputs."""
    found: set[Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder":
            if node.target in inputs:
                found.add(node)
        elif any(before in found for before in node.all_input_nodes):
            found.add(node)
    return found


def recorder(dependent: set[Node], run: dict[Node, Any]) -> Callable[[Node, Any], Any]:
    """A function that puts what a node gave into `run`: of tensors that depend on the input only sizes."""

    def record(node: Node, result: Any) -> Any:
        run[node] = _without_values(result) if node in dependent else result
        return result

    return record


def merged(one: Run, other: Run) -> dict[Node, Any]:
    """Results of both runs by node: Dims for tensors that depend on the input.

    Where a tensor mixes examples, UnsupportedError stands in its place, to be raised by its reader.
    """
    return {node: _merged(result, other[node]) for node, result in one.items()}


def _without_values(result: Any) -> Any:
    if hasattr(result, "shape") and hasattr(result, "dtype"):
        return _Sizes(result.shape)
    if isinstance(result, tuple | list) and type(result).__name__ != "Size":
        return tuple(_without_values(part) for part in result)
    return result


def _merged(one: Any, other: Any) -> Any:
    if isinstance(one, _Sizes):
        try:
            return Dims.of(one, other)
        except UnsupportedError as error:
            return error
    if type(one) is tuple and any(isinstance(part, tuple) for part in one):
        return tuple(_merged(a, b) for a, b in zip(one, other, strict=True))
    return one


def gives_tensors(result: Any) -> bool:
    """Whether a node gives a tensor that depends on the input, or a tuple with one."""
    if type(result) is tuple:
        return any(gives_tensors(part) for part in result)
    return isinstance(result, Dims | UnsupportedError)
