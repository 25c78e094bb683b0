"""Timing of PEs that share decoders: event by event, never cycle by cycle.

The rules are those of docs/machine.md. A decoder serves columns in the order in which PEs pop them, so
PEs of a group may be at different broadcasts, and a broadcast waits for the slowest PE of all groups.
A request can be served once no earlier one can come any more: each PE of the group has asked, or
the next broadcast, whose cycle is not known yet, is certain to be later.
"""

from typing import NamedTuple

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.lanes import LANES, SERVICE, record_at
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
    pes: int64[5, P]: ITEM, broadcast whose column a PE asks the decoder for, or waits for if it has not
    asked; ASK, cycle of that item's pop, or NEVER; READY, cycle in which the PE is free again; WAITED,
    cycles between its pops and the decoder's starts on them; LAST, cycle of its last entry, or 0
    decoders: int64[ceil(P / n)], cycle in which each is free again
    window: int64[2, queue_depth - 1], the latest pop known of an item, and how many are known
    """

    broadcast: Array
    pes: Array
    decoders: Array
    window: Array


ITEM, ASK, READY, WAITED, LAST = range(5)
POP, GRANT = range(2)


# Functions that take arrays cost reference counts at each call, as much as serving several items: they
# are called once per round of all groups, and what is done per item stands in one function.


@jit
def shared_timing(items: Items, shared_by: int, state: GroupState, log: Array) -> tuple[int, int]:
    """Run all items of one vector, at least one. Returns (cycle of the last entry, or 0; stalls).

    log: int64[2, n, P], filled with the pop of each item in each PE (POP) and the cycle in which its
    service begins (GRANT); or int64[2, 0, P], if nobody wants to know.
    """
    n = items.columns.shape[0]
    state.pes[:] = 0
    state.pes[ASK] = NEVER
    state.decoders[:] = 0
    state.window[:] = 0
    known = 0
    free: int = 2 + np.int64(items.gaps[0])
    stalls = 0
    while known < n:
        known, free, waited = _broadcast(items, known, free, state)
        stalls += waited
        horizon = NEVER if known == n else _next_broadcast(known, free, state)
        _serve(items, shared_by, known, horizon, state, log)
    return state.pes[LAST].max(), stalls


@jit
def _broadcast(items: Items, known: int, free: int, state: GroupState) -> tuple[int, int, int]:
    """Find the cycles of further broadcasts, as far as the pops that they wait for are known.

    known: broadcasts found so far; free: first cycle in which the next one could be if queues had
    room. Returns both, brought forward, and the cycles that broadcasts were held up.
    """
    n, n_pes = items.columns.shape[0], state.pes.shape[1]
    broadcast, latest, pops = state.broadcast, state.window[0], state.window[1]
    room = latest.shape[0]
    stalls = 0
    while known < n and (known < room or pops[known % room] == n_pes):
        slot = known % room
        cycle = max(free, latest[slot] + 1)
        broadcast[known] = cycle
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
    item, ask = state.pes[ITEM], state.pes[ASK]
    room = state.window.shape[1]
    earliest = max(free, state.window[0, known % room] + 1)
    for pe in range(item.shape[0]):
        # Each item takes a cycle at least, and the broadcast comes in the cycle after the pop.
        ahead = known - room - item[pe]
        if ahead > 0 and ask[pe] != NEVER:
            earliest = max(earliest, ask[pe] + ahead + 1)
    return earliest


@jit
def _serve(  # noqa: PLR0915 - see above
    items: Items, shared_by: int, known: int, horizon: int, state: GroupState, log: Array
) -> None:
    """Serve all requests that nothing can overtake, and let the PEs pop what is broadcast.

    known: broadcasts whose cycles are known; horizon: the next one is not before this cycle.
    """
    records, record_of, columns, _, n_coded = items
    broadcast, pes, busy, window = state
    item, ask, ready = pes[ITEM], pes[ASK], pes[READY]
    waited, last = pes[WAITED], pes[LAST]
    latest, pops = window[0], window[1]
    n_pes, room = item.shape[0], latest.shape[0]
    blocks = -(-n_pes // LANES)
    logged = log.shape[1] > 0
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
                record = record_at(record_of[j], blocks, pe // LANES)
                ready[pe] = grant + np.int64(records[record, SERVICE + pe % LANES])
                busy[group] = ready[pe]
                last[pe] = ready[pe] - 1
                if logged:
                    log[GRANT, j, pe] = grant
                j += 1
            # Pop on, until a column needs the decoder or is not broadcast yet.
            ask[pe] = NEVER
            slot = j % room
            while j < known:
                pop = max(broadcast[j] + 1, ready[pe])
                latest[slot] = max(latest[slot], pop)
                pops[slot] += 1
                if logged:
                    log[POP, j, pe] = pop
                record = record_at(record_of[j], blocks, pe // LANES)
                has_entries = records[record, pe % LANES] > 0
                if has_entries and columns[j] < n_coded:
                    ask[pe] = pop
                    break
                ready[pe] = pop + np.int64(records[record, SERVICE + pe % LANES])
                if has_entries:
                    last[pe] = ready[pe] - 1
                if logged:
                    log[GRANT, j, pe] = pop
                j += 1
                slot = slot + 1 if slot + 1 < room else 0
            item[pe] = j
