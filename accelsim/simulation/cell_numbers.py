"""The numbers of recurrent cells: float32, and the machine's fixed point with its formats."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np

from accelsim.compression.layer import CompressedLayer
from accelsim.simulation.arithmetic import (
    Fixed,
    Value,
    frac_bits_for,
    magnitude,
    quantize,
    saturate,
    shifted,
    shifted_sum,
)
from accelsim.simulation.multiply import fixed_product, float_product
from accelsim.simulation.vector_unit import look_up, sigmoid
from accelsim.simulation.vectors import Rows

Array = Any
N = TypeVar("N")
# Names of the formats of a cell's numbers, after the step's name; no layer is called so.
GATES, CELL, STATE, GATE_VALUE = ".gates", ".cell", ".state", ".gate value"


class Numbers(Protocol[N]):
    """The operations of a cell on one kind of numbers, each [examples, cells]."""

    def initial(self, given: Value, what: str) -> N:
        """A state before the first time step."""
        ...

    def product(self, layer: str, vector: N) -> N:
        """A matrix times a vector."""
        ...

    def add(self, one: N, other: N, what: str) -> N:
        """A sum, in the format `what`."""
        ...

    def multiply(self, one: N, other: N, what: str) -> N:
        """A product, in the format `what`."""
        ...

    def one_minus(self, value: N) -> N:
        """1 - x of a gate's value."""
        ...

    def sigmoid(self, value: N) -> N:
        """A gate's value."""
        ...

    def tanh(self, value: N) -> N:
        """A gate's value."""
        ...

    def relu(self, value: N) -> N:
        """Zero instead of what is below."""
        ...

    def constant(self, name: str) -> N:
        """One of the graph's constants."""
        ...

    def part(self, value: N, index: int, size: int) -> N:
        """Cells index * size to (index + 1) * size."""
        ...


class FloatNumbers:
    """float32; remembers the largest magnitude of each kind of number, and every matrix's input."""

    def __init__(
        self, layers: Mapping[str, CompressedLayer], constants: Mapping[str, Array]
    ) -> None:
        self.layers, self.constants = layers, constants
        self.peaks: dict[str, float] = {GATES: 0.0, CELL: 0.0, STATE: 0.0, GATE_VALUE: 1.0}
        self.inputs: dict[str, list[Array]] = {name: [] for name in layers}

    def initial(self, given: Value, what: str) -> Array:
        """See `Numbers`."""
        return self._noted(given.values, what)

    def product(self, layer: str, vector: Array) -> Array:
        """See `Numbers`."""
        self.inputs[layer].append(vector)
        matrix = self.layers[layer]
        result = float_product(matrix, Rows(vector[:, None]), (1, matrix.n_out))
        self.peaks[layer] = max(self.peaks.get(layer, 0.0), result.peak)
        return result.values[:, 0]

    def _noted(self, values: Array, what: str) -> Array:
        self.peaks[what] = max(self.peaks[what], magnitude(values))
        return values

    def add(self, one: Array, other: Array, what: str) -> Array:
        """See `Numbers`."""
        return self._noted(one + other, what)

    def multiply(self, one: Array, other: Array, what: str) -> Array:
        """See `Numbers`."""
        return self._noted(one * other, what)

    def one_minus(self, value: Array) -> Array:
        """See `Numbers`."""
        return np.float32(1) - value

    def sigmoid(self, value: Array) -> Array:
        """See `Numbers`."""
        return sigmoid(value.astype(np.float64)).astype(np.float32)

    def tanh(self, value: Array) -> Array:
        """See `Numbers`."""
        return np.tanh(value)

    def relu(self, value: Array) -> Array:
        """See `Numbers`."""
        return np.maximum(value, 0)

    def constant(self, name: str) -> Array:
        """See `Numbers`."""
        return self.constants[name]

    def part(self, value: Array, index: int, size: int) -> Array:
        """See `Numbers`."""
        return value[:, index * size : (index + 1) * size]


class FixedNumbers:
    """The machine's words; formats by kind of number, chosen from what the float32 run reached."""

    def __init__(
        self,
        layers: Mapping[str, CompressedLayer],
        constants: Mapping[str, Array],
        frac_bits: Mapping[str, int],
        bits: int,
    ) -> None:
        self.layers, self.constants = layers, constants
        self.frac_bits, self.bits = frac_bits, bits
        self.inputs: dict[str, list[Array]] = {name: [] for name in layers}
        self.input_frac_bits: dict[str, int] = {}
        self.saturated = dict.fromkeys([*layers, ""], 0)

    def initial(self, given: Value, what: str) -> Fixed:
        """See `Numbers`."""
        raw, frac_bits, _ = given.fixed
        return self._cut(shifted(raw, frac_bits - self.frac_bits[what]), what)

    def product(self, layer: str, vector: Fixed) -> Fixed:
        """See `Numbers`."""
        self.inputs[layer].append(vector.raw)
        self.input_frac_bits[layer] = vector.frac_bits
        matrix = self.layers[layer]
        result = fixed_product(
            matrix,
            Rows(vector.raw[:, None]),
            (1, matrix.n_out),
            vector.frac_bits,
            self.frac_bits[layer],
            self.bits,
        )
        self.saturated[layer] += result.saturated
        return result._replace(raw=result.raw[:, 0])

    def _cut(self, raw: Array, what: str) -> Fixed:
        result = saturate(raw, self.frac_bits[what], self.bits)
        self.saturated[""] += result.saturated
        return result

    def add(self, one: Fixed, other: Fixed, what: str) -> Fixed:
        """See `Numbers`."""
        return self._cut(shifted_sum(one, other, self.frac_bits[what]), what)

    def multiply(self, one: Fixed, other: Fixed, what: str) -> Fixed:
        """See `Numbers`."""
        places = one.frac_bits + other.frac_bits - self.frac_bits[what]
        return self._cut(shifted(one.raw * other.raw, places), what)

    def one_minus(self, value: Fixed) -> Fixed:
        """See `Numbers`."""
        one = shifted(np.int64(1), -value.frac_bits)
        return self._cut(one - value.raw, GATE_VALUE)

    def _table(self, value: Fixed, table: Callable[[Array], Array]) -> Fixed:
        to = self.frac_bits[GATE_VALUE]
        return Fixed(look_up(value.raw, value.frac_bits, table, to, self.bits), to)

    def sigmoid(self, value: Fixed) -> Fixed:
        """See `Numbers`."""
        return self._table(value, sigmoid)

    def tanh(self, value: Fixed) -> Fixed:
        """See `Numbers`."""
        return self._table(value, np.tanh)

    def relu(self, value: Fixed) -> Fixed:
        """See `Numbers`."""
        return value._replace(raw=np.maximum(value.raw, 0))

    def constant(self, name: str) -> Fixed:
        """See `Numbers`."""
        values = self.constants[name]
        frac = frac_bits_for(magnitude(values), self.bits)
        return Fixed(quantize(values, frac, self.bits), frac)

    def part(self, value: Fixed, index: int, size: int) -> Fixed:
        """See `Numbers`."""
        return value._replace(raw=value.raw[:, index * size : (index + 1) * size])
