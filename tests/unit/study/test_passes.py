"""Traces of real runs: every pass of every kind of layer is one that `simulate` counts."""

import numpy as np
import pytest

from accelsim.errors import CapacityError, InputError
from accelsim.hardware.accelerator import accelerator
from accelsim.simulation.network import open_session, simulate
from accelsim.study import trace as module
from accelsim.study.passes import choose_pass, trace_pass
from accelsim.study.stalls import STATE_COLUMNS
from accelsim.study.trace import trace

CONVOLUTIONS = """
name = "small"
input = [3, 9, 8]
[[layers]]
name = "wide"
kind = "convolution"
channels_out = 12
kernel = 3
padding = 1
weight_density = 0.5
activation = "relu"
[[layers]]
name = "pool"
kind = "pool"
mode = "max"
kernel = 2
[[layers]]
name = "grouped"
kind = "convolution"
channels_out = 8
kernel = [2, 3]
stride = 2
groups = 4
weight_density = 0.7
[[layers]]
name = "flat"
kind = "flatten"
[[layers]]
name = "last"
n_out = 5
weight_density = 0.5
"""
CELL = """
name = "cell"
input = [7, 10]
[[layers]]
name = "lstm"
kind = "recurrent"
cell = "lstm"
hidden = 6
weight_density = 0.5
"""
MACHINES = [
    {},
    {"queue_depth": 2},
    {"queue_depth": 3, "decoder": "huffman"},
    {"decoder": "huffman", "decoder_design": "bit_serial", "sub_streams": 2, "multipliers": 2},
    {"decoder": "huffman", "decoder_placement": "shared", "shared_by": 3, "queue_depth": 3},
    {"sram_latency_cycles": 3, "row_bits": 16, "queue_depth": 3},
    {"sram_latency_cycles": 3, "row_bits": 16, "row_buffer_rows": 4},
    {"decoder": "huffman", "decoder_placement": "shared", "sram_latency_cycles": 2},
    {"decoder": "dense", "row_bits": 8, "queue_depth": 4},
]


def file(folder, text):
    path = folder / "net.toml"
    path.write_text(text)
    return path


def opened(path, activations):
    """A session that ran on 4 PEs, and its result."""
    machine = accelerator(pes=4)
    session = open_session(path, activations, machine)
    return session, session.run(machine)


@pytest.fixture
def image():
    rng = np.random.default_rng(5)
    return np.where(rng.random((3, 9, 8)) < 0.6, rng.random((3, 9, 8)), 0).astype(np.float32)


@pytest.fixture
def batch():
    rng = np.random.default_rng(4)
    dense = rng.random((3, 24)).astype(np.float32)
    return np.where(rng.random((3, 24)) < [[0.2], [1.0], [0.6]], dense, 0).astype(np.float32)


@pytest.mark.parametrize("machine", MACHINES, ids=str)
def test_every_pe_did_what_the_result_counts(network, machine):
    traced = trace(network, pes=5, **machine)
    told = traced.stalls.set_index(["layer", "pe"]).sort_index()
    told["starved_cycles"] = told["starved_scan_cycles"] + told["starved_stall_cycles"]
    counted = traced.result.pes.set_index(["layer", "pe"]).sort_index()
    for name in ("busy_cycles", "starved_cycles", "empty_column_cycles", "row_wait_cycles",
                 "arbitration_cycles", "padding_entries", "entries"):  # fmt: skip
        assert told[name].to_dict() == counted[name].to_dict(), name
    assert set(STATE_COLUMNS.values()) < set(told.columns)
    layers, rows = traced.layers, traced.result.layers
    for name in ("array_cycles", "stall_cycles", "broadcasts", "entries"):
        assert layers[name].tolist() == rows[name].tolist()


@pytest.mark.parametrize("weights_in", ["sram", "dram"])
def test_a_vector_of_a_batch_is_the_one_that_runs_alone(network, batch, weights_in):
    machine = {"pes": 4, "weights_in": weights_in}
    alone = [simulate(network, activations=x, **machine).rows for x in batch]
    for number in range(3):
        traced = trace(network, activations=batch, vector=number, **machine)
        before = 0
        for at, layer in enumerate(traced.traced):
            assert (layer.label.vector, layer.label.vectors) == (number, 3)
            assert layer.array_cycles == alone[number][at]["array_cycles"]
            # Layer by layer, and in each of them example by example.
            earlier = sum(alone[i][at]["cycles"] for i in range(number))
            assert layer.label.start_cycle == before + earlier
            before += sum(rows[at]["cycles"] for rows in alone)
    slowest = trace(network, activations=batch, **machine)
    assert slowest.layers["vector"][0] == np.argmax([rows[0]["array_cycles"] for rows in alone])


