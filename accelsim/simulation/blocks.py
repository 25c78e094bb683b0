"""Layers whose weights do not fit: blocks of columns, one after the other in one half of the SRAM."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from accelsim.compression.layer import CompressedLayer
from accelsim.errors import CapacityError
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders import DecodedLayer
from accelsim.hardware.memory import Memories, pointers_per_pe
from accelsim.kernels.types import NO_FIRST, ROW_BASE, ColumnPlan
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
    plan, rows = decoded.plan, _rows_of(decoded.plan)
    bounds = _bounds(layer, rows, decoded, memories, machine)
    blocks = []
    for start, stop in pairwise(bounds):
        is_last = stop == layer.n_in
        end = len(plan.entries) if is_last else stop
        part = ColumnPlan(*(array[start:end] for array in plan))
        cut = decoded._replace(plan=part, sram_rows=rows.last[end - 1] - (ROW_BASE - 1))
        array = PeArray(cut, stop - start, has_bias=layer.has_bias and is_last)
        n_coded = end - start - int(is_last and layer.bias is not None)
        blocks.append(Block(slice(start, stop), array, rules._replace(n_coded=n_coded)))
    return blocks


class _Rows(NamedTuple):
    """int64[n_cols, P]: of each column and those after it the first row, of it and those before the last.

    Rows are counted as in `ColumnPlan`; where no column has an entry, last < first.
    """

    first: Any
    last: Any


def _rows_of(plan: ColumnPlan) -> _Rows:
    first, last = (part.astype(np.int64) for part in (plan.first_row, plan.last_row))
    first[first == NO_FIRST] = np.iinfo(np.int64).max
    return _Rows(
        np.minimum.accumulate(first[::-1], axis=0)[::-1],
        np.maximum(np.maximum.accumulate(last, axis=0), ROW_BASE - 1),
    )


def _bounds(
    layer: CompressedLayer,
    rows: _Rows,
    decoded: DecodedLayer,
    memories: Memories,
    machine: Accelerator,
) -> list[int]:
    """First columns of the blocks, and the end."""
    pes, n_in = machine.pes, layer.n_in
    most_rows = memories.weight_bytes * 8 // machine.row_bits // HALVES
    most_pointers = n_in + pes + 1
    if decoded.pointer_bits:
        most_pointers = memories.pointer_bytes * 8 // decoded.pointer_bits // HALVES
    bounds = [0]
    while bounds[-1] < n_in:
        start = stop = bounds[-1]
        for line_end in range(start + pes, n_in + pes, pes):
            end = min(line_end, n_in)
            touched, pointers = _need(layer, rows, start, end, pes)
            if touched > most_rows or pointers > most_pointers:
                break
            stop = end
        if stop == start:
            raise _too_small(layer, rows, decoded, memories, machine)
        bounds.append(stop)
    return bounds


def _need(layer: CompressedLayer, rows: _Rows, start: int, end: int, pes: int) -> tuple[int, int]:
    """Weight rows, of the fullest PE, and pointers of columns start to end - 1."""
    is_last = end == layer.n_in
    last = len(rows.last) if is_last else end  # the bias comes with the last block
    touched = int((rows.last[last - 1] - rows.first[start]).max()) + 1
    return touched, pointers_per_pe(end - start, pes, layer.has_bias and is_last)


def _too_small(
    layer: CompressedLayer,
    rows: _Rows,
    decoded: DecodedLayer,
    memories: Memories,
    machine: Accelerator,
) -> CapacityError:
    """The memories that do not hold every line, and the sizes that would."""
    pes, n_in = machine.pes, layer.n_in
    lines = [_need(layer, rows, i, min(i + pes, n_in), pes) for i in range(0, n_in, pes)]
    most_rows, most_pointers = (max(need) for need in zip(*lines, strict=True))
    wanted = {
        "weight": -(-HALVES * most_rows * machine.row_bits // 8),
        "pointer": -(-HALVES * most_pointers * decoded.pointer_bits // 8),
    }
    held = {"weight": memories.weight_bytes, "pointer": memories.pointer_bytes}
    small = [name for name in wanted if wanted[name] > held[name]]
    sizes = " and ".join(f"{name} SRAM ({held[name]:,} bytes per PE)" for name in small)
    remedy = " and ".join(f"{name}_sram_bytes={wanted[name]}" for name in small)
    return CapacityError(
        f"layer '{layer.name}': not even the columns of one line of {pes} activations fit half of "
        f"the {sizes}: set {remedy}"
    )
