"""Huffman decoders, one cycle at a time: each works through one sub-stream of a column."""

from collections.abc import Sequence

from exact.stepped.encoding import Entry
from exact.stepped.huffman import Alphabet, EntryCode
from exact.stepped.parameters import Machine


class SubStream:
    """What of a PE's bits is one decoder's part of a column.

    It ends at the bit `end`, or, where that is not known, after `entries` entries.
    """

    def __init__(self, bits: str, start: int, end: int | None, entries: int | None) -> None:
        self.bits = bits
        self.position = start
        self.end = end
        self.entries = entries
        self.decoded = 0

    def is_finished(self) -> bool:
        return self.decoded == self.entries if self.end is None else self.position == self.end

    def peek(self, n_bits: int) -> str:
        """The next bits, which may be someone else's; zeros where the memory ends."""
        return self.bits[self.position : self.position + n_bits].ljust(n_bits, "0")

    def within(self, entries: Sequence[tuple[Entry, int]]) -> list[tuple[Entry, int]]:
        """Those of the next entries, each with its length in bits, that are still the column's."""
        own, position = [], self.position
        for number, (entry, n_bits) in enumerate(entries, start=self.decoded):
            position += n_bits
            if number == self.entries or (self.end is not None and position > self.end):
                break
            own.append((entry, n_bits))
        return own


class Decoder:
    """The decoder of one sub-stream of a column: turns words into symbols, and these into entries.

    lookups: reads of decoding tables.
    """

    def __init__(self, code: EntryCode, stream: SubStream, machine: Machine) -> None:
        self.code = code
        self.stream = stream
        self.machine = machine
        self.symbols: list[int] = []  # of the entry in work
        self.lookups = 0

    def step(self) -> list[Entry]:
        """One cycle; the entries that are emitted in it."""
        raise NotImplementedError

    @property
    def alphabet(self) -> Alphabet:
        """Of the symbol that is next."""
        return self.code.alphabets[len(self.symbols)]

    def _take(self, symbol: int, n_bits: int) -> list[Entry]:
        """Go past a symbol's bits; the entry, if the symbol completes one."""
        self.stream.position += n_bits
        self.symbols.append(symbol)
        if len(self.symbols) < len(self.code.alphabets):
            return []
        entry = self.code.entry(self.symbols)
        self.symbols = []
        self.stream.decoded += 1
        return [entry]

    def _take_next(self) -> list[Entry]:
        """Look the next symbol up in a table of all words."""
        self.lookups += 1
        found = self.alphabet.first_in(self.stream.peek(self.alphabet.longest))
        assert found is not None, "the stream holds a word that nobody wrote"
        return self._take(*found)

    def _take_entry(self) -> list[Entry]:
        """Look all symbols of an entry up, one after the other."""
        entries: list[Entry] = []
        while not entries:
            entries = self._take_next()
        return entries


class BitSerial(Decoder):
    """Takes up to `bits_per_cycle` bits of one symbol."""

    def __init__(self, code: EntryCode, stream: SubStream, machine: Machine) -> None:
        super().__init__(code, stream, machine)
        self.word = ""

    def step(self) -> list[Entry]:
        for _ in range(self.machine.bits_per_cycle):
            self.word += self.stream.peek(1)
            self.stream.position += 1
            if self.word in self.alphabet.symbol_of:
                symbol = self.alphabet.symbol_of[self.word]
                self.word = ""
                self.lookups += 1
                return self._take(symbol, 0)
        assert len(self.word) < self.alphabet.longest, "the stream holds a word that nobody wrote"
        return []


class OneSymbol(Decoder):
    """Looks one symbol up."""

    def step(self) -> list[Entry]:
        return self._take_next()


class Pair(Decoder):
    """Looks all symbols of an entry up in one cycle."""

    def step(self) -> list[Entry]:
        return self._take_entry()


class TwoLevel(Decoder):
    """Looks at `first_level_bits` bits; a word that is longer takes another cycle and table."""

    def __init__(self, code: EntryCode, stream: SubStream, machine: Machine) -> None:
        super().__init__(code, stream, machine)
        self.is_second_level = False

    def step(self) -> list[Entry]:
        first_bits = self.machine.first_level_bits
        tables = self.alphabet.two_level_tables(first_bits)
        prefix = self.stream.peek(first_bits)
        self.lookups += 1
        if self.is_second_level:
            self.is_second_level = False
            bits = self.stream.peek(first_bits + tables.second_bits[prefix])
            return self._take(*tables.second[prefix][bits[first_bits:]])
        if prefix in tables.first:
            return self._take(*tables.first[prefix])
        self.is_second_level = True
        return []


class MultiSymbol(Decoder):
    """Looks at `window_bits` bits and emits the whole entries in it, `entries_per_cycle` at most.

    An entry that does not fit takes another cycle, in which its symbols are looked up.
    """

    def __init__(self, code: EntryCode, stream: SubStream, machine: Machine) -> None:
        super().__init__(code, stream, machine)
        self.is_escape = False

    def step(self) -> list[Entry]:
        if self.is_escape:
            self.is_escape = False
            return self._take_entry()
        self.lookups += 1
        window = self.stream.peek(self.machine.window_bits)
        own = self.stream.within(self._whole_entries(window))
        self.is_escape = not own
        self.stream.position += sum(n_bits for _, n_bits in own)
        self.stream.decoded += len(own)
        return [entry for entry, _ in own]

    def _whole_entries(self, window: str) -> list[tuple[Entry, int]]:
        """What the table says of a window: its first entries, each with its length in bits."""
        entries: list[tuple[Entry, int]] = []
        position = 0
        while len(entries) < self.machine.entries_per_cycle:
            symbols, start = [], position
            for alphabet in self.code.alphabets:
                found = alphabet.first_in(window[position:])
                if found is None:
                    return entries
                symbols.append(found[0])
                position += found[1]
            entries.append((self.code.entry(symbols), position - start))
        return entries


DESIGNS: dict[str, type[Decoder]] = {
    "bit_serial": BitSerial,
    "one_symbol": OneSymbol,
    "pair": Pair,
    "two_level": TwoLevel,
    "multi_symbol": MultiSymbol,
}
