"""Machines that are bound by their DRAM: CPUs, GPUs and edge modules, every number with its source."""

from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from accelsim.errors import InputError
from accelsim.hardware.sram import TableVersion, table_version
from accelsim.hardware.table_files import read_toml, validated
from accelsim.validation import closest

TABLES = Path(__file__).parent / "platforms"
Status: TypeAlias = Literal["published", "derived", "fitted", "estimate"]
KernelName: TypeAlias = Literal["dense", "sparse"]
KERNELS: tuple[KernelName, ...] = ("dense", "sparse")

# Power and errors are known for these two batches; 8 vectors are as near to the one as to the other.
FEW_VECTORS = 8


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str = Field(min_length=1)
    status: Status


class Chip(_Row):
    """When and how the chip is made."""

    year: int = Field(ge=1970, le=2100)
    node_nm: float = Field(gt=0, allow_inf_nan=False)


class Peak(_Row):
    """Operations per second as the vendor states them; a multiplication and an addition are two."""

    fp32_gop_per_s: float = Field(gt=0, allow_inf_nan=False)


class Memory(_Row):
    """DRAM; 1 gbyte is 10**9 bytes."""

    capacity_gbyte: float = Field(gt=0, allow_inf_nan=False)
    bandwidth_gbyte_per_s: float = Field(gt=0, allow_inf_nan=False)


class Cache(_Row):
    """The last cache before the DRAM; 1 mbyte is 2**20 bytes."""

    capacity_mbyte: float = Field(gt=0, allow_inf_nan=False)

    @property
    def n_bytes(self) -> float:
        """Capacity in bytes."""
        return self.capacity_mbyte * 2**20


class Power(_Row):
    """Power of the chip with its DRAM as far as the source includes it."""

    power_w: float = Field(gt=0, allow_inf_nan=False)


class KernelPower(_Row):
    """Power while the kernel runs, by the vectors of a product."""

    batch_1_w: float = Field(gt=0, allow_inf_nan=False)
    batch_64_w: float = Field(gt=0, allow_inf_nan=False)

    def of(self, vectors: int) -> float:
        """Watts of a product with so many vectors: those of the nearer batch."""
        return self.batch_1_w if vectors <= FEW_VECTORS else self.batch_64_w


class KernelError(_Row):
    """How far off times were on layers that the fit had not seen: a factor, rms of the logarithms."""

    batch_1_factor: float = Field(ge=1, allow_inf_nan=False)
    batch_64_factor: float = Field(ge=1, allow_inf_nan=False)

    def of(self, vectors: int) -> float:
        """The factor of the nearer batch."""
        return self.batch_1_factor if vectors <= FEW_VECTORS else self.batch_64_factor


class Kernel(_Row):
    """What a way to multiply reaches: `overhead + max(bytes / bandwidth, operations / rate)`.

    overhead_us: of one call, however many vectors it multiplies
    bandwidth_gbyte_per_s, gop_per_s: the effective roofs of memory and arithmetic
    power: while it runs
    error: None where the model was compared with nothing
    """

    overhead_us: float = Field(ge=0, allow_inf_nan=False)
    bandwidth_gbyte_per_s: float = Field(gt=0, allow_inf_nan=False)
    gop_per_s: float = Field(gt=0, allow_inf_nan=False)
    power: KernelPower
    error: KernelError | None = None

    def memory_us(self, n_bytes: float) -> float:
        """Time to move the bytes."""
        return n_bytes / (1e3 * self.bandwidth_gbyte_per_s)

    def arithmetic_us(self, n_ops: float) -> float:
        """Time of the operations."""
        return n_ops / (1e3 * self.gop_per_s)

    def call_us(self, n_bytes: float, n_ops: float) -> float:
        """Time of one call."""
        return self.overhead_us + max(self.memory_us(n_bytes), self.arithmetic_us(n_ops))


class Platform(BaseModel):
    """A machine as a table describes it (docs/baselines.md).

    label: how tables and figures call it
    dense, sparse: float32 matrices in full, and in CSR, with 32-bit indices
    idle: None where no source was found
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(min_length=1)
    type: Literal["CPU", "GPU", "edge GPU"]
    chip: Chip
    peak: Peak
    memory: Memory
    cache: Cache
    tdp: Power | None = None
    idle: Power | None = None
    dense: Kernel
    sparse: Kernel

    @model_validator(mode="after")
    def _no_kernel_is_faster_than_the_machine(self) -> "Platform":
        limits = (
            ("bandwidth_gbyte_per_s", self.memory.bandwidth_gbyte_per_s, "memory"),
            ("gop_per_s", self.peak.fp32_gop_per_s, "peak"),
        )
        for name in KERNELS:
            for field, limit, table in limits:
                if (value := getattr(self.kernel(name), field)) > limit:
                    raise ValueError(
                        f"{name}.{field}={value:g} is more than the {limit:g} of [{table}]: "
                        "correct one of them"
                    )
        return self

    def kernel(self, name: KernelName) -> Kernel:
        """The kernel of that name. Raises InputError for any other name."""
        if name not in KERNELS:
            raise InputError(f"kernel '{name}': use {' or '.join(KERNELS)}")
        return self.dense if name == "dense" else self.sparse


def platform_names() -> list[str]:
    """Names of the platforms that come with accelsim."""
    return sorted(path.stem for path in TABLES.glob("*.toml"))


def platform(name: "str | Path | Platform") -> Platform:
    """A platform by name, from a TOML file, or as it is.

    Raises InputError for an unknown name, TechnologyError for a table that is not valid.
    """
    if isinstance(name, Platform):
        return name
    name, known = str(name), platform_names()
    if name in known:
        return _platform(table_version(TABLES / f"{name}.toml"))
    if name.lower().endswith(".toml"):
        return _platform(table_version(Path(name)))
    raise InputError(
        f"platform '{name}': no such platform (a file's name ends in .toml)"
        f"{closest(name, known, 'platforms')}"
    )


@cache
def _platform(version: TableVersion) -> Platform:
    return validated(Platform, read_toml(version.path), version.path)
