"""Technology tables: energy per action, power per cycle, area, DRAM; every number with its source."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.compression.recipe import closest, first_problem
from accelsim.errors import TechnologyError
from accelsim.hardware.sram import Sram, sram

TABLES = Path(__file__).parent / "technologies"
Status: TypeAlias = Literal["published", "cacti", "derived", "estimate"]
Model = TypeVar("Model", bound=BaseModel)


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
            raise TechnologyError(f"{self.file}: no action '{name}': add [actions.{name}]")
        return self.actions[name]

    def sram_macro(self, capacity_bytes: int, width_bits: int) -> Sram:
        """An SRAM in this node; TechnologyError outside the grid."""
        table = Path(self.sram)
        if not table.is_absolute():
            table = (self.file.parent if (self.file.parent / table).exists() else TABLES) / table
        return sram(table, self.node_nm, capacity_bytes, width_bits)


@cache
def technology(name: str) -> Technology:
    """A technology by name (of a file in `technologies/`) or path. Raises TechnologyError."""
    path = _find(name, [p.stem for p in TABLES.glob("*nm.toml")], "technology")
    loaded = _validated(Technology, _read(path) | {"file": path}, path)
    for needed in ("clock", "leading_nonzero_detect"):
        if needed not in loaded.power:
            raise TechnologyError(f"{path}: no power '{needed}': add [power.{needed}]")
    return loaded


@cache
def dram(name: str) -> Dram:
    """A DRAM kind by name (in dram.toml), or the only one in a file. Raises TechnologyError."""
    path = TABLES / "dram.toml"
    kinds = _read(path)
    if name in kinds:
        return _validated(Dram, kinds[name], path)
    if not name.endswith(".toml"):
        raise TechnologyError(f"dram '{name}': no such kind{closest(name, list(kinds), 'kinds')}")
    path = Path(name)
    own = _read(path)
    if len(own) != 1:
        raise TechnologyError(f"{path}: holds {len(own)} tables: give one DRAM kind in the file")
    return _validated(Dram, next(iter(own.values())), path)


def _find(name: str, known: list[str], what: str) -> Path:
    if name in known:
        return TABLES / f"{name}.toml"
    if name.endswith(".toml"):
        return Path(name)
    raise TechnologyError(f"{what} '{name}': no such table{closest(name, known, 'tables')}")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise TechnologyError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TechnologyError(f"{path}: not valid TOML: {error}") from None


def _validated(model: type[Model], fields: Any, path: Path) -> Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise TechnologyError(f"{path}: {first_problem(error, list(model.model_fields))}") from None
