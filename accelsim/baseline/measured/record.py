"""The record of a measurement: every sample, the device, and how it was done."""

from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from accelsim.baseline.measured.device import Device, is_this_computer
from accelsim.baseline.measured.device_power import PowerSpecification
from accelsim.baseline.published import BaselineRow

Cache: TypeAlias = Literal["flushed", "larger than cache", "warm"]
KernelName: TypeAlias = Literal[
    "dense BLAS", "sparse CSR", "codebook", "torch dense", "torch sparse CSR"
]
# Strict: true and false are no numbers.
Microseconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Sample: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Microjoules: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
CpuCount: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Count: TypeAlias = Annotated[int, Field(ge=1, strict=True)]
Size: TypeAlias = Annotated[int, Field(ge=0, strict=True)]

# With one of two CPUs taken, OpenBLAS waited out time slices: 8 ms, not 0.3 ms, for a product.
BUSY_CPUS = 0.2

_CACHES = {
    "flushed": "caches flushed before every sample",
    "larger than cache": "weights larger than cache, so not flushed",
    "warm": "warm caches",
}


class Record(BaseModel):
    """A part of a measurement's file: nothing unknown in it, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Timing(Record):
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


class KernelTimings(Record):
    """One way to multiply a batch, in all states of the caches that apply.

    batch: inferences per product; all times and energies are per inference
    threads: what bounds its threads, in words
    weight_bytes: all arrays of the matrix in this form
    overhead_us: time per inference of timer and call alone, measured on a matrix of one element
    cold_overhead_us: the same with flushed caches, out of which the interpreter's own code has to come
        back, too; None where nothing was flushed
    """

    kernel: KernelName
    package: str
    batch: Count
    threads: str
    weight_bytes: Size
    overhead_us: Microseconds
    cold_overhead_us: Microseconds | None = None
    timings: Annotated[tuple[Timing, ...], Field(min_length=1)]

    def timing(self, cache: Cache) -> Timing | None:
        """Find the samples in that state of the caches, if there are any."""
        return next((timing for timing in self.timings if timing.cache == cache), None)

    def overhead_of(self, timing: Timing) -> float:
        """Microseconds of a timing that are call and timer."""
        cold = self.cold_overhead_us if timing.cache == "flushed" else None
        return self.overhead_us if cold is None else cold


class LayerTimings(Record):
    """A layer's kernels; `inputs` says whether activations were given or drawn.

    vectors: input vectors per inference, 1 for a fully connected layer
    in_turn: they were multiplied one after the other; else they are the columns of one product
    activation_density_frac: non-zero inputs of the first inference; the codebook kernel skips the others
        where it multiplies a single vector. None in records that had no such kernel
    """

    name: str
    n_in: Count
    n_out: Count
    nonzeros: Size
    vectors: Count = 1
    in_turn: bool = False
    inputs: Literal["given", "drawn"]
    activation_density_frac: Fraction | None = None
    kernels: Annotated[tuple[KernelTimings, ...], Field(min_length=1)]


class Energy(Record):
    """Energy per inference, or None if nobody knows it, and in words where it is from."""

    energy_uj: float | None
    kind: Literal["measured", "estimate", "unknown"]
    note: str


class Measurement(Record):
    """A network's layers on one device: float32 products, without bias and activation function.

    flush_bytes: size of the buffer that was streamed through to flush the caches
    energy_source: the counter that energy was read from; None if the system has none or forbids it
    power_specification: what the device may draw; energy is estimated from it where none was read
    others_cpus: CPUs that other processes kept busy meanwhile, on average; None if nothing tells
    remarks: what a reader has to know besides, such as kernels that could not be run
    """

    version: Literal[2] = 2
    network: str
    date_utc: AwareDatetime
    device: Device
    flush_bytes: Count
    energy_source: str | None
    power_specification: PowerSpecification | None
    others_cpus: CpuCount | None
    remarks: tuple[str, ...] = ()
    layers: tuple[LayerTimings, ...]

    @property
    def is_here(self) -> bool:
        """Whether the device is one that this computer has."""
        return is_this_computer(self.device)

    @property
    def is_disturbed(self) -> bool:
        """Whether other processes took CPUs from it."""
        return self.others_cpus is not None and self.others_cpus > BUSY_CPUS

    def energy(self, timing: Timing) -> Energy:
        """Energy of one timing: measured, else time × TDP as an estimate, else unknown."""
        if timing.energy_uj is not None:
            note = f"energy measured: {self.energy_source}, idle power included"
            return Energy(energy_uj=timing.energy_uj, kind="measured", note=note)
        power = self.power_specification
        if power is None:
            note = f"energy not measured: {self._why_not(timing)}; no specification is known"
            return Energy(energy_uj=None, kind="unknown", note=note)
        note = (
            f"energy is an ESTIMATE ({self._why_not(timing)}): time × {power.tdp_w:g} W, "
            f"{power.source}; {power.note}"
        )
        return Energy(energy_uj=timing.median_us * power.tdp_w, kind="estimate", note=note)

    def _why_not(self, timing: Timing) -> str:
        if self.energy_source is None:
            return "no readable counter"
        if timing.cache == "flushed":
            return "flushing would count too"
        return "the counter stood still"

    def rows(self) -> list[BaselineRow]:
        """List a row per layer, kernel and cache state: median time and energy per inference."""
        here = self.is_here
        return [
            self._row(here, layer, kernel, timing)
            for layer in self.layers
            for kernel in layer.kernels
            for timing in kernel.timings
        ]

    def _row(
        self, here: bool, layer: LayerTimings, kernel: KernelTimings, timing: Timing
    ) -> BaselineRow:
        energy = self.energy(timing)
        return BaselineRow(
            system=self._system(here, kernel_text(kernel, timing)),
            kind="measured",
            layer=layer.name,
            latency_us=timing.median_us,
            energy_uj=energy.energy_uj,
            source=(
                f"measured by accelsim, {self.date_utc:%Y-%m-%d}; {kernel.package}"
                f"{self._energy_origin(energy)}"
            ),
            note=f"{self._note(layer, kernel, timing)}; {energy.note}",
            latency_range_us=(timing.percentile_us(10), timing.percentile_us(90)),
            energy_kind="estimate" if energy.kind == "estimate" else None,
        )

    def _energy_origin(self, energy: Energy) -> str:
        """Where the energy is from, if there is one, in few words."""
        power = self.power_specification
        if energy.kind == "estimate" and power:
            return f"; energy: an estimate, time × {power.tdp_w:g} W ({power.source})"
        return f"; energy: {self.energy_source}" if energy.kind == "measured" else ""

    def _system(self, here: bool, kernel: str) -> str:
        if not here:
            return f"another machine: {self.device.name}, {kernel}"
        return f"{'GPU' if self.device.gpu else 'CPU'} here, {kernel} ({self.device.name})"

    def _note(self, layer: LayerTimings, kernel: KernelTimings, timing: Timing) -> str:
        spread = f"{timing.percentile_us(10):.4g} to {timing.percentile_us(90):.4g} µs"
        parts = [
            _CACHES[timing.cache],
            f"median of {len(timing.samples_us)}, least {timing.min_us:.4g}, p10 to p90 {spread}",
            f"batch {kernel.batch}",
            f"float32 product{_vectors_text(layer)} only",
            kernel.threads,
        ]
        if kernel.kernel == "codebook" and layer.activation_density_frac is not None:
            parts.append(f"{layer.activation_density_frac:.0%} of the inputs not zero")
        if timing.cache == "flushed" and self.device.cache_assumed:
            parts.append(f"cache size unknown, {self.device.cache_bytes} bytes assumed")
        if 10 * (overhead_us := kernel.overhead_of(timing)) > timing.median_us:
            parts.append(f"{overhead_us:.3g} µs of it are call and timer")
        if self.is_disturbed:
            parts.append(f"DISTURBED: other processes kept {self.others_cpus:.1f} CPUs busy")
        return "; ".join(parts)


def kernel_text(kernel: KernelTimings, timing: Timing) -> str:
    """Name a kernel, its caches unless they were cold, and its batch unless that is 1."""
    warm = ", warm" if timing.cache == "warm" else ""
    return f"{kernel.kernel}{warm}{f', batch {kernel.batch}' if kernel.batch > 1 else ''}"


def _vectors_text(layer: LayerTimings) -> str:
    if layer.vectors == 1:
        return ""
    return f" of {layer.vectors} vectors" + (", one after the other," if layer.in_turn else "")
