"""The table of the vector unit's steps: by hand, on a machine with a channel of a byte per cycle."""

import math

import numpy as np
import pytest
from network_model import KINDS, draw_network

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import sparse_codes
from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.technology import technology
from accelsim.hardware.vector_unit import vector_work
from accelsim.network.graph import (
    Activate,
    Concatenate,
    Elementwise,
    FullyConnected,
    Graph,
    Pool,
    Recurrent,
    Step,
)
from accelsim.simulation.session import Session

DRAM_TABLE = """
[even]
energy_pj_per_bit = 2.0
energy_source = "round"
bandwidth_gbyte_per_s = 1.024
bandwidth_source = "round"
latency_ns = 125.0
latency_source = "round"
status = "estimate"
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """4 PEs at 1024 MHz; a transfer takes 128 cycles and one for each byte."""
    table = tmp_path_factory.mktemp("tables") / "even.toml"
    table.write_text(DRAM_TABLE)
    return accelerator("eie-64", pes=4, clock_mhz=1024, dram=str(table), overflow="grow")


def ones(name, n_out, n_in):
    return CompressedLayer(
        name=name,
        n_out=n_out,
        n_in=n_in,
        activation="relu",
        codebook=np.array([0, 0.5], dtype=np.float32),
        sparse=sparse_codes(np.ones((n_out, n_in), np.uint8)),
        bias_coded=False,
        bias=None,
        code_bits=1,
        index_bits=4,
        max_code_length=11,
    )


def network_of(*steps, layers=(), **inputs):
    graph = Graph(inputs=inputs, steps=steps, outputs=(steps[-1].name,))
    return CompressedNetwork("net", layers, graph=graph)


def step(name, op, *inputs):
    return Step(name=name, op=op, inputs=inputs)


@pytest.fixture(scope="module")
def network():
    """[2, 30] with a layer, its tanh added to it, and pooled by threes: 60, 60 and 20 words."""
    return network_of(
        step("fc", FullyConnected(layer="fc"), "x"),
        step("tanh", Activate(function="tanh"), "fc"),
        step("sum", Elementwise(function="add"), "tanh", "fc"),
        step("both", Concatenate(axis=1), "sum", "fc"),
        step("pool", Pool(mode="average", kernel=(1, 3), stride=(1, 3)), "sum"),
        step("end", Concatenate(axis=1), "pool", "both"),
        layers=(ones("fc", 30, 10),),
        x=(2, 10),
    )


def batch(examples=3):
    return np.random.default_rng(1).random((examples, 2, 10)).astype(np.float32)


def test_steps_by_hand(network, machine):
    """Only what the vector unit works on has a row; a batch costs as many times."""
    result = Session(network, batch()).run(machine)
    counts = ("adds", "multiplies", "lookups", "activation_reads", "activation_writes", "cycles")
    found = {row["name"]: tuple(row[count] for count in counts) for row in result.step_rows}
    assert found == {
        "tanh": (0, 0, 180, 180, 180, 3 * 15),
        "sum": (180, 0, 0, 360, 180, 3 * 15),
        # 40 additions and 20 multiplications in each example, 60 operations on 4 lanes.
        "pool": (120, 60, 0, 180, 60, 3 * 15),
    }
    for row in result.step_rows:
        assert row["examples"] == 3
        assert row["dram_bytes"] == 0
        assert row["latency_us"] == pytest.approx(row["cycles"] / 1024)
    assert [row["kind"] for row in result.step_rows] == ["activation", "elementwise", "pool"]


@pytest.mark.parametrize(("lanes", "cycles"), [(1, 60), (7, 9), (60, 1), (64, 1), (None, 15)])
def test_lanes_share_the_operations_of_an_example(network, machine, lanes, cycles):
    result = Session(network, batch()).run(machine.replace(vector_lanes=lanes))
    assert [row["cycles"] for row in result.step_rows] == [3 * cycles] * 3


def test_energy_is_counts_times_table(network, machine):
    result = Session(network, batch()).run(machine)
    tech = technology(machine.technology)
    terms = {
        (row["layer"], row["component"]): (row["count"], row["energy_per_action_pj"])
        for row in result.energy_rows
    }
    add, multiply = tech.action("add_16").energy_pj, tech.action("multiply_16").energy_pj
    register = tech.action("register_file")
    assert terms["sum", "vector adds"] == (180, add)
    assert terms["pool", "vector adds"] == (120, add)
    assert terms["pool", "vector multiplies"] == (60, multiply)
    assert terms["tanh", "vector look-ups"] == (180, register.energy_pj * 16 / register.bits)
    assert terms["sum", "activation SRAM reads"][0] == 360
    assert terms["sum", "activation SRAM writes"][0] == 180
    assert terms["sum", "clock pins"][0] == 45
    assert ("sum", "vector multiplies") not in terms
    for row in result.step_rows:
        ours = [term for term in result.energy_rows if term["layer"] == row["name"]]
        assert row["energy_pj"] == pytest.approx(sum(term["energy_pj"] for term in ours))


def test_totals_and_the_timeline_count_steps_and_layers(network, machine):
    result = Session(network, batch()).run(machine)
    rows = result.rows + result.step_rows
    assert result.total["cycles"] == sum(row["cycles"] for row in rows)
    assert result.total["energy_pj"] == pytest.approx(sum(row["energy_pj"] for row in rows))
    timeline = result.timeline
    assert timeline["layer"].tolist() == ["fc", "tanh", "sum", "pool"]
    assert timeline["unit"].tolist() == ["array", "vector unit", "vector unit", "vector unit"]
    assert timeline["start_us"].tolist()[1:] == pytest.approx(timeline["end_us"].tolist()[:-1])
    assert timeline["end_us"].tolist()[-1] == pytest.approx(result.total["latency_us"])


def test_what_comes_from_dram_by_hand(network, machine):
    """Words per PE: x 5, fc, tanh and sum 15 each, pool 5; there is room for 21.

    x and fc fit. Beside tanh, fc goes, the first of two that are equal: 15 and two lines. Beside sum,
    tanh goes: 15 and two lines of each. Then sum and pool fit.
    """
    small = machine.replace(overflow="stream", activation_sram_bytes=2 * 21)
    result = Session(network, batch()).run(small)
    steps = {row["name"]: row for row in result.step_rows}
    (fc,) = result.rows
    assert fc["dram_activation_bytes"] == 3 * 2 * 60
    assert steps["tanh"]["dram_bytes"] == 3 * 2 * (60 + 60)
    assert steps["sum"]["dram_bytes"] == 3 * 2 * (60 + 60)
    assert steps["pool"]["dram_bytes"] == 0
    for row in (steps["tanh"], steps["sum"]):
        assert row["cycles"] == 3 * (128 + row["dram_bytes"] // 3)
    assert steps["pool"]["cycles"] == 3 * 15
    terms = {(row["layer"], row["component"]): row["count"] for row in result.energy_rows}
    assert terms["tanh", "DRAM"] == 8 * steps["tanh"]["dram_bytes"]
    assert terms["tanh", "activation SRAM fill"] == 3 * 60
    assert terms["sum", "activation SRAM fill"] == 3 * (60 + 60)
    assert ("pool", "DRAM") not in terms


def test_a_cell_has_a_row_for_its_matrix_and_one_for_the_rest(machine):
    op = Recurrent(cell="gru", hidden=5, matrices=("u",))
    network = network_of(step("cell", op, "x"), layers=(ones("u", 15, 5),), x=(6, 15))
    result = Session(network, np.ones((6, 15), np.float32)).run(machine)
    (matrix,), (cell,) = result.rows, result.step_rows
    assert (matrix["name"], matrix["vectors"]) == ("u", 6)
    assert (cell["name"], cell["kind"]) == ("cell", "recurrent")
    units = 6 * 5
    assert (cell["adds"], cell["multiplies"], cell["lookups"]) == (5 * units, 3 * units, 3 * units)
    assert cell["cycles"] == math.ceil(11 * units / 4)
    assert result.timeline["layer"].tolist() == ["u", "cell"]


@pytest.mark.parametrize("kind", KINDS)
def test_random_networks_have_rows_for_all_work(kind, machine):
    drawn = draw_network(5, kind)
    result = Session(drawn.network, drawn.inputs).run(machine)
    flow, rows = drawn.network.flow, {row["name"]: row for row in result.step_rows}
    examples = len(next(iter(drawn.inputs.values())))
    for one in flow.steps:
        given = [flow.shapes[name] for name in dict.fromkeys(one.inputs)]
        work = vector_work(one.op, given, flow.shapes[one.name])
        assert (one.name in rows) == (work.operations > 0)
        if one.name in rows:
            row = rows[one.name]
            assert row["cycles"] == examples * math.ceil(work.operations / 4)
            assert row["activation_reads"] == examples * work.reads
            assert row["activation_writes"] == examples * work.writes
    assert [row["name"] for row in result.rows] == [layer.name for layer in drawn.network.layers]
