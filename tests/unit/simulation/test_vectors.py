"""Vectors in pieces are the rows of a tensor, or the patches of an image, all of them and in order."""

import numpy as np
import pytest
from network_model import draw_network
from network_model.windows import patch_indices, windows_of
from numpy.testing import assert_array_equal

from accelsim.network.graph import Convolution
from accelsim.simulation.vectors import (
    MOST_VECTORS,
    PIECE_VALUES,
    Patches,
    Rows,
    room_for,
    store,
)


def collected(vectors, dtype=np.int32):
    """All vectors [examples, per_example, n_in]; checks that pieces follow one another."""
    found = np.zeros((vectors.examples, vectors.per_example, vectors.n_in), dtype=dtype)
    expected = (0, 0)
    for piece in vectors.pieces(dtype):
        assert (piece.example, piece.first) == expected
        assert piece.columns.dtype == dtype
        n = piece.columns.shape[1]
        found[piece.example, piece.first : piece.first + n] = piece.columns.T
        end = piece.first + n
        expected = (piece.example, end) if end < vectors.per_example else (piece.example + 1, 0)
    assert expected == (vectors.examples, 0)
    return found


def patches(image, op):
    """[places, n_in], value by value."""
    windows = windows_of(op, image.shape)
    return [
        [0 if index is None else image[index] for index in patch_indices(windows, under)]
        for under in windows.under()
    ]


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 5), (1, 2, 3, 5), (2, 1200, 3), (1, 513, 1)])
def test_rows(shape):
    values = np.random.default_rng(0).integers(-9, 9, shape)
    vectors = Rows(values)
    per_example = int(np.prod(shape[1:-1]))
    assert (vectors.examples, vectors.per_example, vectors.n_in) == (
        shape[0],
        per_example,
        shape[-1],
    )
    assert_array_equal(collected(vectors), values.reshape(shape[0], per_example, shape[-1]))
    assert vectors.words_read() == per_example * shape[-1]
    assert vectors.active_fraction() == (values != 0).mean()


def test_pieces_hold_no_more_than_fits_a_cache_and_no_less_than_a_few_vectors():
    for n_in in (1, PIECE_VALUES // MOST_VECTORS + 1, PIECE_VALUES):
        widths = [
            piece.columns.shape[1] for piece in Rows(np.zeros((1, 600, n_in))).pieces(np.float32)
        ]
        assert sum(widths) == 600
        assert max(widths) <= max(32, min(512, PIECE_VALUES // n_in))
        assert len({*widths[:-1]}) <= 1


@pytest.mark.parametrize("seed", range(60))
def test_patches_of_random_convolutions(seed):
    kind = ["convolution", "convolution_1d", "depthwise"][seed % 3]
    drawn = draw_network(seed, kind, steps=1)
    step = drawn.network.graph.steps[-1]
    shape = drawn.network.flow.shapes[step.inputs[0]]
    images = np.random.default_rng(seed).integers(-3, 4, (2, *shape))
    vectors = Patches(images, step.op)
    expected = [patches(image, step.op) for image in images]
    assert_array_equal(collected(vectors), expected)
    assert vectors.channels_first
    assert vectors.per_example == len(expected[0])
    assert vectors.active_fraction() == (images != 0).mean()
    windows = windows_of(step.op, shape)
    inside = sum(windows.covers(y, x) for under in windows.under() for y, x in under)
    assert vectors.words_read() == inside * shape[0]


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (2, 1, 0, 3)])
def test_patches_of_an_image_in_several_pieces(padding):
    """30 x 40 places are more than one piece, which ends in the middle of a line."""
    op = Convolution(layer="a", kernel=(2, 3), padding=padding, dilation=(1, 2))
    images = np.random.default_rng(1).integers(-3, 4, (2, 2, 31, 44))
    vectors = Patches(images, op)
    assert vectors.per_example > 2 * MOST_VECTORS
    assert_array_equal(collected(vectors), [patches(image, op) for image in images])


@pytest.mark.parametrize("first", [False, True])
def test_products_are_stored_where_they_belong(first):
    if first:
        op = Convolution(layer="a", kernel=(1, 1))
        vectors = Patches(np.arange(2 * 3 * 700).reshape(2, 3, 1, 700), op)
    else:
        vectors = Rows(np.arange(2 * 700 * 3).reshape(2, 700, 3))
    out = room_for(vectors, 2, np.int64)
    for piece in vectors.pieces(np.int64):
        store(out, vectors, piece, np.stack([piece.columns.sum(axis=0), piece.columns[0]]))
    everything = collected(vectors, np.int64)
    expected = np.stack([everything.sum(axis=2), everything[..., 0]], axis=1 if first else 2)
    assert_array_equal(out, expected)
