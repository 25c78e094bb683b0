"""What broadcast columns move through each PE, whatever the order: sums over columns."""

from accelsim.kernels._jit import jit
from accelsim.kernels.lanes import ITEM_WIDTH, record_at
from accelsim.kernels.types import Array


@jit
def sum_items(items: Array, column_counts: Array, total: Array) -> None:
    """Add up the item records of all columns, each as often as it was broadcast.

    items: as in `LanePlan`; column_counts: int64[n_cols]; total: int32 or int64[blocks, ITEM_WIDTH],
    filled with entries, padding and service cycles.
    """
    unit = total.dtype.type
    blocks = total.shape[0]
    total[:] = 0
    for column in range(column_counts.shape[0]):
        count = unit(column_counts[column])
        if count > 0:
            for block in range(blocks):
                record = record_at(column, blocks, block)
                for k in range(ITEM_WIDTH):
                    total[block, k] += count * unit(items[record, k])
