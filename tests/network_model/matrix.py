"""A compressed layer's matrix, entry by entry, in fixed point."""

from collections.abc import Callable

import numpy as np

from accelsim.compression.layer import CompressedLayer
from network_model.words import most_frac_bits, nearest_even, shifted

ALL = slice(None)


class Matrix:
    """Codes by column, row by row, and the words of the codebook; frac: fraction bits of products."""

    def __init__(self, layer: CompressedLayer, frac: int, bits: int) -> None:
        self.n_out, self.frac, self.bits = layer.n_out, frac, bits
        self.activation, self.bias, self.bias_coded = layer.activation, layer.bias, layer.bias_coded
        self.weight_frac = most_frac_bits(np.abs(layer.codebook).max(), bits)
        self.codebook = [nearest_even(value, self.weight_frac, bits) for value in layer.codebook]
        self.rows = codes_of(layer)

    def times(
        self, vector: list[int], frac: int, keep: Callable[[int], int], rows: slice = ALL
    ) -> list[int]:
        """Some rows of it times a vector, the bias last; `keep` cuts each sum to a word."""
        activations = [*vector, 2**frac] if self.bias_coded else vector
        return [self.row(row, activations, frac, keep) for row in range(self.n_out)[rows]]

    def row(self, row: int, activations: list[int], frac: int, keep: Callable[[int], int]) -> int:
        accumulator = 0
        for column, activation in enumerate(activations):
            if column in self.rows[row] and activation != 0:
                weight = self.codebook[self.rows[row][column]]
                product = shifted(weight * activation, frac + self.weight_frac, self.frac)
                accumulator = keep(accumulator + product)
        if self.bias is not None:
            bias = nearest_even(self.bias[row], self.frac, self.bits)
            accumulator = keep(accumulator + bias)
        return accumulator


def codes_of(layer: CompressedLayer) -> list[dict[int, int]]:
    """Of each row the codes by column, a coded bias in the last one."""
    rows: list[dict[int, int]] = [{} for _ in range(layer.n_out)]
    pointers = layer.sparse.col_ptr
    for column in range(len(pointers) - 1):
        for entry in range(pointers[column], pointers[column + 1]):
            rows[int(layer.sparse.rows[entry])][column] = int(layer.sparse.codes[entry])
    return rows
