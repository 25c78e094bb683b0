"""SRAM energy, leakage, area and cycle time from the CACTI grid, interpolated inside it."""

import math
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from accelsim.errors import TechnologyError
from accelsim.hardware.interpolation import neighbours
from accelsim.hardware.table_files import CsvRow, read_csv

KEYS = ("node_nm", "capacity_bytes", "width_bits")
FIELDS = ("read_energy_pj", "write_energy_pj", "leakage_mw", "area_mm2", "cycle_time_ns")
OTHER_COLUMNS = ("access_time_ns",)  # nothing here needs them
FloatArray: TypeAlias = npt.NDArray[np.float64]
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

    @property
    def is_registers(self) -> bool:
        """Whether it is built of registers, which are read within the cycle."""
        return self.cycle_time_ns == 0.0


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

    Between grid points the logarithms are interpolated linearly in log capacity and log width, and
    between two nodes of the grid in log node; below the smallest width, or the smallest capacity that
    the grid has at this width, the smallest is built. Leave-one-out errors of this interpolation are in
    docs/energy.md. Raises TechnologyError above the grid, and outside its nodes.
    """
    return _sram(table_version(table), node_nm, capacity_bytes, width_bits)


def least_capacity(table: Path, node_nm: int, width_bits: int) -> int:
    """Bytes of the smallest SRAM that the grid has at this width, in all nodes needed."""
    version = table_version(table)
    grids = [_grids(version)[node] for node, _ in _node_parts(version, node_nm)]
    return max(_capacities(grid, _width_parts(grid, width_bits))[0] for grid in grids)


def _width_parts(grid: Grid, width_bits: int) -> list[tuple[int, float]]:
    """The widths to interpolate between, and their weights; none above the grid."""
    widths = sorted({width for _, width in grid})
    width = max(width_bits, widths[0])
    return neighbours(widths, width) if width <= widths[-1] else []


def _capacities(grid: Grid, width_parts: list[tuple[int, float]]) -> list[int]:
    """Wide SRAMs start at larger capacities: only those count that have all widths needed."""
    return sorted({c for c, _ in grid if all((c, w) in grid for w, _ in width_parts)})


@cache
def _sram(version: TableVersion, node_nm: int, capacity_bytes: int, width_bits: int) -> Sram:
    nodes = _node_parts(version, node_nm)
    macros = [_in_node(version, node, capacity_bytes, width_bits) for node, _ in nodes]
    if len(nodes) == 1:
        return macros[0]
    logs = np.log([[getattr(macro, field) for field in FIELDS] for macro in macros])
    (low, low_part), (high, high_part) = nodes
    values = np.exp(low_part * logs[0] + high_part * logs[1])
    source = f"CACTI, interpolated to {node_nm} nm from {low} and {high} nm; {macros[0].source}"
    return _from_values(capacity_bytes, width_bits, values, source)


def _node_parts(version: TableVersion, node_nm: int) -> list[tuple[int, float]]:
    """The grid's nodes to interpolate between, and their weights."""
    nodes = sorted(_grids(version))
    try:
        return neighbours(nodes, node_nm)
    except ValueError:
        raise TechnologyError(
            f"{version.path}: no SRAM of {node_nm} nm: add rows to those of {nodes[0]} to {nodes[-1]} nm, "
            "or change node_nm"
        ) from None


def _in_node(version: TableVersion, node_nm: int, capacity_bytes: int, width_bits: int) -> Sram:
    """An SRAM in a node of the grid."""
    table = version.path
    grid = _grids(version)[node_nm]
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
    for c, c_part in neighbours(capacities, capacity):
        for w, w_part in width_parts:
            values += c_part * w_part * np.log(grid[c, w])
    how = "CACTI" if (capacity, width) in grid else "CACTI, interpolated"
    source = f"{how}, {node_nm} nm, {capacity} bytes x {width} bits ({table.name})"
    return _from_values(capacity_bytes, width_bits, np.exp(values), source)


def _from_values(capacity_bytes: int, width_bits: int, values: FloatArray, source: str) -> Sram:
    read, write, leakage, area, cycle_time = values.tolist()
    return Sram(capacity_bytes, width_bits, read, write, leakage, area, cycle_time, source)


@cache
def _grids(version: TableVersion) -> dict[int, Grid]:
    """The grid of each node. Raises TechnologyError, naming file and line, for a row that is not valid."""
    table = version.path
    grids: dict[int, Grid] = {}
    seen: dict[tuple[int, ...], int] = {}
    for row in read_csv(table, [*KEYS, *FIELDS], OTHER_COLUMNS):
        node, capacity, width = key = tuple(_whole(table, row, name) for name in KEYS)
        if key in seen:
            raise TechnologyError(
                f"{table}, line {row.line}: the SRAM of line {seen[key]} again: remove one"
            )
        seen[key] = row.line
        values = tuple(_positive(table, row, name) for name in FIELDS)
        grids.setdefault(node, {})[capacity, width] = values
    if not grids:
        raise TechnologyError(f"{table}: holds no SRAM: add rows")
    return grids


def _whole(table: Path, row: CsvRow, name: str) -> int:
    value = _positive(table, row, name)
    if value != int(value):
        raise TechnologyError(f"{table}, line {row.line}: {name}={value}: must be a whole number")
    return int(value)


def _positive(table: Path, row: CsvRow, name: str) -> float:
    cell = row.cells[name]
    try:
        value = float(cell)
    except ValueError:
        raise TechnologyError(f"{table}, line {row.line}: {name}={cell!r}: not a number") from None
    if not 0 < value < math.inf:
        raise TechnologyError(
            f"{table}, line {row.line}: {name}={cell}: must be above 0, and finite"
        )
    return value
