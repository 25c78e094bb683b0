"""DRAM energy per command: by hand, against DRAMPower's published output, and beside pJ per bit."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from accelsim.errors import TechnologyError
from accelsim.hardware.dram import TABLES, dram
from accelsim.hardware.dram_energy import compare_methods, dram_terms
from accelsim.hardware.dram_power import Power, Supply

ROOT = Path(__file__).parents[3]
KINDS = sorted(path.stem for path in (TABLES / "dram").glob("*.toml"))
WITH_COMMANDS = ["ddr3", "ddr4", "hbm2", "lpddr2", "lpddr3", "lpddr4"]

# A channel of two sub-channels of two devices: bursts of 8 bytes take 8 ns, so 1 byte per ns each.
OWN = """
[mine]
energy_pj_per_bit = 5.0
energy_source = "made up"
status = "estimate"

[mine.channel]
width_bits = 8
sub_channels = 2
rate_mtps = 1000.0
burst_length = 8
burst_bytes = 8
banks = 4
page_bytes = 64
organisation_source = "made up"
tck_ns = 2.0
n_rcd = 10
n_cl = 12
n_rp = 8
n_rfc = 82
n_refi = 1000
timing_source = "made up"

[mine.power]
devices = 2
t_ras_ns = 30.0
t_rp_ns = 10.0
t_rfc_ns = 100.0
source = "made up"
io_read_pj_per_bit = 0.5
io_write_pj_per_bit = 0.25
io_source = "wires made up"
status = "estimate"

[[mine.power.supplies]]
vdd_v = 2.0
idd0_ma = 20.0
idd2n_ma = 8.0
idd3n_ma = 10.0
idd4r_ma = 42.0
idd4w_ma = 34.0
idd5_ma = 60.0

[[mine.power.supplies]]
vdd_v = 1.0
idd0_ma = 5.0
idd2n_ma = 1.0
idd3n_ma = 2.0
idd4r_ma = 10.0
idd4w_ma = 2.0
idd5_ma = 2.0
"""


@pytest.fixture
def own(tmp_path):
    def load(text=OWN):
        path = tmp_path / "own.toml"
        path.write_text(text, encoding="utf-8")
        return dram(str(path))

    return load


def energies(terms):
    return {term.component: term.energy_pj for term in terms}


# --- the method, by hand ---


def test_commands_by_hand(own):
    """One device: a row 2 V (10 mA 30 ns + 12 mA 10 ns) + 1 V (3 mA 30 ns + 4 mA 10 ns) = 970 pJ.

    Above standby a read takes 2 V 32 mA + 1 V 8 mA = 72 mW, a write 48 mW, a refresh 100 mW; standby
    itself takes 22 mW. A burst of both devices is 64 bits.
    """
    commands = own().command_energies
    assert commands.activate_pj == pytest.approx(2 * 970)
    assert commands.read_pj_per_bit == pytest.approx(2 * 72 * 8 / 64 + 0.5)
    assert commands.write_pj_per_bit == pytest.approx(2 * 48 * 8 / 64 + 0.25)
    assert commands.refresh_pj == pytest.approx(2 * 100 * 100)
    assert commands.standby_mw == pytest.approx(2 * 22)
    assert commands.source == "made up; wires: wires made up"


def test_terms_by_hand(own):
    # 100 bytes read are 2 rows of 64, 65 written 2 more. In 10 us come 5 refreshes of each sub-channel.
    terms = dram_terms(100, 65, 10.0, own(), "commands")
    assert energies(terms) == pytest.approx(
        {
            "DRAM activate": 4 * 1940,
            "DRAM read": 800 * 18.5,
            "DRAM write": 520 * 12.25,
            "DRAM refresh": 2 * 5 * 20_000,
            "DRAM standby": 2 * 44e-3 * 10e-6 * 1e12,
        }
    )
    assert {term.group for term in terms} == {"DRAM"}
    assert all(term.energy_pj == term.count * term.energy_per_action_pj for term in terms)


def test_per_bit_is_one_term(own):
    (term,) = dram_terms(100, 65, 10.0, own(), "per_bit")
    assert (term.component, term.count, term.energy_per_action_pj) == ("DRAM", 8 * 165, 5.0)
    assert term.source == "made up"


@pytest.mark.parametrize("method", ["per_bit", "commands"])
def test_twice_the_bytes_and_the_time_take_twice_the_energy(method):
    kind = dram("ddr4")
    page = kind.channel.page_bytes
    once = energies(dram_terms(3 * page, page, 10.0, kind, method))
    twice = energies(dram_terms(6 * page, 2 * page, 20.0, kind, method))
    assert twice == pytest.approx({name: 2 * energy for name, energy in once.items()})


def test_nothing_moved_leaves_refresh_and_standby(own):
    terms = energies(dram_terms(0, 0, 1.0, own(), "commands"))
    assert {name for name, energy in terms.items() if energy} == {"DRAM refresh", "DRAM standby"}
    assert not any(energies(dram_terms(0, 0, 0.0, own(), "commands")).values())


# --- a published check ---


def test_energies_are_those_of_drampower():
    """DRAMPower's reference output for a trace of a Micron 2 Gb LPDDR2-1066 x16.

    Public repository tukl-msd/DRAMPower, test/reference/test_LPDDR2_1066_termination_matches_reference:
    4000 activates, 4000 precharges, 8000 reads, 19 refreshes, 41431 cycles with a row open, at 533 MHz.
    """
    tck = 1e3 / 533
    power = Power(
        devices=1,
        t_ras_ns=23 * tck,
        t_rp_ns=(32 - 23) * tck,
        t_rfc_ns=70 * tck,
        supplies=[
            Supply(vdd_v=1.8, idd0_ma=20, idd2n_ma=1.7, idd3n_ma=1.2, idd4r_ma=5, idd4w_ma=10, idd5_ma=15),
            Supply(vdd_v=1.2, idd0_ma=71, idd2n_ma=22, idd3n_ma=30, idd4r_ma=226, idd4w_ma=208, idd5_ma=136),
        ],
        source="MICRON_2Gb_LPDDR2-1066-S4_16bit_A",
        io_source="none",
        status="derived",
    )  # fmt: skip
    commands = power.commands(burst_ns=4 * tck, burst_bytes=16)
    assert 4000 * commands.activate_pj == pytest.approx(14333358.35 + 6196322.70, abs=0.01)
    assert 8000 * 128 * commands.read_pj_per_bit == pytest.approx(14531482.18, abs=0.006)
    assert 19 * commands.refresh_pj == pytest.approx(379386.87, abs=0.006)
    assert 41431 * tck * commands.standby_mw == pytest.approx(2966241.95, abs=0.006)


# --- what comes with accelsim ---


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_every_number_of_the_commands_has_a_source(name):
    commands = dram(name).command_energies
    assert len(commands.source) > 50
    assert commands.status in ("published", "derived", "estimate")


def test_commands_are_known_where_the_document_says_so():
    assert [name for name in KINDS if dram(name).command_energies] == WITH_COMMANDS


def test_hbm2_is_as_printed():
    """O'Connor et al., MICRO 2017, Table 3; nothing is printed of refresh and standby."""
    terms = dram_terms(2048, 0, 1.0, dram("hbm2"), "commands")
    assert energies(terms) == pytest.approx(
        {"DRAM activate": 2 * 909, "DRAM read": 16384 * (1.51 + 1.17 + 0.80), "DRAM write": 0}
    )


