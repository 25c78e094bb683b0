"""The page on trained networks: its tables are those of the artifacts, its pictures show what it says."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
from exact.layers import REPOSITORY

from accelsim.baseline.published import TABLES

REPORTS = REPOSITORY / "reports" / "reference"
FOLDER = REPORTS / "deep_compression"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(REPORTS))
    try:
        import trained_networks
    finally:
        sys.path.remove(str(REPORTS))
    return trained_networks


def committed(name):
    return pd.read_csv(FOLDER / f"{name}.csv")


def test_the_tables_are_those_of_the_artifacts(script):
    for name, frame in script.tables().items():
        pd.testing.assert_frame_equal(frame, committed(name), check_dtype=False, rtol=1e-4)


def test_the_page_is_its_template_with_the_tables(script):
    assert script.PAGE.read_text(encoding="utf-8") == script.page_text(script.tables())


def test_the_readme_quotes_the_ratios_of_the_page():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    quoted = re.search(r"LeNet-300-100 is (\d+) times .*?LeNet-5 (\d+) times", readme, re.DOTALL)
    ratios = committed("lenet_networks").set_index("network")["compression_ratio"]
    for number, name in zip(quoted.groups(), ("LeNet-300-100", "LeNet-5"), strict=True):
        assert abs(int(number) - ratios[name]) <= 0.5


def test_published_rows_stand_beside_ours():
    published = pd.read_csv(TABLES / "deep_compression_layers.csv").set_index(["network", "layer"])
    ours = committed("lenet_layers").set_index(["network", "layer"])
    assert len(ours) == 4 + 5
    for place, row in ours.iterrows():
        assert row["published_rate_pqh_pct"] == published.loc[place, "rate_pqh_pct"]
        ratio = row["rate_pqh_pct"] / published.loc[place, "rate_pqh_pct"]
        assert row["difference_pct"] == pytest.approx(100 * (ratio - 1), abs=0.01)


def least_size(frame, method, error_pct):
    # Errors are whole numbers of examples: no rounding may push one over the limit.
    rows = frame[(frame["method"] == method) & (frame["error_pct"] <= error_pct + 1e-9)]
    return rows["size_pct"].min()


@pytest.mark.parametrize(
    ("lost", "stated"), [(0.1, [4.5, 8.2, 22.7, 100]), (1.0, [1.9, 8.2, 9.4, 16.3])]
)
def test_figure_6_has_the_shape_that_the_page_states(lost, stated):
    frame = pd.read_csv(FOLDER / "lenet_analysis" / "tradeoff.csv")
    dense = committed("lenet_runs").query("network == 'LeNet-300-100' and seed == 0").iloc[0]
    sizes = [
        least_size(frame, method, dense["dense_error_pct"] + lost)
        for method in ("prune+share", "share", "prune", "svd")
    ]
    assert sizes == sorted(sizes)
    assert sizes == pytest.approx(stated, abs=0.05)
    assert 100 * dense["size_bytes"] / dense["dense_bytes"] == pytest.approx(2.1, abs=0.05)
    assert dense["compressed_error_pct"] <= dense["dense_error_pct"]


def test_where_k_means_starts_makes_no_difference():
    frame = pd.read_csv(FOLDER / "lenet_analysis" / "initialisation.csv")
    by_bits = frame.pivot(index="code_bits", columns="initialisation", values="error_pct")
    assert np.ptp(by_bits.to_numpy(), axis=1).max() < 0.1


def test_one_layer_alone_bears_what_the_page_states():
    frame = pd.read_csv(FOLDER / "lenet_analysis" / "sensitivity.csv")
    pruned = frame[frame["density_frac"] == 0.2].set_index("layer")["loss"]
    assert pruned.idxmax() == "ip3"
    shared = frame[frame["code_bits"] == 4]["loss"]
    dense = frame[frame["density_frac"] == 1.0]["loss"].min()
    assert shared.max() < 1.05 * dense
