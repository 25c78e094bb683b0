"""Dense weights: no codes, no runs, no pointers; what the same array does without compression."""

import numpy as np

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.base import (
    DecodedLayer,
    column_counts,
    lay_out,
    narrowed,
    service_cycles,
    with_exact_bias,
    word_layout,
)
from accelsim.hardware.interleave import InterleavedLayer
from accelsim.kernels.types import ColumnPlan


class DenseDecoder:
    """Every weight, zero or not, is a word of `arithmetic_bits`.

    `multipliers` words are taken per cycle, or one word in as many cycles as it has rows. Columns whose
    activation is zero are skipped, as with the other decoders. A zero weight counts as padding. Columns
    are equally long, so their addresses need no pointers.
    """

    def decode(self, layer: InterleavedLayer, machine: Accelerator) -> DecodedLayer:
        """Rows from word positions; a word wider than a row takes several rows, one per cycle."""
        useful = column_counts(layer).astype(np.int64) - layer.padding
        words = narrowed(np.broadcast_to(layer.local_rows, useful.shape))
        word = word_layout(machine)
        positions = np.outer(np.arange(len(words) + 1), layer.local_rows * word.rows)
        align_to = word.per_row if machine.column_alignment == "row" else None
        layout = lay_out(positions, word.per_row, align_to)
        if word.rows > 1:
            service = service_cycles(words.astype(np.int64) * word.rows)
        else:
            service = service_cycles(words, machine.multipliers)
        decoded = DecodedLayer(
            plan=ColumnPlan(
                words, narrowed(words - useful), service, layout.first_row, layout.last_row
            ),
            sram_rows=layout.sram_rows,
            pointer_bits=0,
            codebook_reads=0,
            dram_bits=int(layout.sram_rows.sum()) * machine.row_bits,
            padding_bits=layout.padding * machine.arithmetic_bits,
        )
        return with_exact_bias(decoded, layer, machine)
