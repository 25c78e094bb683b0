"""DRAM channels, and links between chips: how fast bytes move, and what a bit costs."""

from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from accelsim.errors import TechnologyError
from accelsim.hardware.dram_power import Commands, Power
from accelsim.hardware.sram import TableVersion, table_version
from accelsim.hardware.table_files import read_toml, table_error, validated
from accelsim.validation import closest

TABLES = Path(__file__).parent / "technologies"
Row: TypeAlias = Literal["hit", "miss", "conflict"]
# What a file with channel timing leaves out: these follow from the timing.
DERIVED = ("bandwidth_gbyte_per_s", "bandwidth_source", "latency_ns", "latency_source")


class Channel(BaseModel):
    """Timing and organisation of one channel, in the terms of the JEDEC standards.

    width_bits, burst_bytes, banks, page_bytes: of one of `sub_channels` that work side by side
        (pseudo-channels). burst_bytes is payload: a burst may carry check bits beside it
    n_*: in clock cycles of `tck_ns`: row to column delay, CAS latency, row precharge, refresh of all
        banks, and the interval between refreshes
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width_bits: int = Field(gt=0)
    sub_channels: int = Field(default=1, gt=0)
    rate_mtps: float = Field(gt=0, allow_inf_nan=False)
    burst_length: int = Field(gt=0)
    burst_bytes: int = Field(gt=0)
    banks: int = Field(gt=0)
    page_bytes: int = Field(gt=0)
    organisation_source: str = Field(min_length=1)
    tck_ns: float = Field(gt=0, allow_inf_nan=False)
    n_rcd: int = Field(ge=0)
    n_cl: int = Field(ge=0)
    n_rp: int = Field(ge=0)
    n_rfc: int = Field(ge=0)
    n_refi: int = Field(gt=0)
    timing_source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _time_is_left_between_refreshes(self) -> "Channel":
        if self.n_refi <= self.n_rfc + self.n_rp + self.n_rcd:
            raise ValueError(
                f"n_refi={self.n_refi} leaves no time between refreshes: it must be greater than "
                f"n_rfc + n_rp + n_rcd = {self.n_rfc + self.n_rp + self.n_rcd}"
            )
        if 8 * self.burst_bytes > self.width_bits * self.burst_length:
            raise ValueError(
                f"burst_bytes={self.burst_bytes} is more than {self.burst_length} beats of "
                f"{self.width_bits} bits carry"
            )
        return self

    @property
    def burst_ns(self) -> float:
        """Time of one burst on the data pins."""
        return 1e3 * self.burst_length / self.rate_mtps

    @property
    def peak_gbyte_per_s(self) -> float:
        """Payload of back-to-back bursts on all sub-channels."""
        return self.sub_channels * self.burst_bytes / self.burst_ns

    @property
    def refresh_frac(self) -> float:
        """Part of the time that refresh takes: all banks close, refresh, and a row opens anew."""
        return (self.n_rfc + self.n_rp + self.n_rcd) / self.n_refi

    @property
    def row_frac(self) -> float:
        """Part of the peak that is left of changing rows, when banks take turns.

        While one bank's row is read, the banks before it close theirs and open the next. With too few
        banks, or too short rows, reading waits for them.
        """
        page_ns = self.burst_ns * self.page_bytes / self.burst_bytes
        turn_ns = page_ns + (self.n_rp + self.n_rcd) * self.tck_ns
        return min(1.0, self.banks * page_ns / turn_ns)

    @property
    def streaming_gbyte_per_s(self) -> float:
        """Long sequential read: the peak, less refresh, less what changing rows cannot hide."""
        return self.peak_gbyte_per_s * self.row_frac * (1.0 - self.refresh_frac)

    @property
    def refresh_us(self) -> float:
        """Interval between refreshes."""
        return self.n_refi * self.tck_ns / 1e3

    def read_ns(self, row: Row = "conflict") -> float:
        """From a read's first command to its first data, on an idle channel.

        row: `hit`, the row is open; `miss`, its bank is closed; `conflict`, another row is open
        """
        cycles = {"hit": 0, "miss": self.n_rcd, "conflict": self.n_rp + self.n_rcd}[row]
        return (cycles + self.n_cl) * self.tck_ns


class Medium(BaseModel):
    """Something that moves bytes: a DRAM channel, or a link between chips."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    energy: float | None = Field(default=None, alias="energy_pj_per_bit", gt=0, allow_inf_nan=False)
    energy_source: str = Field(min_length=1)
    bandwidth_gbyte_per_s: float = Field(gt=0, allow_inf_nan=False)
    bandwidth_source: str = Field(min_length=1)
    latency_ns: float = Field(ge=0, allow_inf_nan=False)
    latency_source: str = Field(min_length=1)
    status: Literal["published", "cacti", "simulated", "derived", "estimate"]
    file: Path = Field(exclude=True)

    @property
    def energy_pj_per_bit(self) -> float:
        """Energy per bit moved. Raises TechnologyError where the file has none."""
        if self.energy is None:
            raise TechnologyError(
                f"{self.file}: no energy per bit is known ({self.energy_source}): to use this kind, "
                "copy the file, add energy_pj_per_bit, and give its path"
            )
        return self.energy

    def transfer_us(self, n_bytes: float) -> float:
        """Time of one long sequential transfer."""
        return self.latency_ns / 1e3 + n_bytes / (self.bandwidth_gbyte_per_s * 1e3)

    def transfer_ps(self, n_bytes: float) -> int:
        """The same in whole picoseconds; nothing takes no time."""
        return round(1e6 * self.transfer_us(n_bytes)) if n_bytes else 0


