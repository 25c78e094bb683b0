"""A compressed layer laid out over the PEs of a machine."""

from typing import Any, NamedTuple

import numpy as np

from accelsim.compression.layer import CompressedLayer
from accelsim.errors import CapacityError
from accelsim.kernels import csc
from accelsim.kernels.types import CscArrays

# 8 GiB of 8-byte pointers; AlexNet FC6 on 512 PEs has 4.7 million cells.
MAX_CELLS = 2**30


class InterleavedLayer(NamedTuple):
    """csc: entries per PE (see `CscArrays`); padding: uint[n_cols, P], padding entries among them.

    local_rows: int64[P], rows of the layer in each PE
    bias_words, bias_zeros: int64[P], words of an exact bias in each PE, and how many of them are zero
    """

    csc: CscArrays
    padding: Any
    local_rows: Any
    bias_words: Any
    bias_zeros: Any


def interleave(layer: CompressedLayer, pes: int, run_bits: int) -> InterleavedLayer:
    """Deal the rows of a layer out to `pes` PEs and index them relatively with `run_bits` bits.

    Raises CapacityError if the plan of so many columns and PEs would not fit a computer's memory.
    """
    if layer.sparse.col_ptr.size * pes > MAX_CELLS:
        raise CapacityError(
            f"layer '{layer.name}': {layer.n_in:,} columns on {pes:,} PEs are too many to simulate "
            f"(columns x PEs up to {MAX_CELLS:,}): use fewer pes"
        )
    rows = np.arange(layer.n_out)
    pe_of_row = (rows % pes).astype(np.int32)
    local_row = (rows // pes).astype(np.int32)
    max_run = 2**run_bits - 1
    sparse = layer.sparse
    n_cols = sparse.col_ptr.size - 1
    col_ptr = np.empty((n_cols + 1, pes), dtype=np.int64)
    csc.count_interleaved(sparse.col_ptr, sparse.rows, pe_of_row, local_row, max_run, col_ptr)
    pe_ptr = np.zeros(pes + 1, dtype=np.int64)
    np.cumsum(col_ptr[-1], out=pe_ptr[1:])
    code = np.empty(pe_ptr[-1], dtype=np.uint8)
    run = np.empty(pe_ptr[-1], dtype=np.uint8)
    # A PE has at most ceil(n_out / P) rows, so at most that many padding entries per column.
    padding = np.zeros((n_cols, pes), dtype=narrowest(-(-layer.n_out // pes)))
    csc.fill_interleaved(
        sparse.col_ptr,
        sparse.rows,
        sparse.codes,
        pe_of_row,
        local_row,
        max_run,
        pe_ptr,
        code,
        run,
        padding,
    )
    exact = layer.bias if layer.bias is not None else np.empty(0, dtype=np.float32)
    bias_words = np.bincount(pe_of_row[: exact.size], minlength=pes)
    bias_zeros = np.bincount(pe_of_row[: exact.size][exact == 0], minlength=pes)
    local_rows = np.bincount(pe_of_row, minlength=pes)
    return InterleavedLayer(
        CscArrays(col_ptr, pe_ptr, code, run), padding, local_rows, bias_words, bias_zeros
    )


def narrowest(largest: int) -> Any:
    """Narrowest unsigned dtype that holds `largest`: kernels are bound by memory traffic."""
    for dtype in (np.uint8, np.uint16):
        if largest <= np.iinfo(dtype).max:
            return dtype
    return np.uint32
