"""Measurements as files: one JSON object each, in today's form or that of version 1."""

import json
import textwrap
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from accelsim.baseline.measured.device import Device
from accelsim.baseline.measured.record import (
    Count,
    CpuCount,
    KernelName,
    KernelTimings,
    LayerTimings,
    Measurement,
    Microseconds,
    Record,
    Size,
    Timing,
)
from accelsim.errors import FileFormatError, InputError
from accelsim.files import write_text
from accelsim.validation import first_problem


class _Kernel1(Record):
    kernel: Literal["dense BLAS", "sparse CSR"]
    package: str
    weight_bytes: Size
    overhead_us: Microseconds
    timings: tuple[Timing, ...] = Field(min_length=1)


class _Layer1(Record):
    name: str
    n_in: Count
    n_out: Count
    nonzeros: Size
    vectors: Count = 1
    in_turn: bool = False
    inputs: Literal["given", "drawn"]
    kernels: tuple[_Kernel1, ...] = Field(min_length=1)


class _Measurement1(Record):
    """A record of version 1: dense BLAS and SciPy CSR on a CPU, one batch for all."""

    version: Literal[1]
    network: str
    batch: Count
    date_utc: AwareDatetime
    device: Device
    flush_bytes: Count
    energy_zones: tuple[str, ...]
    others_cpus: CpuCount | None
    layers: tuple[_Layer1, ...]

    def today(self) -> Measurement:
        """The same in today's form."""
        zones = ", ".join(self.energy_zones)
        return Measurement(
            network=self.network,
            date_utc=self.date_utc,
            device=self.device,
            flush_bytes=self.flush_bytes,
            energy_source=f"RAPL counters of the CPU package ({zones})" if zones else None,
            power_specification=None,
            others_cpus=self.others_cpus,
            layers=tuple(self._layer(layer) for layer in self.layers),
        )

    def _layer(self, layer: _Layer1) -> LayerTimings:
        fields = {name: getattr(layer, name) for name in _Layer1.model_fields if name != "kernels"}
        return LayerTimings(**fields, kernels=tuple(map(self._kernel, layer.kernels)))

    def _kernel(self, kernel: _Kernel1) -> KernelTimings:
        name: KernelName = kernel.kernel
        return KernelTimings(
            kernel=name,
            package=kernel.package,
            batch=self.batch,
            threads=self.device.threads if name == "dense BLAS" else "one thread",
            weight_bytes=kernel.weight_bytes,
            overhead_us=kernel.overhead_us,
            timings=kernel.timings,
        )


def save_measurement(measurement: Measurement, path: str | Path) -> None:
    """Write one JSON file. Raises InputError if it cannot be written."""
    write_text(Path(path), measurement.model_dump_json(indent=1) + "\n")


def load_measurement(path: str | Path) -> Measurement:
    """Read a measurement from its JSON file; one of version 1 comes in today's form.

    Raises InputError if the file cannot be read, FileFormatError naming what is wrong in it.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    form = _Measurement1 if _version(data) == 1 else Measurement
    try:
        record = form.model_validate_json(data)
    except ValidationError as error:
        problem = first_problem(error, list(form.model_fields))
        raise FileFormatError(f"{path}: {textwrap.shorten(problem, 200)}") from None
    return record.today() if isinstance(record, _Measurement1) else record


def _version(data: bytes) -> object:
    """The version that a file claims; None for a file that is no JSON object."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return record.get("version") if isinstance(record, dict) else None
