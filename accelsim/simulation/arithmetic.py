"""Numbers of the machine: fixed point, bit for bit, where rounding and saturation happen.

The rules are those of docs/machine.md, "Arithmetic".
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from accelsim.errors import NetworkError

MAX_FRAC_BITS = 30
# Products of two 32-bit words, and sums of two numbers that were shifted left, stay within int64.
MAX_SHIFT, LEFT_ROOM = 62, 61


class Fixed(NamedTuple):
    """Fixed-point numbers: raw int64[...] times 2**-frac_bits; saturated: how many additions were."""

    raw: Any
    frac_bits: int
    saturated: int = 0

    def to_float(self) -> Any:
        """The values as float32[...]."""
        return (self.raw * 2.0**-self.frac_bits).astype(np.float32)


class Value(NamedTuple):
    """A tensor twice: values float32[examples, ...], and the machine's fixed point beside it."""

    values: Any
    fixed: Fixed


class Formats:
    """Fraction bits of every tensor.

    Each tensor has as many as its largest magnitude leaves room for, unless `pinned` gives one number
    for all of them, or `known` the number for its name. What was chosen stands in `chosen`, the
    magnitude that it was chosen for in `peaks`.
    """

    def __init__(
        self, bits: int, pinned: int | None = None, known: Mapping[str, int] | None = None
    ) -> None:
        self.bits, self.pinned = bits, pinned
        self.known = known or {}
        self.chosen: dict[str, int] = {}
        self.peaks: dict[str, float] = {}

    def of(self, name: str, peak: float) -> int:
        """Fraction bits of the tensor `name`, which holds magnitudes up to `peak`.

        Raises NetworkError if the peak is beyond float32.
        """
        if not np.isfinite(peak):
            raise NetworkError(
                f"'{name}': values go beyond float32: scale the weights or the input down"
            )
        frac = frac_bits_for(peak, self.bits) if self.pinned is None else self.pinned
        self.chosen[name] = self.known.get(name, frac)
        self.peaks[name] = peak
        return self.chosen[name]

    def of_input(self, name: str, peak: float) -> int:
        """Fraction bits of values that are given from outside; no machine's setting pins them."""
        self.chosen[name] = self.known.get(name, frac_bits_for(peak, self.bits))
        self.peaks[name] = peak
        return self.chosen[name]


def limits(bits: int) -> tuple[int, int]:
    """Smallest and largest signed number of `bits` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def frac_bits_for(largest: float, bits: int) -> int:
    """Most fraction bits with which a magnitude `largest` still fits signed `bits` bits."""
    if largest == 0:
        return bits - 1
    _, high = limits(bits)
    frac = min(MAX_FRAC_BITS, bits - 1 - int(np.floor(np.log2(largest))))
    while np.rint(largest * 2.0**frac) > high:
        frac -= 1
    return frac


def quantize(values: Any, frac_bits: int, bits: int) -> Any:
    """int64[...]: values times 2**frac_bits, rounded half to even, saturated to signed `bits` bits."""
    low, high = limits(bits)
    return np.clip(np.rint(values.astype(np.float64) * 2.0**frac_bits), low, high).astype(np.int64)


def shifted(raw: Any, places: int) -> Any:
    """int64[...] up to 2**62 shifted right with round half up, or left if `places` is negative.

    What a left shift would push beyond 61 bits is cut there; it saturates any word.
    """
    if places > 0:
        raw = raw >> np.int64(min(max(0, places - MAX_SHIFT), MAX_SHIFT))
        places = min(places, MAX_SHIFT)
        return (raw + (np.int64(1) << np.int64(places - 1))) >> np.int64(places)
    places = min(-places, LEFT_ROOM)
    most = np.int64(1) << np.int64(LEFT_ROOM - places)
    return np.clip(raw, -most, most) << np.int64(places)


def shifted_sum(one: Fixed, other: Fixed, to: int, sign: int = 1) -> Any:
    """int64[...]: both `shifted` to `to` fraction bits, then added, or subtracted if sign is -1."""
    # What both are short of is shifted in at the end, lest the sum of two large numbers be cut.
    common = min(to, max(one.frac_bits, other.frac_bits))
    left, right = (shifted(item.raw, item.frac_bits - common) for item in (one, other))
    return shifted(left + sign * right, common - to)


def saturate(raw: Any, frac_bits: int, bits: int) -> Fixed:
    """Cut int64[...] to signed words; `saturated` says how many were cut."""
    bounded = np.clip(raw, *limits(bits))
    return Fixed(bounded, frac_bits, int(np.count_nonzero(bounded != raw)))


def magnitude(values: Any) -> float:
    """Largest magnitude of float32[...], 0.0 if there is none."""
    return float(np.abs(values).max(initial=0.0))
