"""The benchmark's baseline: a cycle-stepped model of the PE array, as one would write it in C++.

The base machine only (fixed-width entries, one activation queue per PE): each cycle loops over all
PEs, each of which pops its queue, reads its pointers, takes one entry, checks its row register and
accumulates its output. It is what a published simulator does, compiled by Numba, with no trick and
no handicap. Nothing is shared with `accelsim`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

PIPELINE_DRAIN_CYCLES = 6

# Slots of the counter array that the jitted functions share.
POINTER_READS, ROW_READS, NONZERO_ENTRIES, LAST_ENTRY_CYCLE = range(4)


class EncodedLayer(NamedTuple):
    """Columns of entries per PE, the bias last if there is one (n_columns is then n_in + 1).

    col_ptr int32[P, n_columns + 1]: positions in the PE's own entries. entry_start int64[P + 1]:
    where the PE's entries start in code and run, both uint8[n_entries].
    """

    col_ptr: NDArray[np.int32]
    entry_start: NDArray[np.int64]
    code: NDArray[np.uint8]
    run: NDArray[np.uint8]
    n_out: int
    has_bias: bool


class BaselineResult(NamedTuple):
    """What a run counted; output float32[n_out]."""

    cycles: int
    pointer_reads: int
    row_reads: int
    nonzero_entries: int
    utilization_frac: float
    output: NDArray[np.float32]


class _PeState(NamedTuple):
    """The state of all PEs; arrays of P, unless said otherwise."""

    queue_column: NDArray[np.int32]  # [P, D]
    queue_value: NDArray[np.float32]  # [P, D]
    head: NDArray[np.int32]
    tail: NDArray[np.int32]
    position: NDArray[np.int32]  # of the next entry
    end: NDArray[np.int32]
    value: NDArray[np.float32]  # the current item's activation
    local_row: NDArray[np.int32]
    row_limit: NDArray[np.int32]  # the first position after the row in the row register
    accumulator: NDArray[np.float32]  # [P, local rows]


def encode_layer(
    codes: NDArray[np.uint8], bias_codes: NDArray[np.uint8] | None, pes: int, run_bits: int = 4
) -> EncodedLayer:
    """Encode codes uint8[n_out, n_in] and bias_codes uint8[n_out] (or None) for P PEs."""
    columns = codes if bias_codes is None else np.column_stack([codes, bias_codes])
    columns = np.ascontiguousarray(columns.T)  # both passes read a column's codes in turn
    max_run = 2**run_bits - 1
    col_ptr = _count_entries(columns, pes, max_run)
    entry_start = np.zeros(pes + 1, dtype=np.int64)
    np.cumsum(col_ptr[:, -1], out=entry_start[1:])
    code, run = _fill_entries(columns, col_ptr, entry_start, max_run)
    return EncodedLayer(col_ptr, entry_start, code, run, len(codes), bias_codes is not None)


@njit(cache=True)
def _count_entries(columns: NDArray[np.uint8], pes: int, max_run: int) -> NDArray[np.int32]:
    """Column pointers int32[P, n_columns + 1] of codes uint8[n_columns, n_out]."""
    n_columns, n_out = columns.shape
    col_ptr = np.zeros((pes, n_columns + 1), dtype=np.int32)
    for pe in range(pes):
        for column in range(n_columns):
            entries = 0
            gap = 0
            for row in range(pe, n_out, pes):
                if columns[column, row] == 0:
                    gap += 1
                else:
                    entries += 1 + gap // (max_run + 1)
                    gap = 0
            col_ptr[pe, column + 1] = col_ptr[pe, column] + entries
    return col_ptr


@njit(cache=True)
def _fill_entries(
    columns: NDArray[np.uint8],
    col_ptr: NDArray[np.int32],
    entry_start: NDArray[np.int64],
    max_run: int,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Codes and runs, uint8[n_entries]; entries of code 0 bridge a gap above max_run."""
    n_columns, n_out = columns.shape
    pes = len(col_ptr)
    code = np.zeros(entry_start[-1], dtype=np.uint8)
    run = np.zeros(entry_start[-1], dtype=np.uint8)
    for pe in range(pes):
        at = entry_start[pe]
        for column in range(n_columns):
            gap = 0
            for row in range(pe, n_out, pes):
                if columns[column, row] == 0:
                    gap += 1
                    continue
                while gap > max_run:
                    run[at] = max_run
                    at += 1
                    gap -= max_run + 1
                code[at] = columns[column, row]
                run[at] = gap
                at += 1
                gap = 0
    return code, run


def simulate_baseline(
    layer: EncodedLayer,
    codebook: NDArray[np.float32],
    activations: NDArray[np.float32],
    queue_depth: int,
    row_entries: int,
) -> BaselineResult:
    """Run one activation vector float32[n_in] through the machine, cycle by cycle."""
    output, counters = _simulate(layer, codebook, activations, queue_depth, row_entries)
    pointer_reads, row_reads, nonzero_entries, last_entry_cycle = (int(n) for n in counters)
    pes = len(layer.col_ptr)
    cycles = PIPELINE_DRAIN_CYCLES + last_entry_cycle if pointer_reads else 0
    utilization_frac = nonzero_entries / (cycles * pes) if cycles else 0.0
    return BaselineResult(
        cycles, pointer_reads, row_reads, nonzero_entries, utilization_frac, output
    )


