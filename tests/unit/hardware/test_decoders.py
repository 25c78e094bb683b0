"""Words wider than a row, by hand; everything else about decoders is in tests/property."""

import numpy as np
import pytest

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import sparse_codes
from accelsim.hardware.accelerator import accelerator
from accelsim.simulation.session import Session

DRAIN = 6
FIRST_POP = 3


def run(decoder, row_bits, *, exact_bias, arithmetic_bits=16):
    """One PE, three rows, one input with two weights that are not zero."""
    layer = CompressedLayer(
        name="fc",
        n_out=3,
        n_in=1,
        activation="none",
        codebook=np.array([0, 1], dtype=np.float32),
        sparse=sparse_codes(np.array([[1], [1], [0]], dtype=np.uint8)),
        bias_coded=False,
        bias=np.array([1, 0, 2], dtype=np.float32) if exact_bias else None,
        code_bits=1,
        index_bits=4,
        max_code_length=11,
    )
    machine = accelerator(
        "eie-64", pes=1, decoder=decoder, row_bits=row_bits, arithmetic_bits=arithmetic_bits
    )
    network = CompressedNetwork("net", (layer,))
    return Session(network, np.ones(1, dtype=np.float32)).run(machine)


@pytest.mark.parametrize(
    ("row_bits", "arithmetic_bits", "cycles_per_word"),
    [(64, 16, 1), (16, 16, 1), (15, 16, 2), (8, 16, 2), (31, 32, 2), (12, 32, 3), (8, 32, 4)],
)
def test_a_word_takes_a_cycle_for_each_row_it_lies_in(row_bits, arithmetic_bits, cycles_per_word):
    result = run("dense", row_bits, exact_bias=False, arithmetic_bits=arithmetic_bits)
    (row,) = result.rows
    assert row["cycles"] == FIRST_POP + 3 * cycles_per_word - 1 + DRAIN
    assert (row["entries"], row["padding_entries"]) == (3, 1)
    counts = result.layer_results[0].pes
    assert counts["busy_cycles"].tolist() == [3 * cycles_per_word]
    assert counts["empty_column_cycles"].tolist() == [0]


@pytest.mark.parametrize("decoder", ["fixed", "huffman", "dense"])
def test_words_of_an_exact_bias_follow_the_entries(decoder):
    result = run(decoder, 8, exact_bias=True)
    entry_cycles = 3 * 2 if decoder == "dense" else 2
    (row,) = result.rows
    assert row["cycles"] == FIRST_POP + entry_cycles + 3 * 2 - 1 + DRAIN
    counts = result.layer_results[0].pes
    assert counts["busy_cycles"].tolist() == [entry_cycles + 3 * 2]
    assert counts["empty_column_cycles"].tolist() == [0]
