"""The fast product of the compressed form against sums over its entries, for any shape and codes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels import product


@settings(deadline=None)  # the first call compiles
@given(
    n_rows=st.integers(1, 20),
    n_cols=st.integers(1, 20),
    n=st.integers(1, 130),
    code_bits=st.integers(1, 8),
    tile=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_both_kernels_give_the_sums(n_rows, n_cols, n, code_bits, tile, seed):
    """Small whole numbers, so that float32 sums are exact in any order."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**code_bits, (n_rows, n_cols)).astype(np.uint8)
    codebook = rng.integers(-9, 10, 2**code_bits).astype(np.float32)
    codebook[0] = 0
    vectors = rng.integers(-3, 4, (n_cols, n)).astype(np.float32)
    expected = [
        [sum(codebook[codes[r, c]] * vectors[c, k] for c in range(n_cols)) for k in range(n)]
        for r in range(n_rows)
    ]

    sums = np.full((n_rows, n), np.nan, np.float32)
    product.multiply_vectors(
        *in_tiles(codes, code_bits, tile), code_bits, tile, codebook, vectors, sums
    )
    np.testing.assert_array_equal(sums, expected)

    one = np.full(n_rows, np.nan, np.float32)
    by_columns = in_columns(codes, code_bits)
    product.multiply_vector(*by_columns, code_bits, codebook, vectors[:, 0].copy(), one)
    np.testing.assert_array_equal(one, np.array(expected)[:, 0])


def in_columns(codes, code_bits):
    """Pointers and entries column by column, packed here by hand."""
    pointers, entries = [0], []
    for column in codes.T:
        entries += [row << code_bits | int(code) for row, code in enumerate(column) if code]
        pointers.append(len(entries))
    return np.array(pointers), np.array(entries, dtype=np.uint16)


def in_tiles(codes, code_bits, tile):
    """Tiles of columns, row by row within each."""
    pointers, entries = [], []
    for first in range(0, codes.shape[1], tile):
        starts = [len(entries)]
        for row in codes[:, first : first + tile]:
            entries += [place << code_bits | int(code) for place, code in enumerate(row) if code]
            starts.append(len(entries))
        pointers.append(starts)
    return np.array(pointers), np.array(entries, dtype=np.uint16)


@settings(deadline=None)  # the first call compiles
@given(
    places=st.lists(st.integers(0, 255), min_size=0, max_size=20),
    code_bits=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_packing(places, code_bits, seed):
    codes = np.random.default_rng(seed).integers(0, 2**code_bits, len(places)).astype(np.uint8)
    entries = np.empty(len(places), dtype=np.uint16)
    product.pack(np.array(places, dtype=np.int32), codes, code_bits, entries)
    assert entries.tolist() == [
        p * 2**code_bits + int(c) for p, c in zip(places, codes, strict=True)
    ]