class Dram(Medium):
    """One DRAM channel: plain figures, or those that follow from its timing.

    power, commands: what commands cost, beside the plain energy per bit: from supply currents, or as
        published; at most one of them, and only with a channel
    """

    channel: Channel | None = None
    power: Power | None = None
    commands: Commands | None = None

    @property
    def command_energies(self) -> Commands | None:
        """What commands cost; None where nothing is known."""
        if self.power is None or self.channel is None:
            return self.commands
        return self.power.commands(self.channel.burst_ns, self.channel.burst_bytes)


class Link(Medium):
    """A link between two chips."""


Kind = TypeVar("Kind", bound=Medium)


def dram(name: str) -> Dram:
    """A DRAM kind by name, or from a file with one table. Raises TechnologyError."""
    return _dram(table_version(_file("dram", name)))


def link(name: str) -> Link:
    """A link by name, or from a file with one table. Raises TechnologyError."""
    return _link(table_version(_file("link", name)))


def dram_names() -> list[str]:
    """DRAM kinds that come with accelsim."""
    return _names("dram")


def _names(what: str) -> list[str]:
    return sorted(path.stem for path in (TABLES / what).glob("*.toml"))


def _file(what: str, name: str) -> Path:
    known = _names(what)
    if name in known:
        return TABLES / what / f"{name}.toml"
    if name.endswith(".toml"):
        return Path(name)
    raise TechnologyError(f"{what} '{name}': no such kind{closest(name, known, 'kinds')}")


@cache
def _dram(version: TableVersion) -> Dram:
    name, fields = _only_table(version.path)
    _check_energies(version.path, name, fields)
    timing = fields.get("channel")
    if timing is None:
        return _medium(Dram, name, fields, version.path)
    for field in DERIVED:
        if field in fields:
            message = f"{field} follows from [channel]: give one of the two"
            raise table_error(version.path, (name, field), message)
    channel = validated(Channel, timing, version.path, (name, "channel"))
    derived = {
        "bandwidth_gbyte_per_s": channel.streaming_gbyte_per_s,
        "bandwidth_source": f"peak {channel.peak_gbyte_per_s:.4g} GB/s less refresh (docs/system.md); "
        f"{channel.timing_source}",
        "latency_ns": channel.read_ns(),
        "latency_source": f"(nRP + nRCD + nCL) tCK; {channel.timing_source}",
    }
    return _medium(Dram, name, fields | derived, version.path)


def _check_energies(path: Path, name: str, fields: dict[str, Any]) -> None:
    if "power" in fields and "commands" in fields:
        message = "commands follow from [power]: give one of the two"
        raise table_error(path, (name, "commands"), message)
    for table in ("power", "commands"):
        if table in fields and "channel" not in fields:
            message = f"{table}: bursts, rows and refreshes are unknown: add [{name}.channel]"
            raise table_error(path, (name, table), message)


@cache
def _link(version: TableVersion) -> Link:
    name, fields = _only_table(version.path)
    return _medium(Link, name, fields, version.path)


def _only_table(path: Path) -> tuple[str, dict[str, Any]]:
    """Name and fields of the kind."""
    tables = read_toml(path)
    if len(tables) != 1:
        raise TechnologyError(f"{path}: holds {len(tables)} tables: give one kind in the file")
    ((name, fields),) = tables.items()
    if not isinstance(fields, dict):
        raise table_error(path, (name,), "holds a value outside any table: put it under a [name]")
    if "file" in fields:
        raise table_error(path, (name, "file"), "unknown field 'file': remove it")
    return name, fields


def _medium(kind: type[Kind], name: str, fields: dict[str, Any], path: Path) -> Kind:
    return validated(kind, fields | {"file": path}, path, (name,))
