"""reports/reference/deep_compression_large.md: its rows, and what it concludes from them."""

import heapq
import importlib
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from exact.layers import data_dir

from accelsim.baseline.published import TABLES
from accelsim.compression.artifact import save
from accelsim.compression.loading import load

REFERENCE = Path(__file__).parents[2] / "reports" / "reference"
FOLDER = REFERENCE / "deep_compression"
OWN = ("large_layers", "large_totals", "large_distributions", "large_steps")
CHECKS = ("drawn_values", "drawn_positions")
# Of the real layers, a few that take little time.
FEW = {("AlexNet", "alexnet_fc8"), ("SqueezeNet", "fire2/conv3x3_2")}


@pytest.fixture(scope="module")
def study():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REFERENCE)
        yield importlib.import_module("large_networks")


@pytest.fixture(scope="module")
def drawn(study):
    return study.drawn_weights


@pytest.fixture(scope="module")
def made(study):
    return {network: study.compressed(network) for network in study.NETWORKS}


@pytest.fixture(scope="module")
def committed():
    as_text = {"steps": str}
    return {name: pd.read_csv(FOLDER / f"{name}.csv", dtype=as_text) for name in OWN + CHECKS}


def check(committed, computed, name):
    pd.testing.assert_frame_equal(
        committed.reset_index(drop=True),
        pd.read_csv(StringIO(computed.to_csv(index=False)), dtype={"steps": str}),
        check_dtype=False,  # a column with a missing value elsewhere
        obj=f"{name}.csv (`make reference`)",
    )


# --- the rows are what the code computes now ---


def test_sizes_of_every_layer(study, made, committed):
    computed = pd.concat([study.layer_table(*each) for each in made.items()])
    check(committed["large_layers"], computed, "large_layers")


def test_sizes_of_whole_networks(study, made, committed):
    check(committed["large_totals"], study.total_table(made), "large_totals")


def test_a_k_means_that_stops_early(study, committed):
    rows = committed["large_steps"]
    alexnet, steps = study.NETWORKS[0], study.K_MEANS_STEPS[0]
    one = rows[(rows["network"] == alexnet.name) & (rows["steps"] == str(steps))]
    check(one, pd.DataFrame([study.steps_row(alexnet, steps)]), "large_steps")
    paper = rows[rows["steps"] == "paper"].dropna(axis="columns")
    check(paper, pd.DataFrame(map(study.published_steps_row, study.NETWORKS)), "large_steps")
    assert rows["steps"].tolist() == 2 * ["paper", *map(str, study.K_MEANS_STEPS)]


def test_what_real_layers_say(drawn, committed):
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no real networks")
    values = committed["drawn_values"]
    few = values[[pair in FEW for pair in zip(values["network"], values["layer"], strict=True)]]
    cases = [case for case in drawn.real_cases(folder) if (case.network, case.layer) in FEW]
    check(few, drawn.value_table(cases), "drawn_values")
    check(committed["drawn_positions"], drawn.position_table(folder), "drawn_positions")


def test_the_page_shows_what_the_rows_say(study, committed):
    text = study.page.PAGE.read_text(encoding="utf-8")
    tables = study.page.tables(committed)
    template = study.page.TEMPLATE.read_text(encoding="utf-8")
    for name, table in tables.items():
        assert table in text, name
        template = template.replace(f"{{{name}}}", table)
    assert template == text


def test_networks_survive_their_files(made, tmp_path):
    for network, ours in made.items():
        path = save(ours, tmp_path / f"{network.name}.safetensors")
        assert load(path) == ours
        assert ours.provenance["synthetic"]


# --- published numbers ---


def test_the_published_table_agrees_with_itself():
    """Rates follow from the bits per entry, but for what is rounded; so our columns mean the same."""
    rows = pd.read_csv(TABLES / "deep_compression_layers.csv")
    rows = rows[~rows["layer"].str.contains("conv1|Total") & (rows["n_weights_rounded"] > 20_000)]
    entries = rows["rate_pq_pct"] / (rows["weight_bits_pq"] + rows["index_bits_pq"])
    rate = entries * (rows["weight_bits_pqh"] + rows["index_bits_pqh"])
    np.testing.assert_allclose(rate, rows["rate_pqh_pct"], rtol=0.05)


def padded_pct(density, index_bits):
    """Entries per 100 weights that are kept independently: one padding per 2**bits zeros of a gap."""
    return 100 * density / (1 - (1 - density) ** 2**index_bits)


def test_entries_are_those_of_independent_weights(committed):
    rows = committed["large_layers"]
    rows = rows[(rows["layer"] != "Total") & (rows["n_weights"] > 1e5)]
    expected = padded_pct(rows["kept_pct"] / 100, rows["index_bits_pq"])
    np.testing.assert_allclose(rows["entries_pct"], expected, rtol=0.005)


def test_rounded_densities_do_not_explain_the_papers_padding(committed):
    """Of the sparsest layers only VGG-16's fc6 may have so few entries at the density's lower end."""
    rows = committed["large_layers"].set_index(["network", "layer"])
    may = []
    for key in [(network, fc) for network in ("alexnet", "vgg16") for fc in ("fc6", "fc7")]:
        row = rows.loc[key]
        fewest = padded_pct(row["published_kept_pct"] / 100 - 0.005, row["index_bits_pq"])
        entry_bits = row["published_weight_bits_pq"] + row["published_index_bits_pq"]
        may += [key] if fewest <= (row["published_rate_pq_pct"] + 0.05) * 32 / entry_bits else []
    assert may == [("vgg16", "fc6")]


