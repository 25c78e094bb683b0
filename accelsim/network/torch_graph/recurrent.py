"""LSTM, GRU and RNN: one fully connected step on the input and one recurrent step per direction."""

from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from accelsim.network.graph import Concatenate, FullyConnected, Recurrent, Reshape, Slice
from accelsim.network.layers import Layer
from accelsim.network.shapes import Matrix
from accelsim.network.torch_graph.context import (
    Context,
    Dims,
    Module,
    Node,
    UnsupportedError,
    Value,
    array,
)

_CELLS: dict[str, Literal["lstm", "gru", "rnn"]] = {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn"}


class _Direction(NamedTuple):
    """One direction of one layer: where its weights stand, and the tensors that it gave.

    states: the hidden state of each time step; cells: the cell state of an LSTM, where it is wanted
    """

    which: str
    states: str
    cells: str


def recurrent(ctx: Context, node: Node, module: Module) -> None:
    """All layers and directions of the module; its outputs are made when they are asked for."""
    given = [*node.args, *node.kwargs.values()]
    value = ctx.value(given[0])
    batch = 0 if module.batch_first else 1
    if len(value.dims.sizes) != 3 or value.dims.batch != batch or value.dims.parts != 1:
        raise UnsupportedError(f"takes 3 axes with the batch as axis {batch}: see batch_first")
    initial = _initial(ctx, given[1] if len(given) > 1 else None)
    wants_cells = _wants_cells(node, module)
    tensor = value.name
    done: list[_Direction] = []
    for layer in range(module.num_layers):
        both: list[_Direction] = []
        for suffix in ("", "_reverse")[: 1 + module.bidirectional]:
            start = [_row(ctx, state, len(done) + len(both)) for state in initial]
            which = f"l{layer}{suffix}"
            both.append(_direction(ctx, node, module, which, [tensor, *start], wants_cells))
        tensor = _joined(ctx, f"{node.target}.l{layer}_both", [one.states for one in both], axis=1)
        done += both
    results = ctx.results[node]
    last = partial(_last, ctx, node, done)
    if isinstance(results[1], Dims):
        states = partial(last, "states", results[1])
        ctx.tuples[node] = [lambda: Value(tensor, results[0]), states]
    else:  # an LSTM gives two states
        both_states = [partial(last, name, results[1][at]) for at, name in enumerate(_STATES)]
        ctx.tuples[node] = [lambda: Value(tensor, results[0]), both_states]


_STATES = ("states", "cells")


def _initial(ctx: Context, given: Any) -> list[Value]:
    """States to start from, [layers * directions, batch, size]; none where they are zero."""
    nodes = given if isinstance(given, tuple | list) else [] if given is None else [given]
    if all(node in ctx.zeros for node in nodes):
        return []
    values = [ctx.value(node) for node in nodes]
    if any(value.dims.batch != 1 for value in values):
        raise UnsupportedError("starts from states whose batch is not axis 1")
    return values


def _row(ctx: Context, states: Value, at: int) -> str:
    """The initial state of one direction of one layer."""
    size = ctx.builder.shapes[states.name][1]
    name = ctx.builder.unique(f"{states.name}.{at}")
    row = ctx.builder.add(name, Slice(axis=0, start=at, stop=at + 1), states.name)
    return ctx.builder.add(f"{name}.flat", Reshape(shape=(size,)), row)


def _wants_cells(node: Node, module: Module) -> bool:
    """Whether anybody reads the cell state: ``output, (h, c) = lstm(x)``."""
    pairs = [user for user in node.users if _is_second(user)]
    cells = [user for pair in pairs for user in pair.users if _is_second(user)]
    returned = any(user.op == "output" for one in (node, *pairs) for user in one.users)
    return type(module).__name__ == "LSTM" and (returned or any(user.users for user in cells))


def _is_second(node: Node) -> bool:
    """Whether a node takes the second of two results."""
    is_item = getattr(node.target, "__name__", "") == "getitem"
    return is_item and node.args[1] in (1, -1)


def _direction(
    ctx: Context, node: Node, module: Module, which: str, given: list[str], wants_cells: bool
) -> _Direction:
    """Steps of one direction; given: [time, features], then states to start from."""
    cell = _CELLS[type(module).__name__]
    on_input, on_state = (array(getattr(module, f"weight_{part}_{which}")) for part in ("ih", "hh"))
    bias, bias_on_state = (
        array(getattr(module, f"bias_{part}_{which}", None)) for part in ("ih", "hh")
    )
    name = f"{node.target}.{which}"
    if cell != "gru" and bias is not None and bias_on_state is not None:
        # Both are added to the same sum; a GRU scales one of them first.
        bias, bias_on_state = (bias + np.float64(bias_on_state)).astype(np.float32), None
    gates = Layer(f"{name}.input", on_input, bias)
    gate_inputs = ctx.weighted(f"{name}.gates", FullyConnected(layer=gates.name), gates, given[0])
    layers = [Layer(f"{name}.state", on_state, bias_on_state)]
    if getattr(module, "proj_size", 0):
        layers.append(Layer(f"{name}.projection", array(getattr(module, f"weight_hr_{which}"))))
    for layer in layers:
        ctx.keep(layer)
    op = Recurrent(
        cell=cell,
        hidden=module.hidden_size,
        matrices=tuple(layer.name for layer in layers),
        function=getattr(module, "nonlinearity", "tanh"),
        reverse=which.endswith("_reverse"),
        with_cell=wants_cells,
    )
    matrices = {layer.name: Matrix(layer.n_out, layer.n_in) for layer in layers}
    unique = ctx.builder.unique(name)
    tensor = ctx.builder.add(unique, op, gate_inputs, *given[1:], matrices=matrices)
    if not wants_cells:
        return _Direction(which, tensor, "")
    columns = ctx.builder.shapes[tensor][1]
    cut = columns - module.hidden_size
    states, cells = (
        ctx.builder.add(f"{unique}.{part}", Slice(axis=1, start=start, stop=stop), tensor)
        for part, start, stop in (("h", 0, cut), ("c", cut, columns))
    )
    return _Direction(which, states, cells)


def _last(ctx: Context, node: Node, directions: list[_Direction], name: str, dims: Dims) -> Value:
    """h_n or c_n: what each layer and direction came to at its end, one below the other."""
    parts = []
    for direction in directions:
        tensor = getattr(direction, name)
        # A reversed sequence ends at its beginning.
        is_reversed = direction.which.endswith("_reverse")
        at = 0 if is_reversed else ctx.builder.shapes[tensor][0] - 1
        op = Slice(axis=0, start=at, stop=at + 1)
        parts.append(ctx.builder.add(ctx.builder.unique(f"{tensor}.last"), op, tensor))
    return Value(_joined(ctx, f"{node.target}.last_{name}", parts, axis=0), dims)


def _joined(ctx: Context, name: str, tensors: list[str], axis: int) -> str:
    if len(tensors) == 1:
        return tensors[0]
    return ctx.builder.add(ctx.builder.unique(name), Concatenate(axis=axis), *tensors)
