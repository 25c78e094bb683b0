"""One input vector on one layer, item by item: what every PE did when, and who held whom up.

An *item* is a broadcast column in one PE's hands. Cycles are the layer's own and start at 1, as in
docs/machine.md ("Timing"); spans are half open: [first cycle, first cycle after).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

CHUNK_CELLS = 2**22  # cycles x PEs that `LayerTrace.occupancy` holds at a time


class State(IntEnum):
    """What a PE does in a cycle. IDLE is before its first item and after the layer's last entry."""

    IDLE = 0
    BUSY = 1
    EMPTY = 2
    ROW_WAIT = 3
    ARBITRATION = 4
    NO_BROADCAST = 5
    STALLED = 6
    DONE = 7


class Spans(NamedTuple):
    """Spans of one state, int64[n] each: the PE, the item that it belongs to, first and end cycle.

    The item of a starved PE is the one that it waits for.
    """

    state: State
    pe: Any
    item: Any
    first: Any
    end: Any


class Label(NamedTuple):
    """Which pass of which layer a trace is of, and where it stands in the network's time.

    name: of the layer
    vector, vectors: which of how many input vectors
    block, blocks: which of how many blocks of columns
    start_cycle: cycles of the network before this pass's first
    bias_column: number of the column that is the bias; None without a bias
    """

    name: str
    vector: int = 0
    vectors: int = 1
    block: int = 0
    blocks: int = 1
    start_cycle: int = 0
    bias_column: int | None = None

    @property
    def pass_name(self) -> str:
        """The vector and the block in words; empty if there is only one pass."""
        parts = (("vector", self.vector, self.vectors), ("block", self.block, self.blocks))
        return ", ".join(f"{what} {number} of {of}" for what, number, of in parts if of > 1)


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What happened in one pass; n broadcasts, P PEs, all arrays int64.

    array_cycles: the array's cycles, with the drain of the pipeline
    columns, gaps: [n], the columns that were broadcast, and the scan cycles before each
    broadcast: [n], the cycle of each broadcast
    pop, granted, start, end: [n, P], the cycle in which a PE takes an item from its queue; in which a
        shared decoder turns to it (the pop, where none is shared); in which work on it begins; and in
        which the PE is free again
    inner_waits: [n, P], cycles between start and end that waited for further weight rows
    blocked_by: [n], the PE whose late pop delayed the broadcast, -1 where nothing did
    entries, padding: [n, P]
    """

    label: Label
    array_cycles: int
    queue_depth: int
    columns: Any
    gaps: Any
    broadcast: Any
    pop: Any
    granted: Any
    start: Any
    end: Any
    inner_waits: Any
    blocked_by: Any
    entries: Any
    padding: Any

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.label.name

    @property
    def pes(self) -> int:
        """Number of PEs."""
        return int(self.pop.shape[1])

    @property
    def last_cycle(self) -> int:
        """The last cycle in which anything happens: of the layer, or of columns without entries."""
        return max(self.array_cycles, int(self.end.max(initial=1)) - 1)

    @cached_property
    def ready(self) -> Any:
        """int64[n]: the cycle in which each broadcast would have happened if no queue had been full."""
        before = np.concatenate([[1], self.broadcast[:-1]])[: self.columns.size]
        return before + 1 + self.gaps

    @cached_property
    def stalls(self) -> Any:
        """int64[n]: cycles that each broadcast waited for a full queue."""
        return self.broadcast - self.ready

    @cached_property
    def depth_stalls(self) -> Any:
        """int64[n]: those of them that the queue's depth costs even if every PE pops at once.

        Only a queue of depth 2, which holds one item, has any: its slot is free again two cycles after
        the broadcast that filled it.
        """
        behind = self.queue_depth - 1
        soonest = np.zeros_like(self.broadcast)
        soonest[behind:] = self.broadcast[:-behind] + 2
        return np.clip(soonest - self.ready, 0, self.stalls)

    @cached_property
    def late_stalls(self) -> Any:
        """int64[n]: those of them that a PE costs which was still at work on an earlier item."""
        return self.stalls - self.depth_stalls

    @cached_property
    def blocking_item(self) -> Any:
        """int64[n]: the item that the blocking PE was at work on; -1 where `late_stalls` is 0.

        The full queue holds the queue_depth - 1 items before this broadcast, so the PE is at the one
        before those, from before the stall until its end.
        """
        items = np.arange(self.columns.size) - self.queue_depth
        return np.where(self.late_stalls > 0, items, -1)

    @cached_property
    def last_end(self) -> int:
        """The cycle after the array's last entry; 1 if there is none."""
        return int(self.end[self.entries > 0].max(initial=1))

    @cached_property
    def free(self) -> Any:
        """int64[P]: the cycle in which each PE is free for good."""
        return self.end[-1] if self.columns.size else np.ones(self.pes, dtype=np.int64)

    @cached_property
    def starved(self) -> tuple[Any, Any]:
        """Cycles that a PE waited for each item with its queue empty, int64[n, P] twice.

        First those that the scan for non-zero activations took, then those that a stall of the
        broadcast cost: the item would have been there so many cycles sooner.
        """
        waited = np.zeros_like(self.pop)
        waited[1:] = self.pop[1:] - self.end[:-1]
        stalled = np.minimum(waited, self.stalls[:, None])
        return waited - stalled, stalled

    def spans(self, first: int | None = None, last: int | None = None) -> Iterator[Spans]:
        """All spans of all PEs that touch cycles first to last, state by state; whole, not cut."""
        scan, stalled = self.starved
        arrived = self.pop - stalled
        work = self.entries > 0
        yield self._spans(State.BUSY, work, self.start, self.end, first, last)
        yield self._spans(State.EMPTY, ~work, self.start, self.end, first, last)
        yield self._spans(
            State.ARBITRATION, self.granted > self.pop, self.pop, self.granted, first, last
        )
        yield self._spans(
            State.ROW_WAIT, self.start > self.granted, self.granted, self.start, first, last
        )
        yield self._spans(State.NO_BROADCAST, scan > 0, arrived - scan, arrived, first, last)
        yield self._spans(State.STALLED, stalled > 0, arrived, self.pop, first, last)
        done = np.flatnonzero(self.free < self.last_end)
        ends = np.full(done.size, self.last_end)
        items = np.full(done.size, self.columns.size - 1)
        yield _within(Spans(State.DONE, done, items, self.free[done], ends), first, last)

    def queue_changes(self, pe: int) -> tuple[Any, Any]:
        """Cycles in which the number of items in a PE's queue changes, and the number from then on."""
        cycles, index = np.unique(
            np.concatenate([self.broadcast, self.pop[:, pe]]), return_inverse=True
        )
        change = np.zeros(cycles.size, dtype=np.int64)
        np.add.at(change, index, np.repeat([1, -1], self.columns.size))
        return cycles[change != 0], np.cumsum(change)[change != 0]

    def _spans(
        self, state: State, where: Any, begin: Any, end: Any, first: int | None, last: int | None
    ) -> Spans:
        if first is not None and last is not None:
            where = where & (begin <= last) & (end > first)
        item, pe = np.nonzero(where)
        return Spans(state, pe, item, begin[item, pe], end[item, pe])

    def occupancy(self, first: int, last: int) -> Iterator[tuple[int, Any]]:
        """Items in each queue at the end of each cycle from first to last, in chunks of cycles.

        Yields (first cycle of the chunk, int64[cycles, P]). A broadcast is in the queue from its own
        cycle on, and no longer in the cycle of its pop.
        """
        step = max(1, CHUNK_CELLS // self.pes)
        held = np.searchsorted(self.broadcast, first - 1, "right") - (self.pop < first).sum(axis=0)
        for begin in range(first, last + 1, step):
            size = min(step, last + 1 - begin)
            change = np.zeros((size, self.pes), dtype=np.int64)
            pushed = self.broadcast[(self.broadcast >= begin) & (self.broadcast < begin + size)]
            change += np.bincount(pushed - begin, minlength=size)[:, None]
            item, pe = np.nonzero((self.pop >= begin) & (self.pop < begin + size))
            np.subtract.at(change, (self.pop[item, pe] - begin, pe), 1)
            change[0] += held
            filled = np.cumsum(change, axis=0)
            held = filled[-1]
            yield begin, filled


def _within(spans: Spans, first: int | None, last: int | None) -> Spans:
    if first is None or last is None:
        return spans
    kept = (spans.first <= last) & (spans.end > first)
    return Spans(spans.state, *(part[kept] for part in spans[1:]))
