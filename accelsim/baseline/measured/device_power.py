"""What devices may draw by their specifications: for estimates of energy where no counter is read."""

from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from accelsim.hardware.table_files import read_toml, validated

TABLE = Path(__file__).with_name("device_power.toml")

Words = Annotated[str, Field(min_length=1)]


class PowerSpecification(BaseModel):
    """A device's thermal design power and who says so; `pattern` is the name it goes by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: Words
    tdp_w: float = Field(gt=0, allow_inf_nan=False)
    source: Words
    note: Words


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: tuple[PowerSpecification, ...]


def specified_power(device: str, table: Path = TABLE) -> PowerSpecification | None:
    """Find the specification of the device of that name; None where none is known.

    Raises TechnologyError for a table that is not valid.
    """
    return next((s for s in _devices(table) if fnmatchcase(device, s.pattern)), None)


@cache
def _devices(table: Path) -> tuple[PowerSpecification, ...]:
    return validated(_Table, read_toml(table), table).devices
