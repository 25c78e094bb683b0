"""A traced module's nodes, one after the other, as steps of a graph."""

from collections.abc import Mapping
from typing import Any

from accelsim.errors import NetworkError
from accelsim.network.builder import GraphBuilder
from accelsim.network.fold import folded
from accelsim.network.graph import Shape
from accelsim.network.layers import Network
from accelsim.network.torch_graph.context import Context, Node, UnsupportedError, Value
from accelsim.network.torch_graph.dispatch import handle, kind_of
from accelsim.network.torch_graph.results import gives_tensors

MAX_NAMED = 8  # nodes in the message about what is not supported


def network_of(
    traced: Any, inputs: Mapping[str, Shape], results: Mapping[Node, Any], name: str
) -> Network:
    """Build the network of a torch.fx.GraphModule.

    inputs: shapes of one example by placeholder; results: what each node gave
    Raises NetworkError for everything that is not supported, in one message.
    """
    ctx = Context(GraphBuilder(inputs), results)
    problems: list[str] = []
    outputs: list[str] = []
    needed = _needed(traced)
    for node in traced.graph.nodes:
        module = traced.get_submodule(node.target) if node.op == "call_module" else None
        try:
            if node.op == "placeholder" and node.target in inputs:
                ctx.values[node] = Value(node.target, ctx.dims(node))
            elif node.op == "output":
                outputs = [] if problems else _outputs(ctx, node)
            elif _reads_unsupported(ctx, node):
                ctx.values[node] = None
            elif node in needed and gives_tensors(results[node]):
                handle(ctx, node, module)
        except (UnsupportedError, NetworkError) as error:
            ctx.values[node] = None
            where = node.target if module is not None else node.name
            because = f": {error}" if str(error) else ""
            problems.append(f"{where} ({kind_of(node, module)}{because})")
    _check(name, problems, ctx)
    layers, constants = tuple(ctx.layers.values()), ctx.builder.constants
    graph = ctx.builder.graph(outputs)
    return folded(Network(name, layers, source=name, graph=graph, constants=constants))


def _needed(traced: Any) -> set[Node]:
    """Nodes that the output depends on; what overwrites a tensor may matter to its other readers."""
    found: set[Node] = set()
    for node in reversed(traced.graph.nodes):
        overwrites = node.op == "call_method" and node.target.endswith("_")
        if node.op == "output" or overwrites or node in found:
            found |= {node, *node.all_input_nodes}
    return found


def _reads_unsupported(ctx: Context, node: Node) -> bool:
    """Whether a node reads one about which there is a message already."""
    return any(
        before in ctx.values
        and ctx.values[before] is None
        and before not in ctx.tuples
        and before not in ctx.zeros
        for before in node.all_input_nodes
    )


def _outputs(ctx: Context, node: Node) -> list[str]:
    """Names of the tensors that the module returns, alone or in tuples, lists and dicts."""
    return [value.name for value in _values(ctx, node.args[0])]


def _values(ctx: Context, given: Any) -> list[Value]:
    parts = list(given.values()) if isinstance(given, dict) else given
    if not isinstance(parts, tuple | list):
        # Several results of one node are functions that make them.
        parts = ctx.tuples.get(given, given) if not callable(given) else given
    if isinstance(parts, tuple | list):
        return [value for part in parts for value in _values(ctx, part)]
    return [parts() if callable(parts) else ctx.value(parts)]


def _check(name: str, problems: list[str], ctx: Context) -> None:
    if problems:
        more = f" and {len(problems) - MAX_NAMED} more" if len(problems) > MAX_NAMED else ""
        raise NetworkError(
            f"module {name}: not supported: {'; '.join(problems[:MAX_NAMED])}{more}: "
            "replace them, or export the module to ONNX"
        )
    if not ctx.layers:
        raise NetworkError(f"module {name}: has no layer with weights")
