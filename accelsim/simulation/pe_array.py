"""A layer on the PE array: exact timing and memory traffic for one activation vector after another."""

from typing import Any, NamedTuple

import numpy as np

from accelsim.hardware.decoders import DecodedLayer
from accelsim.kernels import timing, traffic
from accelsim.kernels.types import ColumnPlan

# Cycles from the last entry's way into the datapath until the pipeline is empty (docs/machine.md).
DRAIN_CYCLES = 6
CACHE_LINE = 64
# Cycles that are neither entries nor scan gaps: first load, first pop, and room to spare.
FIXED_CYCLES = 16


class Broadcasts(NamedTuple):
    """Columns that one vector broadcasts, int32[n], and the idle cycles before each, int32[n]."""

    columns: Any
    gaps: Any


class Traffic(NamedTuple):
    """Per PE, int32[P] or int64[P]: entries, padding among them, service cycles, weight-SRAM row reads."""

    entries: Any
    padding: Any
    service: Any
    row_reads: Any


class Timing(NamedTuple):
    """cycles until drained, broadcast stalls, the first pop, and int[P] when each PE is free again."""

    cycles: int
    stall_cycles: int
    first_pop: int
    ready: Any


class VectorRun(NamedTuple):
    """One input vector on one layer."""

    broadcasts: Broadcasts
    traffic: Traffic
    timing: Timing


class PeArray:
    """One decoded layer with its scratch memory, ready for any number of vectors.

    The three steps are apart because they depend on different things: `broadcasts` on the vector and P,
    `traffic` on these and the decoder, and only `timing` on the queue depth.
    """

    def __init__(self, decoded: DecodedLayer, n_in: int, *, has_bias: bool) -> None:
        self.plan = ColumnPlan(*(_aligned(part.shape, part.dtype, part) for part in decoded.plan))
        self.pes = self.plan.entries.shape[1]
        self.has_bias = has_bias
        self._columns = np.empty(n_in + 1, dtype=np.int32)
        self._gaps = np.empty(n_in + 1, dtype=np.int32)
        # If each broadcast waited for the one before it, the layer would take this long at most.
        worst = int(self.plan.service.max(axis=1).sum(dtype=np.int64)) + 3 * n_in + FIXED_CYCLES
        self._unit = np.int32 if worst < np.iinfo(np.int32).max else np.int64
        self._seen = np.empty(self.pes, dtype=np.uint8)
        self._ready = _aligned((self.pes,), self._unit)
        self._peak = np.empty(0, dtype=self._unit)
        self._tally = _aligned((4, self.pes), self._unit)
        self._register = _aligned(
            (self.pes,), np.promote_types(self.plan.first_row.dtype, self.plan.last_row.dtype)
        )

    def broadcasts(self, activations: Any) -> Broadcasts:
        """What a vector number[n_in] broadcasts (its non-zero values, then the bias)."""
        n = timing.scan_activations(activations, self.pes, self.has_bias, self._columns, self._gaps)
        return Broadcasts(self._columns[:n].copy(), self._gaps[:n].copy())

    def traffic(self, broadcasts: Broadcasts) -> Traffic:
        """What the broadcast columns move through each PE."""
        traffic.measure_layer(
            self.plan.service,
            self.plan.entries,
            self.plan.padding,
            self.plan.first_row,
            self.plan.last_row,
            broadcasts.columns,
            self._tally,
            self._register,
        )
        return Traffic(*self._tally.copy())

    def timing(self, broadcasts: Broadcasts, queue_depth: int) -> Timing:
        """How long it takes with queues of `queue_depth` slots. No broadcast at all takes no time."""
        columns, gaps = broadcasts
        if columns.size == 0:
            return Timing(0, 0, 0, np.zeros(self.pes, dtype=np.int64))
        tail = timing.tail_start(self.plan.entries, columns, self._seen)
        if self._peak.size != queue_depth - 1:
            self._peak = np.empty(queue_depth - 1, dtype=self._unit)
        last, stalls, first_pop = timing.array_timing(
            self.plan.service,
            self.plan.entries,
            columns,
            gaps,
            queue_depth,
            tail,
            self._ready,
            self._peak,
        )
        return Timing(int(last) + DRAIN_CYCLES, int(stalls), int(first_pop), self._ready.copy())


def _aligned(shape: tuple[int, ...], dtype: Any, content: Any = None) -> Any:
    """An array on a cache-line boundary, where NumPy's own are not: vector loads then touch one line."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(n_bytes + CACHE_LINE, dtype=np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    array = room[start : start + n_bytes].view(dtype).reshape(shape)
    if content is not None:
        array[...] = content
    return array


def starved_cycles(timed: Timing, moved: Traffic) -> Any:
    """int64[P]: cycles between a PE's first and last pop in which its queue was empty."""
    return np.maximum(timed.ready - timed.first_pop - moved.service, 0)
