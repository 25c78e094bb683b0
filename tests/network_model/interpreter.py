"""A graph word by word, as docs/machine.md says under "Arithmetic": one example, one tensor at a time."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.network.graph import (
    Activate,
    Affine,
    Concatenate,
    Convolution,
    Elementwise,
    Pad,
    Pool,
    Recurrent,
    Reduce,
    Step,
)
from network_model.cells import Cells, run_cell
from network_model.windows import patch_indices, windows_of
from network_model.words import (
    Words,
    cut,
    each,
    half_up,
    most_frac_bits,
    nearest_even,
    shifted,
    to_words,
)


class FixedRun:
    """What came of one example: all tensors by name, saturated results by layer or step."""

    def __init__(self) -> None:
        self.tensors: dict[str, Words] = {}
        self.saturated: Counter[str] = Counter()


def run_fixed(
    network: CompressedNetwork,
    inputs: Mapping[str, Any],
    formats: Mapping[str, int],
    bits: int,
) -> FixedRun:
    """Run one example, inputs float32[*shape] by name, with the fraction bits of each tensor by name.

    Cells have the formats `<step>.gates`, `<step>.cell`, `<step>.state` and `<step>.gate value`;
    matrices the name of their layer.
    """
    return _Interpreter(network, formats, bits).run(inputs)


class _Interpreter:
    def __init__(
        self, network: CompressedNetwork, formats: Mapping[str, int], bits: int
    ) -> None:
        assert network.graph is not None
        self.graph = network.graph
        self.constants, self.formats, self.bits = network.constants, formats, bits
        self.matrices = {
            layer.name: _Matrix(layer, formats[layer.name], bits) for layer in network.layers
        }
        self.seen = FixedRun()

    def run(self, inputs: Mapping[str, Any]) -> FixedRun:
        for name, values in inputs.items():
            self.seen.tensors[name] = to_words(values, self.formats[name], self.bits)
        for step in self.graph.steps:
            given = [self.seen.tensors[name] for name in step.inputs]
            self.seen.tensors[step.name] = self.step(step, given)
        return self.seen

    def step(self, step: Step, given: list[Words]) -> Words:
        op: Any = step.op
        if isinstance(op, Recurrent):
            return self.recurrent(op, step.name, given)
        operation: Callable[..., Words] = getattr(self, op.kind)
        return operation(op, step.name, *given)

    def keep(self, value: int, name: str) -> int:
        """Cut a value to a word; counted under a name if that changed it."""
        kept = cut(value, self.bits)
        self.seen.saturated[name] += kept != value
        return kept

    def product(self, layer: str, vector: list[int], frac: int, group: int = 0) -> list[int]:
        """A matrix, or those rows of it that belong to a group, times a vector."""
        return self.matrices[layer].times(vector, frac, group, lambda x: self.keep(x, layer))

    # --- matrices ---

    def fully_connected(self, op: Any, name: str, x: Words) -> Words:
        matrix = self.matrices[op.layer]
        out = np.empty((*x.raw.shape[:-1], matrix.n_out), dtype=object)
        for place in np.ndindex(out.shape[:-1]):
            out[place] = self.product(op.layer, list(x.raw[place]), x.frac)
        return self.activated(Words(out, matrix.frac), op.layer)

    def convolution(self, op: Convolution, name: str, x: Words) -> Words:
        windows = windows_of(op, x.raw.shape)
        matrix = self.matrices[op.layer]
        matrix.groups = op.groups
        places = []
        for under in windows.under():
            indices = patch_indices(windows, under)
            patch = [0 if index is None else x.raw[index] for index in indices]
            rows: list[int] = []
            for group, part in enumerate(_parts(patch, op.groups)):
                rows += self.product(op.layer, part, x.frac, group)
            places.append(rows)
        by_channel = np.array(places, dtype=object).T
        raw = by_channel.reshape(matrix.n_out, *windows.output_shape)
        return self.activated(Words(raw, matrix.frac), op.layer)

    def activated(self, x: Words, layer: str) -> Words:
        """The activation function that a layer has: the host computes a softmax."""
        return x.map(_relu) if self.matrices[layer].activation == "relu" else x

    def recurrent(self, op: Recurrent, name: str, given: list[Words]) -> Words:
        def product(layer: str, vector: list[int], frac: int) -> tuple[list[int], int]:
            return self.product(layer, vector, frac), self.matrices[layer].frac

        cells = Cells(
            op=op,
            frac={
                kind: self.formats[f"{name}.{kind}"]
                for kind in ("gates", "cell", "state", "gate value")
            },
            bits=self.bits,
            product=product,
            keep=lambda value: self.keep(value, name),
            peepholes=[self.constant(constant) for constant in op.peepholes or ()],
            n_state=self.matrices[op.matrices[1]].n_out
            if op.cell == "lstm" and len(op.matrices) == 2
            else op.hidden,
        )
        return run_cell(cells, given)

    def constant(self, name: str) -> Words:
        """A constant in as many fraction bits as it leaves room for."""
        values = self.constants[name]
        frac = most_frac_bits(np.abs(values).max(), self.bits)
        return to_words(values, frac, self.bits)

    # --- the vector unit ---

    def activation(self, op: Activate, name: str, x: Words) -> Words:
        if op.function == "relu":
            return x.map(_relu)
        to = self.formats[name]

        def look_up(raw: int) -> int:
            return nearest_even(_function(op, raw * 2.0**-x.frac), to, self.bits)

        return Words(each(x.raw, look_up), to)

    def elementwise(self, op: Elementwise, name: str, one: Words, other: Words) -> Words:
        to = self.formats[name]
        rank = max(one.raw.ndim, other.raw.ndim)
        a, b = (_with_rank(words.raw, rank) for words in (one, other))
        shape = tuple(max(n, m) for n, m in zip(a.shape, b.shape, strict=True))
        out = np.empty(shape, dtype=object)
        for place in np.ndindex(shape):
            left, right = (array[_stretched(place, array.shape)] for array in (a, b))
            if op.function == "multiply":
                result = shifted(left * right, one.frac + other.frac, to)
            else:
                left, right = shifted(left, one.frac, to), shifted(right, other.frac, to)
                result = left + right if op.function == "add" else left - right
            out[place] = self.keep(result, name)
        return Words(out, to)

    def affine(self, op: Affine, name: str, x: Words) -> Words:
        to = self.formats[name]
        scale, shift = self.constant(op.scale), self.constants[op.shift]
        out = np.empty(x.raw.shape, dtype=object)
        for place in np.ndindex(out.shape):
            channel = place[0]
            product = shifted(x.raw[place] * scale.raw[channel], x.frac + scale.frac, to)
            out[place] = self.keep(product + nearest_even(shift[channel], to, self.bits), name)
        return Words(out, to)

    def pool(self, op: Pool, name: str, x: Words) -> Words:
        windows = windows_of(op, x.raw.shape)
        pooled = []
        for channel, under in itertools.product(range(windows.channels), windows.under()):
            inside = [(y, x) for y, x in under if windows.covers(y, x)]
            words = [
                x.raw[(channel, i) if windows.is_flat else (channel, y, i)] for y, i in inside
            ]
            if op.mode == "max":
                pooled.append(max(words))
            else:
                counted = sum(windows.pads(y, i) for y, i in under)
                pooled.append(_mean(words, counted if op.count_padding else len(words)))
        raw = np.array(pooled, dtype=object).reshape(windows.channels, *windows.output_shape)
        return Words(raw, x.frac)

    def reduce(self, op: Reduce, name: str, x: Words) -> Words:
        to = self.formats[name] if op.function == "sum" else x.frac
        kept = [axis for axis in range(x.raw.ndim) if axis not in op.axes]
        gathered: dict[tuple[int, ...], list[int]] = {}
        for place in np.ndindex(x.raw.shape):
            gathered.setdefault(tuple(place[axis] for axis in kept), []).append(x.raw[place])
        shape = [1 if axis in op.axes else size for axis, size in enumerate(x.raw.shape)]
        if not op.keep:
            shape = [x.raw.shape[axis] for axis in kept] or [1]
        out = [self.reduced(op.function, words, x.frac, to, name) for words in gathered.values()]
        return Words(np.array(out, dtype=object).reshape(shape), to)

    def reduced(self, function: str, words: list[int], frac: int, to: int, name: str) -> int:
        if function == "max":
            return max(words)
        if function == "mean":
            return _mean(words, len(words))
        return self.keep(shifted(sum(words), frac, to), name)

    # --- rearranging ---

    def concatenate(self, op: Concatenate, name: str, *given: Words) -> Words:
        to = min(words.frac for words in given)
        parts = [
            each(words.raw, lambda raw, frac=words.frac: self.keep(shifted(raw, frac, to), name))
            for words in given
        ]
        return Words(np.concatenate(parts, axis=op.axis), to)

    def reshape(self, op: Any, name: str, x: Words) -> Words:
        flat = [x.raw[place] for place in np.ndindex(x.raw.shape)]
        return Words(np.array(flat, dtype=object).reshape(op.shape), x.frac)

    def transpose(self, op: Any, name: str, x: Words) -> Words:
        out = np.empty([x.raw.shape[axis] for axis in op.axes], dtype=object)
        for place in np.ndindex(x.raw.shape):
            out[tuple(place[axis] for axis in op.axes)] = x.raw[place]
        return Words(out, x.frac)

    def slice(self, op: Any, name: str, x: Words) -> Words:
        chosen = range(x.raw.shape[op.axis])[op.start : op.stop : op.step]
        return Words(np.stack([x.raw.take(i, axis=op.axis) for i in chosen], op.axis), x.frac)

    def pad(self, op: Pad, name: str, x: Words) -> Words:
        sizes = x.raw.shape
        grown = [a + n + b for a, n, b in zip(op.before, sizes, op.after, strict=True)]
        out = np.empty(grown, dtype=object)
        for place in np.ndindex(out.shape):
            source = tuple(i - a for i, a in zip(place, op.before, strict=True))
            if op.mode == "reflect":
                source = tuple(_reflected(i, n) for i, n in zip(source, sizes, strict=True))
            inside = all(0 <= i < n for i, n in zip(source, sizes, strict=True))
            out[place] = x.raw[source] if inside else 0
        return Words(out, x.frac)

    def softmax(self, op: Any, name: str, x: Words) -> Words:
        return x


class _Matrix:
    """A compressed layer's codes, row by row, and its words."""

    def __init__(self, layer: CompressedLayer, frac: int, bits: int) -> None:
        self.n_out, self.frac, self.bits = layer.n_out, frac, bits
        self.activation, self.bias, self.bias_coded = layer.activation, layer.bias, layer.bias_coded
        self.groups = 1
        self.weight_frac = most_frac_bits(np.abs(layer.codebook).max(), bits)
        self.codebook = [nearest_even(value, self.weight_frac, bits) for value in layer.codebook]
        self.rows: list[dict[int, int]] = [{} for _ in range(layer.n_out)]  # code by column
        pointers = layer.sparse.col_ptr
        for column in range(len(pointers) - 1):
            for entry in range(pointers[column], pointers[column + 1]):
                code = int(layer.sparse.codes[entry])
                self.rows[int(layer.sparse.rows[entry])][column] = code

    def times(
        self, vector: list[int], frac: int, group: int, keep: Callable[[int], int]
    ) -> list[int]:
        share = self.n_out // self.groups
        activations = [*vector, 2**frac] if self.bias_coded else vector
        return [
            self.row(row, activations, frac, keep)
            for row in range(group * share, (group + 1) * share)
        ]

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


