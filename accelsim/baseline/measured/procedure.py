"""How everything is measured: every kernel of every layer, in turn, with cold and with warm caches."""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from time import perf_counter, process_time
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from accelsim.baseline.measured.device import Device, busy_s
from accelsim.baseline.measured.device_power import specified_power
from accelsim.baseline.measured.kernels import Kernel, KernelMaker, Weights, one_element
from accelsim.baseline.measured.record import (
    Cache,
    KernelTimings,
    LayerTimings,
    Measurement,
    Timing,
)
from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.errors import AccelsimError, InputError
from accelsim.network.arrays import Float32
from accelsim.network.draw import draw_activations

Run: TypeAlias = Callable[[], Any]
Progress: TypeAlias = Callable[[str], None]

LEAST_SAMPLES = 3
WARM_SAMPLE_US = 50.0
OVERHEADS = 30  # samples
COLD_OVERHEADS = 10  # fewer: each needs a flush of some 20 ms
TOLERANCE = 1e-3
# Longest run for energy: counters renew their numbers some 10 to 1000 times a second.
ENERGY_S = 2.0


class Meter(Protocol):
    """A counter of energy, and in words what it counts."""

    @property
    def source(self) -> str:
        """What is read."""

    def start(self) -> None:
        """Begin to count."""

    def stop_uj(self) -> float:
        """Return the energy used since `start`."""


class Backend(Protocol):
    """What products run on: its clock, its caches and its counter of energy."""

    @property
    def flush_bytes(self) -> int:
        """Size of the buffer that `flush` streams through."""

    @property
    def meter(self) -> Meter | None:
        """The counter of energy, if one can be read."""

    def warm_up(self, run: Run) -> None:
        """Run a product until the next one takes as long as any: threads, algorithm, clock."""

    def flush(self) -> None:
        """Leave nothing in the caches but a buffer of its own."""

    def sample_us(self, run: Run, loops: int) -> float:
        """Time per product of so many in a row."""

    def finish(self) -> None:
        """Wait until everything is done that was started."""


class Way(NamedTuple):
    """A way to multiply, and what measures it.

    Libraries have threads of their own, which go on looking for work for a while: those of one that
    flushed the caches would take the CPUs from the threads of another. So each flushes for itself.
    """

    maker: KernelMaker
    backend: Backend


class Rules(NamedTuple):
    """What is measured, and how long: see `measure_cpu`."""

    batches: Sequence[int]
    repetitions: int
    budget_s: float


class LayerWork(NamedTuple):
    """A layer and how it is multiplied.

    given: float32[batch, n_in], or None if inputs are to be drawn
    vectors: vectors per inference
    turns: so many products one after the other, as each needs the result of the one before it
    """

    layer: CompressedLayer
    given: Float32 | None
    vectors: int
    turns: int

    def columns(self, batch: int) -> Float32:
        """Inputs of one product: float32[n_in], or [n_in, count] for more than one vector."""
        given = self.given
        if given is None:
            given = draw_activations(self.layer.name, self.layer.n_in, 1.0, seed=0)
        count = self.vectors // self.turns * batch
        vectors = np.resize(given, (count, self.layer.n_in))
        return vectors[0] if count == 1 else np.ascontiguousarray(vectors.T)


