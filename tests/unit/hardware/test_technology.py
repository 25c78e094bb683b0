import os
import re

import pytest

from accelsim.errors import TechnologyError
from accelsim.hardware.scaling import scale_factors
from accelsim.hardware.sram import FIELDS, sram
from accelsim.hardware.technology import TABLES, technology, technology_names

TABLE = (TABLES / "45nm.toml").read_text(encoding="utf-8")


@pytest.fixture
def write(tmp_path):
    def write_table(text, name="own.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write_table


def changed(old, new, text=TABLE):
    assert text.count(old) >= 1
    return text.replace(old, new, 1)


# --- what comes with accelsim ---


@pytest.mark.parametrize("name", technology_names())
def test_every_number_has_a_source(name):
    tech = technology(name)
    rows = [*tech.actions.values(), *tech.power.values(), *tech.area.values(), *tech.cells.values()]
    assert len(rows) > 20
    assert all(row.source.strip() for row in rows)


def test_units_by_hand():
    tech = technology("45nm")
    assert tech.power["leading_nonzero_detect"].energy_per_cycle_pj == pytest.approx(0.023 / 0.8)
    assert tech.action("multiply_32").energy_pj == 3.1


def test_an_action_that_is_not_there_is_named_with_the_remedy():
    with pytest.raises(TechnologyError, match=r"no action 'divide_16': add \[actions.divide_16\]"):
        technology("45nm").action("divide_16")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("45", "technology '45': no such table"),
        ("45n", "did you mean '45nm'"),
        ("", "technology '': no such table"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name, message):
    with pytest.raises(TechnologyError, match=message):
        technology(name)


# --- tables of one's own ---


def test_a_table_of_ones_own_reads_the_sram_grid_that_comes_with_accelsim(write):
    own = technology(write(changed("energy_pj = 0.62", "energy_pj = 0.7")))
    assert own.action("multiply_16").energy_pj == 0.7
    assert own.sram_macro(131_072, 64) == technology("45nm").sram_macro(131_072, 64)


def test_a_grid_next_to_the_table_comes_first(write, tmp_path):
    header = ",".join(["node_nm", "capacity_bytes", "width_bits", *FIELDS])
    (tmp_path / "sram_cacti.csv").write_text(f"{header}\n45,1024,8,1,2,3,4,5\n", encoding="utf-8")
    macro = technology(write(TABLE)).sram_macro(1024, 8)
    assert (macro.read_energy_pj, macro.area_mm2, macro.cycle_time_ns) == pytest.approx(
        (0.4243, 1.092 * 4, 5)
    )


# --- where sources disagree on SRAM ---


def test_what_a_read_of_32_kilobytes_takes_by_each_source():
    """EIE Table I prints 5 pJ for 32 bits; CACTI says 11.7855 pJ."""
    reads = {name: technology(name).sram_macro(32_768, 32) for name in ("45nm", "45nm-horowitz")}
    assert [macro.read_energy_pj for macro in reads.values()] == pytest.approx([5, 5], rel=1e-3)
    cacti = technology("45nm-cacti").sram_macro(32_768, 32)
    assert cacti == sram(TABLES / "sram_cacti.csv", 45, 32_768, 32)
    assert cacti.read_energy_pj == pytest.approx(11.7855)
    assert reads["45nm-horowitz"].leakage_mw == cacti.leakage_mw
    assert reads["45nm"].leakage_mw == pytest.approx(32_768 * 8 * 1.541e-6)
    assert "EIE Table I" in reads["45nm"].source


def test_variants_differ_in_their_srams_only():
    base = technology("45nm")
    for name in ("45nm-cacti", "45nm-horowitz"):
        other = technology(name)
        assert other.name == name
        assert (other.actions, other.power, other.area, other.cells) == (
            base.actions,
            base.power,
            base.area,
            base.cells,
        )


# --- tables on a base ---


def test_a_table_on_a_base_says_only_where_it_differs(write):
    row = 'energy_pj = 1.5\nbits = 16\nstatus = "estimate"\nsource = "mine"\n'
    path = write(f'base = "45nm"\nname = "own"\n[actions.multiply_16]\n{row}')
    own, base = technology(path), technology("45nm")
    assert own.action("multiply_16").energy_pj == 1.5
    assert {name: row for name, row in own.actions.items() if name != "multiply_16"} == {
        name: row for name, row in base.actions.items() if name != "multiply_16"
    }
    assert own.sram_scale == base.sram_scale
    nested = write('base = "own.toml"\nname = "third"\nsram_scale = {}\n', "third.toml")
    assert technology(nested).action("multiply_16").energy_pj == 1.5
    assert technology(nested).sram_scale.energy is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "45n"\nname = "own"', "did you mean '45nm'"),
        ('base = 45\nname = "own"', "base=45: give the name of a technology"),
        ('base = "own.toml"\nname = "own"', "based on each other"),
        ('base = "45nm"\nname = "own"\nnode_nm = 1.5', "node_nm=1.5: give a whole number"),
        ('base = "45nm"\nname = "own"\nnode_nm = 500', "own.toml: node_nm=500: "),
        ('base = "45nm"\nname = "own"\nactions = 3', "actions"),
        ('base = "45nm"\nname = "own"\n[alternatives]', "alternatives"),
        ('base = "45nm"\nname = "own"\n[sram]\nx = 1', "sram"),
        ('base = "45nm"\n[name]', "name"),
        ('base = "45nm"\nname = "own"\nalternatives = ["46"]', "'46' is no technology"),
    ],
)
def test_a_bad_base_is_refused(write, text, message):
    path = write(text)
    with pytest.raises(TechnologyError) as error:
        technology(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_tables_that_are_based_on_each_other_are_refused(write):
    write('base = "own.toml"\nname = "b"', "b.toml")
    with pytest.raises(TechnologyError, match="based on each other"):
        technology(write('base = "b.toml"\nname = "own"'))


def test_logic_in_another_node_is_scaled_and_srams_are_the_grids_own():
    base, other = technology("45nm"), technology("32nm")
    factors = scale_factors(45, 32)
    for name, row in base.actions.items():
        # A wire: 1.0 V in 45 nm and 0.97 V in 32 nm, or whatever the supplies are.
        factor = factors.supply**2 if name == "wire_mm" else factors.energy
        assert other.action(name).energy_pj == pytest.approx(row.energy_pj * factor)
        assert other.action(name).status == "scaled"
    for name, cell in base.cells.items():
        assert other.cell(name).area_um2 == pytest.approx(cell.area_um2 * factors.area)
    tree = base.power["clock_tree"].power_mw * factors.energy / factors.area
    assert other.power["clock_tree"].power_mw == pytest.approx(tree)
    assert other.area["filler"] == base.area["filler"]
    macro = other.sram_macro(131_072, 64)
    assert macro.read_energy_pj == pytest.approx(0.4243 * 18.1554)
    assert 45 == base.node_nm != other.node_nm == 32


def test_a_grid_that_is_not_there_is_named(write):
    own = technology(write(changed("sram_cacti.csv", "none.csv")))
    with pytest.raises(TechnologyError, match=r"none\.csv: cannot be read"):
        own.sram_macro(1024, 8)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('source = "Horowitz, ISSCC 2014, in EIE Table I, 45 nm"', "", "multiply_32.source"),
        ('source = "Horowitz, ISSCC 2014, in EIE Table I, 45 nm"', 'source = ""', "source=''"),
        ("energy_pj = 0.62", "energy_pj = -0.62", "actions.multiply_16.energy_pj=-0.62"),
        ("energy_pj = 0.62", "energy_pj = nan", "actions.multiply_16.energy_pj=nan"),
        ("energy_pj = 0.62", "energy_pj = inf", "actions.multiply_16.energy_pj=inf"),
        ("energy_pj = 0.62", 'energy_pj = "low"', "energy_pj='low'"),
        ("energy_pj = 0.62", "energy = 0.62", "actions.multiply_16.energy"),
        ("bits = 16", "bits = 0", "actions.multiply_16.bits=0"),
        ("bits = 16", "bits = 16\nunit = 1", "unknown field 'actions.multiply_16.unit'"),
        ('status = "derived"', 'status = "guess"', "status='guess'"),
        ("at_mhz = 800.0", "at_mhz = 0.0", "power.clock_tree.at_mhz=0.0"),
        ('per = "mm2"', 'per = "chip"', "power.clock_tree.per='chip'"),
        ("area_um2 = 993.0", "area_um2 = -1.0", "cells.multiplier_16.area_um2=-1.0"),
        ("factor = 0.4243", "factor = 0.0", "sram_scale.energy.factor=0.0"),
        ("power_nw_per_bit = ", "power_nw_per_bit = -", "sram_scale.leakage.power_nw_per_bit=-"),
        ("node_nm = 45", "node_nm = 0", "node_nm=0"),
        ('name = "45nm"', "", "field 'name' is missing"),
        ('name = "45nm"', 'name = "45nm"\nvdd = 1.1', "unknown field 'vdd'"),
        ("[power.clock_tree]", "[power.clocks]", "no power 'clock_tree': add"),
        ("[power.leading_nonzero_detect]", "[power.lnzd]", "no power 'leading_nonzero_detect'"),
        ("[area.filler]", "[area.logic]", "no area 'filler': add [area.filler]"),
        ("[cells.adder_16]", "[cells.adder_17]", "no cell 'adder_16': add [cells.adder_16]"),
        ("[area.leading_nonzero_detect]", "[area.lnzd]", "add [area.leading_nonzero_detect]"),
        ("[actions.multiply_16]", "[actions.multiply_7]", "no action 'multiply_16': add"),
        ("[actions.add_16]", "[actions.add_7]", "no action 'add_16': add [actions.add_16]"),
        ("[actions.register_file]", "[actions.registers]", "no action 'register_file': add"),
        ("node_nm = 45", "node_nm = = 45", "not valid TOML"),
    ],
)
def test_a_bad_table_is_refused_with_file_and_field(write, old, new, message):
    path = write(changed(old, new))
    with pytest.raises(TechnologyError) as error:
        technology(path)
    assert re.match(rf"{re.escape(path)}(, line \d+)?: ", str(error.value))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_edited_table_is_read_anew(write):
    assert technology(write(TABLE)).action("multiply_16").energy_pj == 0.62
    path = write(changed("energy_pj = 0.62", "energy_pj = 0.7"))
    os.utime(path, ns=(0, 1))
    assert technology(path).action("multiply_16").energy_pj == 0.7


def test_a_relative_path_means_what_it_means_here(tmp_path, monkeypatch):
    for name, energy in (("a", "0.6"), ("b", "0.7")):
        (tmp_path / name).mkdir()
        text = changed("energy_pj = 0.62", f"energy_pj = {energy}")
        (tmp_path / name / "own.toml").write_text(text, encoding="utf-8")
        monkeypatch.chdir(tmp_path / name)
        assert technology("own.toml").action("multiply_16").energy_pj == float(energy)


def test_a_node_without_srams_is_refused_where_one_is_needed(write):
    own = technology(write(changed("node_nm = 45", "node_nm = 7")))
    with pytest.raises(TechnologyError, match="no SRAM of 7 nm"):
        own.sram_macro(1024, 8)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TechnologyError, match=r"none\.toml: cannot be read: No such file"):
        technology(str(tmp_path / "none.toml"))


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TechnologyError, match="not valid TOML"):
        technology(str(path))
