"""What uneven weights would do to the layers of Table IV that are missed, and how uneven trained ones are."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.baseline.published import PublishedLayer
from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.loading import load
from accelsim.compression.recipe import DEFAULT_INDEX_BITS, DEFAULT_MAX_CODE_LENGTH
from accelsim.compression.sparse import sparse_codes
from accelsim.hardware.accelerator import Accelerator
from accelsim.simulation.session import Session
from accelsim.study.reproduce.chapters import Chapter
from accelsim.study.reproduce.data import real_file
from accelsim.study.reproduce.eie.runs import (
    CODE_BITS,
    REAL_FILE,
    Runs,
    Tell,
    active_inputs,
    measures,
    run_layer,
)

if TYPE_CHECKING:
    import pandas as pd

# Spread of rows, spread of columns, by layer. Columns mean nothing where all activations are non-zero.
SPREADS = {
    "VGG-6": ((0.0, 0.0), (0.75, 0.0), (0.0, 0.25), (0.5, 0.25), (0.75, 0.25)),
    "VGG-7": ((0.0, 0.0), (0.25, 0.0), (0.5, 0.0), (0.0, 0.25)),
    "NT-We": ((0.0, 0.0), (0.25, 0.0), (0.5, 0.0)),
    "NT-LSTM": ((0.0, 0.0), (0.25, 0.0), (0.5, 0.0)),
}
TRAINED = ("lenet-300-100", "lenet-5", "char-lstm", "char-gru")
FEWEST_ROWS = 100  # of a layer whose spread of rows says something


def unevenness(runs: Runs, tell: Tell) -> Chapter:
    """The experiment: densities of rows and columns from log-normal distributions."""
    import pandas as pd

    points = [(name, *spread) for name, spreads in SPREADS.items() for spread in spreads]
    rows = []
    for index, (name, row_sigma, column_sigma) in enumerate(points):
        tell(f"uneven weights: {name}", index / len(points))
        layer = runs.bench(name).published
        rows.append(_point(layer, row_sigma, column_sigma, runs.machine, runs.seed))
    frame = pd.DataFrame(rows)
    return Chapter(
        "unevenness", "Would uneven weights explain the misses?", (), frame, _text(frame)
    )


def trained_spreads() -> Chapter:
    """How uneven trained and pruned layers are, as far as there are any."""
    import pandas as pd

    real = real_file(REAL_FILE)
    networks: list[str | Path] = [*TRAINED, *([real] if real else [])]
    rows = [
        {"layer": layer.name if network not in TRAINED else f"{network} {layer.name}"}
        | spreads(layer)
        for network in networks
        for layer in _compressed(load(network)).layers
        if layer.n_out >= FEWEST_ROWS
    ]
    frame = pd.DataFrame(rows)
    return Chapter(
        "trained_spreads",
        "How uneven trained layers are",
        (),
        frame,
        "Standard deviations σ as above, of layers that were trained and pruned: those that come with "
        "accelsim, and AlexNet FC8 where its data are at hand. What chance alone would spread is taken "
        f"off. Rows differ by up to σ = {frame.row_sigma.max():.2f}, columns by up to "
        f"{frame.column_sigma.max():.2f}.",
    )


def spreads(layer: CompressedLayer) -> dict[str, float]:
    """Density of a layer, and the σ of log-normal densities of rows and columns with the same variance."""
    counts = {
        "row_sigma": (np.bincount(layer.sparse.rows[: layer.n_kept], minlength=layer.n_out)),
        "column_sigma": np.diff(layer.sparse.col_ptr[: layer.n_in + 1]),
    }
    density = layer.n_kept / layer.n_weights
    return {"density_pct": 100 * density} | {
        name: _sigma(values, density) for name, values in counts.items()
    }


def _sigma(counts: Any, density: float) -> float:
    """σ of log-normal densities, of which `counts` are binomial draws: its variance is exp(σ²) - 1."""
    mean = counts.mean()
    excess = counts.var() / mean**2 - (1 - density) / mean
    return float(np.sqrt(np.log1p(max(excess, 0.0))))


def _compressed(network: Any) -> CompressedNetwork:
    assert isinstance(network, CompressedNetwork)
    return network


def _point(
    layer: PublishedLayer, row_sigma: float, column_sigma: float, machine: Accelerator, seed: int
) -> dict[str, Any]:
    drawn, active = draw_uneven(layer, row_sigma, column_sigma, seed)
    network = CompressedNetwork(layer.name, (drawn,), {layer.name: active}, chained=False)
    counts = measures(run_layer(Session(network, seed=seed), machine), machine)
    return {
        "layer": layer.name,
        "row_sigma": row_sigma,
        "column_sigma": column_sigma,
        "published_theoretical_us": layer.theoretical_us,
        "work_us": counts["work_us"],
        "published_us": layer.actual_us,
        "ours_us": counts["time_us"],
        "difference_pct": 100 * (counts["time_us"] / layer.actual_us - 1),
    }


def draw_uneven(
    layer: PublishedLayer, row_sigma: float, column_sigma: float, seed: int
) -> tuple[CompressedLayer, Any]:
    """A layer without bias whose rows and columns differ in density, and float32[n_in] inputs.

    Densities have the published mean. Where columns differ, the densest are those with an activation other
    than zero.
    """
    rng = np.random.default_rng(seed)
    rows = np.exp(row_sigma * rng.standard_normal(layer.n_out) - row_sigma**2 / 2)
    normal = rng.standard_normal(layer.n_in)
    columns = np.exp(column_sigma * normal - column_sigma**2 / 2)
    columns = (layer.weight_density_frac * columns).astype(np.float32)
    codes = np.empty((layer.n_out, layer.n_in), np.uint8)
    for row, factor in zip(codes, rows.astype(np.float32), strict=True):
        np.less(rng.random(layer.n_in, dtype=np.float32), factor * columns, out=row.view(np.bool_))
    inputs = active_inputs(layer, layer.activation_density_frac, seed)
    if column_sigma:
        by_density = np.empty_like(inputs)
        by_density[np.argsort(-normal)] = -np.sort(-inputs)
        inputs = by_density
    codebook = np.linspace(0.0, 1.0, 2**CODE_BITS, dtype=np.float32)
    compressed = CompressedLayer(
        name=layer.name,
        n_out=layer.n_out,
        n_in=layer.n_in,
        activation="none",
        codebook=codebook,
        sparse=sparse_codes(codes),
        bias_coded=False,
        bias=None,
        code_bits=CODE_BITS,
        index_bits=DEFAULT_INDEX_BITS,
        max_code_length=DEFAULT_MAX_CODE_LENGTH,
    )
    return compressed, inputs


def _text(frame: "pd.DataFrame") -> str:
    best = frame.loc[frame.difference_pct.abs().groupby(frame.layer, sort=False).idxmin()]
    closest = ", ".join(
        f"{row.layer} to {row.difference_pct:+.1f} % (rows σ = {row.row_sigma:g}, columns σ = "
        f"{row.column_sigma:g})"
        for row in best.itertuples()
    )
    columns = frame[(frame.column_sigma > 0) & (frame.row_sigma == 0)].set_index("layer")
    over = 100 * (columns.work_us / columns.published_theoretical_us - 1)
    return (
        "The data of these layers are not public, so a cause cannot be checked, only tried. Trained "
        "weights are less even than drawn ones. Here the densities of rows, and of columns, are drawn "
        "from a log-normal distribution of standard deviation σ with the published mean; where columns "
        "differ, the densest are those whose activation is not zero. Layers have no bias.\n\n"
        f"The closest of these points bring {closest}. Uneven rows leave the work as it is: some PEs have "
        "more of it than others.\n\n"
        "For VGG-6 work is missing. Active columns denser than the rest (σ = 0.25) bring it from "
        f"{frame[frame.layer == 'VGG-6'].work_us.iloc[0]:.1f} to {columns.work_us['VGG-6']:.1f} µs, near "
        f"the published theoretical {columns.published_theoretical_us['VGG-6']:g} µs; but the same spread "
        f"puts VGG-7's work {over['VGG-7']:+.0f} % off its theoretical time. Spreads chosen after the fact "
        "show that unevenness could explain these misses, not that it does."
    )
