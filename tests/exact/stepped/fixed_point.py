"""Fixed-point arithmetic of a layer, in integers of any size."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def saturate(value: int, bits: int) -> int:
    """The nearest value that a signed integer of `bits` bits can hold."""
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, value))


def quantize(value: float, frac: int, bits: int) -> int:
    """value × 2^frac, rounded half to even, saturated; exact, since Fraction holds any float."""
    return saturate(round(Fraction(float(value)) * Fraction(2) ** frac), bits)


def shift_right_rounded(value: int, shift: int) -> int:
    """value ÷ 2^shift, halves rounded up; a negative shift goes left and is exact."""
    if shift > 0:
        return (value + (1 << (shift - 1))) >> shift
    return value << -shift


def fixed_point_output(
    codes: NDArray[np.uint8],
    bias_codes: NDArray[np.uint8] | None,
    bias_values: NDArray[np.float32] | None,
    codebook: NDArray[np.float32],
    activations: NDArray[np.float32],
    act_frac: int,
    weight_frac: int,
    out_frac: int,
    bits: int = 16,
) -> list[int]:
    """The layer's output in units of 2^-out_frac, as a machine with `bits`-bit words computes it.

    Columns come in ascending order, the bias last. Each product is exact, is rounded to the format
    of the output, and is added with saturation. `act_frac` must not be negative where bias_codes
    are given: the bias's activation 1.0 is 2^act_frac, exact even where `bits` bits cannot hold it.
    """
    shift = act_frac + weight_frac - out_frac
    weights = [quantize(value, weight_frac, bits) for value in codebook]
    accumulators = [0] * len(codes)

    def accumulate(column: Sequence[int], activation: int) -> None:
        for row, code in enumerate(column):
            if code != 0:
                product = shift_right_rounded(weights[code] * activation, shift)
                accumulators[row] = saturate(accumulators[row] + product, bits)

    for column, value in zip(codes.T.tolist(), activations, strict=True):
        activation = quantize(value, act_frac, bits)
        if activation != 0:
            accumulate(column, activation)
    if bias_codes is not None:
        accumulate(bias_codes.tolist(), 1 << act_frac)
    if bias_values is not None:
        for row, value in enumerate(bias_values):
            bias = quantize(value, out_frac, bits)
            accumulators[row] = saturate(accumulators[row] + bias, bits)
    return accumulators
