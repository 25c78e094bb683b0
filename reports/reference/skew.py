"""An experiment beside Table IV: what uneven weights would do to the layers that are missed."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import accelsim
from accelsim.baseline.published import PublishedLayer, published_layer
from accelsim.hardware.accelerator import Accelerator

SEED = 0
# Largest density that rounds to the published one.
UPPER_DENSITY = {"VGG-6": 0.0449, "VGG-7": 0.0449, "NT-We": 0.1049, "NT-LSTM": 0.1049}
# Spread of rows, spread of columns. Columns mean nothing where all activations are non-zero.
SPREADS = {
    "VGG-6": [(0.5, 0.0), (0.75, 0.0), (0.0, 0.25), (0.5, 0.25), (0.75, 0.25)],
    "VGG-7": [(0.25, 0.0), (0.5, 0.0), (0.0, 0.25)],
    "NT-We": [(0.25, 0.0), (0.5, 0.0)],
    "NT-LSTM": [(0.25, 0.0), (0.5, 0.0)],
}


def experiment() -> pd.DataFrame:
    """Time of each layer as published, at the upper rounding limit, and with uneven densities."""
    rows = []
    for name, spreads in SPREADS.items():
        layer = published_layer(name)
        density = layer.weight_density_frac
        points = [(density, 0.0, 0.0), (UPPER_DENSITY[name], 0.0, 0.0)]
        points += [(density, *spread) for spread in spreads]
        rows += [measure(layer, *point) for point in points]
    return pd.DataFrame(rows)


def measure(
    layer: PublishedLayer, density: float, row_sigma: float, column_sigma: float
) -> dict[str, Any]:
    """Run one drawn layer on 64 PEs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.npz"
        np.savez(path, **draw(layer, density, row_sigma, column_sigma))
        result = accelsim.simulate(path, overflow="grow")
    row = result.rows[0]
    return {
        "layer": layer.name,
        "density_pct": round(100 * density, 2),
        "row_sigma": row_sigma,
        "column_sigma": column_sigma,
        "theoretical_us": layer.theoretical_us,
        "work_us": round(work_us(row["entries"], result.machine), 2),
        "published_us": layer.actual_us,
        "ours_us": round(row["latency_us"], 2),
        "difference_pct": round(100 * (row["latency_us"] / layer.actual_us - 1), 1),
    }


def work_us(entries: int, machine: Accelerator) -> float:
    """Time of all entries, padding included, were they spread evenly over the PEs."""
    return entries * machine.cycle_us / machine.pes


def draw(
    layer: PublishedLayer, density: float, row_sigma: float, column_sigma: float
) -> dict[str, np.ndarray]:
    """Codes and activations; densities are log-normal over rows and over columns, mean `density`.

    Where columns differ, the densest are those with a non-zero activation.
    """
    rng = np.random.default_rng(SEED)
    row_factor = np.exp(row_sigma * rng.standard_normal(layer.n_out) - row_sigma**2 / 2)
    normal = rng.standard_normal(layer.n_in)
    column_density = density * np.exp(column_sigma * normal - column_sigma**2 / 2)
    codes = np.zeros((layer.n_out, layer.n_in), np.uint8)
    for row, factor in zip(codes, row_factor, strict=True):
        kept = rng.random(layer.n_in, dtype=np.float32) < factor * column_density
        row[kept] = rng.integers(1, 16, int(kept.sum()))
    order = np.argsort(-normal) if column_sigma else rng.permutation(layer.n_in)
    activations = np.zeros(layer.n_in, np.float32)
    activations[order[: round(layer.activation_density_frac * layer.n_in)]] = 1.0
    codebook = np.linspace(0, 1, 16, dtype=np.float32)
    return {"codes": codes, "codebook": codebook, "activations": activations}
