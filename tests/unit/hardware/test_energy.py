from dataclasses import fields, replace

import numpy as np
import pytest
from exact.layers import data_dir

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.loading import load
from accelsim.compression.sparse import sparse_codes
from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.counters import Counters
from accelsim.hardware.decoders import (
    NO_DECODER,
    DecoderUnit,
    DecoderUse,
    DecodingTable,
    Shifter,
)
from accelsim.hardware.energy import array_area, layer_energy, lnzd_nodes, macros
from accelsim.hardware.memory import Memories
from accelsim.hardware.technology import dram, technology
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

# Each counter, and the components whose count it is; the last four only describe.
COMPONENTS_OF = {
    "cycles": {"clock network", "leading-non-zero detection", "SRAM leakage"},
    "pointer_reads": {"pointer SRAM"},
    "sram_row_reads": {"weight SRAM"},
    "sram_row_writes": {"weight SRAM fill"},
    "pointer_writes": {"pointer SRAM fill"},
    "activation_fills": {"activation SRAM fill"},
    "entries": {"add", "accumulators"},
    "multiplies": {"multiply"},
    "codebook_reads": {"codebook look-up"},
    "decoder": {"Huffman tables", "decoder shifter"},
    "activation_reads": {"activation SRAM reads"},
    "activation_writes": {"activation SRAM writes"},
    "queue_pushes": {"activation queues"},
    "dram_bytes": {"DRAM"},
    "array_cycles": set(),
    "broadcasts": set(),
    "stall_cycles": set(),
    "padding_entries": set(),
}

NO_USE = DecoderUse({}, 0)
FIXED = replace(COUNTERS, decoder=NO_USE)


def energy_of(counters, unit=NO_DECODER, **overrides):
    """Energy in pJ by component of a machine with memories as it states them."""
    machine = accelerator("eie-64", **overrides)
    memories = Memories(
        machine.weight_sram_bytes,
        machine.pointer_sram_bytes,
        machine.activation_sram_bytes,
        machine.pointer_bits,
        frozenset(),
        (),
    )
    tech = technology(machine.technology)
    srams = macros(machine, memories, [unit], tech)
    terms = layer_energy(counters, 13, machine, srams, tech, dram(machine.dram))
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


def test_terms_by_hand_from_the_tables():
    """Sizes of eie-64: SRAMs of 128 KiB x 64, two banks of 16 KiB x 16, 2 KiB x 16."""
    one = replace(COUNTERS, **dict.fromkeys(COUNTS, 1), decoder=NO_USE)
    leakage_mw = 64 * (0.00334055 + 2 * 0.000471186 + 7.07555e-05)
    assert energy_of(one) == pytest.approx(
        {
            "weight SRAM": 32.2859,
            "pointer SRAM": 2 * 7.66058,
            "activation SRAM reads": 1.86009,
            "activation SRAM writes": 2.42594,
            "activation queues": 2 * (16 + 13) / 32,
            "codebook look-up": 0.5,
            "multiply": 0.62,
            "add": 0.05,
            "accumulators": 2 * 0.5,
            "clock network": 64 * 1.874 / 0.8,  # mW at 0.8 GHz: pJ per cycle
            "leading-non-zero detection": 21 * 0.023 / 0.8,
            "SRAM leakage": leakage_mw / 0.8,
            "DRAM": 8 * 20.0,
            "weight SRAM fill": 26.065,
            "pointer SRAM fill": 5.63876,
            "activation SRAM fill": 2.42594,
        }
    )


def test_words_of_32_bits_cost_what_the_table_says():
    narrow, wide = energy_of(FIXED), energy_of(FIXED, arithmetic_bits=32)
    assert wide["multiply"] == pytest.approx(narrow["multiply"] * 3.1 / 0.62)
    assert wide["add"] == pytest.approx(2 * narrow["add"])
    assert wide["accumulators"] == pytest.approx(2 * narrow["accumulators"])
    assert wide["activation queues"] == pytest.approx(narrow["activation queues"] * 45 / 29)


