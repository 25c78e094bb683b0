"""The SRAM grid beside CACTI run here; only where it is installed (docs/energy-nodes.md)."""

import csv

import numpy as np
import pytest

from accelsim.errors import TechnologyError
from accelsim.hardware.cacti import sram_from_cacti
from accelsim.hardware.sram import FIELDS, sram
from accelsim.hardware.technology import TABLES

GRID = TABLES / "sram_cacti.csv"


def ratios(node_nm, least_bits, most_bits):
    """float64[n_macros, n_fields]: what the grid gives, or is interpolated to, by what CACTI gives."""
    with GRID.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["node_nm"] == "45"]
    shapes = [(int(row["capacity_bytes"]), int(row["width_bits"])) for row in rows]
    shapes = [shape for shape in shapes if least_bits <= shape[1] <= most_bits]
    grid = np.array([sram(GRID, node_nm, *shape)[2:7] for shape in shapes])
    return grid / np.array([sram_from_cacti(node_nm, *shape)[2:7] for shape in shapes])


@pytest.mark.parametrize(
    ("node_nm", "least_bits", "most_bits", "exact"),
    [(45, 32, 512, True), (45, 8, 16, False), (28, 32, 512, False)],
)
def test_the_grid_beside_cacti(node_nm, least_bits, most_bits, exact):
    try:
        sram_from_cacti(45, 4096, 32)
    except TechnologyError as error:
        pytest.skip(str(error))
    values = ratios(node_nm, least_bits, most_bits)
    print(f"\n{node_nm} nm, {least_bits} to {most_bits} bits, {len(values)} macros, grid ÷ CACTI:")
    for name, column in zip(FIELDS, values.T, strict=True):
        print(f"  {name}: median {np.median(column):.3f}, {column.min():.3f} to {column.max():.3f}")
    assert np.allclose(values, 1, rtol=1e-4) == exact
