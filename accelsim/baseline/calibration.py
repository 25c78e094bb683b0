"""Effective roofs of the published platforms: fitted on four of EIE's layers, checked on the other five."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.baseline.platform import KERNELS, KernelName, platform
from accelsim.baseline.published import BaselineRow, published_layer, published_times
from accelsim.baseline.roofline import Product, matrix_product
from accelsim.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# By name of the platform's table: how `published_times` calls it.
CALIBRATED = {
    "i7-5930k": "CPU (Core i7-5930K)",
    "titan-x": "GPU (Titan X)",
    "tegra-k1": "mobile GPU (Tegra K1)",
}
FIT_LAYERS = ("Alex-6", "Alex-7", "Alex-8", "NT-We")
CHECK_LAYERS = ("VGG-6", "VGG-7", "VGG-8", "NT-Wd", "NT-LSTM")
# Table 9 of Deep Compression has the power of these layers; of others only a platform's mean is known.
POWER_FIT_LAYERS = ("Alex-6", "Alex-7", "Alex-8")
POWER_CHECK_LAYERS = ("VGG-6", "VGG-7", "VGG-8")
BATCHES = (1, 64)


class Fit(NamedTuple):
    """What the fit gives for a kernel of a platform; names as in a platform's table."""

    overhead_us: float
    bandwidth_gbyte_per_s: float
    gop_per_s: float
    batch_1_w: float
    batch_64_w: float
    batch_1_factor: float
    batch_64_factor: float


class _Point(NamedTuple):
    """A layer in a batch: what it takes, in truth, per call."""

    work: Product
    call_us: float


def fit_kernel(name: str, kernel: KernelName) -> Fit:
    """Fit a platform's kernel by least squares of log time.

    Overhead and bandwidth follow from batch 1, where memory is what binds, and the rate of arithmetic
    then from batch 64. No bandwidth or rate is taken to be above what the vendor states. Power is the
    mean of what was published of the fitted layers; the factors are rms errors of log time over the
    layers that were not used. Raises InputError for a platform that nothing was published of.
    """
    machine = platform(name)
    overhead_us, bandwidth = _memory_roof(
        _points(name, kernel, 1, FIT_LAYERS), machine.memory.bandwidth_gbyte_per_s
    )
    many = _points(name, kernel, 64, FIT_LAYERS)
    rate = _arithmetic_roof(many, overhead_us, bandwidth, machine.peak.fp32_gop_per_s)
    watts = [
        float(np.mean([_watts(_published(name, kernel, batch, x)) for x in POWER_FIT_LAYERS]))
        for batch in BATCHES
    ]
    factors = [
        _factor(_points(name, kernel, batch, CHECK_LAYERS), overhead_us, bandwidth, rate)
        for batch in BATCHES
    ]
    return Fit(overhead_us, bandwidth, rate, *watts, *factors)


def calibration_table() -> "pd.DataFrame":
    """Published and modelled times and powers, with the values that stand in the platforms' tables.

    Columns: platform, kernel, batch, layer, half (`fit` or `check`), bound, published_us, model_us,
    error_factor (model over published), published_w and model_w (NaN without a row in Table 9).
    Times are per input vector.
    """
    import pandas as pd

    rows = []
    for name in CALIBRATED:
        for kernel in KERNELS:
            way = platform(name).kernel(kernel)
            for batch in BATCHES:
                for layer in FIT_LAYERS + CHECK_LAYERS:
                    published = _published(name, kernel, batch, layer)
                    work = _work(layer, kernel, batch)
                    model_us = work.time_us(way) / batch
                    known = layer in POWER_FIT_LAYERS + POWER_CHECK_LAYERS
                    rows.append(
                        {
                            "platform": name,
                            "kernel": kernel,
                            "batch": batch,
                            "layer": layer,
                            "half": "fit" if layer in FIT_LAYERS else "check",
                            "bound": work.bound(way),
                            "published_us": published.latency_us,
                            "model_us": model_us,
                            "error_factor": model_us / published.latency_us,
                            "published_w": _watts(published) if known else float("nan"),
                            "model_w": way.power.of(batch),
                        }
                    )
    return pd.DataFrame(rows)


