"""Weight rows: how many are read, and how long a PE waits for them.

As columns come in ascending order, the state of a PE's row buffer is one number: the first row after
those that it has read. A column reads the rows from there, or from its own first row if that is later,
to the end of what it leaves in the buffer (`BEYOND` of the plan's row records).
"""

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.lanes import BEYOND, LANES, PADDING, SERVICE, record_at
from accelsim.kernels.types import ROW_BASE, Array

# Parts of the state: the first row not read; rows skipped before it, or rows waited for.
SKIPPED = LATE = LANES
# Part of an item record with waits, instead of the padding.
MISSED = PADDING


@jit
def count_rows(rows: Array, columns: Array, state: Array, reads: Array) -> None:
    """Add the weight-SRAM rows that one vector reads to `reads` int64[blocks, LANES].

    rows: as in `LanePlan`; columns: int32[n]; state: of the rows' dtype, [blocks, 2 * LANES], scratch:
    first row not read, and rows before it that were skipped.
    """
    unit = state.dtype.type
    blocks, n = state.shape[0], columns.shape[0]
    for block in range(blocks):
        state[block, :LANES] = ROW_BASE
        state[block, SKIPPED:] = 0
        # Two columns at a time, so that the state is loaded and stored once for both. Reading the last
        # column again reads no row.
        for j in range(0, n, 2):
            a = record_at(columns[j], blocks, block)
            b = record_at(columns[min(j + 1, n - 1)], blocks, block)
            for k in range(LANES):
                after = state[block, k]
                skipped = unit(max(rows[a, k], after) - after)
                after = max(after, rows[a, BEYOND + k])
                skipped = unit(skipped + unit(max(rows[b, k], after) - after))
                state[block, k] = max(after, rows[b, BEYOND + k])
                state[block, SKIPPED + k] = unit(state[block, SKIPPED + k] + skipped)
        for k in range(LANES):
            read = np.int64(state[block, k]) - ROW_BASE - np.int64(state[block, SKIPPED + k])
            reads[block, k] += read


@jit
def item_service(
    items: Array,
    rows: Array,
    columns: Array,
    sram_latency: int,
    prefetched: bool,
    state: Array,
    waited: Array,
    waits: Array,
) -> None:
    """The item records of one vector with its waits for rows in their services.

    items, rows: as in `LanePlan`; columns: int32[n]; prefetched: whether the buffer holds more than one
    row; state: as in `count_rows`.
    waited: uint[>= n * blocks, ITEM_WIDTH], filled, a record per item and block: entries; 1 where a PE
    waits before its first entry; service. waits: int64[blocks, LANES], added to.
    """
    unit, row_unit = waited.dtype.type, state.dtype.type
    blocks = state.shape[0]
    for block in range(blocks):
        state[block, :LANES] = ROW_BASE
        state[block, LATE:] = 0
        for j in range(columns.shape[0]):
            record = record_at(columns[j], blocks, block)
            item = record_at(j, blocks, block)
            for k in range(LANES):
                after, first, beyond = state[block, k], rows[record, k], rows[record, BEYOND + k]
                missed = row_unit(first >= after)
                # Without prefetching, each row that is not in the buffer is waited for.
                late = missed if prefetched else row_unit(max(beyond, after) - max(first, after))
                state[block, k] = max(beyond, after)
                state[block, LATE + k] = row_unit(state[block, LATE + k] + late)
                waited[item, k] = unit(items[record, k])
                waited[item, MISSED + k] = unit(missed)
                waited[item, SERVICE + k] = unit(
                    items[record, SERVICE + k] + np.int64(sram_latency) * np.int64(late)
                )
        for k in range(LANES):
            waits[block, k] += sram_latency * np.int64(state[block, LATE + k])
