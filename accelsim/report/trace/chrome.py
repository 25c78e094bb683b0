"""A trace in Chrome's trace event format, which Perfetto, chrome://tracing and speedscope open.

Format: "Trace Event Format", https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
One JSON event per line, written as it is made.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from accelsim._version import __version__
from accelsim.files import write_atomically
from accelsim.report.trace.network_tracks import network_steps
from accelsim.report.trace.ruler import Ruler
from accelsim.study.layer_trace import LayerTrace, Spans, State
from accelsim.study.trace import Trace

NETWORK_PID = 1
FIRST_LAYER_PID = 2
# Viewers order threads by their numbers, print them, and take the one that equals its process's for the
# main thread: numbers that nobody takes for a PE's.
BROADCAST_TID = 9_999
FIRST_PE_TID = 10_000
FULLEST, MEAN = "queue, fullest", "queue, mean"
LINES_AT_ONCE = 10_000
# Bytes of an event with its line break, as measured; only for the estimate.
SLICE_BYTES, COUNTER_BYTES, TRACK_BYTES = 150, 90, 170

STATE_NAMES = {
    State.BUSY: "busy",
    State.EMPTY: "empty column",
    State.ROW_WAIT: "waits for row",
    State.ARBITRATION: "waits for decoder",
    State.NO_BROADCAST: "starved: scan",
    State.STALLED: "starved: stall",
    State.DONE: "done",
}


class Scope(NamedTuple):
    """What of a layer is written: cycles first to last, and the PEs with a queue track of their own."""

    first: int
    last: int
    queues: int


def scope_of(layer: LayerTrace, window: tuple[int, int] | None, queues: int) -> Scope:
    """The window, or the whole layer."""
    first, last = window or (1, layer.last_cycle)
    return Scope(first, min(last, layer.last_cycle), min(queues, layer.pes))


def estimated_bytes(layer: LayerTrace, scope: Scope) -> int:
    """About how large this layer's events will be; never far too small."""
    slices = sum(spans.pe.size for spans in layer.spans(scope.first, scope.last))
    items = int(np.sum((layer.broadcast >= scope.first) & (layer.broadcast <= scope.last)))
    cycles = scope.last - scope.first + 1
    counters = 2 * min(cycles, (layer.pes + 1) * items) + 2 * scope.queues * items
    tracks = TRACK_BYTES * (layer.pes + 2)
    return int(SLICE_BYTES * (slices + 3 * items) + COUNTER_BYTES * counters + tracks)


