import os

import pytest

from accelsim.errors import TechnologyError
from accelsim.hardware.sram import FIELDS
from accelsim.hardware.technology import TABLES, technology

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


@pytest.mark.parametrize("name", sorted(path.stem for path in TABLES.glob("*nm.toml")))
def test_every_number_has_a_source(name):
    tech = technology(name)
    rows = [*tech.actions.values(), *tech.power.values(), *tech.area.values()]
    assert rows
    assert all(row.source.strip() for row in rows)


def test_units_by_hand():
    tech = technology("45nm")
    assert tech.power["clock"].energy_per_cycle_pj == pytest.approx(1.874 / 0.8)
    assert tech.action("multiply_32").energy_pj == 3.1


def test_an_action_that_is_not_there_is_named_with_the_remedy():
    with pytest.raises(TechnologyError, match=r"no action 'divide_16': add \[actions.divide_16\]"):
        technology("45nm").action("divide_16")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("45", "technology '45': no such table"),
        ("46nm", "did you mean '45nm'"),
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
    assert (macro.read_energy_pj, macro.area_mm2, macro.cycle_time_ns) == pytest.approx((1, 4, 5))


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
        ("at_mhz = 800.0", "at_mhz = 0.0", "power.clock.at_mhz=0.0"),
        ('per = "pe"', 'per = "chip"', "power.clock.per='chip'"),
        ("area_um2 = 43238.0", "area_um2 = -1.0", "area.pe_logic.area_um2=-1.0"),
        ("node_nm = 45", "node_nm = 0", "node_nm=0"),
        ('name = "45nm"', "", "field 'name' is missing"),
        ('name = "45nm"', 'name = "45nm"\nvdd = 1.1', "unknown field 'vdd'"),
        ("[power.clock]", "[power.clocks]", "no power 'clock': add"),
        ("[power.leading_nonzero_detect]", "[power.lnzd]", "no power 'leading_nonzero_detect'"),
        ("[area.pe_logic]", "[area.logic]", "no area 'pe_logic': add [area.pe_logic]"),
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
    assert str(error.value).startswith(f"{path}: ")
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
    own = technology(write(changed("node_nm = 45", "node_nm = 28")))
    with pytest.raises(TechnologyError, match="no SRAM of 28 nm"):
        own.sram_macro(1024, 8)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TechnologyError, match=r"none\.toml: cannot be read: No such file"):
        technology(str(tmp_path / "none.toml"))


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TechnologyError, match="not valid TOML"):
        technology(str(path))
