"""Technology tables: energy per action, power per cycle, area; every number with its source."""

from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from accelsim.errors import TechnologyError
from accelsim.hardware.dram import TABLES, Dram, dram
from accelsim.hardware.sram import Sram, TableVersion, least_capacity, sram, table_version
from accelsim.hardware.table_files import read_toml, validated
from accelsim.validation import closest

__all__ = ["TABLES", "Action", "Area", "Cell", "Dram", "Power", "Technology", "dram", "technology"]

BUNDLED_GRID = "sram_cacti.csv"
Status: TypeAlias = Literal["published", "cacti", "simulated", "derived", "estimate"]

# What no run can do without. Words of other widths need actions of their own.
REQUIRED = {
    "actions": ("multiply_16", "add_16", "register_file"),
    "power": ("clock", "leading_nonzero_detect"),
    "area": ("pe_logic", "leading_nonzero_detect"),
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
    """Power drawn in every cycle at a clock of `at_mhz`, per PE or per tree node."""

    power_mw: float = Field(ge=0, allow_inf_nan=False)
    at_mhz: float = Field(gt=0, allow_inf_nan=False)
    per: Literal["pe", "lnzd_node"]

    @property
    def energy_per_cycle_pj(self) -> float:
        """MW / MHz = nJ per cycle, hence the 1000."""
        return 1000.0 * self.power_mw / self.at_mhz


class Area(_Row):
    """Logic area."""

    area_um2: float = Field(ge=0, allow_inf_nan=False)
    per: Literal["pe", "lnzd_node"]


class Cell(_Row):
    """A unit of logic that a machine may have more or less of: area, and leakage of what it stores."""

    area_um2: float = Field(ge=0, allow_inf_nan=False)
    leakage_nw: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Technology(BaseModel):
    """A process node: tables of actions, standing power and area, and where SRAMs come from.

    cells: what decoders of streams, and units beyond the published PE, are built of
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    node_nm: int = Field(gt=0)
    sram: str
    actions: dict[str, Action]
    power: dict[str, Power]
    area: dict[str, Area]
    cells: dict[str, Cell] = {}
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
        return least_capacity(self.sram_table, self.node_nm, width_bits)

    def sram_macro(self, capacity_bytes: int, width_bits: int) -> Sram:
        """An SRAM in this node; TechnologyError outside the grid."""
        return sram(self.sram_table, self.node_nm, capacity_bytes, width_bits)

    @property
    def sram_table(self) -> Path:
        """The SRAM grid: beside this technology's file, or the one that comes with accelsim."""
        own = self.file.parent / self.sram
        return TABLES / BUNDLED_GRID if self.sram == BUNDLED_GRID and not own.exists() else own


def technology(name: str) -> Technology:
    """A technology by name (of a file in `technologies/`) or path. Raises TechnologyError."""
    known = [path.stem for path in TABLES.glob("*nm.toml")]
    if name in known:
        return _technology(table_version(TABLES / f"{name}.toml"))
    if name.endswith(".toml"):
        return _technology(table_version(Path(name)))
    raise TechnologyError(f"technology '{name}': no such table{closest(name, known, 'tables')}")


@cache
def _technology(version: TableVersion) -> Technology:
    path = version.path
    fields = read_toml(path)
    if "file" in fields:
        raise TechnologyError(f"{path}: unknown field 'file': remove it")
    loaded = validated(Technology, fields | {"file": path}, path)
    for kind, names in REQUIRED.items():
        for name in names:
            if name not in getattr(loaded, kind):
                raise _missing(path, kind, name)
    return loaded


def _missing(path: Path, kind: str, name: str) -> TechnologyError:
    return TechnologyError(f"{path}: no {kind.removesuffix('s')} '{name}': add [{kind}.{name}]")
