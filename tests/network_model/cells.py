"""Recurrent cells, word by word: the table and the rules of docs/machine.md, one hidden unit at a time."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accelsim.network.graph import Recurrent
from network_model.words import Words, nearest_even, shifted


class Word(NamedTuple):
    """raw times 2**-frac."""

    raw: int
    frac: int


@dataclass
class Cells:
    """A recurrent step: `h`, `c` of a time step from those before it, and the gate inputs.

    frac: fraction bits of gates, cell, state, gate value; product: of a layer's matrix and a vector,
    with its format; keep: cuts a value to a word
    """

    op: Recurrent
    frac: dict[str, int]
    bits: int
    product: Callable[[str, list[int], int], tuple[list[int], int]]
    keep: Callable[[int], int]
    peepholes: list[Words]
    n_state: int

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
        return self.table(_sigmoid, x)

    def tanh(self, x: Word) -> Word:
        return self.table(math.tanh, x)

    def one_minus(self, x: Word) -> Word:
        to = self.frac["gate value"]
        return Word(self.keep(2**to - x.raw), to)

    def times(self, layer: str, vector: list[Word]) -> list[Word]:
        (frac,) = {word.frac for word in vector}
        raw, to = self.product(layer, [word.raw for word in vector], frac)
        return [Word(value, to) for value in raw]

    def peephole(self, gate: int, unit: int) -> Word:
        constant = self.peepholes[gate]
        return Word(constant.raw[unit], constant.frac)

    def initial(self, given: list[Words], kind: str, size: int) -> list[Word]:
        """A given state comes to the format of states."""
        to = self.frac[kind]
        if not given:
            return [Word(0, to)] * size
        return [Word(self.keep(shifted(raw, given[0].frac, to)), to) for raw in given[0].raw]

    def gate(self, x: list[Word], which: int, unit: int) -> Word:
        return x[which * self.op.hidden + unit]

    # --- one time step ---

    def lstm(self, x: list[Word], h: list[Word], c: list[Word]) -> tuple[list[Word], list[Word]]:
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

    def gru(self, x: list[Word], h: list[Word], c: list[Word]) -> tuple[list[Word], list[Word]]:
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

    def rnn(self, x: list[Word], h: list[Word], c: list[Word]) -> tuple[list[Word], list[Word]]:
        product = self.times(self.op.matrices[0], h)
        sums = [self.add(one, other, "gates") for one, other in zip(x, product, strict=True)]
        if self.op.function == "tanh":
            return [self.tanh(total) for total in sums], c
        return [total._replace(raw=max(total.raw, 0)) for total in sums], c

    def qrnn(self, x: list[Word], h: list[Word], c: list[Word]) -> tuple[list[Word], list[Word]]:
        new_h, new_c = [], []
        for k in range(self.op.hidden):
            z, f, o = (self.gate(x, gate, k) for gate in range(3))
            kept = self.multiply(self.s(f), c[k], "cell")
            fresh = self.multiply(self.one_minus(self.s(f)), self.tanh(z), "cell")
            new_c.append(self.add(kept, fresh, "cell"))
            new_h.append(self.multiply(self.s(o), new_c[k], "state"))
        return new_h, new_c


def run_cell(cells: Cells, given: list[Words]) -> Words:
    """All time steps: gate inputs [time, gates * hidden], then given states, to [time, n_state]."""
    op = cells.op
    x = given[0]
    times = list(range(x.raw.shape[0]))
    h = cells.initial(given[1:2], "state", cells.n_state)
    c = cells.initial(given[2:3], "cell", op.hidden)
    step = getattr(cells, op.cell)
    states: dict[int, list[Word]] = {}
    for t in reversed(times) if op.reverse else times:
        h, c = step([Word(raw, x.frac) for raw in x.raw[t]], h, c)
        states[t] = h
    raw = np.array([[word.raw for word in states[t]] for t in times], dtype=object)
    (frac,) = {word.frac for t in times for word in states[t]}
    return Words(raw, frac)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
