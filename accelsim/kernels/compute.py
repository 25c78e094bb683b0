"""The arithmetic of a layer: what the PEs add up, in the order in which they add it.

Each output row belongs to one PE, which meets the columns in broadcast order, so the result does not
depend on the number of PEs and is computed from the PE-independent columns.
"""

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.types import Array


@jit
def accumulate_float(
    col_ptr: Array,
    rows: Array,
    codes: Array,
    codebook: Array,
    activations: Array,
    accumulators: Array,
    scratch: Array,
) -> float:
    """float32 multiply-accumulate, each product and each sum rounded to float32.

    col_ptr: int64[n_cols + 1]; rows: int32[nnz]; codes: uint8[nnz]; codebook: float32[2**bits];
    activations: float32[n_cols]; accumulators: float32[n_out], added to; scratch: float32[2**bits].
    Returns the largest magnitude that any partial sum reached.
    """
    peak = np.float32(0)
    for c in range(activations.shape[0]):
        if activations[c] != 0:
            for code in range(codebook.shape[0]):
                scratch[code] = codebook[code] * activations[c]
            for i in range(col_ptr[c], col_ptr[c + 1]):
                total = accumulators[rows[i]] + scratch[codes[i]]
                accumulators[rows[i]] = total
                peak = max(peak, abs(total))
    return peak


@jit
def accumulate_fixed(
    col_ptr: Array,
    rows: Array,
    codes: Array,
    codebook: Array,
    activations: Array,
    shift: int,
    low: int,
    high: int,
    accumulators: Array,
    scratch: Array,
) -> int:
    """Fixed-point multiply-accumulate.

    codebook, activations, accumulators, scratch: int64 holding fixed-point numbers. The exact product
    is shifted right by `shift` with round half up (left if negative), then added, and every sum is
    saturated to low .. high. Returns the number of additions that saturated.
    """
    saturated = np.int64(0)
    half = np.int64(1) << np.int64(shift - 1) if shift > 0 else np.int64(0)
    # Any product beyond this saturates an accumulator, however it is shifted left.
    enough = 2 * (high + 1)
    for c in range(activations.shape[0]):
        if activations[c] != 0:
            for code in range(codebook.shape[0]):
                product = codebook[code] * activations[c]
                if shift >= 0:
                    scratch[code] = (product + half) >> np.int64(shift)
                else:
                    scratch[code] = min(max(product, -enough), enough) << np.int64(-shift)
            for i in range(col_ptr[c], col_ptr[c + 1]):
                total = accumulators[rows[i]] + scratch[codes[i]]
                bounded = min(max(total, low), high)
                saturated += np.int64(bounded != total)
                accumulators[rows[i]] = bounded
    return saturated


@jit
def accumulate_float_block(
    col_ptr: Array,
    rows: Array,
    codes: Array,
    codebook: Array,
    vectors: Array,
    accumulators: Array,
    peak: Array,
) -> None:
    """`accumulate_float` for many vectors side by side: the lanes of a loop, so that it vectorises.

    vectors: float32[n_cols, n], a vector per column; accumulators: float32[n_out, n], added to;
    peak: float32[n], raised to the largest magnitude of any partial sum. A zero activation adds 0.0,
    which changes no sum: the results are those of `accumulate_float`, bit for bit.
    """
    n = vectors.shape[1]
    for c in range(vectors.shape[0]):
        column = vectors[c]
        for i in range(col_ptr[c], col_ptr[c + 1]):
            weight = codebook[codes[i]]
            sums = accumulators[rows[i]]
            for p in range(n):
                total = sums[p] + weight * column[p]
                sums[p] = total
                size = abs(total)
                peak[p] = size if size > peak[p] else peak[p]


@jit
def accumulate_fixed_block(
    col_ptr: Array,
    rows: Array,
    codes: Array,
    codebook: Array,
    vectors: Array,
    shift: int,
    low: int,
    high: int,
    accumulators: Array,
    saturated: Array,
) -> None:
    """`accumulate_fixed` for many vectors side by side, for words of up to 16 bits.

    codebook: int32[2**bits]; vectors: int32[n_cols, n]; accumulators: int32[n_out, n], added to;
    0 <= shift <= 30, so that a product and its rounding stay within 32 bits;
    saturated: int32[n], counted up. A zero activation adds 0.
    """
    n = vectors.shape[1]
    places = np.int32(shift) & np.int32(31)  # tells the compiler that 32-bit lanes will do
    half = np.int32(1 << (shift - 1)) if shift > 0 else np.int32(0)
    least, most = np.int32(low), np.int32(high)
    for c in range(vectors.shape[0]):
        column = vectors[c]
        for i in range(col_ptr[c], col_ptr[c + 1]):
            weight = codebook[codes[i]]
            sums = accumulators[rows[i]]
            for p in range(n):
                product = np.int32(np.int32(weight * column[p]) + half)
                total = np.int32(sums[p] + np.int32(product >> places))
                bounded = min(max(total, least), most)
                saturated[p] += np.int32(bounded != total)
                sums[p] = bounded
