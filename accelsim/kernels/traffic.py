"""What the broadcast columns move through each PE: independent of queue depth and of time.

Columns are taken four at a time, so that each running sum is loaded and stored once per four: these
loops are bound by that traffic, not by arithmetic.
"""

from accelsim.kernels._jit import jit
from accelsim.kernels.types import Array


@jit
def sum_columns(counts: Array, columns: Array, total: Array) -> None:
    """Add up the given columns of one count per (column, PE).

    counts: uint[n_cols, P]; columns: int32[n_broadcasts]; total: int32[P] or int64[P], added to.
    """
    unit = total.dtype.type
    n = columns.shape[0]
    whole = n - n % 4
    for j in range(0, whole, 4):
        a, b, c, d = columns[j], columns[j + 1], columns[j + 2], columns[j + 3]
        for k in range(total.shape[0]):
            total[k] += (
                unit(counts[a, k]) + unit(counts[b, k]) + unit(counts[c, k]) + unit(counts[d, k])
            )
    for j in range(whole, n):
        for k in range(total.shape[0]):
            total[k] += unit(counts[columns[j], k])


@jit
def count_row_reads(
    first_row: Array, last_row: Array, columns: Array, reads: Array, register: Array
) -> None:
    """Weight-SRAM rows read per PE; a row still in the row register is not read again.

    first_row, last_row: uint[n_cols, P] as in `ColumnPlan`; columns: int32[n_broadcasts];
    reads: int32[P] or int64[P], added to; register: [P] of the rows' dtype, zeroed by the caller.
    """
    unit = reads.dtype.type
    n = columns.shape[0]
    whole = n - n % 4
    for j in range(0, whole, 4):
        a, b, c, d = columns[j], columns[j + 1], columns[j + 2], columns[j + 3]
        for k in range(reads.shape[0]):
            row = register[k]
            touched = unit(last_row[a, k]) - unit(first_row[a, k]) - unit(first_row[a, k] == row)
            row = max(row, last_row[a, k])
            touched += unit(last_row[b, k]) - unit(first_row[b, k]) - unit(first_row[b, k] == row)
            row = max(row, last_row[b, k])
            touched += unit(last_row[c, k]) - unit(first_row[c, k]) - unit(first_row[c, k] == row)
            row = max(row, last_row[c, k])
            touched += unit(last_row[d, k]) - unit(first_row[d, k]) - unit(first_row[d, k] == row)
            register[k] = max(row, last_row[d, k])
            reads[k] += touched + unit(4)
    for j in range(whole, n):
        column = columns[j]
        for k in range(reads.shape[0]):
            first, last = first_row[column, k], last_row[column, k]
            reads[k] += unit(1) + (unit(last) - unit(first)) - unit(first == register[k])
            register[k] = max(register[k], last)


@jit
def measure_layer(
    service: Array,
    entries: Array,
    padding: Array,
    first_row: Array,
    last_row: Array,
    columns: Array,
    tally: Array,
    register: Array,
) -> None:
    """All of a layer's traffic in one call.

    tally: int32[4, P] or int64[4, P], filled with entries, padding, service cycles and row reads.
    """
    tally[:] = 0
    register[:] = 0
    sum_columns(entries, columns, tally[0])
    sum_columns(padding, columns, tally[1])
    sum_columns(service, columns, tally[2])
    count_row_reads(first_row, last_row, columns, tally[3], register)