def test_energy_of_the_wires_by_hand():
    """At 1600, 2400, 1066 and 1600 Mb/s; a byte's strobe, and the mask of a write, are pins as well."""
    ddr3, ddr4 = dram("ddr3").power, dram("ddr4").power
    assert ddr3.io_read_pj_per_bit == pytest.approx(4.6 / 1.6 * 9 / 8, rel=2e-3)
    assert ddr3.io_write_pj_per_bit == pytest.approx(21.2 / 1.6 * 10 / 8, rel=3e-3)
    half_the_bits = 0.5 * 1.2**2 / (34 + 60) * 1e3 / 2.4
    assert ddr4.io_read_pj_per_bit == pytest.approx(half_the_bits * 9 / 8, rel=2e-3)
    for name, farad in (("lpddr2", 2.5), ("lpddr3", 1.8)):
        charged = farad * 1.2**2 / 4
        assert dram(name).power.io_read_pj_per_bit == pytest.approx(charged * 9 / 8, rel=4e-3)


def test_a_stream_is_the_sum_of_its_parts():
    frame = compare_methods(KINDS)
    parts = ["activate", "read", "refresh", "standby"]
    total = frame[[f"{part}_pj_per_bit" for part in parts]].sum(axis=1)
    assert np.allclose(total, frame["stream_pj_per_bit"])
    # LPDDR4 by hand: 433.7 mW above standby for 5 ns are 256 bits; a row of 2 KB; two channels.
    kind = dram("lpddr4")
    gbit_per_s = 8 * kind.bandwidth_gbyte_per_s
    row = 1.8 * (1.25 * 42.5 + 1.5 * 18.125) + 1.1 * (15 * 42.5 + 18 * 18.125)
    standby = 1.8 * 2.25 + 1.1 * 30.75
    refresh = (1.8 * 7.75 + 1.1 * 60) * 280 / (6247 * 0.625)
    read = 1.1 * (275 - 30 + 150 - 0.75) * 5 / 256
    by_hand = row / 16384 + read + 2 * (standby + refresh) / gbit_per_s
    assert frame.loc["lpddr4", "stream_pj_per_bit"] == pytest.approx(by_hand, rel=1e-4)
    assert frame.loc["lpddr4", "one_burst_per_row_pj_per_bit"] == pytest.approx(row / 256 + read)
    assert frame.loc["lpddr4", "stream_of_per_bit"] == pytest.approx(by_hand / 8, rel=1e-4)


