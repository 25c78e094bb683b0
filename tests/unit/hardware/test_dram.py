"""DRAM channels against a cycle-level simulator, and by hand; links; files of one's own."""

import csv
import os
import re
from pathlib import Path

import pytest

import accelsim
from accelsim.errors import TechnologyError
from accelsim.hardware.dram import TABLES, dram, link

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "tests" / "exact" / "dram_channel.csv"
ROWS = list(csv.DictReader(REFERENCE.read_text(encoding="utf-8").splitlines()))
ISSUED = [
    "lpddr2", "lpddr3", "lpddr4", "lpddr5", "lpddr6", "ddr3", "ddr4", "ddr5",
    "gddr6", "gddr7", "hbm1", "hbm2", "hbm3", "hbm4",
]  # fmt: skip
OWN = """
[mine]
energy_pj_per_bit = 1.5
energy_source = "measured"
bandwidth_gbyte_per_s = 10.0
bandwidth_source = "measured"
latency_ns = 100.0
latency_source = "measured"
status = "estimate"
"""
TIMED = """
[mine]
energy_source = "unknown"
status = "estimate"

[mine.channel]
width_bits = 8
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
"""


@pytest.fixture
def write(tmp_path):
    def write_table(text, name="own.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write_table


def changed(old, new, text):
    assert text.count(old) >= 1
    return text.replace(old, new, 1)


# --- what comes with accelsim ---


def test_all_kinds_are_there():
    assert {path.stem for path in (TABLES / "dram").glob("*.toml")} == set(ISSUED)
    assert {row["standard"].lower() for row in ROWS} <= set(ISSUED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["standard"])
def test_streaming_and_random_reads_are_those_of_the_simulator(row):
    kind = dram(row["standard"].lower())
    assert kind.channel.peak_gbyte_per_s == pytest.approx(float(row["peak_gbyte_per_s"]), rel=1e-3)
    assert kind.bandwidth_gbyte_per_s == pytest.approx(
        float(row["streaming_read_gbyte_per_s"]), rel=0.02
    )
    assert kind.latency_ns == pytest.approx(float(row["unloaded_random_read_ns"]), rel=0.02)
    assert kind.channel.rate_mtps == float(row["rate_mtps"])
    assert row["organisation"] in kind.channel.organisation_source
    assert row["timing"] in kind.channel.timing_source


@pytest.mark.parametrize("name", ISSUED)
def test_every_number_has_a_source(name):
    kind = dram(name)
    sources = [kind.energy_source, kind.bandwidth_source, kind.latency_source]
    sources += [kind.channel.organisation_source, kind.channel.timing_source]
    assert all(len(source.strip()) > 10 for source in sources)
    assert kind.status in ("derived", "estimate")
    if name in ("lpddr2", "lpddr3", "lpddr4"):
        assert kind.status == "estimate"


def test_energies_per_bit():
    # Horowitz's 640 pJ per 32 bits; constants of a public tool.
    known = {"lpddr2": 20, "lpddr4": 8, "ddr3": 70, "hbm2": 6.25, "hbm3": 4.05}
    assert {name: dram(name).energy_pj_per_bit for name in known} == known


@pytest.mark.parametrize("name", ISSUED)
def test_banks_hide_the_changing_of_rows(name):
    """Or refresh would not be all that a stream loses."""
    assert dram(name).channel.row_frac == 1.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lpddr", "did you mean 'lpddr[2-6]'"),
        ("flash", "the kinds are ddr3, ddr4, ddr5, gddr6"),
        ("", "dram '': no such kind"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name, message):
    with pytest.raises(TechnologyError, match=message):
        dram(name)


def test_the_document_shows_what_the_code_computes():
    """The table of docs/system.md, row by row."""
    page = (ROOT / "docs" / "system.md").read_text(encoding="utf-8")
    for row in ROWS:
        kind = dram(row["standard"].lower())
        reference = float(row["streaming_read_gbyte_per_s"])
        ours = kind.bandwidth_gbyte_per_s
        random_ns = float(row["unloaded_random_read_ns"])
        cells = [
            row["standard"], f"{reference:.3f}", f"{ours:.3f}", f"{100 * (ours / reference - 1):+.2f} %",
            f"{random_ns:.2f}", f"{kind.latency_ns:.2f}",
            f"{100 * (kind.latency_ns / random_ns - 1):+.2f} %",
        ]  # fmt: skip
        assert "| " + " | ".join(cells) + " |" in page


# --- the mechanism, by hand ---


def test_a_stream_loses_what_refresh_takes(write):
    # Bursts of 8 bytes at 1 GT/s: 8 ns, so 1 byte per ns. Of 1000 cycles 82 + 8 + 10 are lost.
    kind = dram(write(TIMED))
    assert kind.channel.peak_gbyte_per_s == pytest.approx(1.0)
    assert kind.bandwidth_gbyte_per_s == pytest.approx(0.9)
    assert kind.transfer_us(9000) == pytest.approx(10 + 0.06)
    assert kind.transfer_ps(9000) == 10_060_000
    assert kind.transfer_ps(0) == 0


def test_two_sub_channels_move_twice_as_much(write):
    text = changed("width_bits = 8", "width_bits = 8\nsub_channels = 2", TIMED)
    assert dram(write(text)).bandwidth_gbyte_per_s == pytest.approx(1.8)


def test_too_few_banks_make_a_stream_wait_for_rows(write):
    # A page takes 64 ns; then its bank closes and opens for (8 + 10) 2 = 36 ns. One bank alone
    # delivers 64 bytes in 100 ns; two hide it.
    one = dram(write(changed("banks = 4", "banks = 1", TIMED), "one.toml"))
    assert one.bandwidth_gbyte_per_s == pytest.approx(0.64 * 0.9)
    two = dram(write(changed("banks = 4", "banks = 2", TIMED), "two.toml"))
    assert two.bandwidth_gbyte_per_s == pytest.approx(0.9)


def test_rows_that_are_open_closed_or_others(write):
    channel = dram(write(TIMED)).channel
    assert channel.read_ns("hit") == 24
    assert channel.read_ns("miss") == 44
    assert channel.read_ns("conflict") == channel.read_ns() == 60


def test_lpddr6_carries_checks_beside_the_data():
    channel = dram("lpddr6").channel
    assert channel.peak_gbyte_per_s == pytest.approx(12 / 8 * 10.667 * 256 / 288)


# --- kinds without an energy ---


def test_a_kind_without_a_known_energy_is_refused_with_the_remedy():
    unknown = [name for name in ISSUED if dram(name).energy is None]
    assert unknown
    for name in unknown:
        with pytest.raises(TechnologyError) as error:
            accelsim.simulate("lenet-300-100", dram=name, weights_in="dram")
        message = str(error.value)
        assert f"{name}.toml: no energy per bit is known" in message
        assert "add energy_pj_per_bit" in message
        assert "\n" not in message


def test_an_energy_of_ones_own_makes_it_usable(tmp_path):
    text = (TABLES / "dram" / "ddr5.toml").read_text(encoding="utf-8")
    path = tmp_path / "ddr5.toml"
    path.write_text(changed("[ddr5]", "[ddr5]\nenergy_pj_per_bit = 12.5", text), encoding="utf-8")
    result = accelsim.simulate("lenet-300-100", dram=str(path), weights_in="dram")
    moved = [term for term in result.energy_rows if term["component"] == "DRAM"]
    assert {term["energy_per_action_pj"] for term in moved} == {12.5}


# --- links, and files of one's own ---


def test_a_link_has_sources_and_moves_bytes():
    grs = link("grs")
    assert grs.transfer_us(25_000) == pytest.approx(1 + grs.latency_ns / 1e3)
    assert "Turner" in grs.energy_source
    with pytest.raises(TechnologyError, match="link 'wire': no such kind; the kinds are grs"):
        link("wire")


@pytest.mark.parametrize("load", [dram, link])
def test_plain_figures_of_ones_own(write, load):
    kind = load(write(OWN))
    assert (kind.energy_pj_per_bit, kind.bandwidth_gbyte_per_s, kind.latency_ns) == (1.5, 10, 100)


def test_an_edited_file_is_read_anew(write):
    assert dram(write(OWN)).latency_ns == 100
    path = write(changed("100.0", "90.0", OWN))
    os.utime(path, ns=(0, 1))
    assert dram(path).latency_ns == 90


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds 0 tables"),
        (OWN + OWN.replace("mine", "yours"), "holds 2 tables"),
        (changed('energy_source = "measured"', "", OWN), "'energy_source' is missing"),
        (changed("10.0", "0.0", OWN), "bandwidth_gbyte_per_s=0.0"),
        (changed("100.0", "-1.0", OWN), "latency_ns=-1.0"),
        (changed("1.5", "nan", OWN), "energy_pj_per_bit=nan"),
        (changed("energy_pj_per_bit", "energy_pj", OWN), "no unit: write energy_pj_per_bit"),
        (OWN + "channels = 2", "unknown field 'channels'"),
        (OWN + 'file = "x"', "unknown field 'file'"),
        ("mine = 3", "holds a value outside any table"),
        (changed("[mine.channel]", "latency_ns = 3\n[mine.channel]", TIMED), "give one of the two"),
        (changed("n_rp = 8", "n_rp = -8", TIMED), "n_rp=-8"),
        (changed("n_refi = 1000", "n_refi = 100", TIMED), "n_refi=100 leaves no time"),
        (
            changed("burst_bytes = 8", "burst_bytes = 9", TIMED),
            "burst_bytes=9 is more than 8 beats",
        ),
        (changed("n_cl = 12", "", TIMED), "field 'n_cl' is missing"),
        ("[mine]\nchannel = 3", "holds a value outside any table"),
        ("= 3", "not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_with_file_and_field(write, text, message):
    path = write(text)
    with pytest.raises(TechnologyError) as error:
        dram(path)
    assert re.match(rf"{re.escape(path)}(, line \d+)?: ", str(error.value))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TechnologyError, match=r"none\.toml: cannot be read: No such file"):
        dram(str(tmp_path / "none.toml"))
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TechnologyError, match="not valid TOML"):
        dram(str(path))


def test_what_a_kind_says_does_not_depend_on_where_it_is(write, tmp_path):
    """Stores of sweeps compare it."""
    (tmp_path / "sub").mkdir()
    one, two = dram(write(OWN)), dram(write(OWN, "sub/own.toml"))
    assert one.model_dump_json() == two.model_dump_json()
    assert not re.search(re.escape(str(tmp_path)), one.model_dump_json())