def measure_network(
    network: CompressedNetwork,
    activations: dict[str, Float32],
    ways: Sequence[Way],
    device: Device,
    rules: Rules,
    *,
    remarks: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Measurement:
    """Measure every layer in every way. All must agree with the first before any is timed.

    activations: float32[batch, *shape] by name of a step
    remarks: for the record
    Raises InputError for a number out of range, AccelsimError if kernels disagree.
    """
    _check(rules)
    started, others = datetime.now(UTC), _OtherProcesses()
    layers = []
    for work in _work(network, activations):
        if progress:
            progress(work.layer.name)
        layers.append(_measure_layer(work, ways, rules))
    backend = ways[0].backend
    return Measurement(
        network=network.name,
        date_utc=started,
        device=device,
        flush_bytes=backend.flush_bytes,
        energy_source=backend.meter.source if backend.meter else None,
        power_specification=specified_power(device.name),
        others_cpus=others.cpus(),
        remarks=remarks,
        layers=tuple(layers),
    )


def _check(rules: Rules) -> None:
    numbers = [("batch", batch) for batch in rules.batches]
    for name, value in (*numbers, ("repetitions", rules.repetitions)):
        if value < 1:
            raise InputError(f"measure: {name}={value}: give 1 or more")
    if not rules.batches or len(set(rules.batches)) < len(rules.batches):
        raise InputError("measure: batches: give one or more, each once")
    if not (rules.budget_s > 0 and math.isfinite(rules.budget_s)):
        raise InputError(f"measure: budget_s={rules.budget_s}: give a number of seconds above 0")


def _work(network: CompressedNetwork, activations: dict[str, Float32]) -> Iterator[LayerWork]:
    """Every layer; only those of a single vector per inference take the activations given."""
    for layer in network.layers:
        vectors = network.flow.vectors(layer.name, layer.n_out)
        step = network.flow.graph.step_of(layer.name)
        given = activations.get(step.name) if vectors == 1 else None
        # A cell's state is known only after the step before it.
        yield LayerWork(layer, given, vectors, vectors if step.op.kind == "recurrent" else 1)


class _OtherProcesses:
    """What else ran on this computer since this object was made."""

    def __init__(self) -> None:
        self._start = (busy_s(), process_time(), perf_counter())

    def cpus(self) -> float | None:
        """Average the CPUs that others kept busy; None if the system does not tell."""
        busy, own, wall = busy_s(), process_time(), perf_counter()
        busy_before, own_before, wall_before = self._start
        if busy is None or busy_before is None:
            return None
        return max(0.0, (busy - busy_before - (own - own_before)) / (wall - wall_before))


def _measure_layer(work: LayerWork, ways: Sequence[Way], rules: Rules) -> LayerTimings:
    layer, weights = work.layer, Weights(work.layer)
    own = [(batch, _agreeing(weights, work.columns(batch), ways)) for batch in rules.batches]
    kernels = [
        _measure_kernel(kernel, way, batch, work.turns, rules)
        for batch, made in own
        for way, kernel in zip(ways, made, strict=True)
    ]
    return LayerTimings(
        name=layer.name,
        n_in=layer.n_in,
        n_out=layer.n_out,
        nonzeros=layer.n_kept,
        vectors=work.vectors,
        in_turn=work.turns > 1,
        inputs="drawn" if work.given is None else "given",
        activation_density_frac=float(np.mean(work.columns(1) != 0)),
        kernels=tuple(kernels),
    )


def _agreeing(weights: Weights, inputs: Float32, ways: Sequence[Way]) -> list[Kernel]:
    """Make the kernels, and see that all give the first one's result.

    All sum the same terms, in different orders; more than rounding apart, one is garbage.
    """
    kernels = [way.maker(weights, inputs) for way in ways]
    first, *others = kernels
    expected = first.read(first.run())
    bound = TOLERANCE * float(np.abs(expected).max())
    for other in others:
        difference = float(np.abs(expected - other.read(other.run())).max())
        if not difference <= bound:
            raise AccelsimError(
                f"layer '{weights.layer.name}': products of {first.name} and {other.name} differ by up "
                f"to {difference:.3g}: nothing was timed; check for activations beyond float32, or try "
                "another library"
            )
    return kernels


def _measure_kernel(
    kernel: Kernel, way: Way, batch: int, turns: int, rules: Rules
) -> KernelTimings:
    run, backend = _in_turn(kernel.run, turns), way.backend
    tiny = _in_turn(way.maker(one_element(), np.ones(1, dtype=np.float32)).run, turns)
    flushed = kernel.weight_bytes <= backend.flush_bytes
    states: tuple[Cache, ...] = ("flushed", "warm") if flushed else ("larger than cache",)
    return KernelTimings(
        kernel=kernel.name,
        package=kernel.package,
        batch=batch,
        threads=kernel.threads,
        weight_bytes=kernel.weight_bytes,
        overhead_us=_overhead_us(tiny, backend) / batch,
        cold_overhead_us=_cold_overhead_us(tiny, backend) / batch if flushed else None,
        timings=tuple(_timing(run, cache, batch, backend, rules) for cache in states),
    )


def _in_turn(run: Run, turns: int) -> Run:
    """The same product so many times, one after the other."""
    if turns == 1:
        return run

    def repeated() -> Any:
        for _ in range(turns):
            result = run()
        return result

    return repeated


def _overhead_us(tiny: Run, backend: Backend) -> float:
    """Time of timer and calls alone."""
    backend.warm_up(tiny)
    return float(np.median([backend.sample_us(tiny, 1) for _ in range(OVERHEADS)]))


def _cold_overhead_us(tiny: Run, backend: Backend) -> float:
    samples = []
    for _ in range(COLD_OVERHEADS):
        backend.flush()
        samples.append(backend.sample_us(tiny, 1))
    return float(np.median(samples))


def _timing(run: Run, cache: Cache, batch: int, backend: Backend, rules: Rules) -> Timing:
    backend.warm_up(run)
    loops = _loops(run, backend) if cache == "warm" else 1
    samples: list[float] = []
    deadline = perf_counter() + rules.budget_s
    while len(samples) < rules.repetitions:
        if len(samples) >= LEAST_SAMPLES and perf_counter() > deadline:
            break
        if cache == "flushed":
            backend.flush()
        samples.append(_rounded(backend.sample_us(run, loops) / batch))
    energy_uj = None if cache == "flushed" else _energy_uj(run, batch, backend, rules)
    return Timing(cache=cache, loops=loops, samples_us=tuple(samples), energy_uj=energy_uj)


def _rounded(value: float) -> float:
    """Six digits: what clocks tell, and files that stay small."""
    return float(f"{value:.6g}")


def _loops(run: Run, backend: Backend) -> int:
    """Products in a row that fill a sample well above the timer's resolution."""
    once_us = min(backend.sample_us(run, 1) for _ in range(LEAST_SAMPLES))
    return max(1, math.ceil(WARM_SAMPLE_US / max(once_us, 0.1)))


def _energy_uj(run: Run, batch: int, backend: Backend, rules: Rules) -> float | None:
    """Energy per inference of a long run; None without a counter that moves."""
    meter = backend.meter
    if meter is None:
        return None
    products = 0
    deadline = perf_counter() + min(ENERGY_S, rules.budget_s)
    meter.start()
    while products == 0 or perf_counter() < deadline:
        run()
        products += 1
    backend.finish()
    return meter.stop_uj() / (products * batch) or None
