"""SRAM energy, leakage, area and cycle time from the CACTI grid, interpolated inside it."""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from accelsim.errors import TechnologyError

FIELDS = ("read_energy_pj", "write_energy_pj", "leakage_mw", "area_mm2", "cycle_time_ns")
Grid: TypeAlias = dict[tuple[int, int], tuple[float, ...]]


class Sram(NamedTuple):
    """One SRAM macro. Energies are for an access of the full width."""

    capacity_bytes: int
    width_bits: int
    read_energy_pj: float
    write_energy_pj: float
    leakage_mw: float
    area_mm2: float
    cycle_time_ns: float
    source: str


class TableVersion(NamedTuple):
    """A file as it is now: what is cached under it is forgotten once the file is written anew."""

    path: Path
    modified_ns: int


def table_version(path: Path) -> TableVersion:
    """The file's absolute path and time of last change, or 0 if it is not there."""
    path = path.resolve()
    return TableVersion(path, path.stat().st_mtime_ns if path.exists() else 0)


def sram(table: Path, node_nm: int, capacity_bytes: int, width_bits: int) -> Sram:
    """An SRAM of any capacity and width within the grid of `table` (a CSV as sram_cacti.csv).

    Between grid points the logarithms are interpolated linearly in log capacity and log width; below
    the smallest width, or the smallest capacity that the grid has at this width, the smallest is
    built. Leave-one-out errors of this interpolation are in docs/energy.md. Raises TechnologyError
    above the grid.
    """
    return _sram(table_version(table), node_nm, capacity_bytes, width_bits)


def least_capacity(table: Path, node_nm: int, width_bits: int) -> int:
    """Bytes of the smallest SRAM that the grid has at this width."""
    grid = _grid(table_version(table), node_nm)
    return _capacities(grid, _width_parts(grid, width_bits))[0]


def _width_parts(grid: Grid, width_bits: int) -> list[tuple[int, float]]:
    """The widths to interpolate between, and their weights; none above the grid."""
    widths = sorted({width for _, width in grid})
    width = max(width_bits, widths[0])
    return _between(widths, width) if width <= widths[-1] else []


def _capacities(grid: Grid, width_parts: list[tuple[int, float]]) -> list[int]:
    """Wide SRAMs start at larger capacities: only those count that have all widths needed."""
    return sorted({c for c, _ in grid if all((c, w) in grid for w, _ in width_parts)})


@cache
def _sram(version: TableVersion, node_nm: int, capacity_bytes: int, width_bits: int) -> Sram:
    table = version.path
    grid = _grid(version, node_nm)
    widths = sorted({width for _, width in grid})
    width = max(width_bits, widths[0])
    width_parts = _width_parts(grid, width_bits)
    capacities = _capacities(grid, width_parts)
    capacity = max([capacity_bytes, *capacities[:1]])
    if not width_parts or not capacities or capacity > capacities[-1]:
        fits = bool(width_parts and capacities)
        room = f"{capacities[-1]} bytes at this width" if fits else f"{widths[-1]} bits"
        raise TechnologyError(
            f"{table.name}: an SRAM of {capacity_bytes} bytes, {width_bits} bits wide, is outside the "
            f"grid (up to {room}): use a smaller SRAM, more PEs or narrower rows"
        )
    values = np.zeros(len(FIELDS))
    for c, c_part in _between(capacities, capacity):
        for w, w_part in width_parts:
            values += c_part * w_part * np.log(grid[c, w])
    how = "CACTI" if (capacity, width) in grid else "CACTI, interpolated"
    source = f"{how}, {node_nm} nm, {capacity} bytes x {width} bits ({table.name})"
    read, write, leakage, area, cycle_time = (float(v) for v in np.exp(values))
    return Sram(capacity_bytes, width_bits, read, write, leakage, area, cycle_time, source)


def _between(points: list[int], x: int) -> list[tuple[int, float]]:
    """The grid points around x and their weights, linear in the logarithm."""
    if x in points:
        return [(x, 1.0)]
    above = int(np.searchsorted(points, x))
    low, high = points[above - 1], points[above]
    part = float(np.log(x / low) / np.log(high / low))
    return [(low, 1.0 - part), (high, part)]


@cache
def _grid(version: TableVersion, node_nm: int) -> Grid:
    """Rows of one node. Raises TechnologyError, naming file and line, for a row that is not valid."""
    table = version.path
    grid: Grid = {}
    try:
        with table.open(newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                _read_row(grid, table, node_nm, line, row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TechnologyError(f"{table}: cannot be read: {error}") from None
    if not grid:
        raise TechnologyError(f"{table}: no SRAM of {node_nm} nm: add rows or change node_nm")
    return grid


def _read_row(grid: Grid, table: Path, node_nm: int, line: int, row: dict[str, str]) -> None:
    try:
        values = tuple(float(row[field]) for field in FIELDS)
        key = (int(row["capacity_bytes"]), int(row["width_bits"]))
        node = int(row["node_nm"])
    except (KeyError, TypeError, ValueError) as error:
        raise TechnologyError(
            f"{table}, line {line}: not a number or a missing column: {error}"
        ) from None
    if min(values) <= 0 or min(key) <= 0 or not np.isfinite(values).all():
        raise TechnologyError(f"{table}, line {line}: values must be above 0")
    if node == node_nm:
        grid[key] = values
