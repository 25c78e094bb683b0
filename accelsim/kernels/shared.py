"""Timing of PEs that share decoders: event by event, never cycle by cycle.

The rules are those of docs/machine.md. A decoder serves columns in the order in which PEs pop them, so
PEs of a group may be at different broadcasts, and a broadcast waits for the slowest PE of all groups.
A request can be served once no earlier one can come any more: each PE of the group has asked, or
the next broadcast, whose cycle is not known yet, is certain to be later.
"""

from typing import NamedTuple

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.lanes import LANES, SERVICE
from accelsim.kernels.types import Array

NEVER = np.iinfo(np.int64).max
AT_ONCE = -1


class Items(NamedTuple):
    """The items of one vector, in the order of their broadcasts.

    items: item records as in `LanePlan` or as `item_service` fills them; record_of: int32[n], which record
    of it an item has; columns, gaps: int32[n]; n_coded: columns from this one on need no decoder.
    """

    items: Array
    record_of: Array
    columns: Array
    gaps: Array
    n_coded: int


class GroupState(NamedTuple):
    """Scratch memory, and what is left in it per PE.

    broadcast: int64[>= n], cycle of each broadcast
    item: int64[P], broadcast whose column a PE asks the decoder for, or waits for if it has not asked
    ask: int64[P], cycle of that item's pop, or NEVER
    ready: int64[P], cycle in which the PE is free again
    waited: int64[P], cycles between its pops and the decoder's starts on them
    last: int64[P], cycle of its last entry, or 0
    busy: int64[ceil(P / n)], cycle in which each decoder is free again
    latest, pops: int64[queue_depth - 1], the latest pop known of an item, and how many are known
    """

    broadcast: Array
    item: Array
    ask: Array
    ready: Array
    waited: Array
    last: Array
    busy: Array
    latest: Array
    pops: Array


class Log(NamedTuple):
    """When things happened; arrays without rows if nobody wants to know.

    free: int64[n], cycle in which each broadcast was ready; pop, grant: int64[n, P], of each item in
    each PE the pop and the cycle in which its service begins.
    """

    free: Array
    pop: Array
    grant: Array


# Functions that take arrays cost reference counts at each call, as much as serving several items: they
# are called once per round of all groups, and what is done per item stands in one function.


@jit
def shared_timing(items: Items, shared_by: int, state: GroupState, log: Log) -> tuple[int, int]:
    """Run all items of one vector, at least one. Returns (cycle of the last entry, or 0; stalls)."""
    n = items.columns.shape[0]
    for array in state[1:]:
        array[:] = 0
    state.ask[:] = NEVER
    known = 0
    free = 2 + np.int64(items.gaps[0])
    stalls = 0
    while known < n:
        known, free, waited = _broadcast(items, known, free, state, log)
        stalls += waited
        horizon = NEVER if known == n else _next_broadcast(known, free, state)
        _serve(items, shared_by, known, horizon, state, log)
    return state.last.max(), stalls


@jit
def _broadcast(
    items: Items, known: int, free: int, state: GroupState, log: Log
) -> tuple[int, int, int]:
    """Find the cycles of further broadcasts, as far as the pops that they wait for are known.

    known: broadcasts found so far; free: first cycle in which the next one could be if queues had
    room. Returns both, brought forward, and the cycles that broadcasts were held up.
    """
    n, n_pes, room = items.columns.shape[0], state.item.shape[0], state.latest.shape[0]
    latest, pops, broadcast = state.latest, state.pops, state.broadcast
    stalls = 0
    while known < n and (known < room or pops[known % room] == n_pes):
        slot = known % room
        cycle = max(free, latest[slot] + 1)
        broadcast[known] = cycle
        if log.free.shape[0] > 0:
            log.free[known] = free
        stalls += cycle - free
        latest[slot] = 0
        pops[slot] = 0
        known += 1
        if known < n:
            free = cycle + 1 + np.int64(items.gaps[known])
    return known, free, stalls


@jit
def _next_broadcast(known: int, free: int, state: GroupState) -> int:
    """A cycle before which broadcast `known`, which waits for pops not known yet, cannot happen."""
    item, ask, room = state.item, state.ask, state.latest.shape[0]
    earliest = max(free, state.latest[known % room] + 1)
    for pe in range(item.shape[0]):
        # Each item takes a cycle at least, and the broadcast comes in the cycle after the pop.
        ahead = known - room - item[pe]
        if ahead > 0 and ask[pe] != NEVER:
            earliest = max(earliest, ask[pe] + ahead + 1)
    return earliest


@jit
def _serve(  # noqa: PLR0915 - see above
    items: Items, shared_by: int, known: int, horizon: int, state: GroupState, log: Log
) -> None:
    """Serve all requests that nothing can overtake, and let the PEs pop what is broadcast.

    known: broadcasts whose cycles are known; horizon: the next one is not before this cycle.
    """
    records, record_of, columns, _, n_coded = items
    broadcast, item, ask, ready, waited, last, busy, latest, pops = state
    n_pes, room = item.shape[0], latest.shape[0]
    blocks = -(-n_pes // LANES)
    logged = log.pop.shape[0] > 0
    for group in range(busy.shape[0]):
        first = group * shared_by
        end = min(first + shared_by, n_pes)
        while True:
            pop = NEVER
            pe = first
            waiting = False
            for k in range(first, end):
                if ask[k] < pop:
                    pop = ask[k]
                    pe = k
                if ask[k] == NEVER:
                    waiting = True
                    if item[k] < known:
                        pop = AT_ONCE
                        pe = k
                        break
            j = item[pe]
            if pop != AT_ONCE:
                # A PE that waits for a broadcast pops in the cycle after it, or later.
                if pop == NEVER or (waiting and pop > horizon):
                    break
                grant = max(pop, busy[group])
                waited[pe] += grant - pop
                record = np.int64(record_of[j]) * blocks + pe // LANES
                ready[pe] = grant + np.int64(records[record, SERVICE + pe % LANES])
                busy[group] = ready[pe]
                last[pe] = ready[pe] - 1
                if logged:
                    log.grant[j, pe] = grant
                j += 1
            # Pop on, until a column needs the decoder or is not broadcast yet.
            ask[pe] = NEVER
            slot = j % room
            while j < known:
                pop = max(broadcast[j] + 1, ready[pe])
                latest[slot] = max(latest[slot], pop)
                pops[slot] += 1
                if logged:
                    log.pop[j, pe] = pop
                record = np.int64(record_of[j]) * blocks + pe // LANES
                has_entries = records[record, pe % LANES] > 0
                if has_entries and columns[j] < n_coded:
                    ask[pe] = pop
                    break
                ready[pe] = pop + np.int64(records[record, SERVICE + pe % LANES])
                if has_entries:
                    last[pe] = ready[pe] - 1
                if logged:
                    log.grant[j, pe] = pop
                j += 1
                slot = slot + 1 if slot + 1 < room else 0
            item[pe] = j
