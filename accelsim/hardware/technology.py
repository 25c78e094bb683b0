"""Technology tables: energy per action, power per cycle, area, DRAM; every number with its source."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.errors import TechnologyError
from accelsim.hardware.sram import Sram, TableVersion, sram, table_version
from accelsim.network.files import first_line
from accelsim.validation import closest, first_problem

TABLES = Path(__file__).parent / "technologies"
BUNDLED_GRID = "sram_cacti.csv"
Status: TypeAlias = Literal["published", "cacti", "simulated", "derived", "estimate"]
Model = TypeVar("Model", bound=BaseModel)

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


class Dram(BaseModel):
    """One DRAM channel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    energy_pj_per_bit: float = Field(gt=0, allow_inf_nan=False)
    energy_source: str = Field(min_length=1)
    bandwidth_gbyte_per_s: float = Field(gt=0, allow_inf_nan=False)
    bandwidth_source: str = Field(min_length=1)
    latency_ns: float = Field(ge=0, allow_inf_nan=False)
    latency_source: str = Field(min_length=1)
    status: Status

    def transfer_us(self, n_bytes: float) -> float:
        """Time of one long sequential transfer."""
        return self.latency_ns / 1e3 + n_bytes / (self.bandwidth_gbyte_per_s * 1e3)


class Technology(BaseModel):
    """A process node: tables of actions, standing power and area, and where SRAMs come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    node_nm: int = Field(gt=0)
    sram: str
    actions: dict[str, Action]
    power: dict[str, Power]
    area: dict[str, Area]
    file: Path = TABLES

    def action(self, name: str) -> Action:
        """The action of that name; TechnologyError if the table has none."""
        if name not in self.actions:
            raise _missing(self.file, "actions", name)
        return self.actions[name]

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
    fields = _read(path)
    if "file" in fields:
        raise TechnologyError(f"{path}: unknown field 'file': remove it")
    loaded = _validated(Technology, fields | {"file": path}, path)
    for kind, names in REQUIRED.items():
        for name in names:
            if name not in getattr(loaded, kind):
                raise _missing(path, kind, name)
    return loaded


def _missing(path: Path, kind: str, name: str) -> TechnologyError:
    return TechnologyError(f"{path}: no {kind.removesuffix('s')} '{name}': add [{kind}.{name}]")


def dram(name: str) -> Dram:
    """A DRAM kind by name (in dram.toml), or the only one in a file. Raises TechnologyError."""
    if name.endswith(".toml"):
        return _only_dram(table_version(Path(name)))
    return _named_dram(table_version(TABLES / "dram.toml"), name)


@cache
def _named_dram(version: TableVersion, name: str) -> Dram:
    kinds = _read(version.path)
    if name not in kinds:
        raise TechnologyError(f"dram '{name}': no such kind{closest(name, list(kinds), 'kinds')}")
    return _validated(Dram, kinds[name], version.path)


@cache
def _only_dram(version: TableVersion) -> Dram:
    kinds = _read(version.path)
    if len(kinds) != 1:
        raise TechnologyError(
            f"{version.path}: holds {len(kinds)} tables: give one DRAM kind in the file"
        )
    return _validated(Dram, next(iter(kinds.values())), version.path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TechnologyError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise TechnologyError(f"{path}: not valid TOML: {first_line(error)}") from None


def _validated(model: type[Model], fields: Any, path: Path) -> Model:
    if not isinstance(fields, dict):
        raise TechnologyError(f"{path}: holds a value outside any table: put it under a [name]")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise TechnologyError(f"{path}: {first_problem(error, list(model.model_fields))}") from None
