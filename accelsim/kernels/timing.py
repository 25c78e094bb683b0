"""Cycle-exact timing of the PE array: one update per (broadcast, PE), never one per cycle.

The rules are those of docs/machine.md.
"""

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.lanes import LANES, SERVICE, record_at
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
    one = np.uint64(1)
    count = np.uint64(0)  # unsigned, as in `record_at`
    idle = 0
    for start in range(0, n_in, n_slots):
        first = count
        for i in range(start, min(n_in, start + n_slots)):
            # No branch: half of the activations are zero, and no predictor knows which.
            columns[count] = i
            count += np.uint64(activations[np.uint64(i)] != 0)
        if count > first:
            gaps[first] = idle
            # The switch to the next line is free after a broadcast from the last slot.
            idle = 0 if columns[count - one] == start + n_slots - 1 else 1
        else:
            idle += 1
    if has_bias:
        columns[count] = n_in
        gaps[count] = idle
        count += one
    return np.int64(count)


@jit
def tail_start(items: Array, idle: Array, columns: Array, seen: Array) -> int:
    """First broadcast of the shortest tail in which each PE that gets an entry at all gets one.

    items, idle: as in `LanePlan`; columns: int32[n]; seen: uint8[blocks, LANES], scratch.
    A layer ends in this tail, so only there has the end of each item to be looked at.
    """
    blocks = idle.shape[0]
    seen[:] = idle
    j = columns.shape[0]
    all_seen = np.uint8(0)
    while j > 0 and all_seen == 0:
        j -= 1
        all_seen = np.uint8(1)
        for block in range(blocks):
            record = record_at(columns[j], blocks, block)
            for k in range(LANES):
                now = np.uint8(seen[block, k] | np.uint8(items[record, k] > 0))
                seen[block, k] = now
                all_seen = min(all_seen, now)
    return j


@jit
def array_timing(
    items: Array,
    columns: Array,
    gaps: Array,
    tail: int,
    longest_lead: int,
    lead: Array,
    peak: Array,
    ready: Array,
) -> tuple[int, int]:
    """Run the broadcast/queue recurrence over the items of one vector, at least one.

    items: as in `LanePlan`; columns, gaps: int32[n]; tail: from `tail_start`.
    lead: uint[blocks, LANES], scratch: cycles by which each PE's pop is later than the cycle after the
    broadcast. The caller picks a dtype that holds queue_depth services of any items but the last;
    longest_lead: the largest value of this dtype. peak: int64[queue_depth - 1], scratch.
    ready: int64[blocks, LANES], filled with the cycle in which each PE is free again.
    Returns (cycle in which the last entry enters the datapath, or 0; stall cycles).
    """
    unit = lead.dtype.type
    blocks, room = lead.shape[0], peak.shape[0]
    lead[:] = 0
    peak[:] = 0  # latest pop of the item `room` broadcasts ago; 0 blocks nothing
    broadcast = 2 + np.int64(gaps[0])
    peak[0] = broadcast + 1
    slot = 1 if room > 1 else 0
    stalls = np.int64(0)
    last = np.int64(0)
    for j in range(1, columns.shape[0]):
        free = broadcast + 1 + np.int64(gaps[j])
        following = max(free, peak[slot] + 1)
        stalls += following - free
        passed = unit(min(following - broadcast, longest_lead))
        latest = unit(0)
        longest = unit(0)
        for block in range(blocks):
            record = record_at(columns[j - 1], blocks, block)
            if j > tail:
                for k in range(LANES):
                    busy = unit(lead[block, k] + items[record, SERVICE + k])
                    longest = max(longest, busy if items[record, k] > 0 else unit(0))
            for k in range(LANES):
                busy = unit(lead[block, k] + items[record, SERVICE + k])
                left = unit(max(busy, passed) - passed)
                lead[block, k] = left
                latest = max(latest, left)
        if longest > 0:
            last = max(last, broadcast + np.int64(longest))
        broadcast = following
        peak[slot] = broadcast + 1 + np.int64(latest)
        slot = slot + 1 if slot + 1 < room else 0
    for block in range(blocks):
        record = record_at(columns[columns.shape[0] - 1], blocks, block)
        for k in range(LANES):
            end = broadcast + np.int64(lead[block, k]) + np.int64(items[record, SERVICE + k])
            ready[block, k] = end + 1
            last = max(last, end if items[record, k] > 0 else np.int64(0))
    return last, stalls
