"""A layer's matrix times its input vectors: in float32, and in the machine's fixed point.

Both add up column after column, as the machine broadcasts them. The results do not depend on the
number of PEs: each output row belongs to one PE.
"""

from typing import Any, NamedTuple

import numpy as np

from accelsim.compression.layer import CompressedLayer
from accelsim.errors import NetworkError
from accelsim.kernels import compute
from accelsim.network.graph import Shape
from accelsim.simulation.arithmetic import (
    Fixed,
    frac_bits_for,
    limits,
    magnitude,
    quantize,
    saturate,
)
from accelsim.simulation.vectors import Vectors, room_for, store

MAX_LEFT_SHIFT = 30
MAX_RIGHT_SHIFT = 62
# Below this many vectors, skipping columns of zero activations beats wide loops over vectors.
LEAST_BLOCK = 8
# The wide fixed-point loop keeps products and their rounding within 32 bits.
BLOCK_BITS, BLOCK_SHIFT = 16, 30


class Product(NamedTuple):
    """values: float32[examples, *shape]; peak: largest magnitude of any partial sum."""

    values: Any
    peak: float


class _Shift(NamedTuple):
    """How products come to the output's format: codebook int64, bits to shift right, word limits."""

    codebook: Any
    places: int
    low: int
    high: int


def float_product(layer: CompressedLayer, vectors: Vectors, shape: Shape) -> Product:
    """Matrix times vectors in float32, each product and sum rounded, the bias last.

    shape: that of one example's output. Raises NetworkError where sums go beyond float32.
    """
    out = room_for(vectors, layer.n_out, np.float32)
    peak = 0.0
    for piece in vectors.pieces(np.float32):
        columns = _with_one(piece.columns, 1.0) if layer.bias_coded else piece.columns
        sums, reached = _float_piece(layer, columns)
        peak = max(peak, reached)
        store(out, vectors, piece, sums)
    if layer.bias is not None:
        out += _along_rows(layer.bias, vectors)
        peak = max(peak, magnitude(out))
    if not np.isfinite(peak):
        raise NetworkError(
            f"layer '{layer.name}': sums go beyond float32: scale the weights or the input down"
        )
    return Product(out.reshape(vectors.examples, *shape), peak)


def _float_piece(layer: CompressedLayer, columns: Any) -> tuple[Any, float]:
    """float32[n_out, n] and the peak, for columns float32[n_in, n]."""
    n = columns.shape[1]
    sums = np.zeros((layer.n_out, n), dtype=np.float32)
    if n >= LEAST_BLOCK:
        peaks = np.zeros(n, dtype=np.float32)
        compute.accumulate_float_block(*layer.sparse, layer.codebook, columns, sums, peaks)
        return sums, float(peaks.max())
    scratch = np.empty_like(layer.codebook)
    peak = 0.0
    for p in range(n):
        one = np.zeros(layer.n_out, dtype=np.float32)
        vector = np.ascontiguousarray(columns[:, p])
        reached = compute.accumulate_float(*layer.sparse, layer.codebook, vector, one, scratch)
        peak = max(peak, float(reached))
        sums[:, p] = one
    return sums, peak


def fixed_product(
    layer: CompressedLayer,
    vectors: Vectors,
    shape: Shape,
    input_frac_bits: int,
    frac_bits: int,
    bits: int,
) -> Fixed:
    """The same in fixed point: vectors hold raw words with `input_frac_bits`, the output `frac_bits`."""
    rule = _shift(layer, input_frac_bits, frac_bits, bits)
    one = _one(input_frac_bits, layer.name) if layer.bias_coded else 0
    wide = bits <= BLOCK_BITS and 0 <= rule.places <= BLOCK_SHIFT and one <= limits(bits)[1] + 1
    out = room_for(vectors, layer.n_out, np.int64)
    saturated = 0
    for piece in vectors.pieces(np.int32 if wide else np.int64):
        columns = _with_one(piece.columns, one) if layer.bias_coded else piece.columns
        sums, cut = _fixed_piece(layer, columns, rule, wide=wide)
        saturated += cut
        store(out, vectors, piece, sums)
    if layer.bias is not None:
        total = out + _along_rows(quantize(layer.bias, frac_bits, bits), vectors)
        out, _, cut = saturate(total, frac_bits, bits)
        saturated += cut
    return Fixed(out.reshape(vectors.examples, *shape), frac_bits, saturated)


def _fixed_piece(
    layer: CompressedLayer, columns: Any, rule: _Shift, *, wide: bool
) -> tuple[Any, int]:
    """int[n_out, n] and how many additions saturated, for columns int[n_in, n]."""
    n = columns.shape[1]
    if wide and n >= LEAST_BLOCK:
        sums = np.zeros((layer.n_out, n), dtype=np.int32)
        cut = np.zeros(n, dtype=np.int32)
        codebook = rule.codebook.astype(np.int32)
        compute.accumulate_fixed_block(*layer.sparse, codebook, columns, *rule[1:], sums, cut)
        return sums, int(cut.sum(dtype=np.int64))
    out = np.empty((layer.n_out, n), dtype=np.int64)
    scratch = np.empty_like(rule.codebook)
    saturated = 0
    for p in range(n):
        one = np.zeros(layer.n_out, dtype=np.int64)
        vector = columns[:, p].astype(np.int64)
        saturated += compute.accumulate_fixed(
            *layer.sparse, rule.codebook, vector, *rule[1:], one, scratch
        )
        out[:, p] = one
    return out, int(saturated)


def _shift(layer: CompressedLayer, input_frac_bits: int, frac_bits: int, bits: int) -> _Shift:
    weight_frac = frac_bits_for(magnitude(layer.codebook), bits)
    places = input_frac_bits + weight_frac - frac_bits
    if not -MAX_LEFT_SHIFT <= places <= MAX_RIGHT_SHIFT:
        raise NetworkError(
            f"layer '{layer.name}': inputs, weights and outputs are too far apart for "
            f"{bits}-bit fixed point: set activation_frac_bits or scale the network"
        )
    return _Shift(quantize(layer.codebook, weight_frac, bits), places, *limits(bits))


def _one(frac_bits: int, layer: str) -> int:
    """The bias column's activation, 1.0; it is a constant of the machine and may exceed a word."""
    if frac_bits < 0:
        raise NetworkError(
            f"layer '{layer}': inputs of this size leave no bit for the bias's 1.0: "
            "scale the network or set arithmetic_bits=32"
        )
    return 1 << frac_bits


def _with_one(columns: Any, one: float) -> Any:
    """The columns with one more below them, the constant activation of a coded bias."""
    return np.vstack([columns, np.full((1, columns.shape[1]), one, dtype=columns.dtype)])


def _along_rows(bias: Any, vectors: Vectors) -> Any:
    """A bias [n_out], shaped to be added to all products."""
    return bias[:, None] if vectors.channels_first else bias
