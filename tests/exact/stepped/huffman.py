"""Huffman words, from scratch: code lengths, canonical words, and how an entry is written with them.

Bits are text, "0" and "1".
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from typing import NamedTuple

from exact.stepped.encoding import Entry


class Coin(NamedTuple):
    """What package-merge buys words with: some symbols, and how often they occur together."""

    occurrences: int
    symbols: list[int]


def code_lengths(counts: Mapping[int, int], max_length: int) -> dict[int, int]:
    """Word length of each symbol: the shortest message with no word over `max_length` bits.

    Package-merge, as it is told: there is a coin for each symbol at each length. From the longest
    on, the coins of a length, together with the packages from the length before, are sorted and
    packed in pairs. The cheapest n - 1 packages at the end buy the n words: a symbol's word is as
    long as its coins are many. Where counts are equal, symbols come in order, before packages.
    """
    coins = sorted(
        (Coin(counts[s], [s]) for s in sorted(counts)), key=lambda coin: coin.occurrences
    )
    if len(coins) <= 1:
        return dict.fromkeys(counts, 1)
    assert len(coins) <= 2**max_length, "more symbols than words"
    packages: list[Coin] = []
    for _ in range(max_length):
        merged = sorted(coins + packages, key=lambda coin: coin.occurrences)
        packages = [
            Coin(one.occurrences + other.occurrences, one.symbols + other.symbols)
            for one, other in zip(merged[0::2], merged[1::2], strict=False)  # an odd one is left
        ]
    return dict(Counter(symbol for coin in packages[: len(coins) - 1] for symbol in coin.symbols))


def canonical_words(lengths: Mapping[int, int]) -> dict[int, str]:
    """Word of each symbol: by (length, symbol), from all zeros on; longer ones get zeros appended."""
    words = {}
    word, length_before = 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        word <<= length - length_before
        assert word < 1 << length, "these lengths are not those of a prefix code"
        words[symbol] = format(word, f"0{length}b")
        word, length_before = word + 1, length
    return words


class Alphabet:
    """Symbols and their words."""

    def __init__(self, lengths: Mapping[int, int]) -> None:
        self.lengths = lengths
        self.word_of = canonical_words(lengths)
        self.symbol_of = {word: symbol for symbol, word in self.word_of.items()}
        self.longest = max(lengths.values(), default=0)
        self._two_level_tables: dict[int, TwoLevelTables] = {}

    def first_in(self, bits: str) -> tuple[int, int] | None:
        """The symbol that some bits begin with, and the length of its word; None if there is none."""
        for length in range(1, min(self.longest, len(bits)) + 1):
            if bits[:length] in self.symbol_of:
                return self.symbol_of[bits[:length]], length
        return None

    def two_level_tables(self, first_bits: int) -> "TwoLevelTables":
        """Made when they are first asked for."""
        if first_bits not in self._two_level_tables:
            self._two_level_tables[first_bits] = TwoLevelTables(self.word_of, first_bits)
        return self._two_level_tables[first_bits]


class TwoLevelTables:
    """A table of the first bits, and one of what follows for each that longer words begin with.

    Found is a symbol and the length of its word.
    first: by `first_bits` bits. second: by those bits, a table by as many more as the longest of its
    words has. second_bits: how many these are.
    """

    def __init__(self, word_of: Mapping[int, str], first_bits: int) -> None:
        self.first: dict[str, tuple[int, int]] = {}
        self.second: dict[str, dict[str, tuple[int, int]]] = {}
        self.second_bits: dict[str, int] = {}
        for word in word_of.values():
            if len(word) > first_bits:
                prefix, rest = word[:first_bits], word[first_bits:]
                self.second[prefix] = {}
                self.second_bits[prefix] = max(len(rest), self.second_bits.get(prefix, 0))
        for symbol, word in word_of.items():
            prefix, rest = word[:first_bits], word[first_bits:]
            found = symbol, len(word)
            if rest:
                self.second[prefix] |= dict.fromkeys(_filled(rest, self.second_bits[prefix]), found)
            else:
                self.first |= dict.fromkeys(_filled(prefix, first_bits), found)


def _filled(bits: str, width: int) -> list[str]:
    """All strings of `width` bits that begin with these."""
    return [bits + "".join(ending) for ending in product("01", repeat=width - len(bits))]


class EntryCode:
    """How an entry is written: as two symbols, its code and its run, or as one for the pair.

    alphabets: one for each symbol of an entry, in the order in which they are written.
    """

    def __init__(self, alphabets: list[Alphabet], run_bits: int) -> None:
        self.alphabets = alphabets
        self.run_bits = run_bits

    def symbols(self, entry: Entry) -> list[int]:
        if len(self.alphabets) == 1:
            return [entry.code << self.run_bits | entry.run]
        return [entry.code, entry.run]

    def entry(self, symbols: list[int]) -> Entry:
        if len(self.alphabets) == 1:
            return Entry(symbols[0] >> self.run_bits, symbols[0] & (1 << self.run_bits) - 1)
        return Entry(*symbols)

    def word(self, entry: Entry) -> str:
        pairs = zip(self.alphabets, self.symbols(entry), strict=True)
        return "".join(alphabet.word_of[symbol] for alphabet, symbol in pairs)


def entry_code_of(
    entries: Iterable[Entry], huffman_alphabet: str, run_bits: int, max_length: int
) -> EntryCode:
    """The best words for these entries."""
    code = EntryCode([Alphabet({})] * (1 if huffman_alphabet == "joint" else 2), run_bits)
    messages = list(zip(*(code.symbols(entry) for entry in entries), strict=True))
    alphabets = [Alphabet(code_lengths(Counter(message), max_length)) for message in messages]
    return EntryCode(alphabets or code.alphabets, run_bits)
