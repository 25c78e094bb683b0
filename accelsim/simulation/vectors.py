"""The vectors that a matrix is multiplied with, in handy pieces: rows of a tensor, or patches."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from accelsim.hardware.tensors import words_under_windows
from accelsim.kernels.patches import gather_patches
from accelsim.network.graph import Convolution
from accelsim.network.shapes import image_shape, window_places

Array: TypeAlias = Any
# Values of a piece: a few hundred vectors, so that loops over them are long and caches still hold.
PIECE_VALUES = 2**18
LEAST_VECTORS, MOST_VECTORS = 32, 512


class Piece(NamedTuple):
    """columns: number[n_in, n], the vectors first .. first + n - 1 of an example, side by side."""

    example: int
    first: int
    columns: Array


class Vectors(Protocol):
    """Input vectors of one layer, over all examples of a batch.

    channels_first: whether the products stand as [n_out, places], not [places, n_out]
    """

    n_in: int
    examples: int
    per_example: int
    channels_first: bool

    def pieces(self, dtype: Any) -> Iterator[Piece]:
        """All vectors in order, as `dtype`; a piece's memory is used again for the next."""
        ...

    def active_fraction(self) -> float:
        """Fraction of the distinct values that are not zero."""
        ...

    def words_read(self) -> int:
        """Words read from the activation SRAM for one example; places beyond an edge are not read."""
        ...


class Rows:
    """Vectors that stand in a tensor: values number[examples, ..., n_in]."""

    channels_first = False

    def __init__(self, values: Array) -> None:
        self.values = values.reshape(values.shape[0], -1, values.shape[-1])
        self.examples, self.per_example, self.n_in = self.values.shape

    def pieces(self, dtype: Any) -> Iterator[Piece]:
        """See `Vectors`."""
        n = _piece_size(self.n_in, self.per_example)
        for example, rows in enumerate(self.values):
            for first in range(0, self.per_example, n):
                columns = np.ascontiguousarray(rows[first : first + n].T, dtype=dtype)
                yield Piece(example, first, columns)

    def active_fraction(self) -> float:
        """See `Vectors`."""
        return float(np.count_nonzero(self.values) / self.values.size)

    def words_read(self) -> int:
        """See `Vectors`."""
        return int(self.per_example * self.n_in)


class Patches:
    """What a convolution's kernel sees, place by place in row-major order.

    values: number[examples, channels, height, width] or [examples, channels, time]
    """

    channels_first = True

    def __init__(self, values: Array, op: Convolution) -> None:
        self.op = op
        channels, height, width = image_shape(values.shape[1:])
        self.values = values.reshape(values.shape[0], channels, height, width)
        self.places = window_places(op, height, width)
        self.examples, self.per_example = values.shape[0], math.prod(self.places)
        self.n_in = channels * math.prod(op.kernel)

    def pieces(self, dtype: Any) -> Iterator[Piece]:
        """See `Vectors`."""
        op = self.op
        size = _piece_size(self.n_in, self.per_example)
        room = np.empty((self.n_in, size), dtype=dtype)
        for example, image in enumerate(self.values):
            for first in range(0, self.per_example, size):
                n = min(size, self.per_example - first)
                columns = room if n == size else np.empty((self.n_in, n), dtype=dtype)
                gather_patches(
                    image,
                    *op.kernel,
                    *op.stride,
                    *op.dilation,
                    op.padding[0],
                    op.padding[1],
                    self.places[1],
                    first,
                    columns,
                )
                yield Piece(example, first, columns)

    def active_fraction(self) -> float:
        """See `Vectors`."""
        return float(np.count_nonzero(self.values) / self.values.size)

    def words_read(self) -> int:
        """See `Vectors`."""
        return words_under_windows(self.op, self.values.shape[1:])


def room_for(vectors: Vectors, n_out: int, dtype: Any) -> Array:
    """Zeros for all products: [examples, n_out, places] or [examples, places, n_out]."""
    places = vectors.per_example
    shape = (n_out, places) if vectors.channels_first else (places, n_out)
    return np.zeros((vectors.examples, *shape), dtype=dtype)


def store(out: Array, vectors: Vectors, piece: Piece, products: Array) -> None:
    """Put the products [n_out, n] of a piece where they belong in `room_for` all of them."""
    place = slice(piece.first, piece.first + products.shape[1])
    if vectors.channels_first:
        out[piece.example, :, place] = products
    else:
        out[piece.example, place] = products.T


def _piece_size(n_in: int, available: int) -> int:
    return min(available, max(LEAST_VECTORS, min(MOST_VECTORS, PIECE_VALUES // n_in)))
