"""Numbers on the pages about energy, held to what the code gives."""

import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from exact.layers import data_dir

from accelsim.baseline.published import pe_table
from accelsim.hardware.technology import technology
from accelsim.simulation.network import simulate
from accelsim.study.calibrate import FIT_ROWS, pe_parts, pe_rows

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "energy.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
REPORT = ROOT / "reports" / "reference" / "eie"
NAMES = {"registers": "register"}


@pytest.fixture(scope="module")
def result():
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no alexnet_fc8.npz")
    return simulate(folder / "alexnet_fc8.npz")


def numbers(text):
    """Signed percentages by the word before them."""
    return {
        NAMES.get(name, name): float(value.replace("−", "-"))
        for name, value in re.findall(r"(\w+) ([−+][\d.]+) %", text)
    }


@pytest.mark.parametrize(("heading", "what"), [("power", "power_mw"), ("area", "area_um2")])
def test_the_rows_of_the_published_chip(result, heading, what):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {heading} | "))
    _, _, fitted, checks, _ = row.split("|")
    assert [NAMES.get(name.strip(), name.strip()) for name in fitted.split(",")] == list(
        FIT_ROWS[what]
    )
    published, ours = pe_table(what), pe_rows(pe_parts(result, what))
    told = numbers(checks)
    assert set(told) == set(published) - set(FIT_ROWS[what])
    for name, percent in told.items():
        assert percent == pytest.approx(100 * (ours[name] / published[name] - 1), abs=0.051), name


def test_energies_of_the_terms():
    tech = technology("45nm")
    srams = {
        "13.7 pJ for 128 KB × 64 bits": (tech.sram_macro(131_072, 64).read_energy_pj, 13.7),
        "3.25 pJ for 16 KB × 16 bits": (tech.sram_macro(16_384, 16).read_energy_pj, 3.25),
        "4.40 fJ per bit": (1e3 * tech.action("register_write").energy_pj, 4.40),
        "0.388 fJ per multiplexer": (1e3 * tech.action("multiplexer").energy_pj, 0.388),
        "0.121 pJ per bit and mm": (tech.action("wire_mm").energy_pj, 0.121),
        "0.217 fJ each": (1e3 * tech.action("clock_pin").energy_pj, 0.217),
        "2.19 mW per mm²": (tech.power["clock_tree"].power_mw, 2.19),
        "1.54 nW per bit": (tech.sram_scale.leakage.power_nw_per_bit, 1.54),
    }
    for text, (value, told) in srams.items():
        assert text in PAGE
        assert value == pytest.approx(told, rel=5e-3)


def test_mean_power_of_the_nine_layers_and_what_wires_add():
    """From the committed report, which a test of its own holds to the code."""
    nine = pd.read_csv(REPORT / "power_by_layer.csv").head(9)
    told = float(re.search(r"the nine layers of the paper take ([\d.]+) mW", PAGE)[1])
    assert told == pytest.approx(nine["total_mw"].mean(), abs=0.005)
    sources = pd.read_csv(REPORT / "sram_sources.csv").set_index("technology")
    wires = float(re.search(r"add an estimated (\d+) %", PAGE)[1])
    row = sources.loc["45nm"]
    assert wires == pytest.approx(100 * row["outside_w"] / row["pes_w"], abs=0.5)
    low, high = (
        100 * (sources.loc[name, "chip_w"] / row["chip_w"] - 1)
        for name in ("45nm-horowitz", "45nm-cacti")
    )
    told = re.search(r"by −(\d+) % to \+(\d+) %", PAGE)
    assert (-int(told[1]), int(told[2])) == (pytest.approx(low, abs=4), pytest.approx(high, abs=4))


def test_what_the_readme_says_of_the_published_chip():
    compared = pd.read_csv(REPORT / "comparison.csv")
    rows = compared[compared["table"] == "Table II"]
    fitted = rows["note"].str.startswith("fitted")
    checks = rows[rows["note"].str.startswith("a check")]
    assert 10 == fitted.sum() <= len(checks)
    assert checks["difference_pct"].abs().max() < 15
    totals = checks[checks["row"] == "total"]["difference_pct"].abs()
    assert "other half is met within 15 %, its totals within 0.5 %" in re.sub(r"\s+", " ", README)
    assert len(totals) == 2
    assert totals.max() <= 0.5
    advantage = compared[
        (compared["table"] == "Abstract")
        & compared["column"].str.contains("efficiency over the CPU")
    ]
    assert "energy advantage over a CPU within 4 %" in re.sub(r"\s+", " ", README)
    assert advantage["difference_pct"].abs().item() < 4


def test_the_table_of_ones_own_is_valid(tmp_path):
    text = PAGE.split("```toml\n")[1].split("```")[0]
    assert tomllib.loads(text)["base"] == "45nm"
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    assert technology(str(path)).action("multiply_16").energy_pj == 0.4
