"""Designs of Huffman decoders: the cycles they take, and what they are made of.

The rules are those of docs/machine.md, "Decoders". A design supplies what differs: the cycles of a
symbol, its tables, its shifter.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.entry_code import Alphabet, CodedColumns, EntryCode
from accelsim.hardware.decoders.unit import DecodingTable, Shifter
from accelsim.kernels import decode as kernels

LENGTH_BITS = 4  # of a word's length, up to 15
# Two counts of a column's entries share an int64; a column has fewer than 2**31 entries.
LANE_BITS = 32
LANE = 2**31 - 1


class Work(NamedTuple):
    """What decoding takes: cycles until a column's last entry was taken, int64[n_cols, P], and parts.

    A column without entries takes 0 cycles.
    """

    cycles: Any
    tables: tuple[DecodingTable, ...]
    shifter: Shifter


class Counted(NamedTuple):
    """A code, and int64[n_cols] of what a design sums up over the entries of each column in all PEs."""

    code: EntryCode
    sums: Any


class Design(Protocol):
    """How a decoder works through the entries of a column."""

    def work(self, coded: CodedColumns, streams: int, taken_per_cycle: int) -> Work:
        """Decode every column of every PE, in `streams` sub-streams with a decoder each.

        taken_per_cycle: entries that whoever needs them takes per cycle.
        """
        ...


class EntryByEntry:
    """Emits one entry at most per cycle; it takes the sum of its symbols' cycles."""

    def work(self, coded: CodedColumns, streams: int, taken_per_cycle: int) -> Work:
        """Cycles follow from the entry alone."""
        per_entry, cycles = self.entry_cycles(coded.code), _cycles(coded)
        sums = np.empty(len(cycles), dtype=np.int64)
        kernels.entry_service(
            *coded.csc,
            coded.code.run_bits,
            per_entry,
            self.counted(coded.code),
            streams,
            taken_per_cycle,
            _cycle_counts(coded, streams, int(per_entry.max(initial=1))),
            cycles,
            sums,
        )
        counted = Counted(coded.code, sums)
        return Work(cycles, self.tables(counted), self.shifter(counted))

    def entry_cycles(self, code: EntryCode) -> Any:
        """Cycles of every possible entry, uint8[codes * runs]."""
        return code.per_entry(self.symbol_cycles)

    def symbol_cycles(self, lengths: Any) -> Any:
        """Cycles of symbols with these word lengths, uint8[symbols]."""
        return np.ones_like(lengths)

    def counted(self, code: EntryCode) -> Any:
        """What is summed up over each column: a number of every possible entry, int64[codes * runs]."""
        return np.zeros(code.lengths.size, dtype=np.int64)

    def tables(self, counted: Counted) -> tuple[DecodingTable, ...]:
        """A table of all words for each alphabet, read once per symbol."""
        return tuple(_all_words(alphabet, 1) for alphabet in counted.code.alphabets)

    def shifter(self, counted: Counted) -> Shifter:
        """As wide as the longest word; it moves once per symbol."""
        alphabets = counted.code.alphabets
        return Shifter(max(alphabet.longest for alphabet in alphabets), 0, len(alphabets))


class OneSymbol(EntryByEntry):
    """Looks one symbol up per cycle."""


