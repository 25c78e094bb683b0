"""Many vectors through one layer in one call: scan, rows, waits and timing of each, sums over all."""

from typing import NamedTuple

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.lanes import LANES, LanePlan
from accelsim.kernels.row_buffer import count_rows, item_service
from accelsim.kernels.shared import GroupState, Items, Log, shared_timing
from accelsim.kernels.timing import array_timing, scan_activations, tail_start
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

    columns, gaps: int32[n_in + 1]; in_order: int32[n_in + 1], 0, 1, 2, ...
    waited, rows: see `item_service`; waited has the dtype of the plan's items
    seen, lead, peak, ready: see `tail_start` and `array_timing`
    groups: see `shared_timing`; log: empty
    """

    columns: Array
    gaps: Array
    in_order: Array
    waited: Array
    rows: Array
    seen: Array
    lead: Array
    peak: Array
    ready: Array
    groups: GroupState
    log: Log


class Counts(NamedTuple):
    """What happened to vectors.

    cycles, stalls, broadcasts, first_pop: int64[n], per vector, filled; as in `BatchRun`
    columns: int64[n_in + 1], added to: how often each column was broadcast, the bias last
    alive, reads, waits, arbitration: int64[blocks, LANES], added to: cycles from the first pop of a
    vector until the PE is free again, weight rows read, cycles waiting for rows and for a decoder
    """

    cycles: Array
    stalls: Array
    broadcasts: Array
    first_pop: Array
    columns: Array
    alive: Array
    reads: Array
    waits: Array
    arbitration: Array


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
    for v in range(vectors.shape[0]):
        n = scan_activations(vectors[v], n_slots, has_bias, scratch.columns, scratch.gaps)
        counts.broadcasts[v] = n
        if n == 0:
            counts.cycles[v] = counts.stalls[v] = counts.first_pop[v] = 0
            continue
        columns, gaps = scratch.columns[:n], scratch.gaps[:n]
        for j in range(n):
            counts.columns[columns[j]] += 1
        count_rows(plan.rows, columns, scratch.rows, counts.reads)
        items, record_of = plan.items, columns
        if rules.sram_latency > 0:
            items, record_of = scratch.waited, scratch.in_order[:n]
            item_service(
                plan.items,
                plan.rows,
                columns,
                rules.sram_latency,
                rules.prefetched,
                scratch.rows,
                items,
                counts.waits,
            )
        first_pop = 3 + np.int64(gaps[0])
        if rules.shared_by > 1:
            asked = Items(items, record_of, columns, gaps, rules.n_coded)
            last, stalls = shared_timing(asked, rules.shared_by, scratch.groups, scratch.log)
            for pe in range(scratch.groups.ready.shape[0]):
                block, k = pe // LANES, pe % LANES
                counts.alive[block, k] += scratch.groups.ready[pe] - first_pop
                counts.arbitration[block, k] += scratch.groups.waited[pe]
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
                    counts.alive[block, k] += scratch.ready[block, k] - first_pop
        counts.cycles[v] = last + DRAIN_CYCLES
        counts.stalls[v] = stalls
        counts.first_pop[v] = first_pop
