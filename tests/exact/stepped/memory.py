"""Weight memory of one PE: what lies where, what its pointers say, and how a column is read.

Storage is laid out once; `open` gives a reader of one column, which is stepped cycle by cycle. All
that a reader knows is the bits (entries, words) in the memory and the column's pointer word.
"""

from typing import NamedTuple, Protocol


class Fetched(NamedTuple):
    """A weight on its way to the datapath: which one of its column, and the zeros before it."""

    number: int
    weight: float
    run: int
    is_padding: bool


class Step(NamedTuple):
    """What one cycle of reading a column needs and yields.

    rows: weight-SRAM rows that the bits lie in. weights: those that are complete in this cycle.
    lookups: reads of decoding tables.
    """

    rows: range
    weights: list[Fetched]
    lookups: int = 0


class Reader(Protocol):
    """A column being read."""

    def is_done(self) -> bool:
        """Whether all weights have been fetched."""
        ...

    def step(self) -> Step:
        """One cycle."""
        ...


class PointerWord(NamedTuple):
    """What the pointer SRAM tells a PE about a column.

    start: in units of addresses. end: the address after the column; None if columns are aligned, for
    then padding may lie before the next one. entries: how many there are in the column; None if the
    end tells. offsets: from the column's first bit to that of each sub-stream but the first.
    """

    start: int
    end: int | None
    entries: int | None
    offsets: tuple[int, ...] = ()


class Storage(Protocol):
    """What one PE stores.

    pointers: a word for each column; none if columns are found without. padding_bits: between
    columns, so that they begin where the machine wants them to.
    """

    pointers: list[PointerWord]

    @property
    def padding_bits(self) -> int: ...

    @property
    def rows_used(self) -> int:
        """Weight-SRAM rows."""
        ...

    def open(self, column: int) -> Reader:
        """Begin to read a column, of which only the pointer word is known."""
        ...


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)
