"""A layer on the PE array: exact timing and memory traffic of activation vectors."""

from typing import Any, NamedTuple

import numpy as np

from accelsim.hardware.decoders import DecodedLayer
from accelsim.kernels.lanes import ITEM_WIDTH, LANES, SERVICE
from accelsim.kernels.row_buffer import MISSED, item_service
from accelsim.kernels.shared import Items, shared_timing
from accelsim.kernels.timing import scan_activations
from accelsim.kernels.types import ROW_BASE
from accelsim.kernels.vectors import DRAIN_CYCLES, Counts, run_vectors
from accelsim.simulation.lane_memory import (
    Rules,
    Workplace,
    blocks_of,
    group_state,
    workplace,
)

__all__ = ["DRAIN_CYCLES", "BatchRun", "Broadcasts", "Events", "PeArray", "Rules"]


class Broadcasts(NamedTuple):
    """Columns that one vector broadcasts, int32[n], and the idle cycles before each, int32[n]."""

    columns: Any
    gaps: Any


class BatchRun(NamedTuple):
    """n vectors on one layer, each on an empty machine.

    cycles: int64[n], until drained, 0 if nothing was broadcast
    stall_cycles, broadcasts: int64[n]; first_pop: int64[n], cycle, 0 if nothing was broadcast
    column_counts: int64[n_cols], how often each column was broadcast, a bias last

    Sums over the vectors, int64[P]:
    entries: processed, padding included; padding: of these
    service: cycles of decoder and datapath, one for each column without entries
    waits: cycles for weight rows; arbitration: cycles for a shared decoder
    row_reads: weight-SRAM rows
    starved: cycles, between a vector's first and last pop, in which the queue was empty
    """

    cycles: Any
    stall_cycles: Any
    broadcasts: Any
    first_pop: Any
    column_counts: Any
    entries: Any
    padding: Any
    service: Any
    waits: Any
    row_reads: Any
    starved: Any
    arbitration: Any


class Events(NamedTuple):
    """When each item of one vector was broadcast and worked on; cycles as in docs/machine.md, from 1.

    broadcast: int64[n], cycle in which the item is written into all queues
    pop: int64[n, P], cycle in which a PE takes it out of its queue
    start: int64[n, P], first cycle of decoding: `pop`, plus the wait for a shared decoder, plus the wait
        for the first row. Equals `pop` for a column without entries.
    end: int64[n, P], last cycle of its service, in which its last entry enters the datapath; with row
        buffers of one row, waits for further rows lie between start and end. Equals `pop` for a column
        without entries. The PE can pop again in cycle end + 1.
    blocked_by: int64[n], PE whose late pop held the broadcast up (the first of the latest), or -1
    """

    broadcast: Any
    pop: Any
    start: Any
    end: Any
    blocked_by: Any


class PeArray:
    """One decoded layer, ready for any number of vectors under any rules; for one thread at a time."""

    def __init__(self, decoded: DecodedLayer, n_in: int, *, has_bias: bool) -> None:
        self.plan = decoded.plan
        self.pes = self.plan.entries.shape[1]
        self.n_in = n_in
        self.has_bias = has_bias
        self._final_row = decoded.sram_rows + (ROW_BASE - 1)
        self._workplace: tuple[Rules, Workplace] | None = None

    def broadcasts(self, activations: Any) -> Broadcasts:
        """What a vector number[n_in] broadcasts (its non-zero values, then the bias)."""
        columns, gaps = np.empty((2, self.n_in + 1), dtype=np.int32)
        n = scan_activations(_active(activations), self.pes, self.has_bias, columns, gaps)
        return Broadcasts(columns[:n], gaps[:n])

    def run_batch(self, vectors: Any, rules: Rules) -> BatchRun:
        """Run vectors number[n, n_in], whose non-zero values are broadcast."""
        active = _active(vectors)
        place = self._place(rules)
        per_vector: Any = np.empty((4, len(active)), dtype=np.int64)
        column_counts = np.empty(len(self.plan.entries), dtype=np.int64)
        sums = place.sums_for(len(active))
        run_vectors(
            active,
            self.pes,
            self.has_bias,
            place.plan,
            place.waiting,
            place.scratch,
            Counts(per_vector, column_counts, place.pe_counts, sums),
        )
        per_pe: Any = place.pe_counts.reshape(len(place.pe_counts), -1)[:, : self.pes].copy()
        return BatchRun(*[*per_vector, column_counts, *per_pe])

    def events(self, broadcasts: Broadcasts, rules: Rules) -> Events:
        """When each item was broadcast, popped and worked on; one vector, under any rules."""
        columns, gaps = broadcasts
        n, pes = columns.size, self.pes
        if n == 0:
            none = np.empty((0, pes), dtype=np.int64)
            return Events(none[:, 0], none, none, none, none[:, 0])
        place = self._place(rules)
        items, record_of = self._records(columns, place)
        log = np.empty((2, n, pes), dtype=np.int64)
        state = group_state(pes, rules, n)
        asked = Items(items, record_of, columns, gaps, place.waiting.n_coded)
        shared_timing(asked, place.waiting.shared_by, state, log)
        pop, grant = log
        records = items.reshape(-1, blocks_of(pes), ITEM_WIDTH)[record_of].astype(np.int64)
        service, missed = (
            records[:, :, i : i + LANES].reshape(n, -1)[:, :pes] for i in (SERVICE, MISSED)
        )
        free = np.append(1, state.broadcast[:-1]) + 1 + gaps
        blocked_by = np.full(n, -1, dtype=np.int64)
        stalled = np.flatnonzero(state.broadcast > free)
        blocked_by[stalled] = pop[stalled - (rules.queue_depth - 1)].argmax(axis=1)
        start = grant + rules.sram_latency * missed
        return Events(state.broadcast, pop, start, grant + service - 1, blocked_by)

    def _place(self, rules: Rules) -> Workplace:
        if self._workplace is None or self._workplace[0] != rules:
            place = workplace(self.plan, self._final_row, rules, has_bias=self.has_bias)
            self._workplace = (rules, place)
        return self._workplace[1]

    def _records(self, columns: Any, place: Workplace) -> tuple[Any, Any]:
        """Item records with their waits for rows, and which of them each item has."""
        plan, waiting, scratch = place[:3]
        if not waiting.sram_latency:
            return plan.items, columns
        item_service(
            plan.items,
            plan.rows,
            columns,
            waiting.sram_latency,
            waiting.prefetched,
            scratch.rows,
            scratch.waited,
            np.zeros_like(scratch.ready),
        )
        return scratch.waited, scratch.order[2, : columns.size]


def _active(values: Any) -> Any:
    """uint8, non-zero where the values are: one dtype for the kernels to be compiled for."""
    return values if values.dtype == np.uint8 else (values != 0).view(np.uint8)
