"""The stepped model's Huffman words, against known codes and against all there are."""

from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from exact.coding import huffman_cost
from exact.stepped.encoding import Entry
from exact.stepped.huffman import Alphabet, canonical_words, code_lengths, entry_code_of


def coded_bits(counts: dict[int, int], lengths: dict[int, int]) -> int:
    return sum(counts[symbol] * lengths[symbol] for symbol in counts)


def fewest_bits(counts: dict[int, int], limit: int) -> int:
    """Over all word lengths that Kraft's inequality allows."""
    return min(
        coded_bits(counts, dict(zip(counts, lengths, strict=True)))
        for lengths in product(range(1, limit + 1), repeat=len(counts))
        if sum(Fraction(1, 2**length) for length in lengths) <= 1
    )


def test_canonical_words_are_those_of_deflate() -> None:
    # the example of RFC 1951, section 3.2.2: lengths of A to H
    words = canonical_words(dict(enumerate([3, 3, 3, 3, 3, 2, 4, 4])))
    assert words == {
        5: "00", 0: "010", 1: "011", 2: "100", 3: "101", 4: "110", 6: "1110", 7: "1111",
    }  # fmt: skip


def test_lone_symbol_has_a_word_of_one_bit() -> None:
    assert code_lengths({2: 7}, 11) == {2: 1}
    assert canonical_words({2: 1}) == {2: "0"}


def test_without_symbols_there_are_no_words() -> None:
    assert code_lengths({}, 11) == {}
    code = entry_code_of([], "separate", run_bits=4, max_length=11)
    assert [alphabet.word_of for alphabet in code.alphabets] == [{}, {}]


def test_rare_symbols_get_longer_words_up_to_the_limit() -> None:
    # with words of 3 bits at most, lengths of 1, 3, 3, 3, 3 cost 40 + 3 x 32 = 136 bits, and those
    # of 2, 2, 2, 3, 3 cost 2 x 70 + 3 x 2 = 146
    counts = {0: 40, 1: 20, 2: 10, 3: 1, 4: 1}
    assert code_lengths(counts, 4) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 4}
    assert code_lengths(counts, 3) == {0: 1, 1: 3, 2: 3, 3: 3, 4: 3}


@pytest.mark.parametrize("seed", range(40))
def test_no_lengths_within_the_limit_are_shorter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    counts = {s: int(c) for s, c in enumerate(np.ceil(rng.exponential(1, n) ** 4 * 10))}
    limit = int(rng.integers((n - 1).bit_length(), 5))
    lengths = code_lengths(counts, limit)
    assert max(lengths.values()) <= limit
    assert coded_bits(counts, lengths) == fewest_bits(counts, limit)


@pytest.mark.parametrize("seed", range(20))
def test_without_a_limit_that_binds_lengths_are_those_of_huffmans_algorithm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = {s: int(c) for s, c in enumerate(rng.integers(1, 100, rng.integers(1, 60)))}
    lengths = code_lengths(counts, 60)
    expected = huffman_cost(list(counts.values())) if len(counts) > 1 else counts[0]
    assert coded_bits(counts, lengths) == expected


def test_words_are_found_again_at_the_start_of_a_text() -> None:
    alphabet = Alphabet({5: 1, 6: 2, 7: 2})
    assert [alphabet.first_in(bits) for bits in ("0", "01", "100", "11", "1", "")] == [
        (5, 1), (5, 1), (6, 2), (7, 2), None, None,
    ]  # fmt: skip


def test_an_entry_is_written_as_its_code_and_its_run() -> None:
    # code 3 occurs twice, runs 0 and 2 occur; one bit says each
    entries = [Entry(3, 0), Entry(3, 2), Entry(1, 0)]
    code = entry_code_of(entries, "separate", run_bits=2, max_length=11)
    assert [alphabet.lengths for alphabet in code.alphabets] == [{3: 1, 1: 1}, {0: 1, 2: 1}]
    assert [code.word(entry) for entry in entries] == ["10", "11", "00"]


def test_a_joint_symbol_is_the_entry_as_a_number() -> None:
    # code above run: 3 << 2 | 2 = 14 three times, 3 << 2 | 0 = 12 twice, 1 << 2 | 0 = 4 once
    entries = [Entry(3, 2)] * 3 + [Entry(3, 0)] * 2 + [Entry(1, 0)]
    code = entry_code_of(entries, "joint", run_bits=2, max_length=11)
    (alphabet,) = code.alphabets
    assert alphabet.word_of == {14: "0", 4: "10", 12: "11"}
    assert [code.word(entry) for entry, _ in Counter(entries).most_common()] == ["0", "11", "10"]
    assert [code.entry(code.symbols(entry)) for entry in entries] == entries


def test_longer_words_are_found_in_tables_behind_their_first_bits() -> None:
    # words 0, 10, 110, 1110, 1111
    alphabet = Alphabet({5: 1, 6: 2, 7: 3, 8: 4, 9: 4})
    tables = alphabet.two_level_tables(2)
    assert tables.first == {"00": (5, 1), "01": (5, 1), "10": (6, 2)}
    assert tables.second == {"11": {"00": (7, 3), "01": (7, 3), "10": (8, 4), "11": (9, 4)}}
    assert tables.second_bits == {"11": 2}
    short = alphabet.two_level_tables(1)
    assert [len(short.second[prefix]) for prefix in short.second] == [8]
