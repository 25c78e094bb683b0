"""Recurrent cells as the table of docs/machine.md has them, one hidden unit at a time.

`Cells` is the table; `WordCells` computes it in the machine's words.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accelsim.network.graph import Recurrent
from network_model.functions import sigmoid
from network_model.words import Words, nearest_even, shifted

Number = Any
KINDS_OF_NUMBERS = ("gates", "cell", "state", "gate value")


@dataclass
class Cells:
    """A recurrent step: `h`, `c` of a time step from those before it, and the gate inputs.

    Subclasses say what numbers are, and how they are added, multiplied and looked up; `kind` is one of
    `KINDS_OF_NUMBERS`. peepholes: of gates i, f, o
    """

    op: Recurrent
    peepholes: list[list[Number]]

    def add(self, one: Number, other: Number, kind: str) -> Number:
        raise NotImplementedError

    def multiply(self, one: Number, other: Number, kind: str) -> Number:
        raise NotImplementedError

    def s(self, x: Number) -> Number:
        raise NotImplementedError

    def tanh(self, x: Number) -> Number:
        raise NotImplementedError

    def relu(self, x: Number) -> Number:
        raise NotImplementedError

    def one_minus(self, x: Number) -> Number:
        raise NotImplementedError

    def times(self, layer: str, vector: list[Number]) -> list[Number]:
        """A layer's matrix times a vector."""
        raise NotImplementedError

    def gate(self, x: list[Number], which: int, unit: int) -> Number:
        return x[which * self.op.hidden + unit]

    def peephole(self, gate: int, unit: int) -> Number:
        return self.peepholes[gate][unit]

    # --- one time step ---

    def lstm(
        self, x: list[Number], h: list[Number], c: list[Number]
    ) -> tuple[list[Number], list[Number]]:
        product = self.times(self.op.matrices[0], h)
        new_c, new_h = [], []
        for k in range(self.op.hidden):
            a_i, a_f, a_g, a_o = (
                self.add(self.gate(x, gate, k), self.gate(product, gate, k), "gates")
                for gate in range(4)
            )
            if self.peepholes:
                a_i = self.add(a_i, self.multiply(self.peephole(0, k), c[k], "gates"), "gates")
                a_f = self.add(a_f, self.multiply(self.peephole(1, k), c[k], "gates"), "gates")
            kept = self.multiply(self.s(a_f), c[k], "cell")
            fresh = self.multiply(self.s(a_i), self.tanh(a_g), "cell")
            cell = self.add(kept, fresh, "cell")
            if self.peepholes:
                a_o = self.add(a_o, self.multiply(self.peephole(2, k), cell, "gates"), "gates")
            new_c.append(cell)
            new_h.append(self.multiply(self.s(a_o), self.tanh(cell), "state"))
        if len(self.op.matrices) == 2:
            new_h = self.times(self.op.matrices[1], new_h)
        return new_h, new_c

    def gru(
        self, x: list[Number], h: list[Number], c: list[Number]
    ) -> tuple[list[Number], list[Number]]:
        units = range(self.op.hidden)
        product = self.times(self.op.matrices[0], h)
        r, z = (
            [
                self.s(self.add(self.gate(x, gate, k), self.gate(product, gate, k), "gates"))
                for k in units
            ]
            for gate in (0, 1)
        )
        if len(self.op.matrices) == 1:
            inner = [self.multiply(r[k], self.gate(product, 2, k), "gates") for k in units]
        else:
            inner = self.times(
                self.op.matrices[1], [self.multiply(r[k], h[k], "state") for k in units]
            )
        new_h = []
        for k in units:
            n = self.tanh(self.add(self.gate(x, 2, k), inner[k], "gates"))
            fresh = self.multiply(self.one_minus(z[k]), n, "state")
            new_h.append(self.add(fresh, self.multiply(z[k], h[k], "state"), "state"))
        return new_h, c

    def rnn(
        self, x: list[Number], h: list[Number], c: list[Number]
    ) -> tuple[list[Number], list[Number]]:
        product = self.times(self.op.matrices[0], h)
        sums = [self.add(one, other, "gates") for one, other in zip(x, product, strict=True)]
        if self.op.function == "tanh":
            return [self.tanh(total) for total in sums], c
        return [self.relu(total) for total in sums], c

    def qrnn(
        self, x: list[Number], _h: list[Number], c: list[Number]
    ) -> tuple[list[Number], list[Number]]:
        new_h, new_c = [], []
        for k in range(self.op.hidden):
            z, f, o = (self.gate(x, gate, k) for gate in range(3))
            forget = self.s(f)
            kept = self.multiply(forget, c[k], "cell")
            fresh = self.multiply(self.one_minus(forget), self.tanh(z), "cell")
            new_c.append(self.add(kept, fresh, "cell"))
            new_h.append(self.multiply(self.s(o), new_c[k], "state"))
        return new_h, new_c

    def run(
        self, x: list[list[Number]], h: list[Number], c: list[Number]
    ) -> list[tuple[list[Number], list[Number]]]:
        """States and cell states of all time steps, in the order of time; x: gate inputs."""
        step = getattr(self, self.op.cell)
        times = list(range(len(x)))
        rows: dict[int, tuple[list[Number], list[Number]]] = {}
        for t in reversed(times) if self.op.reverse else times:
            h, c = step(x[t], h, c)
            rows[t] = h, c
        return [rows[t] for t in times]


