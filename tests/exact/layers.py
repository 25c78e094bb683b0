"""The layers that `eie_cycles.csv` names, and where their data lie.

The rows of `eie_cycles.csv` are what the EIE authors' C++ cycle simulator reports, run until it has
drained.
"""

import csv
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE_CSV = Path(__file__).with_name("eie_cycles.csv")


class QuantizedLayer(NamedTuple):
    """A layer as 4-bit codes, with one activation vector.

    codes uint8[n_out, n_in], bias_codes uint8[n_out], codebook float32[16], activations
    float32[n_in]; output float32[n_out] before ReLU where it was published, else None.
    """

    codes: NDArray[np.uint8]
    bias_codes: NDArray[np.uint8]
    codebook: NDArray[np.float32]
    activations: NDArray[np.float32]
    output: NDArray[np.float32] | None = None


class ReferenceRow(NamedTuple):
    """One row of `eie_cycles.csv`; the recipe is None for the real layer."""

    layer: str
    recipe: dict[str, float] | None
    pes: int
    queue_depth: int
    row_entries: int
    cycles: int
    pointer_reads: int
    sram_row_reads: int
    utilization_frac: float

    @property
    def name(self) -> str:
        name = f"{self.layer}-P{self.pes}-D{self.queue_depth}-W{self.row_entries}"
        if self.recipe is None:
            return name
        return f"{name}-{self.recipe['n_out']:.0f}x{self.recipe['n_in']:.0f}"


def reference_rows() -> list[ReferenceRow]:
    """All rows of `eie_cycles.csv`, in file order."""
    with REFERENCE_CSV.open(newline="") as file:
        return [_reference_row(fields) for fields in csv.DictReader(file)]


def _reference_row(fields: dict[str, str]) -> ReferenceRow:
    recipe_names = ("n_out", "n_in", "weight_density", "activation_density", "seed", "row_skew")
    is_synthetic = fields["layer"] == "synthetic"
    return ReferenceRow(
        layer=fields["layer"],
        recipe={name: float(fields[name]) for name in recipe_names} if is_synthetic else None,
        pes=int(fields["pes"]),
        queue_depth=int(fields["queue_depth"]),
        row_entries=int(fields["row_entries"]),
        cycles=int(fields["cycles"]),
        pointer_reads=int(fields["pointer_reads"]),
        sram_row_reads=int(fields["sram_row_reads"]),
        utilization_frac=float(fields["utilization_frac"]),
    )


def layer_of(row: ReferenceRow) -> QuantizedLayer:
    """The layer of a reference row; skips the test where it needs data that are not there."""
    if row.recipe is None:
        return alexnet_fc8()
    return synthetic_layer(
        n_out=int(row.recipe["n_out"]),
        n_in=int(row.recipe["n_in"]),
        weight_density=row.recipe["weight_density"],
        activation_density=row.recipe["activation_density"],
        seed=int(row.recipe["seed"]),
        row_skew=row.recipe["row_skew"],
    )


def synthetic_layer(
    n_out: int,
    n_in: int,
    *,
    weight_density: float,
    activation_density: float,
    seed: int,
    row_skew: float = 0.0,
) -> QuantizedLayer:
    """A random layer with a bias; `row_skew` spreads the densities of the rows.

    The reference numbers hang on the order and the shapes of the random calls: do not reorder them.
    """
    rng = np.random.default_rng(seed)
    skew = np.exp(row_skew * rng.standard_normal(n_out) - row_skew * row_skew / 2)
    row_density = np.clip(weight_density * skew, 0, 1)
    shape = (n_out, n_in + 1)
    is_kept = rng.random(shape) < row_density[:, None]
    codes = np.where(is_kept, rng.integers(1, 16, size=shape), 0).astype(np.uint8)
    is_active = rng.random(n_in) < activation_density
    activations = np.where(is_active, rng.exponential(size=n_in) + 1e-3, 0).astype(np.float32)
    centroids = np.sort(rng.standard_normal(15) * 0.05)
    codebook = np.concatenate([[0], centroids]).astype(np.float32)
    return QuantizedLayer(
        np.ascontiguousarray(codes[:, :-1]), codes[:, -1].copy(), codebook, activations
    )


def alexnet_fc8() -> QuantizedLayer:
    """AlexNet FC8 as the EIE authors simulated it; skips the test where there is no data folder."""
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no alexnet_fc8.npz")
    with np.load(folder / "alexnet_fc8.npz") as arrays:
        return QuantizedLayer(**{name: arrays[name] for name in QuantizedLayer._fields})


def data_dir() -> Path | None:
    """The folder of real data: `ACCELSIM_DATA`, else `../shared/data`, else None.

    A folder that `ACCELSIM_DATA` names is returned unchecked: a wrong path fails rather than skips.
    """
    named = os.environ.get("ACCELSIM_DATA")
    if named:
        return Path(named)
    beside = REPOSITORY.parent / "shared" / "data"
    return beside if beside.is_dir() else None
