"""Entries of fixed width, one after the other."""

import numpy as np
from numpy.typing import NDArray

from exact.stepped.encoding import Entry
from exact.stepped.memory import Fetched, PointerWord, Step, ceil_div
from exact.stepped.parameters import Machine


class FixedStorage:
    """Entries of equal width, as many whole ones in a row as fit; one slot for each.

    An address is a slot's position. With `row` alignment it is a row's, and each column begins in
    a fresh row, after empty slots.
    """

    def __init__(
        self, columns: list[list[Entry]], codebook: NDArray[np.float32], machine: Machine
    ) -> None:
        self.codebook = codebook
        self.entry_bits = machine.entry_bits
        self.slots_per_row = machine.row_bits // machine.entry_bits
        self.entries_per_cycle = machine.multipliers
        self.is_aligned = machine.column_alignment == "row"
        assert self.slots_per_row >= 1, "an entry is wider than a row"
        self.slots: list[Entry | None] = []
        self.pointers: list[PointerWord] = []
        for column in columns:
            self._store(column)

    def _store(self, column: list[Entry]) -> None:
        if self.is_aligned and column:
            self.slots += [None] * (-len(self.slots) % self.slots_per_row)
        start = len(self.slots)
        self.slots += column
        if self.is_aligned:
            row = start // self.slots_per_row if column else 0
            self.pointers.append(PointerWord(row, None, len(column)))
        else:
            self.pointers.append(PointerWord(start, len(self.slots), None))

    @property
    def rows_used(self) -> int:
        return ceil_div(len(self.slots), self.slots_per_row)

    @property
    def padding_bits(self) -> int:
        return self.slots.count(None) * self.entry_bits

    def open(self, column: int) -> "FixedReader":
        pointer = self.pointers[column]
        if pointer.entries is None:
            assert pointer.end is not None
            return FixedReader(self, pointer.start, pointer.end)
        start = pointer.start * self.slots_per_row
        return FixedReader(self, start, start + pointer.entries)


class FixedReader:
    """Fetches as many entries a cycle as the datapath takes."""

    def __init__(self, storage: FixedStorage, start: int, end: int) -> None:
        self.storage = storage
        self.start = start
        self.slot = start
        self.end = end

    def is_done(self) -> bool:
        return self.slot == self.end

    def step(self) -> Step:
        storage, first = self.storage, self.slot
        self.slot = min(self.end, first + storage.entries_per_cycle)
        weights = []
        for slot in range(first, self.slot):
            entry = storage.slots[slot]
            assert entry is not None, "an empty slot is read"
            weight = float(storage.codebook[entry.code])
            weights.append(Fetched(slot - self.start, weight, entry.run, entry.code == 0))
        first_row, last_row = (
            first // storage.slots_per_row,
            (self.slot - 1) // storage.slots_per_row,
        )
        return Step(range(first_row, last_row + 1), weights)
