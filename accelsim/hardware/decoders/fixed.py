"""Entries of fixed width: EIE's own format, nothing to decode."""

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.base import (
    DecodedLayer,
    column_counts,
    lay_out,
    pointer_width,
    service_cycles,
    with_exact_bias,
)
from accelsim.hardware.interleave import InterleavedLayer
from accelsim.kernels.types import ColumnPlan


class FixedDecoder:
    """`row_bits // entry_bits` whole entries stand in a row; `multipliers` are processed per cycle."""

    def decode(self, layer: InterleavedLayer, machine: Accelerator) -> DecodedLayer:
        """Rows from entry positions; pointers count entries, or rows if columns begin at rows."""
        return with_exact_bias(fixed_entries(layer, machine), layer, machine)


def fixed_entries(layer: InterleavedLayer, machine: Accelerator) -> DecodedLayer:
    """The layer without an exact bias."""
    row_entries = machine.row_bits // machine.entry_bits
    entries = column_counts(layer)
    align_to = row_entries if machine.column_alignment == "row" else None
    layout = lay_out(layer.csc.col_ptr, row_entries, align_to)
    service = service_cycles(entries, machine.multipliers)
    return DecodedLayer(
        plan=ColumnPlan(entries, layer.padding, service, layout.first_row, layout.last_row),
        sram_rows=layout.sram_rows,
        pointer_bits=pointer_width(layout, entries, machine),
        codebook_reads=1,
        dram_bits=int(layout.sram_rows.sum()) * machine.row_bits,
        padding_bits=layout.padding * machine.entry_bits,
    )
