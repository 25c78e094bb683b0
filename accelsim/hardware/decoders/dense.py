"""Dense weights: no codes, no runs, no pointers; what the same array does without compression."""

import numpy as np

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.base import (
    DecodedLayer,
    column_counts,
    rows_touched,
    with_exact_bias,
    word_layout,
)
from accelsim.hardware.interleave import InterleavedLayer, narrowest
from accelsim.kernels.types import ColumnPlan


class DenseDecoder:
    """Every weight, zero or not, is a word of `arithmetic_bits` and takes a cycle per row it lies in.

    Columns whose activation is zero are skipped, as with the other decoders. A zero weight counts as
    padding. Columns are equally long, so their addresses need no pointers.
    """

    def decode(self, layer: InterleavedLayer, machine: Accelerator) -> DecodedLayer:
        """Rows from word positions; a word wider than a row takes several rows, one per cycle."""
        sparse, _ = column_counts(layer)
        local_rows = layer.local_rows
        words = np.broadcast_to(local_rows, sparse.shape)
        useful = sparse.astype(np.int64) - layer.padding
        end = np.cumsum(words, axis=0, dtype=np.int64)
        layout = word_layout(machine)
        first, last, sram_rows = rows_touched(
            (end - words) * layout.rows, end * layout.rows, layout.per_row
        )
        service = np.maximum(words * layout.rows, 1)
        dtype = narrowest(int(local_rows.max(initial=1)))
        decoded = DecodedLayer(
            plan=ColumnPlan(
                words.astype(dtype),
                (words - useful).astype(dtype),
                service.astype(narrowest(int(service.max(initial=1)))),
                first,
                last,
            ),
            sram_rows=sram_rows,
            pointer_bits=0,
            table_bits=0,
            table_reads=0,
            codebook_reads=0,
            entry_cycles=layout.rows,
        )
        return with_exact_bias(decoded, layer, machine)