@njit(cache=True)
def _simulate(
    layer: EncodedLayer,
    codebook: NDArray[np.float32],
    activations: NDArray[np.float32],
    queue_depth: int,
    row_entries: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Step the machine until it is empty; outputs float32[n_out] and the counters."""
    pes = len(layer.col_ptr)
    n_in = len(activations)
    lines = _activation_lines(activations, pes, layer.has_bias)
    state = _new_state(pes, queue_depth, layer.n_out)
    counters = np.zeros(4, dtype=np.int64)
    line, slot = 0, 0
    cycle = 1  # loads the first line
    is_active = True
    while line < len(lines) or is_active:
        cycle += 1
        is_ready = False
        if line < len(lines):
            slot = _next_active(lines[line], slot)
            is_ready = slot < pes
        # Full is tested before the PEs pop, and an item is written after they did, so that all see
        # the state that the last cycle left.
        is_sent = is_ready and not _is_any_full(state)
        is_active = _step_pes(layer, codebook, state, counters, cycle, row_entries)
        if is_sent:
            _push(state, min(line * pes + slot, n_in), lines[line, slot])
            slot += 1
            is_active = True
        # Leaving a line is free after its last slot, else it takes a cycle without a broadcast.
        if line < len(lines) and slot == pes:
            line += 1
            slot = 0
    return _gather(state, layer.n_out), counters


@njit(cache=True)
def _activation_lines(
    activations: NDArray[np.float32], pes: int, has_bias: bool
) -> NDArray[np.float32]:
    """Activations in lines float32[n_lines, P]; the bias's 1.0 starts a line of its own."""
    n_in = len(activations)
    n_lines = (n_in + pes - 1) // pes
    slots = np.zeros((n_lines + int(has_bias)) * pes, dtype=np.float32)
    slots[:n_in] = activations
    if has_bias:
        slots[n_lines * pes] = 1.0
    return slots.reshape(-1, pes)


@njit(cache=True)
def _new_state(pes: int, queue_depth: int, n_out: int) -> _PeState:
    return _PeState(
        np.zeros((pes, queue_depth), dtype=np.int32),
        np.zeros((pes, queue_depth), dtype=np.float32),
        np.zeros(pes, dtype=np.int32),
        np.zeros(pes, dtype=np.int32),
        np.zeros(pes, dtype=np.int32),
        np.zeros(pes, dtype=np.int32),
        np.zeros(pes, dtype=np.float32),
        np.zeros(pes, dtype=np.int32),
        np.zeros(pes, dtype=np.int32),
        np.zeros((pes, (n_out + pes - 1) // pes), dtype=np.float32),
    )


@njit(cache=True)
def _next_active(line: NDArray[np.float32], slot: int) -> int:
    """The first non-zero slot from `slot` on, or P."""
    while slot < len(line) and line[slot] == 0:
        slot += 1
    return slot


@njit(cache=True)
def _is_any_full(state: _PeState) -> bool:
    """Whether some queue has only its one spare slot left."""
    depth = state.queue_column.shape[1]
    for pe in range(len(state.head)):
        after = state.tail[pe] + 1
        if after == depth:
            after = 0
        if after == state.head[pe]:
            return True
    return False


@njit(cache=True)
def _push(state: _PeState, column: int, value: np.float32) -> None:
    """Write one item into all queues."""
    depth = state.queue_column.shape[1]
    for pe in range(len(state.head)):
        tail = state.tail[pe]
        state.queue_column[pe, tail] = column
        state.queue_value[pe, tail] = value
        state.tail[pe] = tail + 1 if tail + 1 < depth else 0


@njit(cache=True)
def _step_pes(
    layer: EncodedLayer,
    codebook: NDArray[np.float32],
    state: _PeState,
    counters: NDArray[np.int64],
    cycle: int,
    row_entries: int,
) -> bool:
    """One cycle of every PE; whether any of them had something to do."""
    depth = state.queue_column.shape[1]
    is_active = False
    pointer_reads, row_reads, entries, nonzero_entries = 0, 0, 0, 0
    for pe in range(len(state.head)):
        if state.position[pe] == state.end[pe]:
            head = state.head[pe]
            if head == state.tail[pe]:
                continue
            column = state.queue_column[pe, head]
            state.value[pe] = state.queue_value[pe, head]
            state.head[pe] = head + 1 if head + 1 < depth else 0
            state.position[pe] = layer.col_ptr[pe, column]
            state.end[pe] = layer.col_ptr[pe, column + 1]
            state.local_row[pe] = -1
            pointer_reads += 1
        is_active = True
        position = state.position[pe]
        if position == state.end[pe]:
            continue
        # Columns come in ascending order, so a row that was left is never wanted again.
        if position >= state.row_limit[pe]:
            row_reads += 1
            state.row_limit[pe] = (position // row_entries + 1) * row_entries
        at = layer.entry_start[pe] + position
        code = layer.code[at]
        local_row = state.local_row[pe] + layer.run[at] + 1
        state.accumulator[pe, local_row] += codebook[code] * state.value[pe]
        state.local_row[pe] = local_row
        state.position[pe] = position + 1
        entries += 1
        nonzero_entries += code != 0
    counters[POINTER_READS] += pointer_reads
    counters[ROW_READS] += row_reads
    counters[NONZERO_ENTRIES] += nonzero_entries
    if entries > 0:
        counters[LAST_ENTRY_CYCLE] = cycle
    return is_active


@njit(cache=True)
def _gather(state: _PeState, n_out: int) -> NDArray[np.float32]:
    """Outputs float32[n_out]: row r is local row r div P of PE r mod P."""
    pes = len(state.head)
    output = np.empty(n_out, dtype=np.float32)
    for row in range(n_out):
        output[row] = state.accumulator[row % pes, row // pes]
    return output
