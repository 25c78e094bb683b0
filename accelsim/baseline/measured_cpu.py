"""A network's layers on this computer's CPU: dense with BLAS, sparse with SciPy, really run."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import perf_counter, perf_counter_ns, process_time
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from accelsim.baseline.device import busy_s, flush_bytes, this_device
from accelsim.baseline.measurement import (
    Cache,
    KernelTimings,
    LayerTimings,
    Measurement,
    Timing,
    load_measurement,
    save_measurement,
)
from accelsim.baseline.rapl import Counter, package_counters, read_all_uj, used_uj
from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.errors import AccelsimError, InputError
from accelsim.network.arrays import Float32
from accelsim.network.draw import draw_activations

__all__ = ["Measurement", "load_measurement", "measure_cpu", "save_measurement"]

Product: TypeAlias = Callable[[], Float32]
Progress: TypeAlias = Callable[[str], None]

LEAST_SAMPLES = 3
WARM_SAMPLE_US = 50.0
TOLERANCE = 1e-3
_FLUSH_COLUMNS = 1024


class _Rules(NamedTuple):
    """How every kernel is measured."""

    batch: int
    repetitions: int
    budget_s: float
    flush_bytes: int
    flush: Callable[[], object]
    counters: tuple[Counter, ...]


class _Kernel(NamedTuple):
    """A product ready to run, and the same call on a matrix of one element."""

    name: Literal["dense BLAS", "sparse CSR"]
    package: str
    weight_bytes: int
    run: Product
    run_tiny: Product


def measure_cpu(
    network: CompressedNetwork,
    *,
    activations: Mapping[str, Float32] | None = None,
    batch: int = 1,
    repetitions: int = 30,
    budget_s: float = 2.0,
    progress: Progress | None = None,
) -> Measurement:
    """Time ``weights @ inputs`` of every layer in float32: dense (BLAS) and sparse (SciPy CSR).

    A sample is one product with cold caches: before it, a buffer of four times the last-level cache
    is streamed through, unless the weights alone are larger than that buffer. Smaller ones are
    timed with warm caches as well, in samples of 50 µs or more.
    Energy is read from the CPU's RAPL counters over a long run without flushing; it is None, never
    a guess, where they cannot be read. Both kernels must agree before either is timed.

    activations: float32[*shape] or [batch, *shape] by name of an input, a layer or a step, instead of
        the network's own; repeated to fill the batch. They reach layers that run one vector per
        inference; all others get drawn ones (the time is the same)
    batch: inferences per product; all times and energies are per inference. A layer that runs several
        vectors per inference (the patches of a convolution, rows of a sequence) has them all in one
        product; what it takes to gather them is not measured. A cell's matrix on its state is multiplied
        with one vector after the other
    repetitions: samples per kernel and cache state, fewer if `budget_s` seconds are over before
    progress: called with the name of each layer before it is measured
    Raises InputError for a number out of range, NetworkError for activations that do not fit,
    AccelsimError if the kernels disagree.
    """
    _check_numbers(batch, repetitions, budget_s)
    given = network.flow.check_activations(
        network.activations if activations is None else activations
    )
    device, started = this_device(), datetime.now(UTC)
    buffer_bytes, counters = flush_bytes(device.cache_bytes), package_counters()
    flush = _flusher(buffer_bytes)
    rules = _Rules(batch, repetitions, budget_s, buffer_bytes, flush, counters)
    others = _OtherProcesses()
    layers = []
    for layer in network.layers:
        if progress:
            progress(layer.name)
        vectors = network.flow.vectors(layer.name, layer.n_out)
        own = given.get(network.flow.graph.step_of(layer.name).name) if vectors == 1 else None
        in_turn = network.flow.graph.step_of(layer.name).op.kind == "recurrent"
        layers.append(_measure_layer(layer, own, vectors, in_turn, device.blas, rules))
    return Measurement(
        network=network.name,
        batch=batch,
        date_utc=started,
        device=device,
        flush_bytes=buffer_bytes,
        energy_zones=tuple(counter.zone.name for counter in counters),
        others_cpus=others.cpus(),
        layers=tuple(layers),
    )


def _check_numbers(batch: int, repetitions: int, budget_s: float) -> None:
    for name, value in (("batch", batch), ("repetitions", repetitions)):
        if value < 1:
            raise InputError(f"measure: {name}={value}: give 1 or more")
    if not (budget_s > 0 and math.isfinite(budget_s)):
        raise InputError(f"measure: budget_s={budget_s}: give a number of seconds above 0")


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


def _flusher(n_bytes: int) -> Callable[[], object]:
    """Make a function that leaves nothing in the caches but its own buffer.

    It multiplies with BLAS, so that all of BLAS's threads stream their part of the buffer through
    the private caches of the cores they run on. It only reads: lines that were written would have
    to be written back during the sample. The ones matter: untouched zeros are one shared page.
    """
    rows = math.ceil(n_bytes / (4 * _FLUSH_COLUMNS))
    buffer = np.ones((rows, _FLUSH_COLUMNS), dtype=np.float32)
    vector = np.ones(_FLUSH_COLUMNS, dtype=np.float32)
    return lambda: buffer @ vector


def _measure_layer(
    layer: CompressedLayer,
    given: Float32 | None,
    vectors: int,
    in_turn: bool,
    blas: str,
    rules: _Rules,
) -> LayerTimings:
    """in_turn: each vector needs the result of the one before it, as a cell's state does."""
    turns = vectors if in_turn else 1
    inputs = _input_columns(layer, given, vectors // turns * rules.batch)
    dense, sparse = _dense_kernel(layer, inputs, blas), _sparse_kernel(layer, inputs)
    _check_agreement(layer.name, dense.run(), sparse.run())
    kernels = [_in_turn(kernel, turns) if turns > 1 else kernel for kernel in (dense, sparse)]
    return LayerTimings(
        name=layer.name,
        n_in=layer.n_in,
        n_out=layer.n_out,
        nonzeros=layer.n_kept,
        vectors=vectors,
        in_turn=in_turn,
        inputs="drawn" if given is None else "given",
        kernels=tuple(_measure_kernel(kernel, rules) for kernel in kernels),
    )


def _in_turn(kernel: _Kernel, turns: int) -> _Kernel:
    """The same product so many times, one after the other."""

    def repeated(product: Product) -> Product:
        def run() -> Float32:
            for _ in range(turns):
                result = product()
            return result

        return run

    return kernel._replace(run=repeated(kernel.run), run_tiny=repeated(kernel.run_tiny))


def _input_columns(layer: CompressedLayer, given: Float32 | None, count: int) -> Float32:
    """float32[n_in], or [n_in, count] for more than one vector."""
    if given is None:
        given = draw_activations(layer.name, layer.n_in, 1.0, seed=0)
    vectors = np.resize(given, (count, layer.n_in))
    return vectors[0] if count == 1 else np.ascontiguousarray(vectors.T)


def _dense_kernel(layer: CompressedLayer, inputs: Float32, blas: str) -> _Kernel:
    weights = layer.dense_weights()
    tiny, tiny_inputs = np.ones((1, 1), dtype=np.float32), inputs[:1]
    return _Kernel(
        name="dense BLAS",
        package=f"NumPy {np.__version__} with {blas}",
        weight_bytes=weights.nbytes,
        run=lambda: weights @ inputs,
        run_tiny=lambda: tiny @ tiny_inputs,
    )


def _sparse_kernel(layer: CompressedLayer, inputs: Float32) -> _Kernel:
    import scipy
    from scipy.sparse import csr_array

    weights = _csr(layer)
    tiny, tiny_inputs = csr_array(np.ones((1, 1), dtype=np.float32)), inputs[:1]
    return _Kernel(
        name="sparse CSR",
        package=f"SciPy {scipy.__version__}",
        weight_bytes=weights.data.nbytes + weights.indices.nbytes + weights.indptr.nbytes,
        run=lambda: weights @ inputs,
        run_tiny=lambda: tiny @ tiny_inputs,
    )


def _csr(layer: CompressedLayer) -> Any:
    """Decode the weights: float32, row by row, with 32-bit indices where they are enough."""
    from scipy.sparse import csc_array

    sparse, last = layer.sparse, layer.n_kept
    values = layer.codebook[sparse.codes[:last]]
    pointers = sparse.col_ptr[: layer.n_in + 1]
    if last <= np.iinfo(np.int32).max:  # else SciPy widens the row indices too, twice the bytes
        pointers = pointers.astype(np.int32)
    columns = (values, sparse.rows[:last], pointers)
    return csc_array(columns, shape=(layer.n_out, layer.n_in)).tocsr()


def _check_agreement(layer: str, dense: Float32, sparse: Float32) -> None:
    """Both sum the same terms in different orders; more than rounding apart, one is garbage."""
    difference = float(np.abs(dense - sparse).max())
    if not difference <= TOLERANCE * float(np.abs(dense).max()):
        raise AccelsimError(
            f"layer '{layer}': dense and sparse products differ by up to {difference:.3g}: "
            "nothing was timed; check for activations beyond float32, or try another BLAS library"
        )


def _measure_kernel(kernel: _Kernel, rules: _Rules) -> KernelTimings:
    if kernel.weight_bytes > rules.flush_bytes:
        timings = [_timing(kernel.run, "larger than cache", rules)]
    else:
        timings = [_timing(kernel.run, "flushed", rules), _timing(kernel.run, "warm", rules)]
    overhead_us = float(np.median([_sample_us(kernel.run_tiny, 1) for _ in range(100)]))
    return KernelTimings(
        kernel=kernel.name,
        package=kernel.package,
        weight_bytes=kernel.weight_bytes,
        overhead_us=overhead_us / rules.batch,
        timings=tuple(timings),
    )


def _timing(run: Product, cache: Cache, rules: _Rules) -> Timing:
    loops = _loops(run) if cache == "warm" else 1
    samples: list[float] = []
    deadline = perf_counter() + rules.budget_s
    while len(samples) < rules.repetitions:
        if len(samples) >= LEAST_SAMPLES and perf_counter() > deadline:
            break
        if cache == "flushed":
            rules.flush()
        samples.append(_sample_us(run, loops) / rules.batch)
    energy_uj = None if cache == "flushed" else _energy_uj(run, rules)
    return Timing(cache=cache, loops=loops, samples_us=tuple(samples), energy_uj=energy_uj)


def _loops(run: Product) -> int:
    """Products in a row that fill a sample well above the timer's resolution."""
    once_us = min(_sample_us(run, 1) for _ in range(LEAST_SAMPLES))
    return max(1, math.ceil(WARM_SAMPLE_US / max(once_us, 0.1)))


def _sample_us(run: Product, loops: int) -> float:
    """Time per product."""
    start = perf_counter_ns()
    for _ in range(loops):
        run()
    return (perf_counter_ns() - start) / 1e3 / loops


def _energy_uj(run: Product, rules: _Rules) -> float | None:
    """Energy per input vector of a run as long as the budget; None without a counter that moves."""
    if not rules.counters:
        return None
    products = 0
    deadline = perf_counter() + rules.budget_s
    before = read_all_uj(rules.counters)
    while products == 0 or perf_counter() < deadline:
        run()
        products += 1
    used = used_uj(rules.counters, before, read_all_uj(rules.counters))
    return used / (products * rules.batch) or None
