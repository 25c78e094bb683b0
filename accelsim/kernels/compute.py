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
