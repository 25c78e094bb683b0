"""Plain-array records that the kernels read: no objects, no units, no checks.

`Array` stands for a NumPy array whose dtype and shape the docstring gives; Numba compiles one version
per dtype, so narrow arrays stay narrow.
"""

from typing import Any, NamedTuple, TypeAlias

Array: TypeAlias = Any


class CscArrays(NamedTuple):
    """Relative-indexed sparse columns, interleaved over P PEs: row ``r`` lives in PE ``r mod P``.

    col_ptr: int64[n_cols + 1, P], position of a column's first entry within the PE's own entries
    pe_ptr:  int64[P + 1], where each PE's entries start in `code` and `run`
    code:    uint8[n_entries], codebook index; 0 marks a padding entry
    run:     uint8[n_entries], zeros skipped before this entry, counted in the PE's local rows
    """

    col_ptr: Array
    pe_ptr: Array
    code: Array
    run: Array


class ColumnPlan(NamedTuple):
    """What a decoder makes of each (column, PE): all that timing and memory traffic depend on.

    entries:   uint[n_cols, P], entries processed (padding included)
    padding:   uint[n_cols, P], those of them that are padding
    service:   uint[n_cols, P], cycles from the pop of the column to the next possible pop, >= 1
    first_row: uint[n_cols, P], ROW_BASE + first weight-SRAM row touched; NO_FIRST if no row is
    last_row:  uint[n_cols, P], ROW_BASE + last weight-SRAM row touched; 0 if no row is
    """

    entries: Array
    padding: Array
    service: Array
    first_row: Array
    last_row: Array


# With these three values a column without entries touches last - first + 1 = 0 rows, never equals a
# row register (0 at the start, else >= ROW_BASE), and leaves it alone under max(): no branch needed.
ROW_BASE = 2
NO_FIRST = 1
NO_LAST = 0
