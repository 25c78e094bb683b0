"""Printed numbers as far as rounding lets them be known, and checks of one against others."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.study.reproduce.chapters import Compared

Values = NDArray[np.float64]


class Known(NamedTuple):
    """A positive number, and the least and the most that it can be."""

    value: float
    least: float
    most: float

    @classmethod
    def exactly(cls, value: float) -> "Known":
        """A number that is not rounded."""
        return cls(value, value, value)

    @classmethod
    def printed(cls, text: str, *others: str) -> "Known":
        """A number as it is printed; others: of its column, which tell how many places are meant."""
        half = half_unit(text, *others)
        return cls(float(text), float(text) - half, float(text) + half)

    def times(self, other: "Known") -> "Known":
        """The product."""
        return Known(self.value * other.value, self.least * other.least, self.most * other.most)

    def over(self, other: "Known") -> "Known":
        """The quotient."""
        return Known(self.value / other.value, self.least / other.most, self.most / other.least)

    def agrees(self, other: "Known") -> bool:
        """Whether both can be the same number."""
        # What just touches may miss by a float's last bit.
        slack = 1e-9 * max(self.most, other.most)
        return self.least <= other.most + slack and other.least <= self.most + slack


class Check(NamedTuple):
    """A printed number, and what other numbers of the paper make of it.

    kind: what tells such checks from others
    table, row, column: where the printed number stands
    how: where the recomputed number comes from
    """

    kind: str
    table: str
    row: str
    column: str
    printed: Known
    recomputed: Known
    how: str

    @property
    def agrees(self) -> bool:
        """Whether rounding can explain the difference."""
        return self.printed.agrees(self.recomputed)

    @property
    def compared(self) -> Compared:
        """As a row of the comparison."""
        least, most = self.recomputed.least, self.recomputed.most
        spread = f" ({least:.4g} to {most:.4g})" if least < most else ""
        verdict = "agrees" if self.agrees else "DISAGREES"
        return Compared(
            "the paper against itself",
            f"{self.table}: {self.row}",
            self.column,
            self.printed.value,
            self.recomputed.value,
            f"{verdict}; ours: {self.how}{spread}",
        )


def half_unit(*texts: str) -> float:
    """Half of the last place that any of the numbers shows; zeros at a whole number's end are none.

    240 is taken to be rounded to tens, but to ones beside 552.
    """
    return 0.5 * 10.0 ** -max(map(_places, texts))


def _places(text: str) -> int:
    """Decimal places; below 0 for zeros at the end of a whole number."""
    whole, _, decimals = text.partition(".")
    return len(decimals) or len(whole.rstrip("0")) - len(whole)


def mean_bounds(values: Values, least: Values, most: Values) -> tuple[float, float]:
    """Least and most of a weighted mean of which each weight lies between its least and its most.

    At the extremes the values on one side of the mean have their least weights, the others their
    most. All float64[n].
    """
    order = np.argsort(values)
    values, least, most = values[order], least[order], most[order]
    splits = range(len(values) + 1)
    low = [np.average(values, weights=np.append(most[:i], least[i:])) for i in splits]
    high = [np.average(values, weights=np.append(least[:i], most[i:])) for i in splits]
    return float(min(low)), float(max(high))


def mean(values: Sequence[Known], weights: Sequence[Known]) -> Known:
    """A weighted mean."""
    value, least, most = (np.array(part, dtype=float) for part in zip(*values, strict=True))
    of, fewest, largest = (np.array(part, dtype=float) for part in zip(*weights, strict=True))
    low, _ = mean_bounds(least, fewest, largest)
    _, high = mean_bounds(most, fewest, largest)
    return Known(float(np.average(value, weights=of)), low, high)
