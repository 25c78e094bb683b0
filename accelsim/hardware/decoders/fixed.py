"""Entries of fixed width: EIE's own format, nothing to decode."""

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.base import (
    DecodedLayer,
    address_bits,
    column_counts,
    rows_touched,
    with_exact_bias,
)
from accelsim.hardware.interleave import InterleavedLayer
from accelsim.kernels.types import ColumnPlan


class FixedDecoder:
    """`row_bits // entry_bits` whole entries stand in a row; one entry is processed per cycle."""

    def decode(self, layer: InterleavedLayer, machine: Accelerator) -> DecodedLayer:
        """Rows from entry positions; pointers count entries."""
        row_entries = machine.row_bits // machine.entry_bits
        entries, service = column_counts(layer)
        start, end = layer.csc.col_ptr[:-1], layer.csc.col_ptr[1:]
        first, last, sram_rows = rows_touched(start, end, row_entries)
        decoded = DecodedLayer(
            plan=ColumnPlan(entries, layer.padding, service, first, last),
            sram_rows=sram_rows,
            pointer_bits=address_bits(int(end[-1].max()), machine.pointer_bits),
            table_bits=0,
            table_reads=0,
            codebook_reads=1,
        )
        return with_exact_bias(decoded, layer, machine)
