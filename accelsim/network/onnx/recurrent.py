"""LSTM, GRU and RNN: a fully connected step for what depends on x, then a recurrent step.

ONNX has the gates of an LSTM in the order i o f c, those of a GRU in the order z r h.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from accelsim.errors import NetworkError
from accelsim.network.graph import Concatenate, FullyConnected, Recurrent, Shape, Slice
from accelsim.network.onnx.constants import Array, Constant
from accelsim.network.onnx.context import Context, Reader, Value
from accelsim.network.onnx.drafts import Data
from accelsim.network.onnx.nodes import has_attribute, integer, text, texts, where
from accelsim.network.onnx.sample_shape import SampleShape

if TYPE_CHECKING:
    from onnx import NodeProto

CellName = Literal["lstm", "gru", "rnn"]
# Where our gates (i f g o, r z n) stand in ONNX's order.
ORDER: Mapping[str, tuple[int, ...]] = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2), "rnn": (0,)}
ACTIVATIONS = {"lstm": ["Sigmoid", "Tanh", "Tanh"], "gru": ["Sigmoid", "Tanh"], "rnn": ["Tanh"]}
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass(frozen=True)
class _Cell:
    """A node of one of the three kinds; gates are in our order.

    on_x: [directions, gates * hidden, n_in]; on_h: [directions, gates * hidden, hidden]
    bias_x, bias_h: [directions, gates * hidden]
    peepholes: [directions, 3, hidden] for i, f, o
    """

    kind: CellName
    node: "NodeProto"
    names: tuple[str, str]
    hidden: int
    directions: tuple[bool, ...]
    function: Literal["tanh", "relu"]
    on_x: Array
    on_h: Array
    bias_x: Array
    bias_h: Array
    peepholes: Array | None


class _Sequence(NamedTuple):
    """What one direction gives: states [time, hidden], and the last state and cell state.

    The last cell state is None where it was not asked for.
    """

    states: str
    last: str
    last_cell: str | None


def _recurrent(kind: CellName) -> Reader:
    def read(context: Context, node: "NodeProto") -> list[Value]:
        batch_first = bool(integer(node, "layout", 0))
        data = context.data(node)
        if len(data.shape.dims) != 3:
            raise NetworkError(f"{where(node)}: takes [time, batch, values]")
        shape = data.shape.with_batch(0 if batch_first else 1)
        time, _ = context.drafts.example(Data(data.source, shape))
        cell = _cell(kind, context, node)
        _check_whole_sequences(context, node, time)
        source = context.drafts.shaped(Data(data.source, shape, data.node))
        wants_cell = len(node.output) > 2 and node.output[2] in context.used
        sequences = [
            _direction(context, cell, source, direction, time, wants_cell=wants_cell)
            for direction in range(len(cell.directions))
        ]
        samples = shape.dims[shape.batch or 0]
        return _outputs(context, cell, sequences, (time, samples), batch_first=batch_first)

    return read


def _cell(kind: CellName, context: Context, node: "NodeProto") -> _Cell:
    """Read the node's weights and check what it may ask for."""
    direction = text(node, "direction", "forward")
    if direction not in DIRECTIONS:
        raise NetworkError(f"{where(node)}: direction {direction!r} is not known")
    directions = DIRECTIONS[direction]
    constants = [context.constant(node, index) for index in (1, 2)]
    on_x, on_h = (constant.floats() for constant in constants)
    count, hidden = len(directions), on_h.shape[-1] if on_h.ndim else 0
    rows = len(ORDER[kind]) * hidden
    if on_x.shape[:2] != (count, rows) or on_x.ndim != 3 or on_h.shape != (count, rows, hidden):
        raise NetworkError(
            f"{where(node)}: weights of shapes {on_x.shape} and {on_h.shape} do not fit each other "
            f"and {count} directions"
        )
    bias = np.zeros((count, 2 * rows))
    if context.has(node, 3):
        bias = _shaped(node, context.constant(node, 3), (count, 2 * rows))
    peepholes = None
    if kind == "lstm" and context.has(node, 7):
        stored = _shaped(node, context.constant(node, 7), (count, 3 * hidden))
        peepholes = stored.reshape(count, 3, hidden)[:, [0, 2, 1]]
    function = _function(kind, node, count)

    def ordered(values: Array) -> Array:
        gates = values.reshape(count, len(ORDER[kind]), hidden, *values.shape[2:])
        return gates[:, ORDER[kind]].reshape(values.shape)

    return _Cell(
        kind=kind,
        node=node,
        names=(constants[0].name, constants[1].name),
        hidden=hidden,
        directions=directions,
        function=function,
        on_x=ordered(on_x),
        on_h=ordered(on_h),
        bias_x=ordered(bias[:, :rows]),
        bias_h=ordered(bias[:, rows:]),
        peepholes=peepholes,
    )


