"""Decode cycles of every column of every PE, against software that decodes the same entries."""

import pytest
from exact.layers import data_dir

from accelsim.compression.huffman import decode_stream, encode_stream
from accelsim.compression.loading import load
from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.decoders import decoder_of
from accelsim.hardware.decoders.designs import design_of
from accelsim.hardware.decoders.entry_code import coded_columns
from accelsim.hardware.interleave import interleave
from accelsim.simulation.pe_array import PeArray, Rules
from bench.harness import compare

MACHINES = {
    "bit_serial": {},
    "bit_serial, 4 sub-streams, 1 multiplier": {"sub_streams": 4},
    "bit_serial, joint alphabet": {"huffman_alphabet": "joint"},
    "one_symbol": {},
    "one_symbol, 4 sub-streams, 4 multipliers": {"sub_streams": 4, "multipliers": 4},
    "pair": {},
    "pair, 16 sub-streams, 2 multipliers": {"sub_streams": 16, "multipliers": 2},
    "two_level": {},
    "two_level, 2 sub-streams, 1 multiplier": {"sub_streams": 2, "first_level_bits": 4},
    "multi_symbol": {},
    "multi_symbol, 4 sub-streams, 8 multipliers": {"sub_streams": 4, "multipliers": 8},
    "multi_symbol, 16 entries, 24 bits": {"entries_per_cycle": 16, "window_bits": 24},
}


@pytest.fixture(scope="module")
def fc8():
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA is not set and ../shared/data is absent: AlexNet FC8 is needed")
    return interleave(load(folder / "alexnet_fc8.npz").layers[0], 64, 4)


@pytest.mark.parametrize("name", MACHINES)
def test_service_cycles_of_a_million_entries(fc8, name):
    machine = accelerator(
        "eie-64", decoder="huffman", decoder_design=name.split(",")[0], **MACHINES[name]
    )
    coded = coded_columns(fc8, machine)
    separate = coded_columns(fc8, accelerator("eie-64", decoder="huffman")).code
    codes, runs = (alphabet.table for alphabet in separate.alphabets)
    stream = encode_stream(fc8.csc.code, fc8.csc.run, codes, runs)
    design = design_of(machine)
    ratio = compare(
        f"{name}: cycles and look-ups of {fc8.csc.code.size:,} entries on 64 PEs",
        lambda: design.work(coded, machine.sub_streams, machine.multipliers),
        lambda: decode_stream(stream, codes, runs),
        baseline_name="decoding them in software",
        rounds=11,
    )
    assert ratio > 0.1


@pytest.mark.parametrize(
    "design", ["bit_serial", "one_symbol", "pair", "two_level", "multi_symbol"]
)
def test_a_vector_behind_an_inline_decoder(fc8, design):
    """Once service cycles are known, a decoder's timing costs at most twice that of fixed entries."""
    network = load(data_dir() / "alexnet_fc8.npz")
    layer, vector = network.layers[0], network.activations["alexnet_fc8"][None]
    fixed, huffman = (
        PeArray(decoder_of(machine).decode(fc8, machine), layer.n_in, has_bias=True)
        for machine in (
            accelerator("eie-64"),
            accelerator("eie-64", decoder="huffman", decoder_design=design),
        )
    )
    rules = Rules(queue_depth=8)
    ratio = compare(
        f"AlexNet FC8 behind {design}, one vector",
        lambda: huffman.run_batch(vector, rules),
        lambda: fixed.run_batch(vector, rules),
        baseline_name="fixed entries",
        inner=200,
        baseline_inner=200,
        rounds=11,
    )
    assert ratio > 0.5