def test_half_the_clock_doubles_leakage_per_cycle_and_nothing_else():
    fast, slow = energy_of(FIXED), energy_of(FIXED, clock_mhz=400)
    assert slow.pop("SRAM leakage") == pytest.approx(2 * fast.pop("SRAM leakage"))
    assert slow == pytest.approx(fast)


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
    """Tables of 4,096 bytes, 8 bits wide; a register file of 24 bits for the shifter."""
    energy = energy_of(COUNTERS, DECODER)
    assert energy["Huffman tables"] == pytest.approx((900 + 800) * 4.73955)
    assert energy["decoder shifter"] == pytest.approx(700 * 24 / 32)
    leakage = energy["SRAM leakage"] - energy_of(FIXED)["SRAM leakage"]
    assert leakage == pytest.approx(COUNTERS.cycles * 64 * 2 * 0.000117796 / 0.8)
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
    expected = {
        "weight SRAM": 100_900 * 32.2859,
        "pointer SRAM": 112_640 * 2 * 7.66058,
        "activation SRAM reads": 4096 * 1.86009,
        "activation SRAM writes": 1000 * 2.42594,
        "activation queues": 112_640 * 2 * (16 + 13) / 32,
        "codebook look-up": entries * 0.5,
        "multiply": entries * 0.62,
        "add": entries * 0.05,
        "accumulators": entries * 1.0,
        "clock network": 7926 * 64 * 1.874 / 0.8,
        "leading-non-zero detection": 7926 * 21 * 0.023 / 0.8,
        "SRAM leakage": 7926 * 64 * (0.00334055 + 2 * 0.000471186 + 7.07555e-05) / 0.8,
    }
    assert energy == pytest.approx(expected)
    assert result.total["energy_pj"] == pytest.approx(sum(expected.values()))


# --- area ---


def test_area_by_hand():
    machine = accelerator("eie-64")
    memories = Memories(131_072, 32_768, 2048, 16, frozenset(), ())
    tech = technology("45nm")
    terms = array_area(machine, macros(machine, memories, [NO_DECODER], tech), tech)
    assert {term.component: term.area_mm2 for term in terms} == pytest.approx(
        {
            "weight SRAM": 64 * 0.429589,
            "pointer SRAM": 64 * 2 * 0.053015,
            "activation SRAM": 64 * 0.0065903,
            "PE logic": 64 * 0.043238,
            "leading-non-zero detection": 21 * 0.000189,
        }
    )
    assert all(term.source for term in terms)


def test_without_pointers_there_is_no_pointer_sram(session):
    result = session.run(accelerator("eie-64", decoder="dense", weights_in="dram"))
    components = {term.component for term in result.layer_results[0].energy}
    assert not {"pointer SRAM", "pointer SRAM fill"} & components
    assert "pointer SRAM" not in set(result.area["component"])
    (leakage,) = [t for t in result.layer_results[0].energy if t.component == "SRAM leakage"]
    assert leakage.energy_per_action_pj == pytest.approx(64 * (0.00334055 + 7.07555e-05) / 0.8)


@pytest.mark.parametrize("instances", [64, 16, 256])
def test_decoders_take_area_each(instances):
    machine = accelerator("eie-64", decoder="huffman")
    memories = Memories(131_072, 32_768, 2048, 16, frozenset(), ())
    tech = technology("45nm")
    unit = DECODER._replace(instances=instances)
    terms = array_area(machine, macros(machine, memories, [unit], tech), tech)
    areas = {term.component: term.area_mm2 for term in terms}
    assert areas["Huffman tables"] == pytest.approx(instances * 2 * 0.0125044)
    # 24 bits: a register, and multiplexers that shift by 1, 2, 4, 8 and 16
    shifter_um2 = 24 * (4.522 + 5 * 1.862)
    assert areas["decoder shifter"] == pytest.approx(instances * shifter_um2 / 1e6)


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
