"""A network's layers on this computer's CPU: BLAS, SciPy, our own kernel and torch, really run."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Any

import numpy as np

from accelsim.baseline.measured import torch_backend
from accelsim.baseline.measured.device import Device, flush_bytes, this_device
from accelsim.baseline.measured.kernels import KernelMaker, codebook, dense_blas, sparse_csr
from accelsim.baseline.measured.procedure import Meter, Progress, Rules, Run, Way, measure_network
from accelsim.baseline.measured.rapl import rapl_meter
from accelsim.baseline.measured.record import Measurement
from accelsim.baseline.measured.record_file import load_measurement, save_measurement
from accelsim.compression.layer import CompressedNetwork
from accelsim.network.arrays import Float32

__all__ = ["Measurement", "load_measurement", "measure_cpu", "save_measurement"]

OWN_KERNELS: tuple[KernelMaker, ...] = (dense_blas, sparse_csr, codebook)
_FLUSH_COLUMNS = 1024


def measure_cpu(
    network: CompressedNetwork,
    *,
    activations: Mapping[str, Float32] | None = None,
    batches: Sequence[int] = (1,),
    repetitions: int = 30,
    budget_s: float = 5.0,
    with_torch: bool = False,
    progress: Progress | None = None,
) -> Measurement:
    """Time ``weights @ inputs`` of every layer in float32.

    Kernels: dense (BLAS), sparse (SciPy CSR), our own on codebook and codes, and torch's if wanted. All
    must agree before any is timed. A sample is one product with cold caches: before it, a buffer of four
    times the last-level cache is streamed through, unless the weights alone are larger than that buffer.
    Smaller ones are timed with warm caches as well, in samples of 50 µs or more.
    Energy is read from the CPU's RAPL counters over a long run without flushing. Where they cannot be
    read the record names the CPU's thermal design power, if it is known, to estimate energy from.

    activations: float32[*shape] or [batch, *shape] by name of an input, a layer or a step, instead of
        the network's own; repeated to fill the batch. They reach layers that run one vector per
        inference; all others get drawn ones, without zeros
    batches: inferences per product; all times and energies are per inference. A layer that runs several
        vectors per inference (the patches of a convolution, rows of a sequence) has them all in one
        product; what it takes to gather them is not measured. A cell's matrix on its state is multiplied
        with one vector after the other
    repetitions: samples per kernel, batch and cache state, fewer if `budget_s` seconds are over before
    with_torch: also torch, dense and CSR; without torch installed the record says so
    progress: called with the name of each layer before it is measured
    Raises InputError for a number out of range, NetworkError for activations that do not fit,
    AccelsimError if the kernels disagree.
    """
    given = network.flow.check_activations(
        network.activations if activations is None else activations
    )
    device = this_device()
    with _ways(with_torch, device) as (ways, remarks):
        return measure_network(
            network,
            given,
            ways,
            device,
            Rules(batches, repetitions, budget_s),
            remarks=remarks,
            progress=progress,
        )


@contextmanager
def _ways(with_torch: bool, device: Device) -> Iterator[tuple[tuple[Way, ...], tuple[str, ...]]]:
    """What is measured, and remarks on what is not; meanwhile torch may use all CPUs."""
    meter = rapl_meter()
    cpu = _Cpu(flush_bytes(device.cache_bytes), meter)
    own = tuple(Way(maker, cpu) for maker in OWN_KERNELS)
    if not with_torch:
        yield own, ()
    elif not torch_backend.installed():
        yield own, (f"no torch kernels: {torch_backend.REMEDY}",)
    else:
        with torch_backend.all_threads(device.cpus):
            yield (*own, *torch_backend.ways("cpu", device.cache_bytes, meter)), ()


class _Cpu:
    """This computer's CPU, as `procedure.Backend`."""

    def __init__(self, n_bytes: int, meter: Meter | None) -> None:
        self.flush_bytes = n_bytes
        self.meter = meter
        self._flush = _flusher(n_bytes)

    def warm_up(self, run: Run) -> None:
        """Once: a first call may start threads."""
        run()

    def flush(self) -> None:
        """Stream through the buffer."""
        self._flush()

    def sample_us(self, run: Run, loops: int) -> float:
        """Time per product of so many in a row."""
        start = perf_counter_ns()
        for _ in range(loops):
            run()
        return (perf_counter_ns() - start) / 1e3 / loops

    def finish(self) -> None:
        """Nothing: every product is complete when it returns."""


def _flusher(n_bytes: int) -> Callable[[], Any]:
    """Make a function that leaves nothing in the caches but its own buffer.

    It multiplies with BLAS, so that all of BLAS's threads stream their part of the buffer through
    the private caches of the cores they run on. It only reads: lines that were written would have
    to be written back during the sample. The ones matter: untouched zeros are one shared page.
    """
    rows = math.ceil(n_bytes / (4 * _FLUSH_COLUMNS))
    buffer = np.ones((rows, _FLUSH_COLUMNS), dtype=np.float32)
    vector = np.ones(_FLUSH_COLUMNS, dtype=np.float32)
    return lambda: buffer @ vector
