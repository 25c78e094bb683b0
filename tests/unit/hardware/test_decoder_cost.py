"""Decoding tables as SRAMs and registers, and shifters, from the numbers of the tables."""

import pytest

from accelsim.errors import TechnologyError
from accelsim.hardware.decoder_cost import (
    decoder_area,
    decoder_macros,
    decoder_terms,
    shifter_cost,
    table_memory,
)
from accelsim.hardware.decoders import (
    NO_DECODER,
    DecoderUnit,
    DecoderUse,
    DecodingTable,
    Shifter,
)
from accelsim.hardware.technology import technology

TECH = technology("45nm")


def table(words, width_bits, name="codes"):
    return DecodingTable(name, words, width_bits, 1)


@pytest.mark.parametrize(
    ("width_bits", "smallest_bytes"), [(8, 512), (4, 512), (64, 512), (100, 1024), (256, 2048)]
)
def test_a_table_is_an_sram_unless_registers_are_smaller(width_bits, smallest_bytes):
    smallest = TECH.sram_macro(smallest_bytes, width_bits)
    for words in (-(-smallest_bytes * 8 // width_bits), 4 * smallest_bytes * 8 // width_bits):
        memory = table_memory(table(words, width_bits), TECH)
        assert memory == TECH.sram_macro(-(-words * width_bits // 8), width_bits)
        assert "CACTI" in memory.source
    # A bit of register takes 3.429 um2, and a multiplexer for each bit but the last word's 3.411 um2.
    most = int((smallest.area_mm2 / width_bits * 1e6 + 3.411) / (3.429 + 3.411))
    assert "bits in registers" in table_memory(table(most, width_bits), TECH).source
    built = table_memory(table(most + 1, width_bits), TECH)
    assert built[2:] == smallest[2:]
    assert "registers" not in built.source


def test_registers_by_hand():
    """4.401 fJ a bit written, 0.3875 fJ a multiplexer; 3.429 um2 a bit, 3.411 um2 a multiplexer."""
    memory = table_memory(table(20, 10), TECH)
    assert memory.read_energy_pj == pytest.approx(19 * 10 * 0.3875e-3)
    assert memory.write_energy_pj == pytest.approx(10 * 4.401e-3)
    assert memory.area_mm2 == pytest.approx((200 * 3.429 + 190 * 3.411) / 1e6)
    assert memory.leakage_mw == 0
    assert memory.capacity_bytes == 25
    assert memory.is_registers
    assert memory.cycle_time_ns == 0  # never the slowest memory of a machine
    for number in ("EIE Table II", "NanGate", "estimate"):
        assert number in memory.source


def test_an_sram_smaller_than_any_leaks_as_the_smallest():
    built = table_memory(table(100, 8), TECH)
    assert not built.is_registers
    assert built.leakage_mw == pytest.approx(512 * 8 * 1.541e-6)


@pytest.mark.parametrize(
    ("words", "width_bits", "name", "remedy"),
    [
        (2**24, 22, "windows", "window_bits or entries_per_cycle"),
        (2**23, 9, "codes", "max_code_length"),
        (2**20, 600, "windows", "window_bits or entries_per_cycle"),
    ],
)
def test_a_table_larger_than_any_sram_is_refused_with_a_remedy(words, width_bits, name, remedy):
    with pytest.raises(TechnologyError) as error:
        table_memory(table(words, width_bits, name), TECH)
    message = str(error.value)
    assert message.startswith(
        f"decoding table '{name}' of {words:,} words of {width_bits} bits is "
    )
    assert message.endswith(f"larger than any SRAM in sram_cacti.csv: set {remedy} lower")
    assert "\n" not in message


@pytest.mark.parametrize(("width", "stages"), [(1, 1), (2, 2), (12, 4), (15, 4), (16, 5)])
def test_shifters_by_hand(width, stages):
    cost = shifter_cost(Shifter(width, 0, 1), TECH)
    selecting = stages * width * 0.3875e-3
    assert cost.energy_pj == pytest.approx(width * 4.401e-3 + selecting)
    assert cost.area_mm2 == pytest.approx(width * (3.429 + stages * 3.411) / 1e6)
    compared = shifter_cost(Shifter(width, 20, 1), TECH)
    assert compared.energy_pj == pytest.approx((width + 20) * 4.401e-3 + selecting)
    assert compared.area_mm2 == cost.area_mm2
    for source in (cost.energy_source, cost.area_source, compared.energy_source):
        assert source.startswith("estimate")
    assert "20 compared" in compared.energy_source


UNIT = DecoderUnit(
    "two_level", 6, (table(512, 8), table(16, 8, "codes, second level")), Shifter(9, 0, 1)
)


def test_terms_are_counts_times_energies_of_each_table():
    macros = decoder_macros([UNIT], TECH)
    use = DecoderUse({"codes": 1000, "codes, second level": 10}, shifts=500)
    tables, shifter = decoder_terms(use, macros)
    assert (tables.component, tables.count) == ("Huffman tables", 1010)
    assert tables.energy_pj == pytest.approx(1000 * 0.4243 * 1.06011 + 10 * 15 * 8 * 0.3875e-3)
    assert "codes: CACTI, 45 nm, 512 bytes x 8 bits" in tables.source
    assert "codes, second level: estimate, 16 x 8 bits in registers" in tables.source
    assert (shifter.component, shifter.count) == ("decoder shifter", 500)
    assert shifter.energy_pj == pytest.approx(500 * 9 * (4.401e-3 + 4 * 0.3875e-3))


def test_what_is_not_used_has_no_term_but_leaks_and_takes_area():
    macros = decoder_macros([UNIT], TECH)
    assert decoder_terms(DecoderUse({"codes": 0}, 0), macros) == []
    assert macros.leakage_mw == pytest.approx(6 * 512 * 8 * 1.541e-6)
    assert macros.register_bits == 16 * 8 + 9
    areas = {term.component: term.area_mm2 for term in decoder_area(macros)}
    assert areas["Huffman tables"] == pytest.approx(
        6 * (1.092 * 0.00180502 + (16 * 3.429 + 15 * 3.411) * 8e-6)
    )
    assert areas["decoder shifter"] == pytest.approx(6 * 9 * (3.429 + 4 * 3.411) / 1e6)


def test_without_a_decoder_there_is_nothing():
    macros = decoder_macros([NO_DECODER, NO_DECODER], TECH)
    assert (macros.leakage_mw, macros.tables, macros.shifter) == (0, {}, None)
    assert decoder_area(macros) == decoder_terms(DecoderUse({}, 0), macros) == []


def test_uses_of_a_unit_are_no_part_of_its_size():
    assert decoder_macros([UNIT], TECH) == decoder_macros(
        [UNIT._replace(tables=tuple(t._replace(reads=7) for t in UNIT.tables))], TECH
    )
    smaller = UNIT._replace(tables=(table(4, 4),), shifter=Shifter(1, 0, 1))
    assert decoder_macros([smaller, UNIT], TECH) == decoder_macros([UNIT], TECH)