class Word(NamedTuple):
    """raw times 2**-frac."""

    raw: int
    frac: int


@dataclass
class WordCells(Cells):
    """In fixed point.

    frac: fraction bits of each kind of number; product: of a layer's matrix and a vector, with its
    format; keep: cuts a value to a word
    """

    frac: dict[str, int]
    bits: int
    product: Callable[[str, list[int], int], tuple[list[int], int]]
    keep: Callable[[int], int]

    def add(self, one: Word, other: Word, kind: str) -> Word:
        to = self.frac[kind]
        return Word(self.keep(shifted(*one, to) + shifted(*other, to)), to)

    def multiply(self, one: Word, other: Word, kind: str) -> Word:
        to = self.frac[kind]
        return Word(self.keep(shifted(one.raw * other.raw, one.frac + other.frac, to)), to)

    def table(self, function: Callable[[float], float], x: Word) -> Word:
        to = self.frac["gate value"]
        return Word(nearest_even(function(x.raw * 2.0**-x.frac), to, self.bits), to)

    def s(self, x: Word) -> Word:
        return self.table(sigmoid, x)

    def tanh(self, x: Word) -> Word:
        return self.table(math.tanh, x)

    def relu(self, x: Word) -> Word:
        return Word(max(x.raw, 0), x.frac)

    def one_minus(self, x: Word) -> Word:
        to = self.frac["gate value"]
        return Word(self.keep(2**to - x.raw), to)

    def times(self, layer: str, vector: list[Word]) -> list[Word]:
        raw, frac = self.product(layer, [word.raw for word in vector], vector[0].frac)
        return [Word(value, frac) for value in raw]

    def initial(self, given: Words, kind: str) -> list[Word]:
        """A given state comes to the format of states."""
        to = self.frac[kind]
        return [Word(self.keep(shifted(raw, given.frac, to)), to) for raw in given.raw]

    def run_words(self, x: Words, h: Words, c: Words) -> Words:
        """All time steps: gate inputs [time, gates * hidden] and first states to [time, n_state]."""
        rows = self.run(
            [[Word(raw, x.frac) for raw in row] for row in x.raw],
            self.initial(h, "state"),
            self.initial(c, "cell"),
        )
        states = [[*h, *c] if self.op.with_cell else h for h, c in rows]
        frac = min(word.frac for row in states for word in row)
        raw = [[shifted(*word, frac) for word in row] for row in states]
        return Words(np.array(raw, dtype=object), frac)


def first_states(op: Recurrent, given: list[Any], zero_h: Any, zero_c: Any) -> tuple[Any, Any]:
    """State and cell state to begin with; the one state that a `qrnn` has is that of its cells."""
    if op.cell == "qrnn":
        return zero_h, [*given, zero_c][0]
    h, c = [*given, *(zero_h, zero_c)[len(given) :]]
    return h, c
