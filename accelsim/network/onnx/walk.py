"""From a graph of nodes to drafts: each node is folded, or read as steps, in its order."""

from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pydantic import ValidationError

from accelsim.errors import FileFormatError, NetworkError
from accelsim.network.files import first_line
from accelsim.network.graph import Softmax
from accelsim.network.onnx import pooling, rearranging, recurrent, vector, weighted
from accelsim.network.onnx.constants import Constant, constant_of, initializers
from accelsim.network.onnx.context import Context, Reader, Value
from accelsim.network.onnx.drafts import Data, Drafts, GraphInput
from accelsim.network.onnx.folding import FOLDS, fold, shape_of
from accelsim.network.onnx.nodes import OUR_DOMAINS, subgraph, subgraphs, where

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

OPERATORS: Mapping[str, Reader] = {
    **pooling.OPERATORS,
    **rearranging.OPERATORS,
    **recurrent.OPERATORS,
    **vector.OPERATORS,
    **weighted.OPERATORS,
}
SUPPORTED = OPERATORS.keys() | FOLDS.keys() | {"Constant", "If", "Shape"}
# More kinds of operators are not listed in a message.
_MAX_LISTED = 20


def draft(
    graph: "GraphProto",
    inputs: Mapping[str, GraphInput],
    input_types: Mapping[str, int],
    opset: int,
) -> tuple[Drafts, list[str]]:
    """Return drafts of all that the graph's outputs need, and the names of what gives the outputs.

    input_types: ONNX types of inputs that do not hold floats. Raises NetworkError, naming each kind
    of operator that is not supported, before weights are read.
    """
    nodes = _needed(graph.node, [info.name for info in graph.output])
    _check_supported(nodes)
    values: ChainMap[str, Value] = ChainMap()
    for name, given in inputs.items():
        values[name] = Data(name, given.shape, integer_type=input_types.get(name, 0))
    values.update(initializers(graph))
    used = frozenset(_reads(nodes)) | {info.name for info in graph.output}
    context = Context(opset, Drafts(dict(inputs)), values, used)
    for node in nodes:
        _take(context, node)
    return context.drafts, [_output(context, info.name) for info in graph.output]


def _output(context: Context, name: str) -> str:
    value = context.values.get(name)
    if value is None:
        raise NetworkError(f"output {name!r}: no node gives it: the file is damaged")
    if isinstance(value, Constant):
        raise NetworkError(f"output {name!r}: does not depend on the input: remove it")
    if any(
        step.name == value.source and isinstance(step.op, Softmax) for step in context.drafts.steps
    ):
        return value.source  # in whatever shape: nothing may follow
    return context.drafts.shaped(value)


def _needed(nodes: "Iterable[NodeProto]", outputs: Iterable[str]) -> "list[NodeProto]":
    """Return the nodes that lead to the outputs, in their order."""
    wanted, needed = set(outputs), []
    for node in reversed(list(nodes)):
        if not wanted.isdisjoint(node.output):
            wanted.update(_reads([node]))
            needed.append(node)
    return needed[::-1]


def _reads(nodes: "Iterable[NodeProto]") -> set[str]:
    """Return the names of all tensors that nodes and their branches read."""
    names: set[str] = set()
    for node in nodes:
        names.update(name for name in node.input if name)
        for branch in subgraphs(node):
            names |= _reads(branch.node) | {info.name for info in branch.output}
    return names


def _check_supported(nodes: "list[NodeProto]") -> None:
    """NetworkError that names each kind of operator that is not supported, with its first node."""
    kinds: dict[tuple[str, str], NodeProto] = {}
    for node in nodes:
        if node.op_type not in SUPPORTED or node.domain not in OUR_DOMAINS:
            kinds.setdefault((node.domain, node.op_type), node)
    if kinds:
        named = [where(node) for node in kinds.values()][:_MAX_LISTED]
        more = f" and {len(kinds) - len(named)} more kinds" if len(kinds) > len(named) else ""
        remedy = "cut the model or replace "
        if ("", "LogSoftmax") in kinds:
            remedy = (
                "export the model without LogSoftmax, or with Softmax in its place; cut or replace "
            )
        are = "are" if len(kinds) > 1 else "is"
        raise NetworkError(
            f"{'; '.join(named)}{more}: {are} not supported: {remedy}"
            f"{'these operators' if len(kinds) > 1 else 'the operator'}"
        )


def _take(context: Context, node: "NodeProto") -> None:
    """Read one node; what its shapes or attributes do not allow is named with the node."""
    try:
        results = _results(context, node)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(place) for place in first["loc"])
        raise NetworkError(f"{where(node)}: {field}: {first['msg']}") from error
    except ValueError as error:
        raise NetworkError(f"{where(node)}: {first_line(error)}") from error
    for name, value in zip(node.output, results, strict=False):
        if not name:
            continue
        if name in context.values.maps[0]:
            raise FileFormatError(
                f"{where(node)}: gives tensor {name!r} again: the file is damaged"
            )
        context.values[name] = value


def _results(context: Context, node: "NodeProto") -> list[Value]:
    if node.op_type == "Constant":
        return [constant_of(node)]
    if node.op_type == "If":
        return _branch(context, node)
    values = [context.value(node, index) for index in range(len(node.input)) if node.input[index]]
    if node.op_type == "Shape" and values and isinstance(values[0], Data):
        return [shape_of(node, values[0].shape)]
    if node.op_type in FOLDS and all(isinstance(value, Constant) for value in values):
        return [fold(node, context.operands(node))]
    reader = OPERATORS.get(node.op_type)
    if reader is None:
        raise NetworkError(f"{where(node)}: takes data, but is supported for constants only")
    results = reader(context, node)
    return results if isinstance(results, list) else [results]


def _branch(context: Context, node: "NodeProto") -> list[Value]:
    """Return what the branch of an If gives whose condition is known at import."""
    condition = context.value(node, 0)
    if isinstance(condition, Data):
        raise NetworkError(
            f"{where(node)}: chooses by data: only conditions that are known at import are supported"
        )
    graph = subgraph(node, "then_branch" if condition.is_true() else "else_branch")
    nodes = _needed(graph.node, [info.name for info in graph.output])
    _check_supported(nodes)
    outer = context.values
    context.values = outer.new_child(dict(initializers(graph)))
    for inner in nodes:
        _take(context, inner)
    missing = [info.name for info in graph.output if info.name not in context.values]
    if missing:
        raise NetworkError(f"{where(node)}: no node of its branch gives {missing[0]!r}")
    results = [context.values[info.name] for info in graph.output]
    context.values = outer
    return results
