from dataclasses import fields, replace

import numpy as np
import pytest
from exact.layers import data_dir

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.loading import load
from accelsim.compression.sparse import sparse_codes
from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.area import lnzd_nodes
from accelsim.hardware.chip import Chip, chip
from accelsim.hardware.counters import Counters
from accelsim.hardware.decoders import (
    NO_DECODER,
    DecoderUnit,
    DecoderUse,
    DecodingTable,
    Shifter,
)
from accelsim.hardware.energy import layer_energy
from accelsim.hardware.memory import Memories
from accelsim.simulation.network import simulate
from accelsim.simulation.session import Session

COUNTS = [field.name for field in fields(Counters) if field.name != "decoder"]
COUNTERS = Counters(
    **{name: 1000 + 7 * i for i, name in enumerate(COUNTS)},
    decoder=DecoderUse({"codes": 900, "runs": 800}, shifts=700),
)
# Two tables of 4,096 bytes, which are SRAMs.
DECODER = DecoderUnit(
    "pair",
    64,
    (DecodingTable("codes", 4096, 8, 1), DecodingTable("runs", 4096, 8, 1)),
    Shifter(24, 0, 1),
)

# Each counter, and the components whose count it is; some only describe.
COMPONENTS_OF = {
    "cycles": {
        "clock tree",
        "clock pins",
        "clocked registers",
        "leading-non-zero detection",
        "SRAM leakage",
    },
    "pointer_reads": {"pointer SRAM", "pointer registers"},
    "sram_row_reads": {"weight SRAM", "weight row registers"},
    "sram_row_writes": {"weight SRAM fill"},
    "pointer_writes": {"pointer SRAM fill"},
    "activation_fills": {"activation SRAM fill"},
    "entries": {
        "add",
        "pipeline registers",
        "entry selection",
        "accumulator reads",
        "accumulator writes",
    },
    "multiplies": {"multiply"},
    "codebook_reads": {"codebook look-up"},
    "decoder": {"Huffman tables", "decoder shifter"},
    "activation_reads": {"activation SRAM reads"},
    "activation_writes": {"activation SRAM writes"},
    "queue_pushes": {"activation queues"},
    "dram_bytes": {"DRAM"},
    "dram_written_bytes": set(),
    "array_cycles": set(),
    "broadcasts": {"broadcast wires"},
    "stall_cycles": set(),
    "padding_entries": set(),
}

NO_USE = DecoderUse({}, 0)
FIXED = replace(COUNTERS, decoder=NO_USE)


def chip_of(unit=NO_DECODER, lanes=0, **overrides) -> Chip:
    """A machine with memories as it states them."""
    machine = accelerator("eie-64", **overrides)
    memories = Memories(
        machine.weight_sram_bytes,
        machine.pointer_sram_bytes,
        machine.activation_sram_bytes,
        machine.pointer_bits,
        frozenset(),
        (),
    )
    return chip(machine, memories, [unit], 13, lanes)


def energy_of(counters, unit=NO_DECODER, **overrides):
    """Energy in pJ by component of a machine with memories as it states them."""
    terms = layer_energy(counters, chip_of(unit, **overrides))
    by_component = {term.component: term.energy_pj for term in terms}
    assert len(by_component) == len(terms)
    assert all(term.source for term in terms)
    return by_component


def doubled(counters, name):
    value = getattr(counters, name)
    if isinstance(value, DecoderUse):
        value = DecoderUse({key: 2 * reads for key, reads in value.reads.items()}, 2 * value.shifts)
    else:
        value = 2 * value
    return replace(counters, **{name: value})


def test_each_counter_has_a_case_here():
    assert set(COMPONENTS_OF) == {field.name for field in fields(Counters)}


@pytest.mark.parametrize(("counter", "components"), COMPONENTS_OF.items())
def test_doubling_a_counter_doubles_its_own_terms_only(counter, components):
    before = energy_of(COUNTERS, DECODER)
    after = energy_of(doubled(COUNTERS, counter), DECODER)
    assert before.keys() == after.keys()
    assert components <= before.keys()
    for component, energy in before.items():
        factor = 2 if component in components else 1
        assert after[component] == pytest.approx(factor * energy, rel=1e-12), component
        assert energy > 0