def calibration_errors() -> "pd.DataFrame":
    """Errors of `calibration_table` by platform, kernel, batch and half.

    Columns, beside these four: rms_factor (rms of log time, as a factor), worst_factor (the farthest
    off, either way), worst_layer, power_rms_pct.
    """
    import pandas as pd

    rows = []
    by = ["platform", "kernel", "batch", "half"]
    for key, points in calibration_table().groupby(by, sort=False):
        logs = np.log(points["error_factor"]).abs()
        power = (points["model_w"] / points["published_w"] - 1).dropna()
        rows.append(
            dict(zip(by, key, strict=True))
            | {
                "rms_factor": float(np.exp(np.sqrt((logs**2).mean()))),
                "worst_factor": float(np.exp(logs.max())),
                "worst_layer": points["layer"][logs.idxmax()],
                "power_rms_pct": 100 * float(np.sqrt((power**2).mean())),
            }
        )
    return pd.DataFrame(rows)


def _memory_roof(points: list[_Point], peak: float) -> tuple[float, float]:
    """Overhead in µs and bandwidth in GB/s of products that memory binds."""
    from scipy.optimize import least_squares

    n_bytes = np.array([point.work.n_bytes for point in points], dtype=float)
    log_us = np.log([point.call_us for point in points])

    def residuals(values: NDArray[np.float64]) -> NDArray[np.float64]:
        model_us: NDArray[np.float64] = values[0] + n_bytes / (1e3 * values[1])
        return np.log(model_us) - log_us

    # From two sides: with no overhead at all the slope in it vanishes where the fit begins.
    shortest_us = min(point.call_us for point in points)
    fits = [
        least_squares(
            residuals,
            (overhead, peak / 2),
            bounds=((0.0, 1e-3 * peak), (shortest_us, peak)),
            x_scale=(shortest_us, peak),
            xtol=1e-14,
            ftol=1e-14,
        )
        for overhead in (0.01 * shortest_us, 0.5 * shortest_us)
    ]
    best = min(fits, key=lambda fit: float(fit.cost))
    return float(best.x[0]), float(best.x[1])


def _arithmetic_roof(
    points: list[_Point], overhead_us: float, bandwidth: float, peak: float
) -> float:
    """Rate in Gop/s, with overhead and bandwidth as they are."""
    from scipy.optimize import minimize_scalar

    def cost(log_rate: float) -> float:
        return _mean_square(points, overhead_us, bandwidth, float(np.exp(log_rate)))

    bounds = (np.log(1e-5 * peak), np.log(peak))
    best = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return float(np.exp(best.x))


def _factor(points: list[_Point], overhead_us: float, bandwidth: float, rate: float) -> float:
    return float(np.exp(np.sqrt(_mean_square(points, overhead_us, bandwidth, rate))))


def _mean_square(points: list[_Point], overhead_us: float, bandwidth: float, rate: float) -> float:
    """Of the errors of log time."""
    errors = [
        np.log(
            (overhead_us + max(p.work.n_bytes / (1e3 * bandwidth), p.work.n_ops / (1e3 * rate)))
            / p.call_us
        )
        for p in points
    ]
    return float(np.mean(np.square(errors)))


def _points(name: str, kernel: KernelName, batch: int, layers: Iterable[str]) -> list[_Point]:
    return [
        _Point(
            _work(layer, kernel, batch), batch * _published(name, kernel, batch, layer).latency_us
        )
        for layer in layers
    ]


def _work(name: str, kernel: KernelName, batch: int) -> Product:
    layer = published_layer(name)
    if layer is None:
        raise LookupError(f"eie_layers.csv: no layer '{name}'")
    kept = round(layer.weight_density_frac * layer.n_in * layer.n_out)
    return matrix_product(
        name, layer.n_in, layer.n_out, kept if kernel == "sparse" else None, batch
    )


def _published(name: str, kernel: KernelName, batch: int, layer: str) -> BaselineRow:
    if name not in CALIBRATED:
        raise InputError(f"platform '{name}': nothing to fit: use {', '.join(CALIBRATED)}")
    system = f"{CALIBRATED[name]}, {kernel}"
    return next(row for row in published_times(layer, batch) if row.system == system)


def _watts(row: BaselineRow) -> float:
    if row.energy_uj is None:
        raise LookupError(f"{row.system}: no power of layer '{row.layer}'")
    return row.energy_uj / row.latency_us
