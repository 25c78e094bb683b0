"""How an entry is written with Huffman words: two symbols, its code and its run, or one for the pair."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from accelsim.compression.huffman import HuffmanTable, build_table
from accelsim.errors import HardwareError
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.interleave import InterleavedLayer
from accelsim.kernels import decode as kernels
from accelsim.kernels.types import CscArrays


class Alphabet(NamedTuple):
    """One symbol of an entry: the words of all its values, and its width in bits when it is decoded."""

    name: str
    table: HuffmanTable
    symbol_bits: int

    @property
    def longest(self) -> int:
        """Longest word in bits, at least 1."""
        return max(1, self.table.longest)


class EntryCode(NamedTuple):
    """The alphabets of an entry's symbols, in the order in which they are written."""

    alphabets: tuple[Alphabet, ...]
    run_bits: int

    @property
    def longest(self) -> int:
        """Longest entry in bits: the longest word of each alphabet."""
        return sum(alphabet.longest for alphabet in self.alphabets)

    @property
    def entry_bits(self) -> int:
        """Width of a decoded entry."""
        return sum(alphabet.symbol_bits for alphabet in self.alphabets)

    @property
    def lengths(self) -> Any:
        """Bits of an entry, uint8[codes * runs]."""
        return self.per_entry(lambda lengths: lengths)

    def per_entry(self, of_lengths: Callable[[Any], Any]) -> Any:
        """A number for every possible entry, uint8[codes * runs]: the sum of its symbols' numbers.

        of_lengths: from word lengths, uint8[symbols], to the symbols' numbers. An entry's index is
        code << run_bits | run, as the kernels have it.
        """
        numbers = [of_lengths(alphabet.table.lengths) for alphabet in self.alphabets]
        return self._flat(numbers)

    def per_entry_of(self, index: int, numbers: Any) -> Any:
        """The same for a single symbol of an entry, that of alphabet `index`."""
        return self._flat(
            [
                numbers if i == index else np.zeros_like(alphabet.table.lengths)
                for i, alphabet in enumerate(self.alphabets)
            ]
        )

    def _flat(self, numbers: Sequence[Any]) -> Any:
        if len(numbers) == 1:
            return numbers[0].astype(np.uint8)
        codes, runs = numbers
        return (codes[:, None] + runs[None, :]).astype(np.uint8).ravel()


class CodedColumns(NamedTuple):
    """The entries of a layer, in columns and PEs, and how they are written."""

    csc: CscArrays
    code: EntryCode

    def positions(self, first: int = 0, step: int = 1) -> Any:
        """The bit at which each column starts in its PE, without gaps, int64[n_cols + 1, P].

        As in `CscArrays.col_ptr`, the last row is the end. Of a column's entries, first, first + step, ...
        count.
        """
        positions = np.empty_like(self.csc.col_ptr)
        kernels.sum_entries(
            *self.csc, self.code.run_bits, self.code.lengths, first, step, positions
        )
        return positions

    @property
    def longest_column(self) -> int:
        """Most entries of a column in a PE."""
        return int(np.diff(self.csc.col_ptr, axis=0).max(initial=0))


def coded_columns(layer: InterleavedLayer, machine: Accelerator) -> CodedColumns:
    """A layer with the best words for it. Raises HardwareError as `entry_code` does."""
    return CodedColumns(layer.csc, entry_code(layer, machine))


def entry_code(layer: InterleavedLayer, machine: Accelerator) -> EntryCode:
    """The best words for a layer as it is interleaved, one code for all PEs.

    Raises HardwareError if there are more pairs of code and run than words.
    """
    csc = layer.csc
    counts = np.zeros(2**machine.entry_bits, dtype=np.int64)
    kernels.count_entries(csc.code, csc.run, machine.run_bits, counts)
    if machine.huffman_alphabet == "joint":
        _check_words(int(np.count_nonzero(counts)), machine)
        pairs = build_table(counts, machine.max_code_length)
        return EntryCode((Alphabet("pairs", pairs, machine.entry_bits),), machine.run_bits)
    pairs_of = counts.reshape(2**machine.code_bits, 2**machine.run_bits)
    codes = build_table(pairs_of.sum(axis=1), machine.max_code_length)
    runs = build_table(pairs_of.sum(axis=0), machine.max_code_length)
    alphabets = (
        Alphabet("codes", codes, machine.code_bits),
        Alphabet("runs", runs, machine.run_bits),
    )
    return EntryCode(alphabets, machine.run_bits)


def _check_words(pairs: int, machine: Accelerator) -> None:
    if pairs > 2**machine.max_code_length:
        needed = (pairs - 1).bit_length()
        remedy = f"max_code_length={needed} or " if needed <= 15 else ""
        raise HardwareError(
            f"huffman_alphabet=joint: {pairs:,} pairs of code and run occur in a layer, but "
            f"max_code_length={machine.max_code_length} has words for {2**machine.max_code_length:,}: "
            f"set {remedy}huffman_alphabet=separate"
        )
