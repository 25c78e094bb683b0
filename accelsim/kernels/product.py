"""A compressed matrix times vectors, as fast as a CPU goes: codebook, codes and places, never decoded.

An entry is one word, ``place << code_bits | code``: two bytes wherever that fits, where CSR in float32
takes eight. Indices are unsigned, so that no code is made for those that count from the end: that alone
halves the time.
"""

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.types import Array

LANES = 64  # vectors at a time, so that a tile of inputs and a row of sums stay in caches


@jit
def pack(places: Array, codes: Array, code_bits: int, entries: Array) -> None:
    """Write ``places << code_bits | codes``. places: int32[nnz]; codes: uint8[nnz]; entries: uint[nnz]."""
    shift = np.uint64(code_bits)
    for i in range(np.uint64(entries.shape[0])):
        entries[i] = np.uint64(places[i]) << shift | np.uint64(codes[i])


@jit
def multiply_vector(
    col_ptr: Array,
    entries: Array,
    code_bits: int,
    codebook: Array,
    activations: Array,
    sums: Array,
) -> None:
    """One vector, column by column: columns of zero activations are skipped, unread.

    col_ptr: int[n_cols + 1]; entries: uint[nnz], their places are rows; codebook: float32[2**code_bits];
    activations: float32[n_cols]; sums: float32[n_rows], filled.
    """
    shift = np.uint64(code_bits)
    mask = (np.uint64(1) << shift) - np.uint64(1)
    sums[:] = 0
    for c in range(np.uint64(activations.shape[0])):
        activation = activations[c]
        if activation != 0:
            for i in range(np.uint64(col_ptr[c]), np.uint64(col_ptr[c + np.uint64(1)])):
                entry = np.uint64(entries[i])
                sums[entry >> shift] += codebook[entry & mask] * activation


@jit
def multiply_vectors(
    row_ptr: Array,
    entries: Array,
    code_bits: int,
    tile: int,
    codebook: Array,
    activations: Array,
    sums: Array,
) -> None:
    """Many vectors, in tiles of columns and row by row within a tile; four entries at a time.

    A tile's activations stay in a cache for all rows, and four entries share one load and one store of
    the sums.
    row_ptr: int[tiles, n_rows + 1], where a tile's rows start; entries: uint[nnz], their places are
    columns within the tile; tile: columns in each; codebook: float32[2**code_bits];
    activations: float32[n_cols, n], a vector per column; sums: float32[n_rows, n], filled.
    """
    sums[:] = 0
    for low in range(np.uint64(0), np.uint64(activations.shape[1]), np.uint64(LANES)):
        _multiply_lanes(row_ptr, entries, code_bits, tile, codebook, activations, sums, low)


@jit
def _multiply_lanes(
    row_ptr: Array,
    entries: Array,
    code_bits: int,
    tile: int,
    codebook: Array,
    activations: Array,
    sums: Array,
    low: int,
) -> None:
    """`multiply_vectors` for the vectors from `low` on, up to LANES of them."""
    one, four, shift = np.uint64(1), np.uint64(4), np.uint64(code_bits)
    mask = (one << shift) - one
    high = min(low + np.uint64(LANES), np.uint64(activations.shape[1]))
    for t in range(np.uint64(row_ptr.shape[0])):
        base = t * np.uint64(tile)
        for r in range(np.uint64(row_ptr.shape[1] - 1)):
            i, end = np.uint64(row_ptr[t, r]), np.uint64(row_ptr[t, r + one])
            while i + four <= end:
                e0, e1 = np.uint64(entries[i]), np.uint64(entries[i + one])
                e2, e3 = np.uint64(entries[i + np.uint64(2)]), np.uint64(entries[i + np.uint64(3)])
                w0, w1 = codebook[e0 & mask], codebook[e1 & mask]
                w2, w3 = codebook[e2 & mask], codebook[e3 & mask]
                c0, c1 = base + (e0 >> shift), base + (e1 >> shift)
                c2, c3 = base + (e2 >> shift), base + (e3 >> shift)
                for p in range(low, high):
                    first = w0 * activations[c0, p] + w1 * activations[c1, p]
                    second = w2 * activations[c2, p] + w3 * activations[c3, p]
                    sums[r, p] += first + second
                i += four
            while i < end:
                entry = np.uint64(entries[i])
                weight, column = codebook[entry & mask], base + (entry >> shift)
                for p in range(low, high):
                    sums[r, p] += weight * activations[column, p]
                i += one
