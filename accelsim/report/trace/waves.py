"""A window of one layer as a waveform (VCD, IEEE 1364), written with pyvcd; GTKWave and Surfer open it.

Every value holds for one cycle, from one rising edge of the clock to the next. States are strings, which
is GTKWave's extension of the standard.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from vcd import VCDWriter

from accelsim.files import write_atomically
from accelsim.study.layer_trace import LayerTrace, Spans, State

# Of a value change, its share of the time stamps included, and of the declarations of a PE's signals.
CHANGE_BYTES, PE_BYTES = 10, 260
PS_PER_US = 1e6
TOP = "accelsim"
UNKNOWN = -1  # of a signal that says nothing in this cycle: `x` in the file
STATE_NAMES = {
    State.IDLE: "idle",
    State.BUSY: "busy",
    State.EMPTY: "empty",
    State.ROW_WAIT: "row_wait",
    State.ARBITRATION: "arbitration",
    State.NO_BROADCAST: "no_broadcast",
    State.STALLED: "stalled",
    State.DONE: "done",
}


class Signal(NamedTuple):
    """A signal and its values, int64[n] each; `at` counts half cycles from the first cycle of the layer.

    bits: width; 0 for a state, which is written by its name
    """

    scope: str
    name: str
    bits: int
    at: Any
    values: Any


def estimated_bytes(layer: LayerTrace, first: int, last: int) -> int:
    """About how large the file will be; never far too small."""
    cycles = last - first + 1
    working = items = 0
    for spans in layer.spans(first, last):
        items += spans.pe.size
        if spans.state == State.BUSY:
            inside = np.minimum(spans.end, last + 1) - np.maximum(spans.first, first)
            working += int(inside.sum())
    # The clock, the cycle's number and the broadcast change all the time, the others with the items.
    return CHANGE_BYTES * (8 * cycles + working + 6 * items) + PE_BYTES * layer.pes


def write_waves(layer: LayerTrace, path: Path, first: int, last: int, clock_mhz: float) -> None:
    """Write cycles first to last, complete or not at all. Raises InputError."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="ascii") as file:
            _write_vcd(layer, file, first, last, PS_PER_US / clock_mhz)

    write_atomically(path, write)


def _write_vcd(layer: LayerTrace, file: Any, first: int, last: int, period_ps: float) -> None:
    signals = [_windowed(signal, first, last) for signal in _signals(layer, first, last)]
    start, stop = (_time_ps(2 * cycle, period_ps) for cycle in (first - 1, last))
    writer = VCDWriter(
        file, timescale="1 ps", version="accelsim", comment=_comment(layer.name), date="",
        check_values=False, init_timestamp=start,
    )  # fmt: skip
    variables = [
        writer.register_var(
            signal.scope, signal.name, "wire" if signal.bits else "string",
            size=signal.bits or None, init=_written(signal, int(signal.values[0])),
        )
        for signal in signals
    ]  # fmt: skip
    for at, index, value in _in_order(signals):
        writer.change(variables[index], _time_ps(at, period_ps), _written(signals[index], value))
    writer.close(stop)


def _comment(name: str) -> str:
    """A layer's name in letters that cannot end the comment."""
    return f"layer {name!a}".replace("$", "")


def _time_ps(half_cycles: int, period_ps: float) -> int:
    """Each edge is rounded by itself; cycle 1 begins at 0."""
    return round(half_cycles * period_ps / 2)


def _written(signal: Signal, value: int) -> int | str:
    if signal.bits == 0:
        return STATE_NAMES[State(value)]
    return "x" if value == UNKNOWN else value


def _windowed(signal: Signal, first: int, last: int) -> Signal:
    """The value at the window's first edge, and the changes after it."""
    begin, end = 2 * (first - 1), 2 * last
    before = max(0, int(np.searchsorted(signal.at, begin, "right")) - 1)
    at, values = signal.at[before:], signal.values[before:]
    at, values = at[at < end], values[: np.searchsorted(at, end)]
    changed = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    return signal._replace(at=at[changed], values=values[changed])