class Pair(EntryByEntry):
    """Looks all symbols of an entry up in one cycle, one after the other."""

    def work(self, coded: CodedColumns, streams: int, taken_per_cycle: int) -> Work:
        """Every sub-stream emits an entry per cycle; they are as long as each other, or one entry longer."""
        counted = Counted(coded.code, np.empty(0))
        cycles = -(-np.diff(coded.csc.col_ptr, axis=0) // min(streams, taken_per_cycle))
        return Work(cycles, self.tables(counted), self.shifter(counted))

    def shifter(self, counted: Counted) -> Shifter:
        """As wide as the longest entry; it moves once per entry."""
        return Shifter(counted.code.longest, 0, 1)


class BitSerial(EntryByEntry):
    """Takes up to `bits_per_cycle` bits of a symbol and compares them with each length's first word."""

    def __init__(self, bits_per_cycle: int) -> None:
        self.bits_per_cycle = bits_per_cycle

    def symbol_cycles(self, lengths: Any) -> Any:
        """Bits in groups."""
        return -(-lengths.astype(np.int64) // self.bits_per_cycle)

    def counted(self, code: EntryCode) -> Any:
        """Cycles in which a decoder works, one sub-stream after the other."""
        return self.entry_cycles(code).astype(np.int64)

    def tables(self, counted: Counted) -> tuple[DecodingTable, ...]:
        """Per alphabet: each length's first word and first symbol, and the symbols in order.

        The former are registers that are compared at every shift; only symbols are looked up.
        """
        tables = []
        for alphabet in counted.code.alphabets:
            tables += [
                DecodingTable(
                    f"{alphabet.name}, lengths", alphabet.longest, _length_record_bits(alphabet), 0
                ),
                DecodingTable(
                    f"{alphabet.name}, symbols", _symbols(alphabet), alphabet.symbol_bits, 1
                ),
            ]
        return tuple(tables)

    def shifter(self, counted: Counted) -> Shifter:
        """Each cycle shifts, and compares as many lengths' first words as it takes bits."""
        alphabets = counted.code.alphabets
        width = min(self.bits_per_cycle, max(alphabet.longest for alphabet in alphabets))
        record = max(_length_record_bits(alphabet) for alphabet in alphabets)
        return Shifter(width, width * record, counted.sums)


class TwoLevel(EntryByEntry):
    """Looks at `first_level_bits` bits; a longer word takes another cycle and another table."""

    def __init__(self, first_level_bits: int) -> None:
        self.first_level_bits = first_level_bits

    def symbol_cycles(self, lengths: Any) -> Any:
        """One cycle, or two."""
        return 1 + self._is_long(lengths)

    def counted(self, code: EntryCode) -> Any:
        """Long words, those of each alphabet in a lane of its own."""
        lanes = [
            code.per_entry_of(index, self._is_long(alphabet.table.lengths)).astype(np.int64)
            for index, alphabet in enumerate(code.alphabets)
        ]
        return sum(lane << (LANE_BITS * index) for index, lane in enumerate(lanes))

    def tables(self, counted: Counted) -> tuple[DecodingTable, ...]:
        """Per alphabet the first table and, if a word is longer, one memory with all sub-tables."""
        tables = []
        for index, alphabet in enumerate(counted.code.alphabets):
            width = alphabet.symbol_bits + LENGTH_BITS
            if alphabet.longest <= self.first_level_bits:
                tables.append(_all_words(alphabet, 1))
                continue
            words = _second_level_words(alphabet.table, self.first_level_bits)
            reads = (counted.sums >> (LANE_BITS * index)) & LANE
            # A first word holds a symbol, or the address of a sub-table.
            first_width = max(width, (words - 1).bit_length() + LENGTH_BITS)
            tables += [
                DecodingTable(alphabet.name, 2**self.first_level_bits, first_width, 1),
                DecodingTable(f"{alphabet.name}, second level", words, width, reads),
            ]
        return tuple(tables)

    def _is_long(self, lengths: Any) -> Any:
        return (lengths > self.first_level_bits).astype(np.uint8)


class MultiSymbol:
    """Looks at a window and emits all whole entries in it, up to `entries_per_cycle`."""

    def __init__(self, window_bits: int, entries_per_cycle: int) -> None:
        self.window_bits = window_bits
        self.entries_per_cycle = entries_per_cycle

    def work(self, coded: CodedColumns, streams: int, taken_per_cycle: int) -> Work:
        """An entry that is longer than the window escapes to tables of all words, a cycle later."""
        cycles = _cycles(coded)
        windows, escapes = np.empty((2, len(cycles)), dtype=np.int64)
        kernels.window_service(
            *coded.csc,
            coded.code.run_bits,
            coded.code.lengths,
            self.window_bits,
            self.entries_per_cycle,
            streams,
            taken_per_cycle,
            _cycle_counts(coded, streams, 2),
            cycles,
            windows,
            escapes,
        )
        tables = [DecodingTable("windows", 2**self.window_bits, self._width(coded.code), windows)]
        shifted = self.window_bits
        if escapes.any():
            tables += [_all_words(alphabet, escapes) for alphabet in coded.code.alphabets]
            shifted = max(shifted, coded.code.longest)
        return Work(cycles, tuple(tables), Shifter(shifted, 0, windows))

    def _width(self, code: EntryCode) -> int:
        """The entries of a window, how many, and their bits."""
        count_bits = self.entries_per_cycle.bit_length() + self.window_bits.bit_length()
        return self.entries_per_cycle * code.entry_bits + count_bits


def design_of(machine: Accelerator) -> Design:
    """The design that the machine names, with its parameters."""
    if machine.decoder_design == "bit_serial":
        return BitSerial(machine.bits_per_cycle)
    if machine.decoder_design == "two_level":
        return TwoLevel(machine.first_level_bits)
    if machine.decoder_design == "multi_symbol":
        return MultiSymbol(machine.window_bits, machine.entries_per_cycle)
    return OneSymbol() if machine.decoder_design == "one_symbol" else Pair()


def _all_words(alphabet: Alphabet, reads: Any) -> DecodingTable:
    """A table that the next bits, as many as the longest word has, are looked up in."""
    width = alphabet.symbol_bits + LENGTH_BITS
    return DecodingTable(alphabet.name, 2**alphabet.longest, width, reads)


def _symbols(alphabet: Alphabet) -> int:
    return max(1, int(np.count_nonzero(alphabet.table.lengths)))


def _length_record_bits(alphabet: Alphabet) -> int:
    """First word of a length, and the position of its first symbol in the list of symbols."""
    return alphabet.longest + (_symbols(alphabet) - 1).bit_length()


def _second_level_words(table: Any, first_level_bits: int) -> int:
    """Words of all sub-tables: each is as wide as the longest word that begins as it does needs."""
    lengths = table.lengths.astype(np.int64)
    is_long = lengths > first_level_bits
    rest = lengths[is_long] - first_level_bits
    widths = np.zeros(2**first_level_bits, dtype=np.int64)
    np.maximum.at(widths, table.words[is_long].astype(np.int64) >> rest, rest)
    return int((1 << widths[widths > 0]).sum())


def _cycle_counts(coded: CodedColumns, streams: int, most_cycles: int) -> Any:
    """Zeros, int32, one for each cycle that a column can take."""
    return np.zeros(most_cycles * -(-coded.longest_column // streams) + 1, dtype=np.int32)


def _cycles(coded: CodedColumns) -> Any:
    """Room for a number per column and PE, int64[n_cols, P]."""
    n_ends, pes = coded.csc.col_ptr.shape
    return np.empty((n_ends - 1, pes), dtype=np.int64)
