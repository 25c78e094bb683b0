"""Huffman streams: the very bits of one PE, and their decoders at work."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exact.stepped.decoders import DESIGNS, Decoder, SubStream
from exact.stepped.encoding import Entry
from exact.stepped.huffman import EntryCode
from exact.stepped.memory import Fetched, PointerWord, Step, ceil_div
from exact.stepped.parameters import Machine


class HuffmanStorage:
    """A string of bits: columns one after the other, each as its sub-streams one after the other.

    Entry e of a column is in sub-stream e mod `sub_streams`. An address counts `unit_bits` bits; the
    start of each column that has entries is a multiple of them, after padding bits.
    """

    def __init__(
        self,
        columns: list[list[Entry]],
        codebook: NDArray[np.float32],
        code: EntryCode,
        machine: Machine,
        unit_bits: int = 1,
    ) -> None:
        self.codebook = codebook
        self.code = code
        self.machine = machine
        self.row_bits = machine.row_bits
        self.unit_bits = unit_bits
        self.padding_bits = 0
        self.pointers: list[PointerWord] = []
        pieces: list[str] = []
        n_bits = 0
        for column in columns:
            padding = "0" * (-n_bits % unit_bits if column else 0)
            start = n_bits + len(padding)
            sub_streams = self._encode(column)
            n_bits = start + sum(len(bits) for bits in sub_streams)
            pieces += [padding, *sub_streams]
            self.padding_bits += len(padding)
            self.pointers.append(self._pointer(start, sub_streams, len(column)))
        self.bits = "".join(pieces)

    def _encode(self, column: list[Entry]) -> list[str]:
        n = self.machine.sub_streams
        return ["".join(map(self.code.word, column[i::n])) for i in range(n)]

    def _pointer(self, start: int, sub_streams: list[str], entries: int) -> PointerWord:
        lengths = [len(bits) for bits in sub_streams]
        offsets = tuple(sum(lengths[:i]) for i in range(1, len(lengths)))
        if self.unit_bits == 1:
            return PointerWord(start, start + sum(lengths), None, offsets)
        unit = start // self.unit_bits if entries else 0
        return PointerWord(unit, None, entries, offsets)

    @property
    def rows_used(self) -> int:
        return ceil_div(len(self.bits), self.row_bits)

    def open(self, column: int) -> "HuffmanReader":
        """Start a decoder on each sub-stream."""
        pointer = self.pointers[column]
        first = pointer.start * self.unit_bits
        starts = [first, *(first + offset for offset in pointer.offsets)]
        if pointer.entries is None:
            ends = [*starts[1:], pointer.end]
            streams = [
                SubStream(self.bits, start, end, None)
                for start, end in zip(starts, ends, strict=True)
            ]
        else:
            n = len(starts)
            counts = [len(range(i, pointer.entries, n)) for i in range(n)]
            streams = [
                SubStream(self.bits, start, None, count)
                for start, count in zip(starts, counts, strict=True)
            ]
        design = DESIGNS[self.machine.decoder_design]
        return HuffmanReader(self, [design(self.code, stream, self.machine) for stream in streams])


class HuffmanReader:
    """Steps the decoders of a column's sub-streams side by side.

    A word may straddle rows; it is decoded in one cycle all the same.
    """

    def __init__(self, storage: HuffmanStorage, decoders: Sequence[Decoder]) -> None:
        self.storage = storage
        self.decoders = decoders

    def is_done(self) -> bool:
        return all(decoder.stream.is_finished() for decoder in self.decoders)

    def step(self) -> Step:
        codebook = self.storage.codebook
        bits, entries, lookups = self.decode()
        rows = range(
            bits.start // self.storage.row_bits, (bits.stop - 1) // self.storage.row_bits + 1
        )
        weights = [
            Fetched(number, float(codebook[entry.code]), entry.run, entry.code == 0)
            for number, entry in entries
        ]
        return Step(rows, weights, lookups)

    def decode(self) -> tuple[range, list[tuple[int, Entry]], int]:
        """One cycle of all decoders that still have something to do.

        The bits between the first and the last that they work on; the entries that are complete,
        with their numbers in the column; and the look-ups.
        """
        bits: list[int] = []
        entries: list[tuple[int, Entry]] = []
        lookups = 0
        for sub_stream, decoder in enumerate(self.decoders):
            stream = decoder.stream
            if stream.is_finished():
                continue
            first_bit, decoded, lookups_before = stream.position, stream.decoded, decoder.lookups
            for entry in decoder.step():
                entries.append((sub_stream + decoded * len(self.decoders), entry))
                decoded += 1
            bits += [first_bit, max(first_bit, stream.position - 1)]
            lookups += decoder.lookups - lookups_before
        return range(min(bits), max(bits) + 1), entries, lookups