def _in_order(signals: list[Signal]) -> Iterator[tuple[int, int, int]]:
    """All changes but the initial values: (half cycle, number of the signal, value)."""
    at = np.concatenate([signal.at[1:] for signal in signals])
    values = np.concatenate([signal.values[1:] for signal in signals])
    index = np.repeat(np.arange(len(signals)), [signal.at.size - 1 for signal in signals])
    order = np.argsort(at, kind="stable")
    yield from zip(at[order].tolist(), index[order].tolist(), values[order].tolist(), strict=True)


def _signals(layer: LayerTrace, first: int, last: int) -> Iterator[Signal]:
    cycles = np.arange(first, last + 1)
    half = np.arange(2 * (first - 1), 2 * last)
    yield Signal(TOP, "clk", 1, half, 1 - half % 2)
    yield _signal(TOP, "cycle", cycles, cycles)
    yield from _broadcast_signals(layer)
    spans = list(layer.spans(first, last))
    for pe in range(layer.pes):
        yield from _pe_signals(layer, pe, spans, first, last)


def _broadcast_signals(layer: LayerTrace) -> Iterator[Signal]:
    scope = f"{TOP}.broadcast"
    one = np.ones_like(layer.broadcast)
    yield _held(scope, "valid", layer.broadcast, layer.broadcast + 1, one, 0)
    yield _held(scope, "column", layer.broadcast, layer.broadcast + 1, layer.columns, UNKNOWN)
    late = layer.stalls > 0
    begin, end = layer.ready[late], layer.broadcast[late]
    yield _held(scope, "stalled", begin, end, one[late], 0)
    yield _held(scope, "blocked_by_pe", begin, end, layer.blocked_by[late], UNKNOWN)


def _pe_signals(
    layer: LayerTrace, pe: int, spans: list[Spans], first: int, last: int
) -> Iterator[Signal]:
    digits = len(str(layer.pes - 1))  # so that viewers that sort by name keep the order
    scope = f"{TOP}.pe{pe:0{digits}}"
    yield _state(scope, pe, spans)
    cycles, items = layer.queue_changes(pe)
    yield _signal(scope, "queue", np.append(0, cycles), np.append(0, items))
    begin = int(np.searchsorted(layer.end[:, pe], first, "right"))
    end = int(np.searchsorted(layer.pop[:, pe], last, "right"))
    pop, start, after = (part[begin:end, pe] for part in (layer.pop, layer.start, layer.end))
    entries = layer.entries[begin:end, pe]
    yield _held(scope, "column", pop, after, layer.columns[begin:end], UNKNOWN)
    yield _held(scope, "entries", pop, after, entries, 0)
    yield _countdown(scope, start[entries > 0], after[entries > 0])


def _state(scope: str, pe: int, spans: list[Spans]) -> Signal:
    mine = [(part, part.pe == pe) for part in spans]
    begin = np.concatenate([part.first[own] for part, own in mine])
    end = np.concatenate([part.end[own] for part, own in mine])
    state = np.concatenate([np.full(own.sum(), part.state.value) for part, own in mine])
    order = np.argsort(begin, kind="stable")
    held = _held(scope, "state", begin[order], end[order], state[order], State.IDLE.value)
    return held._replace(bits=0)


def _countdown(scope: str, start: Any, end: Any) -> Signal:
    """Cycles until the column is done, this one included; 0 while nothing is worked on."""
    length = end - start
    number = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    cycles = np.repeat(start, length) + number
    return _held(scope, "cycles_left", cycles, cycles + 1, np.repeat(length, length) - number, 0)


def _held(scope: str, name: str, begin: Any, end: Any, values: Any, rest: int) -> Signal:
    """A signal with a value in each span, and another, `rest`, between them; spans in order."""
    closed = np.ones(begin.size, dtype=bool)
    closed[:-1] = end[:-1] < begin[1:]  # no rest where the next span follows at once
    cycles = np.concatenate([[0], begin, end[closed]])
    held = np.concatenate([[rest], values, np.full(closed.sum(), rest)])
    order = np.argsort(cycles, kind="stable")
    return _signal(scope, name, cycles[order], held[order])


def _signal(scope: str, name: str, cycles: Any, values: Any) -> Signal:
    """A signal that changes at the rising edges of these cycles."""
    bits = max(1, int(values.max(initial=0)).bit_length())
    return Signal(scope, name, bits, 2 * (cycles - 1), values)