def test_places_of_a_convolution_are_passes_of_their_own(tmp_path, image):
    session, result = opened(file(tmp_path, CONVOLUTIONS), image)
    for name, places in (("wide", 9 * 8), ("grouped", 2 * 1), ("last", 1)):
        row = result.layers.set_index("name").loc[name]
        layers = [trace_pass(choose_pass(session, result, name, i)) for i in range(places)]
        assert row["vectors"] == places == layers[0].label.vectors
        for column, told in (
            ("array_cycles", [layer.array_cycles for layer in layers]),
            ("stall_cycles", [layer.stalls.sum() for layer in layers]),
            ("entries", [layer.entries.sum() for layer in layers]),
            ("broadcasts", [layer.columns.size for layer in layers]),
        ):
            assert sum(told) == row[column]
        starts = [layer.label.start_cycle for layer in layers]
        cycles = [layer.array_cycles for layer in layers]
        assert np.diff(starts).tolist() == cycles[:-1]
        slowest = choose_pass(session, result, name, None)
        assert slowest.label.vector == int(np.argmax(cycles))


def test_a_place_broadcasts_what_its_kernel_sees(tmp_path, image):
    session, result = opened(file(tmp_path, CONVOLUTIONS), image)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    for y, x in ((0, 0), (4, 3), (8, 7)):
        patch = padded[:, y : y + 3, x : x + 3].reshape(-1)
        layer = trace_pass(choose_pass(session, result, "wide", 8 * y + x))
        expected = np.flatnonzero(patch).tolist()
        assert layer.columns.tolist() == [*expected, 27]
        assert layer.label.bias_column == 27


def test_time_steps_of_a_cell_are_passes(tmp_path):
    session, result = opened(file(tmp_path, CELL), None)
    for row in result.rows:
        layers = [trace_pass(choose_pass(session, result, row["name"], i)) for i in range(7)]
        assert sum(layer.array_cycles for layer in layers) == row["array_cycles"]
        assert {layer.label.vectors for layer in layers} == {7}


def test_blocks_of_columns_are_passes_and_the_slowest_is_traced(network):
    whole = trace(network, pes=4).traced[0]
    machine = {"pes": 4, "weight_sram_bytes": 48, "overflow": "blocks"}
    traced = trace(network, **machine, layer="one")
    (layer,) = traced.traced
    row = traced.result.layers.set_index("name").loc["one"]
    assert layer.label.blocks == row["column_blocks"] > 1
    assert layer.array_cycles < row["array_cycles"] < row["cycles"]
    # It broadcasts a run of the whole layer's columns, by their own numbers.
    sent = layer.columns.tolist()
    start = whole.columns.tolist().index(sent[0])
    assert sent == whole.columns.tolist()[start : start + len(sent)]
    # The first block had to come from DRAM before the array could start.
    assert layer.label.start_cycle > 0
    assert layer.label.start_cycle + layer.array_cycles <= row["cycles"]
    assert layer.label.pass_name == f"block {layer.label.block} of {layer.label.blocks}"


def test_the_array_of_several_chips_is_traced_as_one(network):
    machine = {"pes": 4, "weight_sram_bytes": 24, "overflow": "chips"}
    traced = trace(network, **machine)
    assert traced.result.machine.pes > 4
    assert {layer.pes for layer in traced.traced} == {traced.result.machine.pes}


def test_a_vector_without_anything_to_broadcast(network):
    empty = np.zeros(24, dtype=np.float32)
    traced = trace(network, pes=4, activations=empty)
    assert traced.layers["broadcasts"].tolist() == [1, *traced.result.layers["broadcasts"][1:]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "tow"}, "layer 'tow': not in this network; did you mean 'two'"),
        ({"vector": 1}, "vector 1: layer 'one' has 1: give a number from 0 to 0"),
        ({"vector": -1}, "vector -1"),
    ],
)
def test_what_is_not_there_is_an_input_error(network, options, message):
    with pytest.raises(InputError, match=message):
        trace(network, pes=4, **options)


@pytest.mark.parametrize(
    ("text", "layer", "message"),
    [
        (CONVOLUTIONS, "pool", "a step of the vector unit; .*: choose one of wide, grouped, last$"),
        (CELL, "lstm", "a step with several matrices; .*: choose one of "),
    ],
)
def test_a_step_that_is_no_layer_is_said_to_be_one(tmp_path, text, layer, message):
    with pytest.raises(InputError, match=f"^layer '{layer}': is {message}"):
        trace(file(tmp_path, text), pes=4, layer=layer)


def test_too_much_to_keep_is_refused(network, monkeypatch):
    monkeypatch.setattr(module, "MAX_ITEMS", 10)
    with pytest.raises(CapacityError, match=r"too many to keep \(up to 10\)"):
        trace(network, pes=4)


def test_progress_is_told(network):
    told = []
    trace(network, pes=4, progress=lambda what, _done: told.append(what))
    assert any("one" in text for text in told)
