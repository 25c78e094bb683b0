"""The seam between what is stored on chip and what the PE array sees."""

from typing import Any, NamedTuple, Protocol

import numpy as np

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.interleave import InterleavedLayer, narrowest
from accelsim.kernels.types import NO_FIRST, NO_LAST, ROW_BASE, ColumnPlan


class DecodedLayer(NamedTuple):
    """What a decoder makes of a layer, worked out once per (layer, P, decoder, row width).

    plan: per (column, PE), see `ColumnPlan`; an exact bias is its last column
    sram_rows: int64[P], weight-SRAM rows that each PE's part of the layer takes
    pointer_bits: width of a column pointer; 0 if columns are found without pointers
    table_bits: decoding tables per PE
    table_reads: reads of decoding tables per entry
    codebook_reads: reads of the codebook per entry
    entry_cycles: cycles per entry
    bias_extra_cycles: int64[P] or 0, cycles of an exact bias's words beyond `entry_cycles` each
    """

    plan: ColumnPlan
    sram_rows: Any
    pointer_bits: int
    table_bits: int
    table_reads: int
    codebook_reads: int
    entry_cycles: int = 1
    bias_extra_cycles: Any = 0


class WordLayout(NamedTuple):
    """How plain words of `arithmetic_bits` lie in rows: several in a row, or one over several rows.

    One of the two is always 1. A PE reads one row per cycle, so `rows` are also a word's cycles.
    """

    per_row: int
    rows: int


class Decoder(Protocol):
    """How stored bits turn into entries."""

    def decode(self, layer: InterleavedLayer, machine: Accelerator) -> DecodedLayer:
        """Service cycles, rows and storage of the layer on this machine."""
        ...


def rows_touched(start: Any, end: Any, row_size: int) -> tuple[Any, Any, Any]:
    """Plan rows of columns that occupy [start, end) units in each PE, `row_size` units a row.

    start, end: int64[n_cols, P]. Returns (first_row, last_row, sram_rows int64[P]) as in `ColumnPlan`
    and `DecodedLayer`.
    """
    empty = start == end
    first = start // row_size + ROW_BASE
    last = (end - 1) // row_size + ROW_BASE
    first[empty] = NO_FIRST
    last[empty] = NO_LAST
    dtype = narrowest(max(int(last.max(initial=0)), int(first.max(initial=0))))
    sram_rows = -(-end[-1] // row_size) if end.shape[0] else np.zeros(end.shape[1], dtype=np.int64)
    return first.astype(dtype), last.astype(dtype), sram_rows


def word_layout(machine: Accelerator) -> WordLayout:
    """Words in a row, and rows (hence cycles) of a word."""
    return WordLayout(
        per_row=max(1, machine.row_bits // machine.arithmetic_bits),
        rows=-(-machine.arithmetic_bits // machine.row_bits),
    )


def with_exact_bias(
    decoded: DecodedLayer, layer: InterleavedLayer, machine: Accelerator
) -> DecodedLayer:
    """Add the column of an exact bias: one word per local row, from fresh rows, a row per cycle.

    The words stand after the PE's entries, without runs or codes, `arithmetic_bits` wide.
    """
    words = layer.bias_words
    if not words.any():
        return decoded
    layout = word_layout(machine)
    rows = -(-words // layout.per_row) * layout.rows
    service = np.maximum(words * layout.rows, 1)
    plan = decoded.plan
    first = np.where(words > 0, decoded.sram_rows + ROW_BASE, NO_FIRST)
    last = np.where(words > 0, decoded.sram_rows + rows - 1 + ROW_BASE, NO_LAST)
    columns = (words, layer.bias_zeros, service, first, last)
    extended = (_append_row(a, row) for a, row in zip(plan, columns, strict=True))
    return decoded._replace(
        plan=ColumnPlan(*extended),
        sram_rows=decoded.sram_rows + rows,
        bias_extra_cycles=words * (layout.rows - decoded.entry_cycles),
    )


def _append_row(array: Any, row: Any) -> Any:
    dtype = np.promote_types(array.dtype, narrowest(int(row.max())))
    return np.concatenate([array.astype(dtype, copy=False), row[None].astype(dtype)])


def column_counts(layer: InterleavedLayer) -> tuple[Any, Any]:
    """Entries and service cycles (one per entry, at least one per column), uint[n_cols, P] each."""
    counts = np.diff(layer.csc.col_ptr, axis=0)
    dtype = narrowest(int(counts.max(initial=1)))
    return counts.astype(dtype), np.maximum(counts, 1).astype(dtype)


def address_bits(largest: int, least: int) -> int:
    """Width of a pointer that can say 0 .. largest, but at least `least` bits."""
    return max(least, int(largest).bit_length())
