"""Cycle-exact timing of the PE array: one update per (broadcast, PE), never one per cycle.

The rules are those of docs/machine.md. Arrays are PE-minor, so the inner loops are contiguous and
vectorise.
"""

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.types import Array


@jit
def scan_activations(
    activations: Array, n_slots: int, has_bias: bool, columns: Array, gaps: Array
) -> int:
    """Find the non-zero activations, line by line, and the idle cycles before each broadcast.

    activations: number[n_in]; n_slots: words per line (P). The bias stands in the first slot of the
    line after the last activation line and is reported as column n_in, where the plan keeps it.
    columns, gaps: int32[n_in + 1], filled. Returns the number of broadcasts.
    """
    n_in = activations.shape[0]
    gaps[:] = 0
    count = 0
    idle = 0
    for start in range(0, n_in, n_slots):
        first = count
        for i in range(start, min(n_in, start + n_slots)):
            # No branch: half of the activations are zero, and no predictor knows which.
            columns[count] = i
            count += np.int64(activations[i] != 0)
        if count > first:
            gaps[first] = idle
            # The switch to the next line is free after a broadcast from the last slot.
            idle = 0 if columns[count - 1] == start + n_slots - 1 else 1
        else:
            idle += 1
    if has_bias:
        columns[count] = n_in
        gaps[count] = idle
        count += 1
    return count


@jit
def tail_start(entries: Array, columns: Array, seen: Array) -> int:
    """First broadcast of the shortest tail in which each PE that gets an entry at all gets one.

    entries: uint[n_cols, P]; columns: int32[n_broadcasts]; seen: uint8[P], scratch.
    A layer ends in this tail, so only there has the end of each item to be looked at.
    """
    seen[:] = 0
    missing = seen.shape[0]
    j = columns.shape[0]
    while j > 0 and missing > 0:
        j -= 1
        for k in range(seen.shape[0]):
            if seen[k] == 0 and entries[columns[j], k] > 0:
                seen[k] = 1
                missing -= 1
    return j


@jit
def array_timing(
    service: Array,
    entries: Array,
    columns: Array,
    gaps: Array,
    queue_depth: int,
    tail: int,
    ready: Array,
    peak: Array,
) -> tuple[int, int, int]:
    """Run the broadcast/queue recurrence over all items.

    service, entries: uint[n_cols, P]; columns, gaps: int32[n_broadcasts]; tail: from `tail_start`.
    ready: int32[P] or int64[P] (the caller picks a width that holds the cycle count), filled with the
    cycle in which each PE is free again; peak: same dtype, [queue_depth - 1], scratch.
    Returns (cycle in which the last entry enters the datapath, or 0; stall cycles; first pop).
    """
    unit = ready.dtype.type
    one = unit(1)
    room = queue_depth - 1
    ready[:] = 0
    peak[:] = 0  # pops of the item `room` broadcasts ago, latest PE first; 0 blocks nothing
    broadcast = one
    stalls = unit(0)
    last = unit(0)
    first_pop = unit(0)
    slot = 0
    for j in range(columns.shape[0]):
        column = columns[j]
        free = unit(broadcast + one + unit(gaps[j]))
        broadcast = max(free, unit(peak[slot] + one))
        stalls = unit(stalls + broadcast - free)
        earliest = unit(broadcast + one)
        if j == 0:
            first_pop = earliest
        if j >= tail:
            for k in range(ready.shape[0]):
                if entries[column, k] > 0:
                    end = unit(max(earliest, ready[k]) + unit(service[column, k]))
                    last = max(last, unit(end - one))
        latest = unit(0)
        for k in range(ready.shape[0]):
            pop = max(earliest, ready[k])
            latest = max(latest, pop)
            ready[k] = pop + unit(service[column, k])
        peak[slot] = latest
        slot = slot + 1 if slot + 1 < room else 0
    return np.int64(last), np.int64(stalls), np.int64(first_pop)
