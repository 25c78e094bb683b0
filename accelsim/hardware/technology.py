"""Technology tables: energy per action, power per cycle, area; every number with its source."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from accelsim.errors import TechnologyError
from accelsim.hardware import cacti
from accelsim.hardware.dram import TABLES, Dram, dram
from accelsim.hardware.scaled_table import scaled_fields
from accelsim.hardware.sram import Sram, TableVersion, least_capacity, sram, table_version
from accelsim.hardware.table_files import read_toml, validated
from accelsim.validation import closest

__all__ = ["TABLES", "Action", "Area", "Cell", "Dram", "Power", "Technology", "dram", "technology"]

BUNDLED_GRID = "sram_cacti.csv"
RUN_CACTI = "cacti"
Status: TypeAlias = Literal[
    "published", "cacti", "simulated", "derived", "fitted", "scaled", "estimate"
]

# What no run can do without. Words of other widths need actions and cells of their own.
REQUIRED = {
    "actions": (
        "multiply_16",
        "add_16",
        "register_write",
        "register_clock",
        "clock_pin",
        "multiplexer",
        "wire_mm",
        "register_file",
    ),
    "power": ("clock_tree", "leading_nonzero_detect"),
    "area": ("filler", "leading_nonzero_detect"),
    "cells": ("register_bit", "multiplexer", "clock_per_bit", "multiplier_16", "adder_16"),
}


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    status: Status
    source: str = Field(min_length=1)


class Action(_Row):
    """Energy of one action on `bits` bits."""

    energy_pj: float = Field(ge=0, allow_inf_nan=False)
    bits: int = Field(gt=0)


class Power(_Row):
    """Power drawn in every cycle at a clock of `at_mhz`, per tree node or mm2."""

    power_mw: float = Field(ge=0, allow_inf_nan=False)
    at_mhz: float = Field(gt=0, allow_inf_nan=False)
    per: Literal["lnzd_node", "mm2"]

    @property
    def energy_per_cycle_pj(self) -> float:
        """MW / MHz = nJ per cycle, hence the 1000."""
        return 1000.0 * self.power_mw / self.at_mhz


class Area(_Row):
    """Logic area, per tree node, or per um2 of other logic."""

    area_um2: float = Field(ge=0, allow_inf_nan=False)
    per: Literal["lnzd_node", "um2"]


class Cell(_Row):
    """Area of a unit of logic, of which a machine has so many."""

    area_um2: float = Field(ge=0, allow_inf_nan=False)


class Factor(_Row):
    """What a number of the SRAM grid is multiplied with."""

    factor: float = Field(gt=0, allow_inf_nan=False)


class Leakage(_Row):
    """Leakage of each bit of an SRAM, instead of the grid's."""

    power_nw_per_bit: float = Field(ge=0, allow_inf_nan=False)


class SramScale(BaseModel):
    """Where the SRAMs differ from those of the grid; what is left out is as the grid has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    energy: Factor | None = None
    area: Factor | None = None
    leakage: Leakage | None = None

    def applied(self, macro: Sram, least_bytes: Callable[[int], int]) -> Sram:
        """The SRAM with these numbers instead of its own, and their sources beside its own.

        least_bytes: capacity of the smallest SRAM of a width: what is built where less is asked for
        """
        energy = self.energy.factor if self.energy else 1.0
        leakage_mw = macro.leakage_mw
        if self.leakage:
            built_bytes = max(macro.capacity_bytes, least_bytes(macro.width_bits))
            leakage_mw = 8 * built_bytes * self.leakage.power_nw_per_bit / 1e6
        remarks = (
            [f"energy x {self.energy.factor:.4g}: {self.energy.source}"] if self.energy else []
        )
        if self.area:
            remarks.append(f"area x {self.area.factor:.4g}: {self.area.source}")
        if self.leakage:
            remarks.append(
                f"leakage {self.leakage.power_nw_per_bit:.4g} nW per bit: {self.leakage.source}"
            )
        return macro._replace(
            read_energy_pj=energy * macro.read_energy_pj,
            write_energy_pj=energy * macro.write_energy_pj,
            leakage_mw=leakage_mw,
            area_mm2=(self.area.factor if self.area else 1.0) * macro.area_mm2,
            source="; ".join([macro.source, *remarks]),
        )


class Technology(BaseModel):
    """A process node: tables of actions, standing power, area and cells, and where SRAMs come from.

    sram: a grid of SRAMs (CSV), beside the file or the one that comes with accelsim; `cacti`: CACTI is
        run for each SRAM (docs/energy-nodes.md)
    sram_scale: what is otherwise than in the grid, such as numbers of a source that disagrees
    alternatives: technologies of other sources for the same node, which disagree with this one
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    node_nm: int = Field(gt=0)
    sram: str
    sram_scale: SramScale = SramScale()
    alternatives: tuple[str, ...] = ()
    actions: dict[str, Action]
    power: dict[str, Power]
    area: dict[str, Area]
    cells: dict[str, Cell]
    file: Path = TABLES

    def action(self, name: str) -> Action:
        """The action of that name; TechnologyError if the table has none."""
        if name not in self.actions:
            raise _missing(self.file, "actions", name)
        return self.actions[name]

    def cell(self, name: str) -> Cell:
        """The cell of that name; TechnologyError if the table has none."""
        if name not in self.cells:
            raise _missing(self.file, "cells", name)
        return self.cells[name]

    def least_sram_bytes(self, width_bits: int) -> int:
        """Capacity of the smallest SRAM of this width in this node."""
        if self.sram == RUN_CACTI:
            return cacti.least_capacity(width_bits)
        return least_capacity(self.sram_table, self.node_nm, width_bits)

    def sram_macro(self, capacity_bytes: int, width_bits: int) -> Sram:
        """An SRAM in this node; TechnologyError outside the grid."""
        if self.sram == RUN_CACTI:
            macro = cacti.sram_from_cacti(self.node_nm, capacity_bytes, width_bits)
        else:
            macro = sram(self.sram_table, self.node_nm, capacity_bytes, width_bits)
        return self.sram_scale.applied(macro, self.least_sram_bytes)

    @property
    def sram_table(self) -> Path:
        """The SRAM grid, beside this file or the one that comes with accelsim; of CACTI its settings."""
        if self.sram == RUN_CACTI:
            return cacti.SETTINGS
        own = self.file.parent / self.sram
        return TABLES / BUNDLED_GRID if self.sram == BUNDLED_GRID and not own.exists() else own


