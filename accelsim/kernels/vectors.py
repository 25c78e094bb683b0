"""Many vectors through one layer in one call: scan, rows, waits and timing of each, sums over all."""

from typing import NamedTuple

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.lanes import LANES, PADDING, SERVICE, LanePlan
from accelsim.kernels.row_buffer import count_rows, item_service
from accelsim.kernels.shared import READY, WAITED, GroupState, Items, shared_timing
from accelsim.kernels.timing import array_timing, scan_activations, tail_start
from accelsim.kernels.traffic import sum_items
from accelsim.kernels.types import Array

# Cycles from the last entry's way into the datapath until the pipeline is empty (docs/machine.md).
DRAIN_CYCLES = 6


class Waiting(NamedTuple):
    """What a machine adds to the plan.

    sram_latency: cycles of a wait for a row; prefetched: whether the row buffer holds more than one;
    shared_by: PEs that share one decoder, 1 if none do; n_coded: columns from this one on need none;
    longest_lead: see `array_timing`
    """

    sram_latency: int
    prefetched: bool
    shared_by: int
    n_coded: int
    longest_lead: int


class Scratch(NamedTuple):
    """Memory for one vector at a time.

    order: int32[3, n_in + 1]: columns and gaps of the broadcasts; 0, 1, 2, ...
    waited, rows: see `item_service`; waited has the dtype of the plan's items
    seen, lead, peak, ready: see `tail_start` and `array_timing`
    groups, log: see `shared_timing`; the log is empty
    """

    order: Array
    waited: Array
    rows: Array
    seen: Array
    lead: Array
    peak: Array
    ready: Array
    groups: GroupState
    log: Array


class Counts(NamedTuple):
    """What happened to vectors, in the order and with the meaning of `BatchRun`; all are filled.

    vectors: int64[4, n]; columns: int64[n_cols]; pes: int64[7, blocks, LANES]
    sums: see `sum_items`, scratch
    """

    vectors: Array
    columns: Array
    pes: Array
    sums: Array


# Few arrays, as a call from Python costs time for each.
CYCLES, STALLS, BROADCASTS, FIRST_POP = range(4)
ENTRIES, PADDED, SERVED, WAITS, READS, STARVED, ARBITRATION = range(7)


@jit
def run_vectors(
    vectors: Array,
    n_slots: int,
    has_bias: bool,
    plan: LanePlan,
    rules: Waiting,
    scratch: Scratch,
    counts: Counts,
) -> None:
    """Run vectors number[n, n_in], one after the other, each on an empty machine.

    n_slots, has_bias: see `scan_activations`.
    """
    n_in = vectors.shape[1]
    counts.vectors[:] = 0
    counts.columns[:] = 0
    counts.pes[:] = 0
    # Cycles from a vector's first pop until the PE is free again; what it did in them comes off below.
    starved, arbitration = counts.pes[STARVED], counts.pes[ARBITRATION]
    for v in range(vectors.shape[0]):
        n = scan_activations(vectors[v], n_slots, has_bias, scratch.order[0], scratch.order[1])
        if n == 0:
            continue
        columns, gaps = scratch.order[0, :n], scratch.order[1, :n]
        for i in range(n_in):
            counts.columns[i] += np.int64(vectors[v, i] != 0)
        count_rows(plan.rows, columns, scratch.rows, counts.pes[READS])
        items, record_of = plan.items, columns
        if rules.sram_latency > 0:
            items, record_of = scratch.waited, scratch.order[2, :n]
            item_service(
                plan.items,
                plan.rows,
                columns,
                rules.sram_latency,
                rules.prefetched,
                scratch.rows,
                items,
                counts.pes[WAITS],
            )
        first_pop = 3 + np.int64(gaps[0])
        if rules.shared_by > 1:
            asked = Items(items, record_of, columns, gaps, rules.n_coded)
            last, stalls = shared_timing(asked, rules.shared_by, scratch.groups, scratch.log)
            ready, waited = scratch.groups.pes[READY], scratch.groups.pes[WAITED]
            for pe in range(ready.shape[0]):
                starved[pe // LANES, pe % LANES] += ready[pe] - first_pop
                arbitration[pe // LANES, pe % LANES] += waited[pe]
        else:
            tail = tail_start(items, plan.idle, record_of, scratch.seen)
            last, stalls = array_timing(
                items,
                record_of,
                gaps,
                tail,
                rules.longest_lead,
                scratch.lead,
                scratch.peak,
                scratch.ready,
            )
            for block in range(scratch.ready.shape[0]):
                for k in range(LANES):
                    starved[block, k] += scratch.ready[block, k] - first_pop
        counts.vectors[CYCLES, v] = last + DRAIN_CYCLES
        counts.vectors[STALLS, v] = stalls
        counts.vectors[BROADCASTS, v] = n
        counts.vectors[FIRST_POP, v] = first_pop
    if has_bias:
        counts.columns[n_in] = vectors.shape[0]
    sum_items(plan.items, counts.columns, counts.sums)
    pes = counts.pes
    for block in range(pes.shape[1]):
        for k in range(LANES):
            pes[ENTRIES, block, k] = counts.sums[block, k]
            pes[PADDED, block, k] = counts.sums[block, PADDING + k]
            pes[SERVED, block, k] = counts.sums[block, SERVICE + k]
            worked = pes[SERVED, block, k] + pes[WAITS, block, k] + pes[ARBITRATION, block, k]
            pes[STARVED, block, k] -= worked
