"""Layers whose weights do not fit: blocks of columns, one after the other in one half of the SRAM."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from accelsim.compression.layer import CompressedLayer
from accelsim.errors import CapacityError
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders import DecodedLayer
from accelsim.hardware.memory import Memories
from accelsim.kernels.types import ROW_BASE, ColumnPlan
from accelsim.simulation.pe_array import PeArray, Rules

HALVES = 2  # one is filled from DRAM while the array works on the other


class Block(NamedTuple):
    """columns: of the layer's inputs; array: that runs them, the last one with the bias."""

    columns: slice
    array: PeArray
    rules: Rules


def column_blocks(
    layer: CompressedLayer,
    decoded: DecodedLayer,
    memories: Memories,
    machine: Accelerator,
    rules: Rules,
) -> list[Block]:
    """The largest blocks of whole activation lines whose rows and pointers fit half the SRAMs.

    Raises CapacityError if one line's columns do not.
    """
    plan = decoded.plan
    # The last row that each PE has touched up to each column.
    reach = np.maximum.accumulate(plan.last_row.astype(np.int64), axis=0)
    reach = np.maximum(reach, ROW_BASE - 1)
    bounds = _bounds(layer, reach, decoded, memories, machine)
    blocks = []
    for start, stop in pairwise(bounds):
        is_last = stop == layer.n_in
        end = len(plan.entries) if is_last else stop
        part = ColumnPlan(*(array[start:end] for array in plan))
        cut = decoded._replace(plan=part, sram_rows=reach[end - 1] - (ROW_BASE - 1))
        array = PeArray(cut, stop - start, has_bias=layer.has_bias and is_last)
        n_coded = end - start - int(is_last and layer.bias is not None)
        blocks.append(Block(slice(start, stop), array, rules._replace(n_coded=n_coded)))
    return blocks


def _bounds(
    layer: CompressedLayer,
    reach: Any,
    decoded: DecodedLayer,
    memories: Memories,
    machine: Accelerator,
) -> list[int]:
    """First columns of the blocks, and the end."""
    pes, n_in = machine.pes, layer.n_in
    rows = memories.weight_bytes * 8 // machine.row_bits // HALVES
    columns = n_in
    if decoded.pointer_bits:
        columns = memories.pointer_bytes * 8 // decoded.pointer_bits // HALVES - 1
    bounds = [0]
    while bounds[-1] < n_in:
        start = bounds[-1]
        before = reach[start - 1] if start else np.full(pes, ROW_BASE - 1)
        stop = start
        for line_end in range(start + pes, n_in + pes, pes):
            end = min(line_end, n_in)
            # The bias comes with the last block. A row may be shared with the block before.
            last = len(reach) if end == n_in else end
            taken = int((reach[last - 1] - before).max()) + int(start > 0)
            if taken > rows or last - start > columns:
                break
            stop = end
        if stop == start:
            raise CapacityError(
                f"layer '{layer.name}': not even the columns of one line of {pes} activations fit half "
                f"of the weight SRAM ({memories.weight_bytes:,} bytes per PE) and pointer SRAM "
                f"({memories.pointer_bytes:,} bytes): make them larger"
            )
        bounds.append(stop)
    return bounds