def technology_names() -> list[str]:
    """Names of the technologies that come with accelsim."""
    return sorted(path.stem for path in TABLES.glob("*.toml"))


def technology(name: str) -> Technology:
    """A technology by name (of a file in `technologies/`) or path. Raises TechnologyError."""
    return _technology(table_version(_file(name)))


def _file(name: str) -> Path:
    if name.endswith(".toml"):
        return Path(name)
    path = TABLES / f"{name}.toml"
    if not name.isprintable() or not path.is_file() or path.parent != TABLES:
        known = technology_names()
        raise TechnologyError(f"technology '{name}': no such table{closest(name, known, 'tables')}")
    return path


@cache
def _technology(version: TableVersion) -> Technology:
    path = version.path
    fields = read_toml(path)
    if "file" in fields:
        raise TechnologyError(f"{path}: unknown field 'file': remove it")
    if "base" in fields:
        fields = _on_base(fields, path)
    loaded = validated(Technology, fields | {"file": path}, path)
    for kind, names in REQUIRED.items():
        for name in names:
            if name not in getattr(loaded, kind):
                raise _missing(path, kind, name)
    for name in loaded.alternatives:
        if name not in technology_names():
            hint = closest(name, technology_names(), "tables")
            raise TechnologyError(f"{path}: alternatives: '{name}' is no technology{hint}")
    return loaded


def _on_base(fields: dict[str, Any], path: Path) -> dict[str, Any]:
    """A table that says only where it differs from another one, which may be of another node."""
    place = _base_file(fields.pop("base"), path)
    _check_ends(path, place)
    base = technology(str(place)).model_dump(mode="json", exclude={"file"}, exclude_none=True)
    node_nm = fields.get("node_nm", base["node_nm"])
    if node_nm != base["node_nm"]:
        base = scaled_fields(base, node_nm, path)
    for field, value in fields.items():
        rows = field in REQUIRED and isinstance(value, dict)
        base[field] = base[field] | value if rows else value
    return base


def _base_file(name: Any, path: Path) -> Path:
    """The file of a base: a table that comes with accelsim, or one beside `path`."""
    if not isinstance(name, str):
        raise TechnologyError(f"{path}: base={name!r}: give the name of a technology")
    return path.parent / name if name.endswith(".toml") else _file(name)


def _check_ends(path: Path, base: Path) -> None:
    """TechnologyError if a base is based on the table itself."""
    seen = {path}
    while (place := base.resolve()) not in seen:
        seen.add(place)
        name = read_toml(place).get("base")
        if name is None:
            return
        base = _base_file(name, place)
    raise TechnologyError(
        f"{path}: base: the tables are based on each other: give one that has none"
    )


def _missing(path: Path, kind: str, name: str) -> TechnologyError:
    return TechnologyError(f"{path}: no {kind.removesuffix('s')} '{name}': add [{kind}.{name}]")