def test_every_component_belongs_to_one_counter():
    components = [c for several in COMPONENTS_OF.values() for c in several]
    assert sorted(components) == sorted(energy_of(COUNTERS, DECODER))


# Register bits of a PE of eie-64: 8 slots of 16 + 13, two pointers of 16, a row of 64, 16 codebook words and
# 8 pipeline words of 16, two register files of 64 words of 16.
PE_BITS = 8 * 29 + 32 + 64 + 16 * 16 + 8 * 16 + 2 * 64 * 16
# Multiplexers of one read: 8 entries of 8 bits, 16 words of 16 bits, 64 words of 16 bits.
ROW_MUXES, CODEBOOK_MUXES, ACCUMULATOR_MUXES = 7 * 8, 15 * 16, 63 * 16
LEAKAGE_NW = 1.541  # per bit of SRAM
SRAM_BITS = 8 * (131_072 + 32_768 + 2048)
SRAM = 0.4243  # of CACTI's energy


def pe_area_mm2():
    """From the tables: CACTI's SRAMs times 1.092, logic by bits, multiplexers and operators."""
    srams = 1.092 * (0.429589 + 2 * 0.053015 + 0.0065903)
    muxes = ROW_MUXES + CODEBOOK_MUXES + 2 * ACCUMULATOR_MUXES
    logic = PE_BITS * 3.429 + muxes * 3.411 + 993 + 67
    clock = PE_BITS * 0.3138
    return srams + (logic + clock) * (1 + 1.243) / 1e6


def expected_per_action():
    """Of eie-64, from the tables by hand: energy of one count, by component."""
    area = 64 * pe_area_mm2() + 21 * 189e-6
    return {
        "weight SRAM": SRAM * 32.2859,
        "pointer SRAM": 2 * SRAM * 7.66058,
        "activation SRAM reads": SRAM * 1.86009,
        "activation SRAM writes": SRAM * 2.42594,
        "activation queues": (16 + 13) * 0.004401,
        "pointer registers": 2 * 16 * 0.004401,
        "weight row registers": 64 * 0.004401,
        "pipeline registers": 8 * 16 * 0.004401,
        "accumulator writes": 16 * 0.004401,
        "entry selection": ROW_MUXES * 0.0003875,
        "codebook look-up": CODEBOOK_MUXES * 0.0003875,
        "accumulator reads": ACCUMULATOR_MUXES * 0.0003875,
        "multiply": 0.62,
        "add": 0.05,
        "broadcast wires": 29 * 0.121 * 1.5 * area**0.5 * (8 - 1),
        "clock tree": area * 2.194 / 0.8,  # mW at 0.8 GHz: pJ per cycle
        "clock pins": 64 * PE_BITS * 0.0002174,
        "clocked registers": 64 * PE_BITS * 0.0002174,
        "leading-non-zero detection": 21 * 0.023 / 0.8,
        "SRAM leakage": 64 * SRAM_BITS * LEAKAGE_NW / 1e6 / 0.8,
    }


def test_terms_by_hand_from_the_tables():
    """Sizes of eie-64: SRAMs of 128 KiB x 64, two banks of 16 KiB x 16, 2 KiB x 16."""
    counts = dict.fromkeys(COUNTS, 1) | {"dram_written_bytes": 0}
    one = replace(COUNTERS, **counts, decoder=NO_USE)
    streamed = {
        "DRAM": 8 * 20.0,
        "weight SRAM fill": SRAM * 26.065,
        "pointer SRAM fill": SRAM * 5.63876,
        "activation SRAM fill": SRAM * 2.42594,
    }
    assert energy_of(one) == pytest.approx(expected_per_action() | streamed)


def test_words_of_32_bits_cost_what_the_table_says():
    narrow, wide = energy_of(FIXED), energy_of(FIXED, arithmetic_bits=32)
    assert wide["multiply"] == pytest.approx(narrow["multiply"] * 3.1 / 0.62)
    assert wide["add"] == pytest.approx(2 * narrow["add"])
    for name in ("accumulator reads", "accumulator writes", "pipeline registers"):
        assert wide[name] == pytest.approx(2 * narrow[name])
    assert wide["activation queues"] == pytest.approx(narrow["activation queues"] * 45 / 29)


