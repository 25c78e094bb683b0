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


def test_power_of_the_nine_layers_wires_and_sources():
    """From the committed report, which a test of its own holds to the code."""
    nine = pd.read_csv(REPORT / "power_by_layer.csv").head(9)["total_mw"]
    told = re.search(r"the nine layers of the paper take ([\d.]+)\s+to ([\d.]+) mW per PE", PAGE)
    assert [float(told[1]), float(told[2])] == [round(nine.min(), 1), round(nine.max(), 1)]
    published = pe_table("power_mw")["total"]
    spread = int(re.search(r"±(\d+) % for not\s+knowing", PAGE)[1])
    off = (nine / published - 1).abs().max()
    assert spread == round(100 * off)
    sources = pd.read_csv(REPORT / "sram_sources.csv").set_index("technology")
    row = sources.loc["45nm"]
    wires = float(re.search(r"add an estimated (\d+) %", PAGE)[1])
    assert wires == pytest.approx(100 * row["outside_w"] / row["pes_w"], abs=0.5)
    ends = [
        100 * (sources.loc[f"45nm-{x}", "chip_w"] / row["chip_w"] - 1)
        for x in ("horowitz", "cacti")
    ]
    told = re.search(r"by −(\d+) % to \+(\d+) %", PAGE)
    assert [-int(told[1]), int(told[2])] == [round(end) for end in ends]


def test_what_the_readme_says_of_the_published_chip():
    compared = pd.read_csv(REPORT / "comparison.csv")
    rows = compared[
        (compared["table"] == "Table II") & ~compared["row"].str.startswith("total, on")
    ]
    fitted = rows["note"].str.startswith("fitted")
    checks = rows[rows["note"].str.startswith("a check")]
    assert (fitted.sum(), len(checks)) == (10, 11)
    assert checks["difference_pct"].abs().max() < 15
    assert "other half is met within 15 %" in re.sub(r"\s+", " ", README)
    abstract = compared[compared["table"] == "Abstract"].set_index("column")["difference_pct"]
    told = re.search(
        r"come out (\d+) to (\d+) % higher in speed and (\d+) to (\d+) % higher in energy", README
    )
    for (low, high), what in zip(((1, 2), (3, 4)), ("speed-up", "energy efficiency"), strict=True):
        off = sorted(abstract[abstract.index.str.startswith(what)])
        assert [int(told[low]), int(told[high])] == [round(value) for value in off]


def test_the_table_of_ones_own_is_valid(tmp_path):
    text = PAGE.split("```toml\n")[1].split("```")[0]
    assert tomllib.loads(text)["base"] == "45nm"
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    assert technology(str(path)).action("multiply_16").energy_pj == 0.4
