"""Laying a decoded plan out for the kernels, and the memory that they work in."""

from typing import Any, NamedTuple

import numpy as np

from accelsim.hardware.interleave import narrowest
from accelsim.kernels.lanes import ITEM_WIDTH, LANES, ROW_WIDTH, LanePlan
from accelsim.kernels.shared import GroupState
from accelsim.kernels.types import NO_FIRST, NO_LAST, ColumnPlan
from accelsim.kernels.vectors import Scratch, Waiting

CACHE_LINE = 64


class Rules(NamedTuple):
    """What a machine adds to a decoded layer's plan to make its timing (docs/machine.md).

    queue_depth: slots of an activation queue, one of which stays free; >= 2
    row_buffer_rows: weight rows that a PE holds; >= 1
    sram_latency: cycles that a PE waits for a row that is not in its buffer
    shared_by: PEs that share one decoder; 0: each has its own
    n_coded: plan columns from this one on (an exact bias) need no decoder; None: all need it
    """

    queue_depth: int
    row_buffer_rows: int = 1
    sram_latency: int = 0
    shared_by: int = 0
    n_coded: int | None = None


class Workplace(NamedTuple):
    """One layer under one set of rules, ready for `run_vectors`.

    pe_counts: int64[7, blocks, LANES], see `Counts`
    sums: uint16, int32 and int64[blocks, ITEM_WIDTH], see `sum_items`
    largest_sum: the largest sum of a count over all columns
    """

    plan: LanePlan
    waiting: Waiting
    scratch: Scratch
    pe_counts: Any
    sums: tuple[Any, ...]
    largest_sum: int

    def sums_for(self, n_vectors: int) -> Any:
        """The narrowest of `sums` that holds the sums of so many vectors: it is the fastest."""
        most = n_vectors * self.largest_sum
        return next(array for array in self.sums if most <= np.iinfo(array.dtype).max)


def blocks_of(pes: int) -> int:
    """Blocks of lanes that so many PEs take."""
    return -(-pes // LANES)


def workplace(plan: ColumnPlan, final_row: Any, rules: Rules, *, has_bias: bool) -> Workplace:
    """Lay a plan out for the rules.

    final_row: int64[P], plan number of each PE's last weight row
    """
    most_waits = 0
    if rules.sram_latency:
        most_waits = rules.sram_latency * _most_rows_late(plan, rules)
    # The service of the last item, the bias, is never part of a lead.
    before_last = plan.service[:-1] if has_bias else plan.service
    longest_lead = rules.queue_depth * (int(before_last.max(initial=1)) + most_waits)
    lead = next(d for d in (np.uint8, np.uint16, np.int64) if longest_lead <= np.iinfo(d).max)
    narrow = np.result_type(plan.entries, plan.padding, plan.service)
    items = np.promote_types(narrow, narrowest(int(plan.service.max()) + most_waits))
    waiting = Waiting(
        sram_latency=rules.sram_latency,
        prefetched=rules.row_buffer_rows > 1,
        shared_by=max(1, rules.shared_by),
        n_coded=len(plan.entries) if rules.n_coded is None else rules.n_coded,
        longest_lead=int(np.iinfo(lead).max),
    )
    laid_out = _lane_plan(plan, final_row, rules.row_buffer_rows, items)
    blocks = blocks_of(plan.entries.shape[1])
    return Workplace(
        plan=laid_out,
        waiting=waiting,
        scratch=_scratch(plan, laid_out, rules, lead),
        pe_counts=_aligned((7, blocks, LANES), np.int64),
        sums=tuple(_aligned((blocks, ITEM_WIDTH), d) for d in (np.uint16, np.int32, np.int64)),
        largest_sum=int(laid_out.items.sum(axis=0, dtype=np.int64).max()),
    )


def group_state(pes: int, rules: Rules, n: int) -> GroupState:
    """Memory to time up to n broadcasts with shared decoders; a decoder of one's own is shared by one."""
    return GroupState(
        broadcast=np.empty(n, dtype=np.int64),
        pes=np.empty((5, pes), dtype=np.int64),
        decoders=np.empty(-(-pes // max(1, rules.shared_by)), dtype=np.int64),
        window=np.empty((2, rules.queue_depth - 1), dtype=np.int64),
    )


def _most_rows_late(plan: ColumnPlan, rules: Rules) -> int:
    """Most rows that one item has to wait for."""
    if rules.row_buffer_rows > 1:
        return 1
    touched = plan.last_row.astype(np.int64) - plan.first_row + 1
    return max(0, int(touched.max()))


def _lane_plan(plan: ColumnPlan, final_row: Any, row_buffer_rows: int, dtype: Any) -> LanePlan:
    pes = plan.entries.shape[1]
    items = _records((plan.entries, plan.padding, plan.service), (0, 0, 0), dtype)
    last = plan.last_row.astype(np.int64)
    beyond = np.minimum(last + row_buffer_rows - 1, final_row) + 1
    beyond[last == NO_LAST] = NO_LAST
    row_dtype = np.promote_types(np.uint16, narrowest(int(beyond.max())))
    rows = _records((plan.first_row, beyond), (NO_FIRST, NO_LAST), row_dtype)
    idle = np.ones((blocks_of(pes), LANES), dtype=np.uint8)
    idle.reshape(-1)[:pes] = ~plan.entries.any(axis=0)
    return LanePlan(items.reshape(-1, ITEM_WIDTH), rows.reshape(-1, ROW_WIDTH), idle)


def _records(parts: tuple[Any, ...], missing: tuple[int, ...], dtype: Any) -> Any:
    """[n_cols, blocks, parts, LANES] of arrays [n_cols, P]; what missing PEs have instead."""
    n_cols, pes = parts[0].shape
    blocks = blocks_of(pes)
    records = _aligned((n_cols, blocks, len(parts), LANES), dtype)
    wide = np.empty((n_cols, blocks * LANES), dtype=dtype)
    for i, part in enumerate(parts):
        wide[:, :pes] = part
        wide[:, pes:] = missing[i]
        records[:, :, i] = wide.reshape(n_cols, blocks, LANES)
    return records


def _scratch(plan: ColumnPlan, laid_out: LanePlan, rules: Rules, lead: Any) -> Scratch:
    n_cols, pes = plan.entries.shape
    blocks = blocks_of(pes)
    # The bias is column n_in whether there is one or not, and the scan writes one column too many.
    n = n_cols + 1
    waited = n * blocks if rules.sram_latency else 0
    order = np.empty((3, n), dtype=np.int32)
    order[2] = np.arange(n)
    return Scratch(
        order=order,
        waited=_aligned((waited, ITEM_WIDTH), laid_out.items.dtype),
        rows=_aligned((blocks, ROW_WIDTH), laid_out.rows.dtype),
        seen=_aligned((blocks, LANES), np.uint8),
        lead=_aligned((blocks, LANES), lead),
        peak=np.empty(rules.queue_depth - 1, dtype=np.int64),
        ready=_aligned((blocks, LANES), np.int64),
        groups=group_state(pes, rules, n),
        log=np.empty((2, 0, pes), dtype=np.int64),
    )


def _aligned(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array on a cache-line boundary, where NumPy's own are not: vector loads then touch one line."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(n_bytes + CACHE_LINE, dtype=np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start : start + n_bytes].view(dtype).reshape(shape)