def write_chrome(
    trace: Trace, path: Path, ruler: Ruler, window: tuple[int, int] | None, queues: int
) -> None:
    """Write the trace, complete or not at all. Raises InputError."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8") as file:
            _write_all(trace, file, ruler, window, queues)

    write_atomically(path, write)


def _write_all(
    trace: Trace, file: TextIO, ruler: Ruler, window: tuple[int, int] | None, queues: int
) -> None:
    about = {
        "network": trace.result.network,
        "machine": trace.result.machine.name,
        "time": ruler.about,
        "accelsim": __version__,
        "notes": list(trace.result.notes),
    }
    file.write('{"displayTimeUnit":"ns","otherData":')
    file.write(json.dumps(about))
    file.write(',"traceEvents":[\n')
    lines = _events(trace, ruler, window, queues)
    file.write(next(lines))  # there always is one: the network's own name
    while some := list(islice(lines, LINES_AT_ONCE)):
        file.write(",\n")
        file.write(",\n".join(some))
    file.write("\n]}\n")


def _events(
    trace: Trace, ruler: Ruler, window: tuple[int, int] | None, queues: int
) -> Iterator[str]:
    yield from _network(trace, ruler)
    for pid, layer in enumerate(trace.traced, start=FIRST_LAYER_PID):
        scope = scope_of(layer, window, queues)
        track = LayerTrack(layer, pid, ruler)
        yield from track.names()
        yield from track.broadcasts(scope)
        for spans in layer.spans(scope.first, scope.last):
            yield from track.pe_slices(spans)
        yield from track.queues(scope)


def _network(trace: Trace, ruler: Ruler) -> Iterator[str]:
    yield from _named("process", NETWORK_PID, 0, f"network {trace.result.network}", NETWORK_PID)
    tracks: dict[str, int] = {}
    for step in network_steps(trace.result):
        if step.track not in tracks:
            tracks[step.track] = tid = NETWORK_PID + len(tracks) + 1
            yield from _named("thread", NETWORK_PID, tid, step.track, tid)
        args = {**step.args, "first_cycle": step.first + 1, "cycles": step.end - step.first}
        begin, end = ruler.ns([step.first, step.end]).tolist()
        yield _slice(NETWORK_PID, tracks[step.track], json.dumps(step.name), begin, end,
                     json.dumps(args))  # fmt: skip


class LayerTrack:
    """The process of one layer: a track of broadcasts, a track per PE, and counters of queues."""

    def __init__(self, layer: LayerTrace, pid: int, ruler: Ruler) -> None:
        self.layer = layer
        self.pid = pid
        self.ruler = ruler

    def names(self) -> Iterator[str]:
        """Say what the tracks are called and how they are ordered."""
        layer = self.layer
        which = f" ({layer.label.pass_name})" if layer.label.pass_name else ""
        yield from _named("process", self.pid, 0, f"layer {layer.name}{which}", self.pid)
        yield from _named("thread", self.pid, BROADCAST_TID, "broadcast", BROADCAST_TID)
        for pe in range(layer.pes):
            tid = FIRST_PE_TID + pe
            yield from _named("thread", self.pid, tid, f"PE {pe}", tid)

    def broadcasts(self, scope: Scope) -> Iterator[str]:
        """Each broadcast, the scan before it, and the stall that held it up, with the one to blame."""
        layer = self.layer
        shown = (layer.broadcast >= scope.first) & (layer.ready - layer.gaps <= scope.last)
        for j in np.flatnonzero(shown).tolist():
            ready, cycle = int(layer.ready[j]), int(layer.broadcast[j])
            blame, about_stall = self._blame(j)
            parts: tuple[tuple[str, int, int, dict[str, Any]], ...] = (
                ("scan", ready - int(layer.gaps[j]), ready, {}),
                (blame, ready, cycle, about_stall),
                ("broadcast", cycle, cycle + 1, {"item": j, "column": self._column(j)}),
            )
            for name, first, end, args in parts:
                if first < end and first <= scope.last and end > scope.first:
                    yield self._one(name, first, end, args)

    def pe_slices(self, spans: Spans) -> Iterator[str]:
        """The slices of one state, for all PEs."""
        layer = self.layer
        name = json.dumps(STATE_NAMES[spans.state])
        args = self._arguments(spans)
        begin, end = (
            self.ruler.ns(layer.label.start_cycle - 1 + edge).tolist()
            for edge in (spans.first, spans.end)
        )
        rows = zip(spans.pe.tolist(), begin, end, spans.first.tolist(), spans.end.tolist(), args,
                   strict=True)  # fmt: skip
        for pe, begin_ns, end_ns, first, after, more in rows:
            told = f'{{"first_cycle":{first},"cycles":{after - first}{more}}}'
            yield _slice(self.pid, FIRST_PE_TID + pe, name, begin_ns, end_ns, told)

    def queues(self, scope: Scope) -> Iterator[str]:
        """Counters: items in the fullest queue, in the mean queue, and in queues of single PEs."""
        layer, single = self.layer, fullest_queues(self.layer, scope)
        fullest = mean = -1.0
        for begin, held in layer.occupancy(scope.first, scope.last):
            for name, values, before in (
                (FULLEST, held.max(axis=1), fullest),
                (MEAN, held.sum(axis=1) / layer.pes, mean),
            ):
                changed = np.flatnonzero(np.diff(values, prepend=before))
                yield from self._counter(name, begin + changed, values[changed])
            fullest, mean = float(held[-1].max()), float(held[-1].sum() / layer.pes)
        for pe in single:
            cycles, items = layer.queue_changes(pe)
            shown = (cycles >= scope.first) & (cycles <= scope.last)
            before = items[cycles < scope.first][-1:]  # how full it is when the window opens
            yield from self._counter(_queue_of(pe), [scope.first] * len(before), before)
            yield from self._counter(_queue_of(pe), cycles[shown], items[shown])
        if scope.last < layer.last_cycle:  # viewers draw the last value on and on
            for name in (FULLEST, MEAN, *map(_queue_of, single)):
                yield from self._counter(name, [scope.last + 1], [0])

    def _counter(self, name: str, cycles: Any, values: Any) -> Iterator[str]:
        instants = self.ruler.ns(self.layer.label.start_cycle - 1 + np.asarray(cycles)).tolist()
        for ns, value in zip(instants, np.asarray(values).tolist(), strict=True):
            yield (
                f'{{"ph":"C","pid":{self.pid},"name":"{name}","ts":{Ruler.us(ns)},'
                f'"args":{{"items":{value:.6g}}}}}'
            )

    def _one(self, name: str, first: int, end: int, args: dict[str, Any]) -> str:
        begin, after = self.ruler.ns(
            self.layer.label.start_cycle - 1 + np.array([first, end])
        ).tolist()
        told = {"first_cycle": first, "cycles": end - first} | args
        return _slice(self.pid, BROADCAST_TID, json.dumps(name), begin, after, json.dumps(told))

    def _blame(self, j: int) -> tuple[str, dict[str, Any]]:
        layer = self.layer
        item = int(layer.blocking_item[j])
        if item < 0:
            return "stalled by the queue's depth", {"column": self._column(j)}
        pe = int(layer.blocked_by[j])
        return f"stalled by PE {pe}", {
            "column": self._column(j),
            "blocked_by_pe": pe,
            "at_column": self._column(item),
            "entries_there": int(layer.entries[item, pe]),
            "mean_entries": round(float(layer.entries[item].mean()), 3),
        }

    def _column(self, j: int) -> int | str:
        column = int(self.layer.columns[j])
        return "bias" if column == self.layer.label.bias_column else column

    def _arguments(self, spans: Spans) -> Iterable[str]:
        """What the slices of a state say beside their cycles, as the tail of a JSON object."""
        layer = self.layer
        if spans.state == State.DONE:
            return [""] * spans.pe.size
        columns = [json.dumps(self._column(j)) for j in spans.item.tolist()]
        if spans.state == State.BUSY:
            at = spans.item, spans.pe
            counts = zip(columns, layer.entries[at].tolist(), layer.padding[at].tolist(),
                         layer.inner_waits[at].tolist(), strict=True)  # fmt: skip
            return (
                f',"column":{column},"entries":{entries},"padding":{padding}'
                + (f',"row_wait_cycles":{waits}' if waits else "")
                for column, entries, padding, waits in counts
            )
        if spans.state == State.STALLED:
            return (
                f',"for_column":{column},"stalled_by":{_blocker(pe)}'
                for column, pe in zip(columns, self._blockers(spans.item), strict=True)
            )
        what = "for_column" if spans.state == State.NO_BROADCAST else "column"
        return (f',"{what}":{column}' for column in columns)

    def _blockers(self, items: Any) -> list[int]:
        layer = self.layer
        late = layer.blocking_item[items] >= 0
        return np.where(late, layer.blocked_by[items], -1).tolist()  # type: ignore[no-any-return]


def fullest_queues(layer: LayerTrace, scope: Scope) -> list[int]:
    """The PEs whose items wait longest in their queues, in the window, by number."""
    inside = (layer.broadcast <= scope.last) & (layer.broadcast >= scope.first)
    waited = (layer.pop - layer.broadcast[:, None])[inside].sum(axis=0)
    return sorted(np.argsort(-waited, kind="stable")[: scope.queues].tolist())


def _queue_of(pe: int) -> str:
    return f"queue, PE {pe}"


def _blocker(pe: int) -> str:
    return f'"PE {pe}"' if pe >= 0 else '"the queue\'s depth"'


def _named(what: str, pid: int, tid: int, name: str, order: int) -> Iterator[str]:
    place = f'"ph":"M","pid":{pid},"tid":{tid}'
    yield f'{{"name":"{what}_name",{place},"args":{{"name":{json.dumps(name)}}}}}'
    yield f'{{"name":"{what}_sort_index",{place},"args":{{"sort_index":{order}}}}}'


def _slice(pid: int, tid: int, name: str, begin_ns: int, end_ns: int, args: str) -> str:
    """One complete event; name and args are JSON already."""
    return (
        f'{{"ph":"X","pid":{pid},"tid":{tid},"name":{name},"ts":{Ruler.us(begin_ns)},'
        f'"dur":{Ruler.us(end_ns - begin_ns)},"args":{args}}}'
    )
