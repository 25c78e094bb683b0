"""docs/decoders.md: its rows are what the code computes now, and its tables are excerpts of them."""

import importlib
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from exact.layers import data_dir

REFERENCE = Path(__file__).parents[2] / "reports" / "reference"
PAGE = Path(__file__).parents[2] / "docs" / "decoders.md"
# Of networks that take long, a machine of each kind.
FEW = {
    ("placement", "fixed", "", "", "bit"),
    ("placement", "huffman", "inline", "two_level", "byte"),
    ("placement", "huffman", "shared", "multi_symbol", "row"),
    ("variant", "huffman", "inline", "two_level", "bit"),
    ("streaming", "huffman", "load", "bit_serial", "bit"),
}


@pytest.fixture(scope="module")
def study():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REFERENCE)
        yield importlib.import_module("decoders")


@pytest.fixture(scope="module")
def page(study):
    return study.decoders_page


@pytest.fixture(scope="module")
def committed():
    return pd.read_csv(REFERENCE / "decoders.csv")


def as_read(frame):
    return pd.read_csv(StringIO(frame.to_csv(index=False)))


def check(committed, computed):
    pd.testing.assert_frame_equal(
        committed.reset_index(drop=True),
        as_read(computed)[committed.columns],
        check_dtype=False,  # a column that is empty here may not be empty there
        obj="decoders.csv (`make reference`)",
    )


def test_rows_of_the_bundled_network_are_what_is_computed_now(study, committed):
    (case,) = [case for case in study.NETWORKS if case.name == "LeNet-300-100"]
    rows = committed[committed.network == case.name]
    check(rows, study.runs(case, study.machines(case)))


@pytest.mark.parametrize("name", ["AlexNet FC8", "SqueezeNet"])
def test_rows_of_real_data_are_what_is_computed_now(study, page, committed, name):
    if data_dir() is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no real networks")
    (case,) = [case for case in study.NETWORKS if case.name == name]
    rows = committed[committed.network == case.name].reset_index(drop=True)
    few = [i for i, row in enumerate(page.filled(rows).itertuples()) if kind(row) in FEW]
    assert len(few) >= len(FEW)
    machines = study.machines(case)
    check(rows.iloc[few], study.runs(case, [machines[i] for i in few]))


def kind(row):
    return row.part, row.decoder, row.placement, row.design, row.alignment


def test_every_machine_of_every_network_has_a_row(study, page, committed):
    assert list(dict.fromkeys(committed.network)) == [case.name for case in study.NETWORKS]
    for case in study.NETWORKS:
        rows = page.filled(committed[committed.network == case.name])
        wanted = [
            (
                part,
                fields["decoder"],
                fields.get("decoder_placement", "inline" if "decoder_design" in fields else ""),
                fields.get("decoder_design", ""),
                fields.get("column_alignment", "bit"),
            )
            for part, fields in study.machines(case)
        ]
        assert [kind(row) for row in rows.itertuples()] == wanted


def test_the_page_shows_what_the_rows_say(study, page, committed):
    text = PAGE.read_text(encoding="utf-8")
    tables = page.tables(committed)
    assert len(tables) == text.count("<!-- end -->") == 5
    for name, rows in tables.items():
        assert f"<!-- {name} -->\n{rows}\n<!-- end -->" in text, name
    assert (PAGE.parent / "images" / "decoders.png").exists()
    assert PAGE.parent / "images" / "decoders.png" == study.PICTURE


def test_nothing_is_saved_or_spent_against_itself(committed):
    """Ratios are to the first machine, fixed entries from any bit."""
    for _, rows in committed.groupby("network"):
        for memory in ("sram", "dram"):
            base = rows[rows.weights_in == memory].iloc[0]
            assert base.decoder == "fixed"
            assert (base.saved_pct, base.cycles_ratio, base.energy_ratio, base.area_ratio) == (
                0, 1, 1, 1,
            )  # fmt: skip
            others = rows[rows.weights_in == memory]
            ratios = others.cycles / base.cycles
            assert (ratios - others.cycles_ratio).abs().max() < 1e-4
            assert (others.energy_pj / base.energy_pj - others.energy_ratio).abs().max() < 1e-3
