"""What decoders make of every column in every PE: sums over entries, and decode cycles.

The rules are those of docs/machine.md, "Decoders". An entry is looked up in arrays over (code, run),
flattened: its index is code << run_bits | run. Every kernel touches each entry once.
"""

from accelsim.kernels._jit import jit
from accelsim.kernels.types import Array


@jit
def count_entries(code: Array, run: Array, run_bits: int, counts: Array) -> None:
    """How often each (code, run) occurs. code, run: uint8[n]; counts: int64[codes * runs], added to."""
    for i in range(code.shape[0]):
        counts[(code[i] << run_bits) | run[i]] += 1


@jit
def sum_entries(
    col_ptr: Array,
    pe_ptr: Array,
    code: Array,
    run: Array,
    run_bits: int,
    values: Array,
    first: int,
    step: int,
    sums: Array,
) -> None:
    """Add up a value of every entry, or of each column's entries first, first + step, ..., column by column.

    col_ptr, pe_ptr, code, run: as in `CscArrays`; values: uint8[codes * runs];
    sums: int64[n_cols + 1, P], filled with the sum over the columns before each, and over all.
    """
    sums[0, :] = 0
    for c in range(sums.shape[0] - 1):
        for k in range(sums.shape[1]):
            i = pe_ptr[k] + col_ptr[c, k] + first
            stop = pe_ptr[k] + col_ptr[c + 1, k]
            total = sums[c, k]
            while i < stop:  # range() with a step divides, for every column
                total += values[(code[i] << run_bits) | run[i]]
                i += step
            sums[c + 1, k] = total


@jit
def entry_service(
    col_ptr: Array,
    pe_ptr: Array,
    code: Array,
    run: Array,
    run_bits: int,
    cycles: Array,
    counted: Array,
    streams: int,
    taken_per_cycle: int,
    emitted: Array,
    service: Array,
    counts: Array,
) -> None:
    """Cycles until the last entry of each column was taken, where entries are emitted one by one.

    cycles: uint8[codes * runs], from one entry of a sub-stream to its next; counted: int64[codes * runs];
    streams: sub-streams; taken_per_cycle: entries that the datapath takes; emitted: int32, zeros, longer
    than the longest sub-stream's cycles, left as zeros;
    service: int64[n_cols, P], filled, 0 for a column without entries;
    counts: int64[n_cols], filled with the sum of `counted` over a column's entries in all PEs.
    """
    may_wait = streams > taken_per_cycle
    for c in range(service.shape[0]):
        count = 0
        for k in range(service.shape[1]):
            start = pe_ptr[k] + col_ptr[c, k]
            stop = pe_ptr[k] + col_ptr[c + 1, k]
            last = 0
            for stream in range(min(streams, stop - start)):
                cycle = 0
                i = start + stream
                while i < stop:
                    entry = (code[i] << run_bits) | run[i]
                    cycle += cycles[entry]
                    count += counted[entry]
                    if may_wait:
                        emitted[cycle] += 1
                    i += streams
                last = max(last, cycle)
            service[c, k] = _all_taken(emitted, last, taken_per_cycle) if may_wait else last
        counts[c] = count


@jit
def window_service(
    col_ptr: Array,
    pe_ptr: Array,
    code: Array,
    run: Array,
    run_bits: int,
    bits: Array,
    window_bits: int,
    window_entries: int,
    streams: int,
    taken_per_cycle: int,
    emitted: Array,
    service: Array,
    windows: Array,
    escapes: Array,
) -> None:
    """The same where a window emits several entries at once, and an entry too long for it takes two cycles.

    bits: uint8[codes * runs], length of an entry; windows, escapes: int64[n_cols], filled with windows
    looked up, and entries that did not fit one, in all PEs; the rest as in `entry_service`.
    """
    one_stream = streams == 1
    for c in range(service.shape[0]):
        looked_up = 0
        too_long = 0
        for k in range(service.shape[1]):
            start = pe_ptr[k] + col_ptr[c, k]
            stop = pe_ptr[k] + col_ptr[c + 1, k]
            last = 0
            waiting = 0
            for stream in range(min(streams, stop - start)):
                cycle = 0
                i = start + stream
                while i < stop:
                    room = window_bits - bits[(code[i] << run_bits) | run[i]]
                    looked_up += 1
                    cycle += 1
                    count = 1
                    i += streams
                    if room < 0:
                        too_long += 1
                        cycle += 1
                        waiting = max(0, waiting - taken_per_cycle)
                    while room > 0 and count < window_entries and i < stop:
                        room -= bits[(code[i] << run_bits) | run[i]]
                        if room < 0:
                            break
                        count += 1
                        i += streams
                    if one_stream:
                        waiting = max(0, waiting + count - taken_per_cycle)
                    else:
                        emitted[cycle] += count
                last = max(last, cycle)
            if one_stream:
                service[c, k] = last + (waiting + taken_per_cycle - 1) // taken_per_cycle
            else:
                service[c, k] = _all_taken(emitted, last, taken_per_cycle)
        windows[c] = looked_up
        escapes[c] = too_long


@jit
def _all_taken(emitted: Array, last: int, taken_per_cycle: int) -> int:
    """The cycle in which the datapath took the last entry; clears `emitted` up to cycle `last`.

    It takes up to so many of the entries emitted by then in every cycle.
    """
    waiting = 0
    for cycle in range(1, last + 1):
        waiting = max(0, waiting + emitted[cycle] - taken_per_cycle)
        emitted[cycle] = 0
    return last + (waiting + taken_per_cycle - 1) // taken_per_cycle