def test_half_the_clock_doubles_leakage_per_cycle_and_nothing_else():
    fast, slow = energy_of(FIXED), energy_of(FIXED, clock_mhz=400)
    assert slow.pop("SRAM leakage") == pytest.approx(2 * fast.pop("SRAM leakage"))
    assert slow == pytest.approx(fast)


@pytest.mark.parametrize(
    ("fields", "more_bits"),
    [
        ({"queue_depth": 32}, 24 * 29),
        ({"row_buffer_rows": 3}, 2 * 64),
        ({"multipliers": 3}, 2 * 8 * 16),
        ({"code_bits": 3}, -8 * 16),
        ({"decoder": "dense"}, -32 - 16 * 16),
        ({"code_bits": 6}, -16 * 16),  # an SRAM
    ],
)
def test_what_a_machine_has_beyond_the_published_pe_is_clocked(fields, more_bits):
    plain, changed = energy_of(FIXED), energy_of(FIXED, **fields)
    assert changed["clock pins"] / plain["clock pins"] == pytest.approx(
        (PE_BITS + more_bits) / PE_BITS
    )


def test_decoders_and_lanes_are_clocked_too():
    bits = chip_of().register_bits
    assert bits == 64 * PE_BITS
    assert chip_of(DECODER).register_bits == bits + 64 * 24  # the shifter; its tables are SRAMs
    assert chip_of(lanes=10).register_bits == bits + 10 * 8 * 16


@pytest.mark.parametrize(("pes", "length"), [(1, 0.0), (4, 1.5), (16, 4.5), (64, 10.5)])
def test_wires_of_a_broadcast(pes, length):
    """H-trees by hand, in sides of the array: one H of 1.5 sides; then 4 of half the size; then 16."""
    machine = chip_of(pes=pes)
    assert machine.broadcast_mm == pytest.approx(length * machine.area_mm2**0.5)
    alone = replace(FIXED, broadcasts=1)
    assert ("broadcast wires" in energy_of(alone, pes=pes)) == (pes > 1)


def test_dram_by_commands_counts_rows_and_time():
    """DDR3: bits, rows of 8,192 bytes, and standby over the layer's time."""
    counters = replace(FIXED, dram_bytes=3 * 8192, dram_written_bytes=8192, cycles=800)
    by_command = energy_of(counters, dram="ddr3", dram_energy="commands")
    assert "DRAM" not in by_command
    terms = {
        term.component: term
        for term in layer_energy(counters, chip_of(dram="ddr3", dram_energy="commands"))
    }
    assert terms["DRAM activate"].count == 3
    assert terms["DRAM read"].count == 8 * 2 * 8192
    assert terms["DRAM write"].count == 8 * 8192
    assert terms["DRAM standby"].count == pytest.approx(1.0)  # us


def test_without_dram_or_tables_there_is_no_term_for_them():
    nothing = dict.fromkeys(
        ("dram_bytes", "sram_row_writes", "pointer_writes", "activation_fills"), 0
    )
    components = energy_of(replace(FIXED, **nothing)).keys()
    assert not {"Huffman tables", "decoder shifter"} & components
    assert not [name for name in components if name == "DRAM" or name.endswith("fill")]


def test_streaming_has_terms_for_what_it_fills_only():
    weights_only = replace(FIXED, pointer_writes=0, activation_fills=0)
    assert {name for name in energy_of(weights_only) if name.endswith("fill")} == {
        "weight SRAM fill"
    }
    inputs_only = replace(FIXED, sram_row_writes=0, pointer_writes=0)
    assert {name for name in energy_of(inputs_only) if name.endswith("fill")} == {
        "activation SRAM fill"
    }


