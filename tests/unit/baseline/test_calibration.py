"""Fits of the published platforms, against brute force in plain Python on the tables themselves."""

import csv
import math
from functools import cache
from pathlib import Path

import pytest

from accelsim.baseline import calibration, published
from accelsim.baseline.calibration import (
    CALIBRATED,
    CHECK_LAYERS,
    FIT_LAYERS,
    calibration_errors,
    calibration_table,
    fit_kernel,
)
from accelsim.baseline.platform import KERNELS, platform
from accelsim.errors import InputError

TABLES = Path(published.__file__).parent / "published"
IN_TABLE_IV = {"i7-5930k": "CPU", "titan-x": "GPU", "tegra-k1": "mGPU"}
IN_TABLE_9 = {"i7-5930k": "CPU", "titan-x": "TitanX", "tegra-k1": "TK1"}
FITS = [(name, kernel) for name in CALIBRATED for kernel in KERNELS]


@cache
def rows(name):
    with (TABLES / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def layer(name):
    row = next(row for row in rows("eie_layers.csv") if row["layer"] == name)
    n_in, n_out = int(row["n_in"]), int(row["n_out"])
    return n_in, n_out, round(n_in * n_out * float(row["weight_density_pct"]) / 100)


@cache
def work(name, kernel, batch):
    """Bytes and operations of a call, from first principles."""
    n_in, n_out, kept = layer(name)
    weights = 4 * n_in * n_out if kernel == "dense" else 4 * kept + 4 * kept + 4 * (n_out + 1)
    operations = 2 * (n_in * n_out if kernel == "dense" else kept) * batch
    return weights + 4 * batch * (n_in + n_out), operations


@cache
def call_us(name, kernel, batch, of):
    key = (IN_TABLE_IV[name], str(batch), kernel, of)
    return batch * next(
        float(row["time_us"])
        for row in rows("eie_platform_times.csv")
        if (row["platform"], row["batch"], row["kernel"], row["layer"]) == key
    )


def mean_square(name, kernel, batch, layers, overhead_us, bandwidth, rate):
    """Of log(model / published); bandwidth in bytes and rate in operations per µs."""
    total = 0.0
    for of in layers:
        n_bytes, n_ops = work(of, kernel, batch)
        model = overhead_us + max(n_bytes / bandwidth, n_ops / rate)
        total += math.log(model / call_us(name, kernel, batch, of)) ** 2
    return total / len(layers)


def test_every_layer_is_either_fitted_or_checked():
    assert sorted(FIT_LAYERS + CHECK_LAYERS) == sorted(
        row["layer"] for row in rows("eie_layers.csv")
    )


@pytest.mark.parametrize(("name", "kernel"), FITS)
def test_refitting_gives_what_stands_in_the_tables(name, kernel):
    way, fit = platform(name).kernel(kernel), fit_kernel(name, kernel)
    assert way.status == "fitted"
    assert way.overhead_us == pytest.approx(fit.overhead_us, rel=1e-3, abs=1e-6)
    assert (way.bandwidth_gbyte_per_s, way.gop_per_s) == pytest.approx(fit[1:3], rel=1e-3)
    assert (way.power.batch_1_w, way.power.batch_64_w) == pytest.approx(fit[3:5], rel=1e-3)
    assert (way.error.batch_1_factor, way.error.batch_64_factor) == pytest.approx(fit[5:], rel=1e-3)


@pytest.mark.parametrize(("name", "kernel"), FITS)
def test_no_other_roof_of_memory_fits_better(name, kernel):
    machine = platform(name)
    way, peak = machine.kernel(kernel), machine.memory.bandwidth_gbyte_per_s

    def error(overhead_us, gbyte_per_s):
        # memory alone, as at batch 1
        return mean_square(name, kernel, 1, FIT_LAYERS, overhead_us, 1e3 * gbyte_per_s, math.inf)

    shortest = min(call_us(name, kernel, 1, of) for of in FIT_LAYERS)
    others = (error(shortest * i / 60, peak * j / 60) for i in range(60) for j in range(1, 61))
    found = error(way.overhead_us, way.bandwidth_gbyte_per_s)
    assert found <= min(others) + 1e-6
    assert found < error(way.overhead_us, 0.98 * way.bandwidth_gbyte_per_s)
    assert found < error(way.overhead_us + 0.02 * shortest, way.bandwidth_gbyte_per_s)


@pytest.mark.parametrize(("name", "kernel"), FITS)
def test_no_other_roof_of_arithmetic_fits_better(name, kernel):
    way = platform(name).kernel(kernel)

    def error(gop_per_s):
        bandwidth = 1e3 * way.bandwidth_gbyte_per_s
        return mean_square(
            name, kernel, 64, FIT_LAYERS, way.overhead_us, bandwidth, 1e3 * gop_per_s
        )

    found = error(way.gop_per_s)
    assert found <= min(error(way.gop_per_s * 1.01**i) for i in range(-300, 301)) + 1e-6
    assert found < error(0.97 * way.gop_per_s)
    assert found < error(1.03 * way.gop_per_s)


@pytest.mark.parametrize(("name", "kernel"), FITS)
@pytest.mark.parametrize("batch", [1, 64])
def test_the_stated_errors_are_those_of_the_other_half(name, kernel, batch):
    way = platform(name).kernel(kernel)
    bandwidth, rate = 1e3 * way.bandwidth_gbyte_per_s, 1e3 * way.gop_per_s
    square = mean_square(name, kernel, batch, CHECK_LAYERS, way.overhead_us, bandwidth, rate)
    assert way.error.of(batch) == pytest.approx(math.exp(math.sqrt(square)), rel=1e-3)


@pytest.mark.parametrize(("name", "kernel"), FITS)
@pytest.mark.parametrize("batch", [1, 64])
def test_power_is_the_mean_over_alexnet(name, kernel, batch):
    watts = [
        float(row["power_w"])
        for row in rows("deep_compression_power.csv")
        if (row["platform"], row["kernel"], row["batch"]) == (IN_TABLE_9[name], kernel, str(batch))
        and row["layer"].startswith("alexnet")
    ]
    assert len(watts) == 3
    assert platform(name).kernel(kernel).power.of(batch) == pytest.approx(sum(watts) / 3, rel=1e-3)


def published_by(monkeypatch, time_us):
    """Let `time_us(system, layer, batch, old)` be what was published."""
    genuine = calibration.published_times

    def times(name, batch=1):
        return [
            row._replace(latency_us=time_us(row.system, name, batch, row.latency_us))
            for row in genuine(name, batch)
        ]

    monkeypatch.setattr(calibration, "published_times", times)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_fit_finds_the_roofline_that_times_were_made_with(kernel, monkeypatch):
    overhead_us, gbyte_per_s, gop_per_s = 21.0, 150.0, 40.0 if kernel == "sparse" else 3000.0

    def time_us(_system, name, batch, _old):
        n_bytes, n_ops = work(name, kernel, batch)
        once = overhead_us + max(n_bytes / gbyte_per_s, n_ops / gop_per_s * (batch > 1)) / 1e3
        return once / batch

    published_by(monkeypatch, time_us)
    fit = fit_kernel("titan-x", kernel)
    assert fit[:3] == pytest.approx((overhead_us, gbyte_per_s, gop_per_s), rel=1e-4)
    assert fit.batch_64_factor == pytest.approx(1.0, abs=1e-4)


def test_layers_of_the_other_half_change_nothing_but_the_errors(monkeypatch):
    before = fit_kernel("titan-x", "dense")
    published_by(monkeypatch, lambda _s, name, _b, old: 3 * old if name in CHECK_LAYERS else old)
    after = fit_kernel("titan-x", "dense")
    assert after[:3] == before[:3]
    assert after.batch_1_factor > 2 * before.batch_1_factor


def test_nothing_to_fit_for_other_platforms():
    with pytest.raises(InputError, match=r"platform 'h200-sxm': nothing to fit: use i7-5930k"):
        fit_kernel("h200-sxm", "dense")


def test_the_table_shows_every_published_time():
    table = calibration_table()
    assert len(table) == len(rows("eie_platform_times.csv")) == 3 * 2 * 2 * 9
    assert set(table["layer"][table["half"] == "fit"]) == set(FIT_LAYERS)
    for row in table.to_dict("records"):
        once = call_us(row["platform"], row["kernel"], row["batch"], row["layer"])
        assert row["published_us"] == pytest.approx(once / row["batch"])
        assert row["error_factor"] == pytest.approx(row["model_us"] / row["published_us"])
    # Table 9 knows the power of AlexNet's and VGG's layers only.
    assert set(table["layer"][table["published_w"].isna()]) == {"NT-We", "NT-Wd", "NT-LSTM"}


def test_errors_by_half():
    errors = calibration_errors()
    assert len(errors) == 3 * 2 * 2 * 2
    assert (errors["worst_factor"] >= errors["rms_factor"]).all()
    found = errors.set_index(["platform", "kernel", "batch", "half"]).loc[
        ("tegra-k1", "dense", 64, "check")
    ]
    square = mean_square("tegra-k1", "dense", 64, CHECK_LAYERS, *roofs("tegra-k1", "dense"))
    assert found["rms_factor"] == pytest.approx(math.exp(math.sqrt(square)), rel=1e-6)
    assert found["worst_layer"] == "VGG-6"
    # 5.2 W are the mean over AlexNet of 5.1, 5.1 and 5.4; VGG's are 5.3, 5.3 and 5.4.
    few = errors.set_index(["platform", "kernel", "batch", "half"]).loc[
        ("tegra-k1", "dense", 1, "check")
    ]
    squares = [(5.2 / watts - 1) ** 2 for watts in (5.3, 5.3, 5.4)]
    assert few["power_rms_pct"] == pytest.approx(100 * math.sqrt(sum(squares) / 3))


def roofs(name, kernel):
    way = platform(name).kernel(kernel)
    return way.overhead_us, 1e3 * way.bandwidth_gbyte_per_s, 1e3 * way.gop_per_s