def _shaped(node: "NodeProto", constant: Constant, shape: Shape) -> Array:
    values = constant.floats().astype(np.float64)
    if values.shape != shape:
        raise NetworkError(
            f"{where(node)}: tensor {constant.name!r} has shape {values.shape}, not {shape}"
        )
    return values


def _function(kind: CellName, node: "NodeProto", directions: int) -> Literal["tanh", "relu"]:
    """Return the function of an RNN; NetworkError for functions and options that are not supported."""
    activations = texts(node, "activations") or ACTIVATIONS[kind] * directions
    if has_attribute(node, "clip") or integer(node, "input_forget", 0):
        raise NetworkError(f"{where(node)}: clip and input_forget are not supported")
    if kind == "rnn" and activations == ["Relu"] * directions:
        return "relu"
    if activations != ACTIVATIONS[kind] * directions:
        raise NetworkError(
            f"{where(node)}: activations {activations} are not supported: "
            f"use {ACTIVATIONS[kind]} for each direction"
        )
    return "tanh"


def _check_whole_sequences(context: Context, node: "NodeProto", time: int) -> None:
    if context.has(node, 4) and any(
        length != time for length in context.constant(node, 4).numbers()
    ):
        raise NetworkError(f"{where(node)}: has sequence_lens: only whole sequences are supported")


def _direction(
    context: Context, cell: _Cell, source: str, index: int, time: int, *, wants_cell: bool
) -> _Sequence:
    """Draft the steps of one direction."""
    drafts, hidden = context.drafts, cell.hidden
    reverse = cell.directions[index]
    part = ".reverse" if len(cell.directions) == 2 and reverse else ""
    bias_h = cell.bias_h[index]
    # With a GRU's reset gate after the matrix, the candidate's bias on h is reset, too.
    stays = cell.kind == "gru" and bool(integer(cell.node, "linear_before_reset", 0))
    kept = np.concatenate([np.zeros(2 * hidden), bias_h[2 * hidden :]]) if stays else 0 * bias_h
    bias = cell.bias_x[index] + bias_h - kept
    on_x = drafts.add_layer(
        f"{cell.node.name or cell.names[0]}{part}.input",
        cell.on_x[index],
        bias if bias.any() else None,
    )
    gates = drafts.add(on_x, FullyConnected(layer=on_x), source)
    op = Recurrent(
        cell=cell.kind,
        hidden=hidden,
        matrices=_matrices(context, cell, index, part, kept),
        reset_after=stays or cell.kind != "gru",
        function=cell.function,
        peepholes=_peepholes(context, cell, index, part),
        reverse=reverse,
        with_cell=wants_cell,
    )
    whole = context.add(cell.node, op, gates, *_initial(context, cell, index, part), part=part)

    def cut(before: str, axis: int, start: int, length: int, name: str) -> str:
        op = Slice(axis=axis, start=start, stop=start + length)
        return context.add(cell.node, op, before, part=f"{part}.{name}")

    states = cut(whole, 1, 0, hidden, "states") if wants_cell else whole
    if time == 1:
        return _Sequence(states, states, cut(whole, 1, hidden, hidden, "c") if wants_cell else None)
    place = 0 if reverse else time - 1
    last_cell = None
    if wants_cell:
        last_cell = cut(cut(whole, 0, place, 1, "last"), 1, hidden, hidden, "c")
    return _Sequence(states, cut(states, 0, place, 1, "h"), last_cell)