def test_decoders_by_hand():
    """Tables of 4,096 bytes, 8 bits wide; 24 bits of shifter behind 5 stages of multiplexers."""
    energy = energy_of(COUNTERS, DECODER)
    assert energy["Huffman tables"] == pytest.approx((900 + 800) * SRAM * 4.73955)
    assert energy["decoder shifter"] == pytest.approx(700 * (24 * 0.004401 + 5 * 24 * 0.0003875))
    leakage = energy["SRAM leakage"] - energy_of(FIXED)["SRAM leakage"]
    leaking_mw = 64 * 2 * 4096 * 8 * LEAKAGE_NW / 1e6
    assert leakage == pytest.approx(COUNTERS.cycles * leaking_mw / 0.8)
    shared = energy_of(COUNTERS, DECODER._replace(instances=16))["SRAM leakage"]
    assert shared - energy_of(FIXED)["SRAM leakage"] == pytest.approx(leakage / 4)


def test_aligned_columns_need_one_pointer_bank():
    """Start and number of entries stand in one word."""
    two, one = energy_of(FIXED), energy_of(FIXED, column_alignment="row")
    assert one.pop("pointer SRAM") == pytest.approx(two.pop("pointer SRAM") / 2)
    assert one == pytest.approx(two)


# --- a whole run ---


@pytest.fixture(scope="module")
def session():
    rng = np.random.default_rng(0)
    codes = np.where(rng.random((300, 200)) < 0.1, rng.integers(1, 16, (300, 200)), 0)
    layer = CompressedLayer(
        name="fc",
        n_out=300,
        n_in=200,
        activation="relu",
        codebook=np.append(0, rng.standard_normal(15)).astype(np.float32),
        sparse=sparse_codes(codes.astype(np.uint8)),
        bias_coded=False,
        bias=rng.standard_normal(300).astype(np.float32),
        code_bits=4,
        index_bits=4,
        max_code_length=11,
    )
    return Session(CompressedNetwork("net", (layer,)), rng.random((2, 200)).astype(np.float32))


@pytest.mark.parametrize("decoder", ["fixed", "huffman", "dense"])
@pytest.mark.parametrize("weights_in", ["sram", "dram"])
def test_terms_sum_to_the_total_and_name_their_sources(session, decoder, weights_in):
    result = session.run(accelerator("eie-64", decoder=decoder, weights_in=weights_in))
    terms = result.layer_results[0].energy
    assert sum(term.energy_pj for term in terms) == result.rows[0]["energy_pj"]
    assert result.total["energy_pj"] == result.rows[0]["energy_pj"]
    assert result.energy["energy_pj"].sum() == pytest.approx(result.total["energy_pj"])
    assert all(term.source and term.count >= 0 for term in terms)
    power_mw = result.total["energy_pj"] / result.total["latency_us"] / 1000
    assert result.total["power_mw"] == pytest.approx(power_mw)
    components = {term.component for term in terms}
    for component in ("Huffman tables", "decoder shifter"):
        assert (component in components) == (decoder == "huffman")
    assert ("DRAM" in components) == (weights_in == "dram")
    assert all(source for source in result.area["source"])
    assert result.total["area_mm2"] == pytest.approx(result.area["area_mm2"].sum())


def test_an_exact_bias_is_added_but_neither_decoded_nor_multiplied(session):
    result = session.run(accelerator("eie-64", decoder="huffman"))
    counts = {term.component: term.count for term in result.layer_results[0].energy}
    bias_words = 2 * 300
    assert counts["multiply"] == counts["codebook look-up"] == counts["add"] - bias_words
    assert counts["Huffman tables"] == 2 * counts["multiply"]
    assert counts["decoder shifter"] == counts["multiply"]
    assert counts["add"] == result.rows[0]["entries"]


def test_alexnet_fc8_by_hand():
    """Counts of the published simulator (eie_cycles.csv) times the tables."""
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no alexnet_fc8.npz")
    result = simulate(load(folder / "alexnet_fc8.npz"), "eie-64")
    energy = {term.component: term.energy_pj for term in result.layer_results[0].energy}
    entries = result.rows[0]["entries"]
    useful = round(0.894501 * 7926 * 64)
    assert entries - result.rows[0]["padding_entries"] == pytest.approx(useful, abs=1)
    counts = {
        "weight SRAM": 100_900,
        "weight row registers": 100_900,
        "pointer SRAM": 112_640,
        "pointer registers": 112_640,
        "activation queues": 112_640,
        "broadcast wires": 112_640 / 64,
        "activation SRAM reads": 4096,
        "activation SRAM writes": 1000,
        **dict.fromkeys(COMPONENTS_OF["cycles"], 7926),
    }
    expected = {
        name: counts.get(name, entries) * each for name, each in expected_per_action().items()
    }
    assert energy == pytest.approx(expected)
    assert result.total["energy_pj"] == pytest.approx(sum(expected.values()))


