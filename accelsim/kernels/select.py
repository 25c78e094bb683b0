"""Which weights survive pruning, and where they stand: two passes each, no copy of the matrix.

Weights are seen as the bits of their float32 values: with the sign bit dropped, larger magnitude is
larger integer, so the k-th largest magnitude is found exactly by counting, without sorting.
"""

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.types import Array

HIGH_BUCKETS = 1 << 15  # top 15 bits of a magnitude
LOW_BUCKETS = 1 << 16  # its other 16 bits


@jit
def histogram_high(bits: Array, histogram: Array) -> None:
    """Count magnitudes by their top 15 bits. bits: uint32[n]; histogram: int64[2**15], added to."""
    for i in range(bits.shape[0]):
        histogram[(bits[i] & np.uint32(0x7FFFFFFF)) >> np.uint32(16)] += 1


@jit
def histogram_low(bits: Array, high: int, histogram: Array) -> None:
    """Count, among magnitudes with top bits `high`, by the low 16 bits. histogram: int64[2**16]."""
    wanted = np.uint32(high)
    for i in range(bits.shape[0]):
        magnitude = bits[i] & np.uint32(0x7FFFFFFF)
        if magnitude >> np.uint32(16) == wanted:
            histogram[magnitude & np.uint32(0xFFFF)] += 1


@jit
def count_kept(bits: Array, threshold: int, ties: int, per_column: Array) -> None:
    """Count the survivors of each column.

    bits: uint32[n_out, n_in]; kept are magnitudes above `threshold`, and of those equal to it the
    first `ties` in row-major order; per_column: int64[n_in], added to.
    """
    limit = np.uint32(threshold)
    for r in range(bits.shape[0]):
        for c in range(bits.shape[1]):
            magnitude = bits[r, c] & np.uint32(0x7FFFFFFF)
            if magnitude > limit:
                per_column[c] += 1
            elif magnitude == limit and ties > 0:
                per_column[c] += 1
                ties -= 1


@jit
def gather_kept(
    weights: Array,
    bits: Array,
    threshold: int,
    ties: int,
    cursor: Array,
    rows: Array,
    values: Array,
) -> None:
    """Move the survivors into columns.

    weights: float32[n_out, n_in], bits: the same memory as uint32; cursor: int64[n_in], where each
    column's next survivor goes (advanced); rows: int32[nnz], values: float32[nnz], filled.
    """
    limit = np.uint32(threshold)
    for r in range(bits.shape[0]):
        for c in range(bits.shape[1]):
            magnitude = bits[r, c] & np.uint32(0x7FFFFFFF)
            if magnitude >= limit:
                if magnitude == limit:
                    if ties <= 0:
                        continue
                    ties -= 1
                rows[cursor[c]] = r
                values[cursor[c]] = weights[r, c]
                cursor[c] += 1


@jit
def count_codes(codes: Array, per_column: Array) -> None:
    """Count non-zero codes per column. codes: uint8[n_out, n_in]; per_column: int64[n_in]."""
    for r in range(codes.shape[0]):
        for c in range(codes.shape[1]):
            per_column[c] += np.int64(codes[r, c] != 0)


@jit
def gather_codes(codes: Array, cursor: Array, rows: Array, kept: Array) -> None:
    """Move non-zero codes into columns.

    codes: uint8[n_out, n_in]; cursor: int64[n_in], advanced; rows: int32[nnz], kept: uint8[nnz], filled.
    """
    for r in range(codes.shape[0]):
        for c in range(codes.shape[1]):
            if codes[r, c] != 0:
                rows[cursor[c]] = r
                kept[cursor[c]] = codes[r, c]
                cursor[c] += 1