def _matrices(context: Context, cell: _Cell, index: int, part: str, bias: Array) -> tuple[str, ...]:
    """Draft the matrices on the state, as the recurrent operation wants them."""
    drafts, on_h = context.drafts, cell.on_h[index]
    name = f"{cell.node.name or cell.names[1]}{part}"
    if cell.kind == "gru" and not integer(cell.node, "linear_before_reset", 0):
        two = 2 * cell.hidden
        gates = drafts.add_layer(f"{name}.state", on_h[:two])
        return gates, drafts.add_layer(f"{name}.reset_state", on_h[two:])
    return (drafts.add_layer(f"{name}.state", on_h, bias if bias.any() else None),)


def _peepholes(context: Context, cell: _Cell, index: int, part: str) -> tuple[str, str, str] | None:
    if cell.peepholes is None:
        return None
    base = f"{cell.node.name or cell.names[1]}{part}.peephole"
    i, f, o = (
        context.drafts.add_constant(f"{base}.{gate}", values)
        for gate, values in zip("ifo", cell.peepholes[index], strict=True)
    )
    return i, f, o


def _initial(context: Context, cell: _Cell, index: int, part: str) -> list[str]:
    """Draft the states before the first time step; they are zero where there is none."""
    inputs = (5, 6) if cell.kind == "lstm" else (5,)
    values = [
        context.value(cell.node, place) if context.has(cell.node, place) else None
        for place in inputs
    ]
    given = [value if isinstance(value, Data) else None for value in values]
    for value in values:
        if isinstance(value, Constant) and value.array.any():
            raise NetworkError(
                f"{where(cell.node)}: initial state {value.name!r} is a constant that is not zero: "
                "make it an input of the model"
            )
    if given[0] is None and any(given):
        raise NetworkError(
            f"{where(cell.node)}: has an initial cell state, but no initial state: give both"
        )
    found = []
    for place, data in zip(inputs, given, strict=True):
        if data is not None:
            found.append(_initial_of(context, cell, context.data(cell.node, place), index, part))
    return found


def _initial_of(context: Context, cell: _Cell, data: Data, index: int, part: str) -> str:
    """Return one direction's vector of [directions, batch, hidden]."""
    count = len(cell.directions)
    shape = data.shape.with_batch(0 if integer(cell.node, "layout", 0) else 1)
    states = context.drafts.shaped(Data(data.source, shape, data.node), (count, cell.hidden))
    if count == 1:
        return context.drafts.shaped(Data(states, shape, data.node), (cell.hidden,))
    one = context.add(
        cell.node, Slice(axis=0, start=index, stop=index + 1), states, part=f"{part}.initial"
    )
    return context.drafts.shaped(Data(one, shape, data.node), (cell.hidden,))


def _outputs(
    context: Context,
    cell: _Cell,
    sequences: Sequence[_Sequence],
    sizes: tuple[int, int | None],
    *,
    batch_first: bool,
) -> list[Value]:
    """Return Y [time, directions, batch, hidden], Y_h and, of an LSTM, Y_c [directions, batch, hidden].

    The batch comes first if the layout says so.
    """
    (time, samples), count, hidden = sizes, len(cell.directions), cell.hidden
    every = SampleShape((time, count, samples, hidden), 2)
    last = SampleShape((count, samples, hidden), 1)
    if batch_first:
        every, last = every.transposed([2, 0, 1, 3]), last.transposed([1, 0, 2])

    def both(names: Sequence[str], axis: int, part: str) -> str:
        if len(names) == 1:
            return names[0]
        return context.add(cell.node, Concatenate(axis=axis), *names, part=part)

    outputs: list[Value] = [
        Data(both([one.states for one in sequences], 1, ".both"), every),
        Data(both([one.last for one in sequences], 0, ".both.last"), last),
    ]
    cells = [one.last_cell for one in sequences if one.last_cell is not None]
    if cells:
        outputs.append(Data(both(cells, 0, ".both.cell"), last))
    return outputs


OPERATORS: Mapping[str, Reader] = {
    "GRU": _recurrent("gru"),
    "LSTM": _recurrent("lstm"),
    "RNN": _recurrent("rnn"),
}
