"""How a plan lies in memory for the kernels: blocks of 64 PEs, whatever the number of PEs.

Inner loops then have a length that the compiler knows, and turn into a few vector instructions. What
belongs to one block of one column stands in one record, because the compiler guards each loop against
arrays that overlap, and those guards cost more than the loop where it reads many arrays.

Missing PEs of the last block have no entries, no service and no rows.
"""

from typing import NamedTuple

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.types import Array

LANES = 64
# Parts of an item record: entries, padding, service cycles.
PADDING = LANES
SERVICE = 2 * LANES
ITEM_WIDTH = 3 * LANES
# Parts of a row record: first row, and the row after the last one that the column leaves in the buffer.
BEYOND = LANES
ROW_WIDTH = 2 * LANES


class LanePlan(NamedTuple):
    """A `ColumnPlan` in records: record ``c * blocks + b`` is of column c and PEs 64 b to 64 b + 63.

    items: uint[n_cols * blocks, ITEM_WIDTH]
    rows:  uint[n_cols * blocks, ROW_WIDTH], in the plan's row numbers (`ROW_BASE`)
    idle:  uint8[blocks, LANES], 1 for a PE without an entry in any column
    """

    items: Array
    rows: Array
    idle: Array


@jit
def record_at(column: int, blocks: int, block: int) -> int:
    """Index of a record; unsigned, so that no code is made for indices that count from the end."""
    return np.uint64(column) * np.uint64(blocks) + np.uint64(block)
