"""Table II and the chip: the chapters say what was fitted, what was not, and where sources disagree."""

import pandas as pd
import pytest
from exact.layers import data_dir

from accelsim.baseline.published import pe_table
from accelsim.study.calibrate import FACTORS, FIT_ROWS, pe_parts, pe_rows
from accelsim.study.reproduce.eie.chip import chapters, published_chip
from accelsim.study.reproduce.eie.runs import prepare


@pytest.fixture(scope="module")
def runs():
    if data_dir() is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no alexnet_fc8.npz")
    return prepare(0, lambda _what, _done: None)


@pytest.fixture(scope="module")
def made(runs):
    return {chapter.name: chapter for chapter in chapters(runs)}


@pytest.mark.parametrize(
    ("name", "what"), [("table_ii_power", "power_mw"), ("table_ii_area", "area_um2")]
)
def test_every_published_row_stands_beside_ours_and_says_its_part(runs, made, name, what):
    published, ours = pe_table(what), pe_rows(pe_parts(runs.real.result, what))
    assert [number.row for number in made[name].compared] == list(published)
    for number in made[name].compared:
        assert number.published == published[number.row]
        assert number.ours == pytest.approx(ours[number.row], rel=6e-3)
        assert number.note.startswith("fitted") == (number.row in FIT_ROWS[what])
    data = made[name].data.set_index("row")
    assert data["fitted"].sum() == len(FIT_ROWS[what]) == 5


def test_components_add_up_to_the_rows(made):
    parts = made["table_ii_components"].data
    for what in FACTORS:
        own = parts[parts["what"] == what]
        table = made[f"table_ii_{what.split('_')[0]}"].data.set_index("row")[f"ours_{what}"]
        for column in ("module", "type"):
            for row, value in own.groupby(column)["value"].sum().items():
                if row in table:
                    assert value == pytest.approx(table[row], rel=6e-3)


def test_the_factors_stand_with_their_sources_and_a_refit(made):
    factors = made["table_ii_factors"].data
    assert list(factors["factor"]) == [name for own in FACTORS.values() for name in own]
    assert factors["source"].str.contains("EIE Table II").all()
    assert factors["refitted"].to_numpy() == pytest.approx(factors["value"].to_numpy(), rel=1e-3)


def test_nine_layers_take_about_the_published_power_in_the_mean(made):
    """Nothing was fitted to eight of them, and to Alex-8 only with other, real data."""
    power = made["power_by_layer"].data
    assert len(power) == 10
    assert power["total_mw"].head(9).mean() == pytest.approx(
        pe_table("power_mw")["total"], rel=0.05
    )


def test_sources_disagree_in_the_order_of_their_srams(made):
    chips = made["sram_sources"].data.set_index("technology")
    assert chips.loc["45nm-horowitz", "chip_w"] < chips.loc["45nm", "chip_w"]
    assert chips.loc["45nm", "chip_w"] < chips.loc["45nm-cacti", "chip_w"]
    assert (chips["pes_w"] + chips["outside_w"]).to_numpy() == pytest.approx(
        chips["chip_w"].to_numpy()
    )
    ours, published = chips.loc["45nm"], published_chip()
    assert ours["pes_w"] == pytest.approx(published.power_w, rel=0.05)
    assert ours["area_mm2"] == pytest.approx(published.area_mm2, rel=0.05)


def test_without_the_real_layer_the_drawn_one_stands_in_and_says_so(runs):
    made = chapters(runs._replace(real=None))
    assert "drawn data" in made[0].text
    assert len(made[4].data) == 9
    assert isinstance(made[0].data, pd.DataFrame)
