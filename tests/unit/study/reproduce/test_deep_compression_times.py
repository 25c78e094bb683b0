import csv
from math import prod

import pytest

from accelsim.baseline.calibration import calibration_table
from accelsim.baseline.published import TABLES
from accelsim.study.reproduce.deep_compression.times import (
    ENERGY,
    MEAN,
    SPEEDUP,
    figure,
    ratio_table,
    table_8,
    table_9,
    times,
)

POWER_NAMES = {"CPU": "CPU", "GPU": "TitanX", "mGPU": "TK1"}


@pytest.fixture(scope="module")
def data():
    return times()


def rows(name):
    with (TABLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def published():
    """(µs, W) by platform, kernel, batch and layer, read without pandas."""
    watts = {
        (row["platform"], row["kernel"], row["batch"], row["layer"]): float(row["power_w"])
        for row in rows("deep_compression_power.csv")
    }
    found = {}
    for row in rows("eie_platform_times.csv"):
        family, _, number = row["layer"].partition("-")
        network = {"Alex": ("AlexNet", "alexnet"), "VGG": ("VGG-16", "vgg")}.get(family)
        if network is None:
            continue
        place = (POWER_NAMES[row["platform"]], row["kernel"], row["batch"])
        key = (row["platform"], row["kernel"], int(row["batch"]), f"{network[0]} fc{number}")
        found[key] = (float(row["time_us"]), watts[*place, f"{network[1]}_fc{number}"])
    return found


def test_every_published_time_and_power_is_there(data, published):
    assert len(data) == len(published) == 72
    for row in data.to_dict("records"):
        time_us, watts = published[row["platform"], row["kernel"], row["batch"], row["layer"]]
        assert row["published_us"] == pytest.approx(time_us)
        assert row["published_w"] == pytest.approx(watts)
        assert row["published_uj"] == pytest.approx(time_us * watts)


def test_ours_is_the_roofline_model(data):
    model = calibration_table().set_index(["platform", "kernel", "batch", "layer"])["model_us"]
    ours = data.set_index(["platform", "kernel", "batch", "layer"])["model_us"]
    assert ours["mGPU", "sparse", 1, "VGG-16 fc7"] == model["tegra-k1", "sparse", 1, "VGG-7"]


def test_half_of_the_layers_check_the_model(data):
    assert set(data["layer"][data["half"] == "check"]) == {f"VGG-16 fc{n}" for n in (6, 7, 8)}
    notes = {number.note for number in table_8(data).compared if "AlexNet" in number.row}
    assert notes == {"roofline model, fitted to this layer"}


def test_tables_have_every_row(data):
    for chapter in (table_8(data), table_9(data)):
        assert len(chapter.compared) == 72
        places = {number[:3] for number in chapter.compared}
        assert len(places) == 72
    number = next(
        x
        for x in table_9(data).compared
        if x.row == "CPU, VGG-16 fc8" and "dense, batch 64" in x.column
    )
    assert number.published == 87.5


LAYERS = [f"{network} fc{n}" for network in ("AlexNet", "VGG-16") for n in (6, 7, 8)]


def mean_ratio(published, platform, batch, power):
    ratios = []
    for layer in LAYERS:
        dense, sparse = (
            published[platform, kernel, batch, layer] for kernel in ("dense", "sparse")
        )
        ratios.append(dense[0] / sparse[0] * (dense[1] / sparse[1]) ** power)
    return prod(ratios) ** (1 / 6)


@pytest.mark.parametrize(
    ("ratio", "power", "stated"),
    [
        (SPEEDUP, 0, {"CPU": 3, "GPU": 3.5, "mGPU": 4.2}),
        (ENERGY, 1, {"CPU": 7, "GPU": 3.3, "mGPU": 4.2}),
    ],
)
def test_means_of_what_pruning_gains(data, published, ratio, power, stated):
    table = ratio_table(ratio, data)
    means = table[table["layer"] == MEAN].set_index(["platform", "batch"])
    for (platform, batch), row in means.iterrows():
        expected = mean_ratio(published, platform, batch, power)
        assert row["published_ratio"] == pytest.approx(expected)
    assert means["stated_ratio"].dropna().to_dict() == {(x, 1): y for x, y in stated.items()}


def test_stated_means_are_geometric_but_for_the_mobile_gpus_speed_up(data):
    """Whether a mean rounds to what is stated: to the places that the caption prints."""
    rounds = {}
    for ratio in (SPEEDUP, ENERGY):
        table = ratio_table(ratio, data)
        rows = table[(table["layer"] == MEAN) & (table["batch"] == 1)]
        for row in rows.to_dict("records"):
            places = 0 if row["stated_ratio"] == int(row["stated_ratio"]) else 1
            found = round(row["published_ratio"], places)
            rounds[ratio.figure, row["platform"]] = found == row["stated_ratio"]
    assert [place for place, same in rounds.items() if not same] == [("Figure 9", "mGPU")]


@pytest.mark.parametrize("ratio", [SPEEDUP, ENERGY])
def test_the_model_gains_by_pruning_what_the_platforms_gained(data, ratio):
    """Means at batch 1 within 10 %: nothing of it was fitted to ratios, or to VGG-16."""
    table = ratio_table(ratio, data)
    means = table[(table["layer"] == MEAN) & (table["batch"] == 1)]
    assert (means["model_ratio"] / means["published_ratio"]).between(0.9, 1.1).all()


def test_a_figure_compares_its_bars_and_the_stated_means(data):
    numbers = figure(SPEEDUP, data).compared
    assert len(numbers) == 3 * (6 + 1)
    by_place = {(number.row, number.column): number for number in numbers}
    bar = by_place["AlexNet fc7", "CPU: speed-up by pruning (×)"]
    assert bar.published == pytest.approx(6187.1 / 1282.1)
    assert by_place["mean", "mGPU: speed-up by pruning (×)"].published == 4.2


def test_the_text_says_where_pruning_gains_in_batches(data):
    text = figure(SPEEDUP, data).text
    assert "mGPU 4.2× stated, 4.75× from its tables" in text
    assert "16 of the 18" in text
    assert "mGPU AlexNet fc7 (1.5×), mGPU VGG-16 fc7 (3.1×)" in text


def test_the_text_names_the_times_that_no_roofline_has(data):
    text = table_8(data).text
    assert "mGPU, dense, batch 64: 2001 µs for VGG-16's fc6, 2051 µs for its fc7" in text
    assert text.count("which has a sixth") == 1
