"""The numbers of a layer: float32, and the machine's fixed point, bit for bit.

Fixed point, where rounding and saturation happen (docs/machine.md):
* weights (codebook) and inputs: round half to even to the layer's fraction bits, saturate;
* each product: exact, then shifted to the output's fraction bits with round half up;
* each addition to an accumulator: saturates;
* an exact bias: rounded half to even to the output's fraction bits, added last, saturates.
"""

from typing import Any, NamedTuple

import numpy as np

from accelsim.compression.layer import CompressedLayer
from accelsim.errors import NetworkError
from accelsim.kernels import compute

MAX_FRAC_BITS = 30
MAX_LEFT_SHIFT = 30


class Fixed(NamedTuple):
    """Fixed-point numbers: raw int64[...] times 2**-frac_bits; saturated: how many additions were."""

    raw: Any
    frac_bits: int
    saturated: int = 0

    def to_float(self) -> Any:
        """The values as float32[...]."""
        return (self.raw * 2.0**-self.frac_bits).astype(np.float32)


class LayerOutput(NamedTuple):
    """A layer's output for float32[batch, n_in]: values before the activation function.

    peak: largest magnitude of any partial sum, over the batch
    """

    values: Any
    peak: float


def limits(bits: int) -> tuple[int, int]:
    """Smallest and largest signed number of `bits` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def frac_bits_for(largest: float, bits: int) -> int:
    """Most fraction bits with which a magnitude `largest` still fits signed `bits` bits."""
    if largest == 0:
        return bits - 1
    _, high = limits(bits)
    frac = min(MAX_FRAC_BITS, bits - 1 - int(np.floor(np.log2(largest))))
    while np.rint(largest * 2.0**frac) > high:
        frac -= 1
    return frac


def quantize(values: Any, frac_bits: int, bits: int) -> Any:
    """int64[...]: values times 2**frac_bits, rounded half to even, saturated to signed `bits` bits."""
    low, high = limits(bits)
    return np.clip(np.rint(values.astype(np.float64) * 2.0**frac_bits), low, high).astype(np.int64)


def float_output(layer: CompressedLayer, inputs: Any) -> LayerOutput:
    """Multiply-accumulate in float32, column after column, the bias last. inputs: float32[batch, n_in]."""
    values = np.zeros((inputs.shape[0], layer.n_out), dtype=np.float32)
    scratch = np.empty_like(layer.codebook)
    peak = 0.0
    for vector, accumulators in zip(inputs, values, strict=True):
        columns = np.append(vector, np.float32(1)) if layer.bias_coded else vector
        peak = max(
            peak,
            compute.accumulate_float(*layer.sparse, layer.codebook, columns, accumulators, scratch),
        )
    if layer.bias is not None:
        values += layer.bias
        peak = max(peak, float(np.abs(values).max(initial=0.0)))
    if not np.isfinite(peak):
        raise NetworkError(
            f"layer '{layer.name}': sums go beyond float32: scale the weights or the input down"
        )
    return LayerOutput(values, float(peak))


def fixed_output(layer: CompressedLayer, inputs: Fixed, frac_bits: int, bits: int) -> Fixed:
    """The same in fixed point, with `frac_bits` in the output. inputs.raw: int64[batch, n_in]."""
    low, high = limits(bits)
    weight_frac = frac_bits_for(float(np.abs(layer.codebook).max()), bits)
    codebook = quantize(layer.codebook, weight_frac, bits)
    shift = inputs.frac_bits + weight_frac - frac_bits
    if not -MAX_LEFT_SHIFT <= shift <= 62:
        raise NetworkError(
            f"layer '{layer.name}': inputs, weights and outputs are too far apart for "
            f"{bits}-bit fixed point: set activation_frac_bits or scale the network"
        )
    raw = np.zeros((inputs.raw.shape[0], layer.n_out), dtype=np.int64)
    scratch = np.empty_like(codebook)
    saturated = 0
    for vector, accumulators in zip(inputs.raw, raw, strict=True):
        columns = vector
        if layer.bias_coded:
            columns = np.append(vector, _one(inputs.frac_bits, layer.name))
        saturated += compute.accumulate_fixed(
            *layer.sparse, codebook, columns, shift, low, high, accumulators, scratch
        )
    if layer.bias is not None:
        total = raw + quantize(layer.bias, frac_bits, bits)
        raw = np.clip(total, low, high)
        saturated += int(np.count_nonzero(total != raw))
    return Fixed(raw, frac_bits, int(saturated))


def _one(frac_bits: int, layer: str) -> Any:
    """The bias column's activation, 1.0; it is a constant of the machine and may exceed a word."""
    if frac_bits < 0:
        raise NetworkError(
            f"layer '{layer}': inputs of this size leave no bit for the bias's 1.0: "
            "scale the network or set arithmetic_bits=32"
        )
    return np.int64(1) << np.int64(frac_bits)


def relu_or_not(values: Any, activation: str) -> Any:
    """Apply a ReLU to numbers of any kind; other activations are the host's."""
    return np.maximum(values, 0) if activation == "relu" else values


def softmax(values: Any) -> Any:
    """Softmax over the last axis, float32, as the host computes it."""
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
