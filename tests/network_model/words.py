"""Fixed-point words as Python integers of any size."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

MAX_FRAC_BITS = 30


class Words(NamedTuple):
    """A tensor of one example: raw, an array of Python integers, times 2**-frac."""

    raw: Any
    frac: int

    def map(self, change: Callable[[int], int]) -> "Words":
        """Each word changed on its own."""
        return Words(each(self.raw, change), self.frac)


def each(raw: Any, change: Callable[[int], int]) -> Any:
    changed = np.empty(raw.shape, dtype=object)
    for place in np.ndindex(raw.shape):
        changed[place] = change(raw[place])
    return changed


def lowest(bits: int) -> int:
    return -(2 ** (bits - 1))


def highest(bits: int) -> int:
    return 2 ** (bits - 1) - 1


def cut(value: int, bits: int) -> int:
    """The nearest word."""
    return max(lowest(bits), min(highest(bits), value))


def half_up(value: Fraction) -> int:
    """The nearest integer, halves up."""
    return math.floor(value + Fraction(1, 2))


def shifted(raw: int, frac: int, to: int) -> int:
    """The same value with `to` fraction bits, half up where there are fewer."""
    return half_up(Fraction(raw) * Fraction(2) ** (to - frac))


def nearest_even(value: float, frac: int, bits: int) -> int:
    """A value's word, halves to even, cut to what a word holds."""
    return cut(round(Fraction(float(value)) * Fraction(2) ** frac), bits)


def most_frac_bits(largest: float, bits: int) -> int:
    """Most fraction bits, 30 at most, with which the magnitude fits; of zero, all but the sign."""
    if largest == 0:
        return bits - 1
    frac = MAX_FRAC_BITS
    while round(Fraction(float(largest)) * Fraction(2) ** frac) > highest(bits):
        frac -= 1
    return frac


def to_words(values: Any, frac: int, bits: int) -> Words:
    """Floating-point numbers rounded to words."""
    raw = np.empty(values.shape, dtype=object)
    for place in np.ndindex(values.shape):
        raw[place] = nearest_even(values[place], frac, bits)
    return Words(raw, frac)