def _function(op: Activate, x: float) -> float:
    """An activation function, in double precision."""
    if op.function == "leaky_relu":
        return x if x >= 0 else op.alpha * x
    if op.function == "clip":
        return min(max(x, op.alpha), op.beta)
    if op.function == "sigmoid":
        return sigmoid(x)
    if op.function == "hard_sigmoid":
        return min(max(op.alpha * x + op.beta, 0.0), 1.0)
    if op.function == "hard_swish":
        return x * min(max(x / 6 + 0.5, 0.0), 1.0)
    if op.function == "sqrt":
        return math.sqrt(max(x, 0.0))
    if op.function == "square":
        return x * x
    assert op.function == "tanh"
    return math.tanh(x)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _relu(raw: int) -> int:
    return max(raw, 0)


def _mean(words: list[int], count: int) -> int:
    return half_up(Fraction(sum(words), count))


def _parts(values: list[int], count: int) -> list[list[int]]:
    size = len(values) // count
    return [values[i * size : (i + 1) * size] for i in range(count)]


def _with_rank(raw: Any, rank: int) -> Any:
    return raw.reshape((1,) * (rank - raw.ndim) + raw.shape)


def _stretched(place: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(0 if size == 1 else index for index, size in zip(place, shape, strict=True))


def _reflected(index: int, size: int) -> int:
    if index < 0:
        return -index
    return index if index < size else 2 * (size - 1) - index