# --- area ---


def test_area_by_hand():
    """Bits, multiplexers and operators of each block, times 64."""
    terms = chip_of().area
    muxes = {"weight rows": ROW_MUXES, "arithmetic unit": CODEBOOK_MUXES}
    bits = {
        "activation queue": 8 * 29,
        "pointer registers": 32,
        "weight rows": 64,
        "arithmetic unit": 16 * 16 + 8 * 16,
        "activation registers": 2 * 64 * 16,
    }
    muxes["activation registers"] = 2 * ACCUMULATOR_MUXES
    logic = {f"{name}: registers": 3.429 * count for name, count in bits.items()}
    logic |= {f"{name}: multiplexers": 3.411 * count for name, count in muxes.items()}
    logic |= {"arithmetic unit: multiplier": 993, "arithmetic unit: adder": 67}
    clock = 0.3138 * PE_BITS
    expected = {
        "weight SRAM": 1.092e6 * 0.429589,
        "pointer SRAM": 1.092e6 * 2 * 0.053015,
        "activation SRAM": 1.092e6 * 0.0065903,
        **logic,
        "clock network": clock,
        "filler": 1.243 * (sum(logic.values()) + clock),
        "leading-non-zero detection": 21 / 64 * 189,
    }
    assert {term.component: term.area_mm2 for term in terms} == pytest.approx(
        {name: 64 * um2 / 1e6 for name, um2 in expected.items()}
    )
    assert sum(term.area_mm2 for term in terms) == pytest.approx(64 * pe_area_mm2() + 21 * 189e-6)
    assert all(term.source for term in terms)


def test_without_pointers_there_is_no_pointer_sram(session):
    result = session.run(accelerator("eie-64", decoder="dense", weights_in="dram"))
    components = {term.component for term in result.layer_results[0].energy}
    assert not {"pointer SRAM", "pointer SRAM fill"} & components
    assert "pointer SRAM" not in set(result.area["component"])
    (leakage,) = [t for t in result.layer_results[0].energy if t.component == "SRAM leakage"]
    assert leakage.energy_per_action_pj == pytest.approx(
        64 * 8 * (131_072 + 2048) * LEAKAGE_NW / 1e6 / 0.8
    )


@pytest.mark.parametrize("instances", [64, 16, 256])
def test_decoders_take_area_each(instances):
    areas = {
        term.component: term.area_mm2
        for term in chip_of(DECODER._replace(instances=instances), decoder="huffman").area
    }
    assert areas["Huffman tables"] == pytest.approx(instances * 2 * 1.092 * 0.0125044)
    # 24 bits: a register, and multiplexers that shift by 1, 2, 4, 8 and 16
    shifter_um2 = 24 * (3.429 + 5 * 3.411)
    assert areas["decoder shifter"] == pytest.approx(instances * shifter_um2 / 1e6)


def test_lanes_take_the_area_of_a_pipeline_and_its_operators():
    more = sum(t.area_mm2 for t in chip_of(lanes=16).area) - sum(t.area_mm2 for t in chip_of().area)
    lane = 8 * 16 * (3.429 + 0.3138) + 993 + 67
    assert more == pytest.approx(16 * lane * (1 + 1.243) / 1e6)


@pytest.mark.parametrize(
    ("pes", "nodes"),
    [(1, 1), (4, 1), (5, 2 + 1), (16, 4 + 1), (64, 21), (256, 85), (65, 17 + 5 + 2 + 1)],
)
def test_nodes_of_the_non_zero_detection_tree(pes, nodes):
    assert lnzd_nodes(pes) == nodes


@pytest.mark.parametrize("overrides", [{"pes": 128}, {"weight_sram_bytes": 2**20}])
def test_a_larger_machine_takes_more_area(session, overrides):
    small = session.run(accelerator("eie-64")).total["area_mm2"]
    assert session.run(accelerator("eie-64", **overrides)).total["area_mm2"] > small