# --- our sizes, by other means ---


def huffman_bits(counts):
    """Bits of a message with these counts: the sum of all inner nodes of the tree."""
    heap = [int(count) for count in counts if count]
    heapq.heapify(heap)
    bits = 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        bits += both
        heapq.heappush(heap, both)
    return bits


@pytest.mark.parametrize("name", ["conv2", "conv3", "fc8"])
def test_bits_of_a_layer_counted_from_its_dense_weights(study, made, name):
    layer = made[study.NETWORKS[0]].layer(name)
    dense = np.column_stack([layer.dense_weights(), layer.bias_values()]).T.ravel()
    gaps = np.diff(np.flatnonzero(dense), prepend=-1) - 1
    runs = np.bincount(gaps % 16, minlength=16)
    padding = int((gaps // 16).sum())
    runs[15] += padding
    _, codes = np.unique(dense[dense != 0], return_counts=True)
    sizes = layer.sizes
    assert sizes.n_entries == gaps.size + padding
    # Words are limited to 11 bits, which costs a little where some codes are very rare.
    for ours, best in (
        (sizes.weight_bits_huffman, huffman_bits([*codes, padding])),
        (sizes.index_bits_huffman, huffman_bits(runs)),
    ):
        assert best <= ours <= 1.01 * best


# --- what the page concludes ---


def errors(drawn, rows):
    return rows[list(drawn.TAILS)].sub(rows["real_bits"], axis=0)


def test_the_distribution_of_the_models_is_the_nearest_to_real_layers(drawn, committed):
    summary = drawn.summary(committed["drawn_values"]).set_index("distribution")
    nearest = summary[f"{drawn.RETRAINED}, rms"].idxmin()
    for name in ("alexnet", "vgg16"):
        exponents = {layer.tail_exponent for layer in load(name).layers}
        assert {f"double Weibull, {exponent:g}" for exponent in exponents} == {nearest}


def test_a_much_heavier_tail_is_half_as_far_off_again(drawn, committed):
    rows = committed["drawn_values"]
    rms = drawn.summary(rows).set_index("distribution")[f"{drawn.RETRAINED}, rms"]
    assert rms["Student t, 4"] > 1.5 * rms["double Weibull, 0.7"]
    heavy = (errors(drawn, rows)["Student t, 4"] ** 2).groupby(rows["network"]).mean() ** 0.5
    assert heavy[["AlexNet", "LeNet-300-100"]].min() > 0.5
    totals = committed["large_distributions"].set_index("distribution")[["alexnet_mb", "vgg16_mb"]]
    assert (totals.loc["Student t, 4"] < totals.loc["double Weibull, 0.7"]).all()


def test_drawn_totals_under_the_chosen_distribution_are_those_of_the_models(committed):
    """The same distribution from other random numbers."""
    totals = committed["large_totals"].set_index("network")["paper_mb"]
    chosen = committed["large_distributions"].set_index("distribution").loc["double Weibull, 0.7"]
    assert chosen["alexnet_mb"] == pytest.approx(totals["alexnet"], rel=0.005)
    assert chosen["vgg16_mb"] == pytest.approx(totals["vgg16"], rel=0.005)


def test_placement_costs_little(committed):
    rows = committed["drawn_positions"]
    by_row = (rows["by_row_bits_5"] / rows["independent_bits_5"] - 1).abs()
    by_column = (rows["by_column_bits_5"] / rows["independent_bits_5"] - 1).abs()
    assert max(by_row.max(), by_column.max()) < 0.11
    assert (by_row <= 0.05).sum() >= len(rows) - 2
    assert rows.loc[by_row.idxmax(), "layer"] == "ip1"


# --- the draws of the check ---


@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_draws_are_those_of_the_named_distributions(drawn, density):
    from scipy import stats

    whole = {
        "normal": stats.norm(),
        **{f"double Weibull, {k:g}": stats.dweibull(k) for k in drawn.EXPONENTS},
        "Student t, 8": stats.t(8),
        "Student t, 4": stats.t(4),
    }
    values = dict(drawn.drawn(20_000, density, 0))
    assert set(values) == set(whole)
    for name, of in whole.items():
        magnitudes = np.abs(values[name].astype(np.float64))
        beyond = stats.kstest(magnitudes, lambda x, of=of: 1 - 2 * of.sf(x) / density)
        assert beyond.pvalue > 1e-3, name
        assert (values[name] > 0).mean() == pytest.approx(0.5, abs=0.02)


def test_entropy_and_runs(drawn):
    assert drawn.entropy(np.array([0, 4, 4, 8])) == pytest.approx(1.5)
    # Gaps 0, 3 and 9; with 2 bits the last takes two paddings of run 3 and a run of 1.
    position = np.array([0, 4, 14])
    assert drawn.run_bits(position, 2) == pytest.approx((1 * 3 + 2 * 2) / 3)
