import numpy as np
import pandas as pd
import pytest

from accelsim.errors import HardwareError, TechnologyError
from accelsim.hardware.accelerator import accelerator
from accelsim.network import Layer, Network
from accelsim.simulation import session as session_module
from accelsim.simulation.network import simulate
from accelsim.simulation.session import Session
from accelsim.study.sweep import sum_over_layers, sweep

RUN = Session.run


@pytest.fixture
def runs(monkeypatch):
    """The machines that are really run."""
    machines = []

    def run(self, machine):
        machines.append(machine)
        return RUN(self, machine)

    monkeypatch.setattr(Session, "run", run)
    return machines


def test_every_row_is_that_of_a_simulation_of_its_own(network):
    grid = {
        "pes": [2, 5],
        "queue_depth": [2, 8],
        "decoder": ["fixed", "huffman", "dense"],
        "row_bits": [32, 64],
        "weights_in": ["sram", "dram"],
    }
    frame = sweep(network, **grid)
    assert len(frame) == 2 * 2 * 3 * 2 * 2 * 2
    assert not frame.duplicated([*grid, "layer"]).any()
    for fields, rows in frame.groupby(list(grid), sort=False):
        machine = dict(zip(grid, fields, strict=True))
        single = simulate(network, overflow="grow", **machine)
        expected = single.layers.rename(columns={"name": "layer"})
        pd.testing.assert_frame_equal(rows[expected.columns].reset_index(drop=True), expected)
        assert rows["area_mm2"].tolist() == [single.total["area_mm2"]] * 2


def test_columns_are_the_settings_then_the_layers_table_then_the_memories(network):
    frame = sweep(network, queue_depth=[4, 2], pes=[3, 1], clock_mhz=400)
    layers = list(simulate(network).layers.columns)
    assert list(frame.columns) == [
        "queue_depth",
        "pes",
        "layer",
        *(name for name in layers if name != "name"),
        "area_mm2",
        "weight_capacity_bytes_per_pe",
        "pointer_capacity_bytes_per_pe",
        "activation_capacity_bytes_per_pe",
        "chips",
        "grown",
    ]
    # Fields that change the layout vary slowest; values come in the order given.
    points = frame[["pes", "queue_depth"]].drop_duplicates().values.tolist()
    assert points == [[3, 4], [3, 2], [1, 4], [1, 2]]
    assert frame["layer"].tolist() == ["one", "two"] * 4
    # A field with one value holds for all points, and is no column.
    assert frame["latency_us"].tolist() == pytest.approx((frame["cycles"] / 400).tolist())


def test_work_that_a_point_does_not_change_is_done_once(network, monkeypatch):
    laid_out, timed = [], []
    interleave, run_array = session_module.interleave, session_module.run_array

    def count_layout(layer, pes, run_bits):
        laid_out.append((layer.name, pes))
        return interleave(layer, pes, run_bits)

    def count_timing(*arguments):
        timed.append(1)
        return run_array(*arguments)

    monkeypatch.setattr(session_module, "interleave", count_layout)
    monkeypatch.setattr(session_module, "run_array", count_timing)
    frame = sweep(
        network,
        decoder=["fixed", "huffman"],
        pes=[2, 4, 8],
        queue_depth=[2, 8],
        clock_mhz=[400, 800],
        dram=["lpddr2", "hbm2"],
    )
    assert len(frame) == 2 * 3 * 2 * 2 * 2 * 2
    assert sorted(laid_out) == [(name, pes) for name in ("one", "two") for pes in (2, 4, 8)]
    assert len(timed) == 2 * 3 * 2 * 2  # layers x pes x queue depths x decoders


def test_over_pes_every_memory_is_sized_to_the_need(network):
    frame = sweep(network, pes=[1, 4])
    for memory in ("weight", "pointer", "activation"):
        need = frame.groupby("pes")[f"{memory}_bytes_per_pe"].max()
        capacity = frame.set_index("pes")[f"{memory}_capacity_bytes_per_pe"]
        assert (capacity == need.loc[capacity.index]).all()
    assert frame.groupby("pes")["weight_bytes_per_pe"].max().is_monotonic_decreasing
    assert "sized to what the largest layer needs" in frame.attrs["notes"][-1]


def test_a_given_capacity_is_kept(network):
    frame = sweep(network, pes=[1, 4], weight_sram_bytes=65536)
    assert (frame["weight_capacity_bytes_per_pe"] == 65536).all()
    assert "weight_sram_bytes" not in frame.attrs["notes"][-1]
    assert "pointer_sram_bytes" in frame.attrs["notes"][-1]


def test_with_another_overflow_rule_the_machine_keeps_its_memories(network):
    frame = sweep(network, pes=[1, 4], overflow="error")
    assert (frame["weight_capacity_bytes_per_pe"] == 131072).all()
    assert not any("sized" in note for note in frame.attrs["notes"])


def test_other_fields_leave_the_memories_alone(network):
    frame = sweep(network, queue_depth=[2, 8])
    assert (frame["weight_capacity_bytes_per_pe"] == 131072).all()


def test_memories_grow_by_default_and_say_so(network):
    frame = sweep(network, queue_depth=[2, 8], weight_sram_bytes=1)
    assert (frame["grown"] == "weight").all()


def test_code_bits_of_a_dense_network_cannot_vary():
    layer = Layer("one", np.ones((2, 3), np.float32))
    with pytest.raises(HardwareError, match="compress the network once per width"):
        sweep(Network("dense", (layer,)), code_bits=[4, 8])


