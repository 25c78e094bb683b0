"""This computer: what a measurement has to say about the machine that it was made on."""

import os
import platform
import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from accelsim.provenance import software_versions

SYSFS_CPUS = Path("/sys/devices/system/cpu")
PROC_STAT = Path("/proc/stat")
CPUINFO = Path("/proc/cpuinfo")
NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")
ASSUMED_CACHE_BYTES = 64 * 2**20
LEAST_FLUSH_BYTES = 64_000_000
# Caches do not evict strictly the oldest. On a Zen 5 EPYC with 32 MiB, a layer of 16 MB takes 445
# µs after streaming through twice the cache, 455 through three times, 460 through four, six, eight.
FLUSH_FACTOR = 4

_THREAD_LIMITS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


class Gpu(BaseModel):
    """A GPU as torch and its driver describe it.

    cache_bytes: its level-2 cache, shared by all multiprocessors
    driver: version of the kernel driver, None where nothing tells
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    memory_bytes: int = Field(ge=1)
    cache_bytes: int = Field(ge=1)
    driver: str | None
    cuda: str


class Device(BaseModel):
    """A computer and its state when a measurement began.

    cpus: logical CPUs that the process may use
    cache_bytes: last-level cache of these CPUs, all instances together
    cache_assumed: whether the system did not tell, so that cache_bytes is a guess on the high side
    thread_limits: environment variables that limit the threads of BLAS, as they were set
    load_average: runnable processes over 1, 5 and 15 minutes before the measurement
    gpu: the GPU that ran the products; None if the CPU did
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    cpus: int = Field(ge=1)
    cache_bytes: int = Field(ge=1)
    cache_assumed: bool
    blas: str
    thread_limits: dict[str, str]
    system: str
    software: dict[str, str]
    load_average: tuple[float, float, float]
    gpu: Gpu | None = None

    @property
    def name(self) -> str:
        """What ran the products."""
        return self.gpu.name if self.gpu else self.cpu

    @property
    def threads(self) -> str:
        """What bounds the threads of BLAS, in words."""
        return _threads_text(self.thread_limits, self.cpus)


def this_device() -> Device:
    """Describe the computer that runs this process."""
    cpus = usable_cpus()
    cache_bytes = last_level_cache_bytes(cpus)
    return Device(
        cpu=cpu_model(),
        cpus=len(cpus),
        cache_bytes=cache_bytes or ASSUMED_CACHE_BYTES,
        cache_assumed=cache_bytes is None,
        blas=blas_name(),
        thread_limits=_thread_limits(),
        system=platform.platform(),
        software=software_versions() | {"scipy": version("scipy")},
        load_average=os.getloadavg(),
    )


def is_this_computer(device: Device) -> bool:
    """Whether this computer has that CPU, caches and GPU: the same one, or one just like it."""
    cpus = usable_cpus()
    cache_bytes = last_level_cache_bytes(cpus) or ASSUMED_CACHE_BYTES
    own = (cpu_model(), len(cpus), cache_bytes)
    same_cpu = (device.cpu, device.cpus, device.cache_bytes) == own
    return same_cpu and (device.gpu is None or device.gpu.name in gpu_names())


def gpu_names(root: Path = NVIDIA_GPUS) -> tuple[str, ...]:
    """List the NVIDIA GPUs that the kernel driver runs, without loading any library."""
    files = sorted(root.glob("*/information"))
    return tuple(name for file in files if (name := _field(file, "Model")))


def usable_cpus() -> tuple[int, ...]:
    """List the numbers of the logical CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def cpu_model(cpuinfo: Path = CPUINFO) -> str:
    """Read the CPU's name as the kernel prints it; else what Python knows of it.

    A name without a number, as virtual machines give, says little: family and model are added.
    """
    name = _field(cpuinfo, "model name")
    if name is None:
        return platform.processor() or platform.machine() or "unknown CPU"
    family, model = _field(cpuinfo, "cpu family"), _field(cpuinfo, "model")
    if re.search(r"\d", name) or not (family and model):
        return name
    return f"{name} family {family} model {model}"


def last_level_cache_bytes(cpus: Iterable[int], root: Path = SYSFS_CPUS) -> int | None:
    """Add up the last-level caches of `cpus`, each counted once; None if nothing tells."""
    sizes = {}
    for cpu in cpus:
        for folder in (root / f"cpu{cpu}" / "cache").glob("index*"):
            try:
                key = (int(_text(folder / "level")), _text(folder / "shared_cpu_list"))
                sizes[key] = _size_bytes(_text(folder / "size"))
            except (OSError, ValueError):  # virtual machines leave some of these files out
                continue
    if not sizes:
        return None
    last = max(level for level, _ in sizes)
    return sum(size for (level, _), size in sizes.items() if level == last) or None


def flush_bytes(cache_bytes: int) -> int:
    """Say how much to stream through so that nothing older stays in a cache of `cache_bytes`."""
    return max(FLUSH_FACTOR * cache_bytes, LEAST_FLUSH_BYTES)


def busy_s(stat: Path = PROC_STAT) -> float | None:
    """Add up the seconds that all CPUs were busy since the system started; None if nothing tells.

    Time that a hypervisor gave to other machines (steal) counts as busy.
    """
    try:
        fields = stat.read_text(encoding="ascii").split("\n", 1)[0].split()
        user, nice, system, _idle, _iowait, irq, softirq, steal = (int(n) for n in fields[1:9])
    except (OSError, ValueError):
        return None
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def _thread_limits() -> dict[str, str]:
    return {name: os.environ[name] for name in _THREAD_LIMITS if name in os.environ}


def _threads_text(limits: dict[str, str], cpus: int) -> str:
    texts = [f"{name}={value}" for name, value in limits.items()]
    return ", ".join(texts) or f"BLAS may use {cpus} CPUs"


def _field(file: Path, name: str) -> str | None:
    """Read the first `name: value` of a file of such lines; None if there is none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    fields = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in fields if key.strip() == name), None)


def _text(file: Path) -> str:
    return file.read_text(encoding="ascii").strip()


def _size_bytes(text: str) -> int:
    """Convert `32768K` to bytes. Raises ValueError for anything that is no such size."""
    unit = _UNITS.get(text[-1:], 1)
    return int(text.rstrip("KMG")) * unit


def blas_threads() -> str:
    """Say what bounds the threads of BLAS in this process."""
    return _threads_text(_thread_limits(), len(usable_cpus()))


def blas_name() -> str:
    """Name the BLAS that NumPy was built with, and its version."""
    build = np.show_config("dicts")
    blas = build["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"
