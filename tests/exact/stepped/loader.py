"""Decoding between DRAM and SRAM: the streams of several PEs pass one decoder.

There is no datapath here: what is decoded in a cycle is written in that cycle, however much it is.
"""

from collections.abc import Iterator

from exact.stepped.encoding import Entry
from exact.stepped.huffman_memory import HuffmanStorage
from exact.stepped.parameters import Machine


class Loader:
    """Decodes the columns of one PE after the other.

    A column without entries takes a cycle all the same, which reads how many it has. Slots between
    the last input and the bias are no columns.

    columns: what came out, per PE.
    """

    def __init__(self, streams: list[HuffmanStorage], used_columns: list[int]) -> None:
        self.used_columns = used_columns
        self.columns: list[list[list[Entry]]] = [[] for _ in streams]
        self.lookups = 0
        self.cycles = self._cycles(streams)

    def step(self) -> bool:
        """One cycle; False if there was nothing left to do in it."""
        return next(self.cycles, False)

    def _cycles(self, streams: list[HuffmanStorage]) -> Iterator[bool]:
        """Decode everything, stopping after each cycle."""
        for stream, columns in zip(streams, self.columns, strict=True):
            columns += [[] for _ in stream.pointers]
            for column in self.used_columns:
                reader = stream.open(column)
                decoded: list[tuple[int, Entry]] = []
                if reader.is_done():
                    yield True
                while not reader.is_done():
                    _, entries, lookups = reader.decode()
                    decoded += entries
                    self.lookups += lookups
                    yield True
                columns[column] = [entry for _, entry in sorted(decoded)]


class Loaded:
    """What the loaders of a machine make of all PEs' streams.

    columns: of each PE. cycles: until the slowest loader is done. lookups: of all of them.
    """

    def __init__(
        self, streams: list[HuffmanStorage], used_columns: list[int], machine: Machine
    ) -> None:
        n = machine.shared_by
        groups = [streams[first : first + n] for first in range(0, len(streams), n)]
        loaders = [Loader(group, used_columns) for group in groups]
        self.cycles = 0
        while sum(loader.step() for loader in loaders) > 0:
            self.cycles += 1
        self.columns = [columns for loader in loaders for columns in loader.columns]
        self.lookups = sum(loader.lookups for loader in loaders)