def test_a_capacity_can_be_varied_though_memories_grow(network):
    frame = sweep(network, weight_sram_bytes=[1, 2, 4096], pes=4)
    assert frame["weight_sram_bytes"].tolist() == [1, 1, 2, 2, 4096, 4096]
    need = frame["weight_bytes_per_pe"].max()
    assert frame["weight_capacity_bytes_per_pe"].tolist() == [need] * 4 + [4096] * 2
    assert len(sum_over_layers(frame, ["weight_sram_bytes"])) == 3


def test_overflow_can_be_chosen(network):
    with pytest.raises(Exception, match="sweep point pes=2: layer 'one' needs"):
        sweep(network, pes=[2], weight_sram_bytes=1, overflow="error")
    streamed = sweep(network, pes=[2], weight_sram_bytes=1, overflow="stream")
    assert streamed["memory"].tolist() == ["streamed", "streamed"]


def test_a_point_that_stands_in_the_grid_twice_is_run_and_told_once(network, runs):
    frame = sweep(network, pes=["2", 2, 4])
    assert [machine.pes for machine in runs] == [2, 4]
    assert frame["pes"].tolist() == [2, 2, 4, 4]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pess": [1, 2]}, "unknown field 'pess'; did you mean 'pes'"),
        ({"pes": [1, 0]}, "pes=0"),
        ({"pes": []}, "'pes' has no values: give at least one"),
        ({"pes": [1], "decoder": ["fixed", "zip"]}, "decoder='zip'"),
    ],
)
def test_a_wrong_field_is_an_error_before_anything_runs(network, runs, tmp_path, fields, message):
    with pytest.raises(HardwareError, match=message):
        sweep(network, store=tmp_path / "points.jsonl", **fields)
    assert runs == []
    assert list(tmp_path.iterdir()) == []


def test_a_point_without_numbers_is_named(network):
    with pytest.raises(
        TechnologyError, match=r"sweep point pes=3, row_bits=1000: .*outside the grid"
    ):
        sweep(network, pes=[3], row_bits=[64, 1000])


def test_progress_counts_the_points(network):
    told = []
    sweep(network, pes=[1, 2, 3], progress=lambda *counts: told.append(counts))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_sums_over_layers():
    frame = pd.DataFrame(
        {
            "pes": [1, 1, 2, 2],
            "layer": ["a", "b", "a", "b"],
            "cycles": [100, 300, 60, 200],
            "array_cycles": [100, 300, 50, 150],
            "latency_us": [1.0, 3.0, 0.6, 2.0],
            "energy_pj": [5.0, 7.0, 6.0, 8.0],
            "utilization_frac": [1.0, 0.5, 0.8, 0.4],
            "examples": [10, 10, 10, 10],
            "area_mm2": [0.5, 0.5, 1.0, 1.0],
        }
    )
    points = sum_over_layers(frame, ["pes"]).set_index("pes")
    assert points["cycles"].tolist() == [400, 260]
    assert points["latency_us"].tolist() == [4.0, 2.6]
    assert points["energy_pj"].tolist() == [12.0, 14.0]
    assert points["area_mm2"].tolist() == [0.5, 1.0]
    assert points["examples"].tolist() == [10, 10]
    # useful / slots: (100 + 150) / 400 and (40 + 60) / 200
    assert points["utilization_frac"].tolist() == pytest.approx([0.625, 0.5])


def test_a_setting_that_is_none_is_a_point_like_others(network):
    frame = sweep(network, pes=2, activation_frac_bits=[None, 8])
    points = sum_over_layers(frame, ["activation_frac_bits"])
    assert len(points) == 2
    assert points["cycles"].sum() == frame["cycles"].sum()


def test_an_overflow_rule_that_the_machine_states_holds(network):
    machine = accelerator("eie-64", overflow="stream", weight_sram_bytes=1)
    frame = sweep(network, machine, pes=[1, 2])
    assert (frame["memory"] == "streamed").all()


def test_memories_are_not_sized_where_some_points_stream(network):
    frame = sweep(network, pes=[1, 2], weights_in=["sram", "dram"])
    assert (frame["weight_capacity_bytes_per_pe"] == 131072).all()


def test_huffman_fields_vary_for_huffman_streams_alone(network):
    grid = {
        "decoder": ["fixed", "huffman", "dense"],
        "decoder_design": ["bit_serial", "two_level"],
        "sub_streams": [1, 2],
    }
    done = []
    frame = sweep(
        network, pes=4, huffman_alphabet="joint", progress=lambda *at: done.append(at), **grid
    )
    assert done[-1] == (1 + 4 + 1, 6)
    points = frame[list(grid)].drop_duplicates().values.tolist()
    assert points == [
        ["fixed", "n/a", "n/a"],
        *(["huffman", design, parts] for design in ("bit_serial", "two_level") for parts in (1, 2)),
        ["dense", "n/a", "n/a"],
    ]
    cycles = sum_over_layers(frame, list(grid))["cycles"].tolist()
    streams = {"decoder": "huffman", "huffman_alphabet": "joint"}
    machines = [
        {"decoder": "fixed"},
        *(streams | {"decoder_design": design, "sub_streams": n} for _, design, n in points[1:5]),
        {"decoder": "dense"},
    ]
    alone = [simulate(network, overflow="grow", pes=4, **fields) for fields in machines]
    assert cycles == [result.total["cycles"] for result in alone]


def test_a_base_with_huffman_streams_is_swept_over_decoders(network):
    base = accelerator("eie-64", pes=2, decoder="huffman", decoder_design="bit_serial")
    frame = sweep(network, base, decoder=["fixed", "huffman"])
    assert frame["decoder"].tolist() == ["fixed"] * 2 + ["huffman"] * 2


def test_huffman_fields_without_any_huffman_streams_are_refused(network):
    with pytest.raises(HardwareError, match="decoder_design=bit_serial is for Huffman streams"):
        sweep(network, decoder=["fixed", "dense"], decoder_design=["pair", "bit_serial"])
