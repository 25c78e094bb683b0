"""The record of a measurement: every sample, the computer, and how it was done."""

import textwrap
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from accelsim.baseline.device import Device
from accelsim.baseline.published import BaselineRow
from accelsim.errors import FileFormatError, InputError
from accelsim.files import write_text
from accelsim.validation import first_problem

Cache: TypeAlias = Literal["flushed", "larger than cache", "warm"]
# Strict: true and false are no numbers.
Microseconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Sample: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Microjoules: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Count: TypeAlias = Annotated[int, Field(ge=1, strict=True)]

# With one of two CPUs taken, OpenBLAS waited out time slices: 8 ms, not 0.3 ms, for a product.
BUSY_CPUS = 0.2

_CACHES = {
    "flushed": "caches flushed before every sample",
    "larger than cache": "weights larger than cache, so not flushed",
    "warm": "warm caches",
}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Timing(_Record):
    """Samples of one kernel in one state of the caches.

    loops: products in a row that make up one sample
    samples_us: time per inference, one for each sample, in the order taken
    energy_uj: energy per inference of a long run without flushing, or None if not measured
    """

    cache: Cache
    loops: Count
    samples_us: Annotated[tuple[Sample, ...], Field(min_length=1)]
    energy_uj: Microjoules | None

    @property
    def median_us(self) -> float:
        """The number to quote."""
        return self.percentile_us(50)

    @property
    def min_us(self) -> float:
        """The least disturbed sample."""
        return min(self.samples_us)

    def percentile_us(self, percent: float) -> float:
        """Compute a percentile of the samples, interpolated linearly."""
        return float(np.percentile(self.samples_us, percent))


class KernelTimings(_Record):
    """One way to multiply, in all states of the caches that apply.

    weight_bytes: all arrays of the matrix in this form
    overhead_us: time per inference of timer and call alone, measured on a matrix of one element
    """

    kernel: Literal["dense BLAS", "sparse CSR"]
    package: str
    weight_bytes: int = Field(ge=0, strict=True)
    overhead_us: Microseconds
    timings: Annotated[tuple[Timing, ...], Field(min_length=1)]

    def timing(self, cache: Cache) -> Timing | None:
        """Find the samples in that state of the caches, if there are any."""
        return next((timing for timing in self.timings if timing.cache == cache), None)


class LayerTimings(_Record):
    """A layer's kernels; `inputs` says whether activations were given or drawn.

    vectors: input vectors per inference, 1 for a fully connected layer
    in_turn: they were multiplied one after the other; else they are the columns of one product
    """

    name: str
    n_in: Count
    n_out: Count
    nonzeros: int = Field(ge=0, strict=True)
    vectors: Count = 1
    in_turn: bool = False
    inputs: Literal["given", "drawn"]
    kernels: Annotated[tuple[KernelTimings, ...], Field(min_length=1)]


class Measurement(_Record):
    """A network's layers on one computer: float32 products, without bias and activation function.

    flush_bytes: size of the buffer that was streamed through to flush the caches
    energy_zones: energy counters that were read; none if the system has none or forbids it
    others_cpus: CPUs that other processes kept busy meanwhile, on average; None if nothing tells
    """

    version: Literal[1] = 1
    network: str
    batch: Count
    date_utc: AwareDatetime
    device: Device
    flush_bytes: Count
    energy_zones: tuple[str, ...]
    others_cpus: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None
    layers: tuple[LayerTimings, ...]

    def rows(self) -> list[BaselineRow]:
        """List a row per layer, kernel and cache state: median time and energy per inference."""
        return [
            self._row(layer, kernel, timing)
            for layer in self.layers
            for kernel in layer.kernels
            for timing in kernel.timings
        ]

    def _row(self, layer: LayerTimings, kernel: KernelTimings, timing: Timing) -> BaselineRow:
        warm = ", warm" if timing.cache == "warm" else ""
        batch = f", batch {self.batch}" if self.batch > 1 else ""
        return BaselineRow(
            system=f"CPU here, {kernel.kernel}{warm}{batch} ({self.device.cpu})",
            kind="measured",
            layer=layer.name,
            latency_us=timing.median_us,
            energy_uj=timing.energy_uj,
            source=f"measured by accelsim, {self.date_utc:%Y-%m-%d}; {kernel.package}",
            note=self._note(layer, kernel, timing),
        )

    def _note(self, layer: LayerTimings, kernel: KernelTimings, timing: Timing) -> str:
        spread = f"{timing.percentile_us(10):.4g} to {timing.percentile_us(90):.4g} µs"
        threads = self.device.threads if kernel.kernel == "dense BLAS" else "one thread"
        parts = [
            _CACHES[timing.cache],
            f"median of {len(timing.samples_us)}, least {timing.min_us:.4g}, p10 to p90 {spread}",
            f"batch {self.batch}",
            f"float32 product{_vectors_text(layer)} only",
            threads,
        ]
        if timing.cache == "flushed" and self.device.cache_assumed:
            parts.append(f"cache size unknown, {self.device.cache_bytes} bytes assumed")
        if 10 * kernel.overhead_us > timing.median_us:
            parts.append(f"{kernel.overhead_us:.3g} µs of it are call and timer")
        if self.others_cpus is not None and self.others_cpus > BUSY_CPUS:
            parts.append(f"DISTURBED: other processes kept {self.others_cpus:.1f} CPUs busy")
        return "; ".join([*parts, self._energy_note(timing)])

    def _energy_note(self, timing: Timing) -> str:
        if not self.energy_zones:
            return "energy not measured: no readable RAPL counter"
        if timing.cache == "flushed":
            return "energy not measured: flushing would count too"
        if timing.energy_uj is None:
            return "energy not measured: the RAPL counter stood still"
        return f"energy of the CPU package ({', '.join(self.energy_zones)}), idle power included"


def _vectors_text(layer: LayerTimings) -> str:
    if layer.vectors == 1:
        return ""
    return f" of {layer.vectors} vectors" + (", one after the other," if layer.in_turn else "")


def save_measurement(measurement: Measurement, path: str | Path) -> None:
    """Write one JSON file. Raises InputError if it cannot be written."""
    text = measurement.model_dump_json(indent=1) + "\n"
    write_text(Path(path), text)


def load_measurement(path: str | Path) -> Measurement:
    """Read a measurement from its JSON file.

    Raises InputError if the file cannot be read, FileFormatError naming what is wrong in it.
    """
    path = Path(path)
    try:
        return Measurement.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        problem = first_problem(error, list(Measurement.model_fields))
        raise FileFormatError(f"{path}: {textwrap.shorten(problem, 200)}") from None
