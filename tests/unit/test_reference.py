"""The committed reference tables are what the code computes now."""

import importlib
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from exact.layers import data_dir

REFERENCE = Path(__file__).parents[2] / "reports" / "reference"
TABLES = sorted(
    path.stem
    for path in REFERENCE.glob("*.csv")
    # published, and checked by test_decoder_study.py
    if path.stem not in ("eie_pe_power_area", "decoders")
)


@pytest.fixture(scope="module")
def make():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REFERENCE)
        yield importlib.import_module("make")


@pytest.fixture(scope="module")
def computed(make):
    if data_dir() is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no alexnet_fc8.npz")
    return make.tables()


@pytest.mark.parametrize("name", TABLES)
def test_the_committed_table_is_what_is_computed_now(computed, name):
    committed = pd.read_csv(REFERENCE / f"{name}.csv")
    now = pd.read_csv(StringIO(computed[name].to_csv(index=False)))
    pd.testing.assert_frame_equal(committed, now, obj=f"{name}.csv (`make reference`)")


def test_every_table_is_committed(computed):
    assert sorted(computed) == TABLES


def test_the_page_shows_every_committed_table(make):
    page = (REFERENCE / "README.md").read_text(encoding="utf-8")
    for name in TABLES:
        assert make.markdown(pd.read_csv(REFERENCE / f"{name}.csv")) in page, name
    assert "{" not in page
