"""Recurrent cells, step by step: the matrices on the array, everything else on the vector unit.

Each cell is written once, as the table in docs/machine.md ("Layers") has it, for numbers of any kind:
float32, or the machine's fixed point, which rounds where "Arithmetic" says so.
"""

from collections.abc import Mapping
from typing import Any, Generic, NamedTuple

import numpy as np

from accelsim.compression.layer import CompressedLayer
from accelsim.network.graph import Concatenate, Recurrent
from accelsim.simulation.arithmetic import Fixed, Formats, Value
from accelsim.simulation.cell_numbers import (
    CELL,
    GATES,
    STATE,
    Array,
    FixedNumbers,
    FloatNumbers,
    N,
    Numbers,
)
from accelsim.simulation.vector_unit import BEYOND_FLOAT32, concatenate


class CellRun(NamedTuple):
    """output: the states of all time steps; states: float32 and Fixed inputs of each matrix, by layer.

    products: format and saturated additions of each matrix's products, by layer; without the words.
    """

    output: Value
    states: dict[str, tuple[Array, Fixed]]
    products: dict[str, Fixed]


class Cell(Generic[N]):
    """One time step of a recurrent operation: (state, cell state) and gate inputs to new states."""

    def __init__(self, op: Recurrent, numbers: Numbers[N]) -> None:
        self.op, self.n = op, numbers
        self.step = {"lstm": self._lstm, "gru": self._gru, "rnn": self._rnn, "qrnn": self._qrnn}[
            op.cell
        ]

    def _parts(self, gates: N, count: int) -> list[N]:
        return [self.n.part(gates, index, self.op.hidden) for index in range(count)]

    def _lstm(self, x: N, h: N, c: N) -> tuple[N, N]:
        n, op = self.n, self.op
        i, f, g, o = self._parts(n.add(x, n.product(op.matrices[0], h), GATES), 4)
        if op.peepholes:
            i = n.add(i, n.multiply(n.constant(op.peepholes[0]), c, GATES), GATES)
            f = n.add(f, n.multiply(n.constant(op.peepholes[1]), c, GATES), GATES)
        kept = n.multiply(n.sigmoid(f), c, CELL)
        c = n.add(kept, n.multiply(n.sigmoid(i), n.tanh(g), CELL), CELL)
        if op.peepholes:
            o = n.add(o, n.multiply(n.constant(op.peepholes[2]), c, GATES), GATES)
        h = n.multiply(n.sigmoid(o), n.tanh(c), STATE)
        return (n.product(op.matrices[1], h) if len(op.matrices) == 2 else h), c

    def _gru(self, x: N, h: N, c: N) -> tuple[N, N]:
        n, op = self.n, self.op
        x_r, x_z, x_n = self._parts(x, 3)
        if op.reset_after:
            h_r, h_z, h_n = self._parts(n.product(op.matrices[0], h), 3)
            r = n.sigmoid(n.add(x_r, h_r, GATES))
            candidate = n.multiply(r, h_n, GATES)
        else:
            h_r, h_z = self._parts(n.product(op.matrices[0], h), 2)
            r = n.sigmoid(n.add(x_r, h_r, GATES))
            candidate = n.product(op.matrices[1], n.multiply(r, h, STATE))
        z = n.sigmoid(n.add(x_z, h_z, GATES))
        new = n.tanh(n.add(x_n, candidate, GATES))
        fresh = n.multiply(n.one_minus(z), new, STATE)
        return n.add(fresh, n.multiply(z, h, STATE), STATE), c

    def _rnn(self, x: N, h: N, c: N) -> tuple[N, N]:
        n = self.n
        total = n.add(x, n.product(self.op.matrices[0], h), GATES)
        return (n.tanh(total) if self.op.function == "tanh" else n.relu(total)), c

    def _qrnn(self, x: N, h: N, c: N) -> tuple[N, N]:
        del h
        n = self.n
        z, f, o = self._parts(x, 3)
        f = n.sigmoid(f)
        c = n.add(n.multiply(f, c, CELL), n.multiply(n.one_minus(f), n.tanh(z), CELL), CELL)
        return n.multiply(n.sigmoid(o), c, STATE), c


@BEYOND_FLOAT32
def run_cell(
    op: Recurrent,
    name: str,
    given: list[Value],
    layers: Mapping[str, CompressedLayer],
    constants: Mapping[str, Array],
    formats: Formats,
) -> CellRun:
    """Run a recurrent step over its sequence: gate inputs [examples, time, ...], then initial states.

    layers: those that the step's matrices name.
    """
    starts = _initial(op, given, layers)
    floats = FloatNumbers(layers, constants)
    values = _sequence(Cell(op, floats), given[0].values, starts)
    frac_bits = {
        what: formats.of(what if what in layers else name + what, peak)
        for what, peak in floats.peaks.items()
    }
    words = FixedNumbers(layers, constants, frac_bits, formats.bits)
    states = _sequence(Cell(op, words), given[0].fixed, starts)
    parts = [_stacked(*both) for both in zip(values, states, strict=True)]
    output = concatenate(Concatenate(axis=1), parts if op.with_cell else parts[:1], formats.bits)
    output = output._replace(fixed=output.fixed._replace(saturated=words.saturated[""]))
    return CellRun(
        output,
        {
            layer: (
                np.stack(floats.inputs[layer], axis=1),
                Fixed(np.stack(words.inputs[layer], axis=1), words.input_frac_bits[layer]),
            )
            for layer in layers
        },
        {layer: Fixed(None, frac_bits[layer], words.saturated[layer]) for layer in layers},
    )


def _stacked(values: list[Array], words: list[Fixed]) -> Value:
    """One tensor [examples, time, cells] from those of all time steps."""
    raw = np.stack([word.raw for word in words], axis=1)
    return Value(np.stack(values, axis=1), Fixed(raw, words[0].frac_bits))


def _initial(
    op: Recurrent, given: list[Value], layers: Mapping[str, CompressedLayer]
) -> tuple[Value, Value]:
    """State and cell state before the first time step: zero, unless they are given."""
    examples = given[0].values.shape[0]
    n_state = (
        layers[op.matrices[1]].n_out if op.cell == "lstm" and len(op.matrices) == 2 else op.hidden
    )

    def zeros(size: int) -> Value:
        shape = (examples, size)
        return Value(np.zeros(shape, dtype=np.float32), Fixed(np.zeros(shape, dtype=np.int64), 0))

    if op.cell == "qrnn":  # its outputs do not depend on h, only on c
        return zeros(op.hidden), (given[1:] or [zeros(op.hidden)])[0]
    states = given[1:] + [zeros(n_state), zeros(op.hidden)][len(given) - 1 :]
    return states[0], states[1]


def _sequence(cell: Cell[Any], x: Any, starts: tuple[Value, Value]) -> tuple[list[Any], list[Any]]:
    """States and cell states of all time steps, in the order of time."""
    h, c = cell.n.initial(starts[0], STATE), cell.n.initial(starts[1], CELL)
    time = range((x.raw if isinstance(x, Fixed) else x).shape[1])
    states, cells = [], []
    for t in reversed(time) if cell.op.reverse else time:
        now = x._replace(raw=x.raw[:, t]) if isinstance(x, Fixed) else x[:, t]
        h, c = cell.step(now, h, c)
        states.append(h)
        cells.append(c)
    return (states[::-1], cells[::-1]) if cell.op.reverse else (states, cells)
