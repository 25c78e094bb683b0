"""Plain words: dense weights, and an exact bias."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exact.stepped.memory import Fetched, PointerWord, Step, ceil_div
from exact.stepped.parameters import Machine


class WordRows:
    """Rows that plain words lie in: whole words, or whole rows, whichever is the wider."""

    def __init__(self, row_bits: int, word_bits: int) -> None:
        self.words_per_row = max(1, row_bits // word_bits)
        self.rows_per_word = ceil_div(word_bits, row_bits)

    def of_word(self, position: int) -> range:
        """The rows of one word, counted from the first word's row."""
        first = position // self.words_per_row * self.rows_per_word
        return range(first, first + self.rows_per_word)

    def used_by(self, words: int) -> int:
        """Rows that the first `words` words take."""
        return self.of_word(words - 1).stop if words else 0


class WordStorage:
    """Plain words without runs, from a row on; several a cycle if they are no wider than a row.

    values: of all words. is_zero: which of them count as padding. spans: column number to the
    positions of its words.
    """

    def __init__(
        self,
        values: list[float],
        is_zero: list[bool],
        spans: dict[int, range],
        first_row: int,
        machine: Machine,
        words_per_cycle: int,
    ) -> None:
        self.pointers: list[PointerWord] = []
        self.values = values
        self.is_zero = is_zero
        self.spans = spans
        self.first_row = first_row
        self.word_rows = WordRows(machine.row_bits, machine.word_bits)
        self.words_per_cycle = words_per_cycle if self.word_rows.rows_per_word == 1 else 1
        self.padding_bits = 0

    @property
    def rows_used(self) -> int:
        return self.word_rows.used_by(len(self.values))

    def open(self, column: int) -> "WordReader":
        return WordReader(self, self.spans[column])


class WordReader:
    """Fetches words that are no wider than a row several at a time, and others row by row."""

    def __init__(self, storage: WordStorage, span: range) -> None:
        self.storage = storage
        self.start = span.start
        self.position = span.start
        self.end = span.stop
        self.rows_read = 0  # of a word that is wider than a row

    def is_done(self) -> bool:
        return self.position == self.end

    def step(self) -> Step:
        first = self.position
        if self.storage.word_rows.rows_per_word > 1:
            return self._step_row(first)
        self.position = min(self.end, first + self.storage.words_per_cycle)
        rows = range(self._rows(first).start, self._rows(self.position - 1).stop)
        return Step(rows, [self._fetched(position) for position in range(first, self.position)])

    def _step_row(self, position: int) -> Step:
        """Read the next row of a wide word, which is complete with its last one."""
        row = self._rows(position)[self.rows_read]
        self.rows_read += 1
        if self.rows_read < self.storage.word_rows.rows_per_word:
            return Step(range(row, row + 1), [])
        self.rows_read = 0
        self.position += 1
        return Step(range(row, row + 1), [self._fetched(position)])

    def _rows(self, position: int) -> range:
        rows = self.storage.word_rows.of_word(position)
        return range(self.storage.first_row + rows.start, self.storage.first_row + rows.stop)

    def _fetched(self, position: int) -> Fetched:
        storage = self.storage
        number = position - self.start
        return Fetched(number, storage.values[position], 0, storage.is_zero[position])


def dense_storage(
    columns: dict[int, list[int]], codebook: NDArray[np.float32], machine: Machine
) -> WordStorage:
    """Every code of every column as a plain word of its weight, in the order given.

    With `row` alignment each column begins in a fresh row, after words that nobody reads.
    """
    codes: list[int] = []
    spans = {}
    words_per_row = WordRows(machine.row_bits, machine.word_bits).words_per_row
    unit = words_per_row if machine.column_alignment == "row" else 1
    padding_words = 0
    for column, local_codes in columns.items():
        padding = [0] * (-len(codes) % unit if local_codes else 0)
        padding_words += len(padding)
        codes += padding
        spans[column] = range(len(codes), len(codes) + len(local_codes))
        codes += local_codes
    values = [float(codebook[code]) for code in codes]
    is_zero = [code == 0 for code in codes]
    storage = WordStorage(values, is_zero, spans, 0, machine, machine.multipliers)
    storage.padding_bits = padding_words * machine.word_bits
    return storage


def bias_storage(
    local_values: Sequence[float], column: int, first_row: int, machine: Machine
) -> WordStorage:
    """An exact bias: one word per local row, taken one at a time."""
    values = [float(value) for value in local_values]
    is_zero = [value == 0 for value in values]
    return WordStorage(values, is_zero, {column: range(len(values))}, first_row, machine, 1)