def test_the_published_figure_of_lpddr2_is_that_of_a_burst_per_row():
    """640 pJ per 32 bits (Horowitz): a stream takes half of it, a row for each burst somewhat more."""
    row = compare_methods(["lpddr2"]).loc["lpddr2"]
    assert row["stream_pj_per_bit"] < 20 < row["one_burst_per_row_pj_per_bit"]
    assert row["one_burst_per_row_pj_per_bit"] == pytest.approx(20, rel=0.2)


def test_the_document_shows_what_the_code_computes():
    page = (ROOT / "docs" / "energy-dram.md").read_text(encoding="utf-8")
    for name, row in compare_methods(KINDS).iterrows():
        numbers = [
            "—" if math.isnan(value) else f"{value:.2f}"
            for value in row.drop("status").to_numpy(float)
        ]
        assert "| " + " | ".join([name, *numbers, row["status"]]) + " |" in page
    for name in KINDS:
        assert re.search(rf"\b{name}\b", page, re.IGNORECASE)


def test_the_kind_of_the_document_can_be_used(own):
    """Its [mine.power] beside the channel of these tests."""
    page = (ROOT / "docs" / "energy-dram.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    kind = own(OWN[: OWN.index("[mine.power]")] + block)
    assert kind.power.supplies == dram("ddr3").power.supplies
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    exec(compile(code, "docs/energy-dram.md", "exec"), {})


# --- what is refused ---


@pytest.mark.parametrize("name", [name for name in KINDS if name not in WITH_COMMANDS])
def test_a_kind_without_commands_is_refused_with_the_remedy(name):
    with pytest.raises(
        TechnologyError, match=rf"{name}\.toml: what commands cost is not known: set"
    ):
        dram_terms(1, 0, 1.0, dram(name), "commands")


def test_a_kind_without_a_figure_per_bit_may_have_commands():
    assert dram("lpddr3").energy is None
    assert dram_terms(64, 0, 1.0, dram("lpddr3"), "commands")
    with pytest.raises(TechnologyError, match="no energy per bit is known"):
        dram_terms(64, 0, 1.0, dram("lpddr3"), "per_bit")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "idd0_ma = 20.0\nidd2n_ma = 8.0\nidd3n_ma = 10.0",
            "idd0_ma = 122.0\nidd2n_ma = 92.0\nidd3n_ma = 142.0",  # gem5's DDR5
            "line 24: power: idd0_ma is below standby",
        ),
        ("idd0_ma = 20.0", "idd0_ma = 1.0", "line 24: power: idd0_ma is below standby"),
        ("idd4r_ma = 42.0", "idd4r_ma = 1.0", "line 24: power: idd4r_ma is below standby"),
        ("idd4w_ma = 34.0", "idd4w_ma = 1.0", "line 24: power: idd4w_ma is below standby"),
        ("idd5_ma = 60.0", "idd5_ma = 1.0", "line 24: power: idd5_ma is below standby"),
        ("idd5_ma = 60.0", "", "line 35: field 'power.supplies.0.idd5_ma' is missing"),
        ("devices = 2", "devices = 0", "line 25: power.devices=0"),
        ('io_source = "wires made up"', "", "line 24: field 'power.io_source' is missing"),
        ("vdd_v = 1.0", "vdd_v = nan", "line 45: power.supplies.1.vdd_v=nan"),
        ("[mine.channel]", "[mine.kanal]", "line 24: power: bursts, rows and refreshes are unknown"),
        (
            "[mine.power]",
            '[mine.commands]\nactivate_pj = 1\nread_pj_per_bit = 1\nwrite_pj_per_bit = 1\nsource = "x"\n'
            'status = "published"\n[mine.power]',
            "line 24: commands follow from [power]: give one of the two",
        ),
    ],
)  # fmt: skip
def test_bad_currents_are_refused_with_file_and_line(own, tmp_path, old, new, message):
    assert OWN.count(old) == 1
    with pytest.raises(TechnologyError) as error:
        own(OWN.replace(old, new))
    assert str(error.value).startswith(f"{tmp_path / 'own.toml'}, {message}")
    assert "\n" not in str(error.value)
