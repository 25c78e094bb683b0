"""What a network takes on a platform: `overhead + max(bytes / bandwidth, operations / rate)`."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from accelsim.baseline.platform import Kernel, KernelName, Platform, platform
from accelsim.baseline.published import BaselineRow
from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.errors import CapacityError, InputError
from accelsim.network.flow import Flow, LayerLike
from accelsim.network.graph import Convolution
from accelsim.network.layers import Layer, Network

WORD_BYTES = 4  # a float32, or a 32-bit index


class Product(NamedTuple):
    """A matrix times so many vectors at once, and how often that is done, one after the other.

    weight_bytes: the matrix, which every call reads
    activation_bytes: vectors in and out, of one call
    n_ops: of one call; a multiplication and an addition are two
    """

    layer: str
    vectors: int
    calls: int
    weight_bytes: int
    activation_bytes: int
    n_ops: int

    @property
    def n_bytes(self) -> int:
        """What one call moves."""
        return self.weight_bytes + self.activation_bytes

    @property
    def ops_per_byte(self) -> float:
        """Operational intensity."""
        return self.n_ops / self.n_bytes

    def time_us(self, kernel: Kernel) -> float:
        """Time of all calls."""
        return self.calls * kernel.call_us(self.n_bytes, self.n_ops)

    def gop_per_s(self, kernel: Kernel) -> float:
        """Operations per second that the kernel reaches."""
        return 1e-3 * self.calls * self.n_ops / self.time_us(kernel)

    def bound(self, kernel: Kernel) -> str:
        """What takes most of the time: overhead, memory or arithmetic."""
        parts = {
            "overhead": kernel.overhead_us,
            "memory": kernel.memory_us(self.n_bytes),
            "arithmetic": kernel.arithmetic_us(self.n_ops),
        }
        return max(parts, key=parts.__getitem__)


class NetworkLike(Protocol):
    """A network, compressed or not."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def layers(self) -> Sequence[LayerLike]:
        """Its layers."""

    @property
    def flow(self) -> Flow:
        """How its layers are applied."""


def products(
    network: "Network | CompressedNetwork", batch: int, kernel: KernelName
) -> list[Product]:
    """What each layer multiplies for `batch` inferences, in float32.

    All vectors of a layer are the columns of one product, as the patches of a convolution (im2col)
    are, except that a cell's matrix on its state waits for one time step after the other.
    Raises InputError for a batch below 1.
    """
    if batch < 1:
        raise InputError(f"batch={batch}: give 1 or more")
    return [_product(layer, network.flow, batch, kernel) for layer in network.layers]


def matrix_product(
    name: str, n_in: int, n_out: int, nonzeros: int | None, vectors: int, *, patch: int = 0
) -> Product:
    """One call of a matrix, dense or, with so many `nonzeros`, in CSR, times so many vectors.

    CSR: a value and a column index for each non-zero weight, and a pointer for each row and the end.
    patch: numbers that one vector brings, if not n_in: a grouped convolution's patch has all groups
    """
    kept = n_in * n_out if nonzeros is None else nonzeros
    words = kept if nonzeros is None else 2 * kept + n_out + 1
    return Product(
        layer=name,
        vectors=vectors,
        calls=1,
        weight_bytes=WORD_BYTES * words,
        activation_bytes=WORD_BYTES * vectors * ((patch or n_in) + n_out),
        n_ops=2 * kept * vectors,
    )


def nonzeros(layer: Layer | CompressedLayer) -> int:
    """Weights that are not zero; of a layer without weights, as many as its density says."""
    if isinstance(layer, CompressedLayer):
        return layer.n_kept
    if layer.weights is not None:
        return int(np.count_nonzero(layer.weights))
    return round((layer.weight_density or 0.0) * layer.n_weights)


def estimated_times(
    network: "Network | CompressedNetwork",
    on: "str | Path | Platform",
    batch: int = 1,
    kernel: KernelName = "dense",
) -> list[BaselineRow]:
    """A row per layer: time and energy per inference in batches of `batch`, estimated.

    kernel: `dense`, or `sparse`: the non-zero weights in CSR. Weights come from the DRAM once per call.
    Raises InputError for an unknown platform, kernel or batch, TechnologyError for a table that is not
    valid, CapacityError if the weights do not fit the platform's memory.
    """
    machine = platform(on)
    way = machine.kernel(kernel)
    work = products(network, batch, kernel)
    _check_capacity(network.name, machine, work)
    return [_row(machine, kernel, way, product, batch) for product in work]


def _product(layer: Layer | CompressedLayer, flow: Flow, batch: int, kernel: KernelName) -> Product:
    step = flow.graph.step_of(layer.name)
    vectors = flow.vectors(layer.name, layer.n_out)
    calls = vectors if step.op.kind == "recurrent" else 1
    groups = step.op.groups if isinstance(step.op, Convolution) else 1
    kept = nonzeros(layer) if kernel == "sparse" else None
    columns = batch * vectors // calls
    one = matrix_product(
        layer.name, layer.n_in, layer.n_out, kept, columns, patch=groups * layer.n_in
    )
    return one._replace(calls=calls)


def _check_capacity(network: str, machine: Platform, work: list[Product]) -> None:
    needed = sum(product.weight_bytes for product in work)
    capacity = 1e9 * machine.memory.capacity_gbyte
    if needed > capacity:
        raise CapacityError(
            f"network '{network}': {needed / 1e9:.3g} GB of weights do not fit the "
            f"{machine.memory.capacity_gbyte:g} GB of {machine.label}: choose another platform, or "
            "the sparse kernel"
        )


def _row(
    machine: Platform, name: KernelName, kernel: Kernel, product: Product, batch: int
) -> BaselineRow:
    latency_us = product.time_us(kernel) / batch
    watts = kernel.power.of(product.vectors)
    factor = kernel.error.of(product.vectors) if kernel.error else None
    times = (latency_us / factor, latency_us * factor) if factor else None
    return BaselineRow(
        system=f"{machine.label}, {name} (model)",
        kind="estimate",
        layer=product.layer,
        latency_us=latency_us,
        energy_uj=latency_us * watts,
        source=f"roofline of {machine.label}: time: {kernel.source}; power: {kernel.power.source}",
        note="; ".join(_remarks(machine, kernel, product, batch, watts)),
        latency_range_us=times,
        energy_range_uj=(watts * times[0], watts * times[1]) if times else None,
    )


def _remarks(
    machine: Platform, kernel: Kernel, product: Product, batch: int, watts: float
) -> list[str]:
    remarks = [
        f"batch {batch}",
        f"time {_STATUS[kernel.status]}",
        f"float32 product{_vectors_text(product, batch)}",
        f"most of it {product.bound(kernel)}",
    ]
    if kernel.error:
        factor = kernel.error.of(product.vectors)
        remarks.append(f"expect a factor of {factor:.2f} either way")
    else:
        remarks.append("error unknown: compared with no measurement")
    if product.weight_bytes <= machine.cache.n_bytes:
        remarks.append(
            f"weights fit the {machine.cache.capacity_mbyte:g} MB cache: faster once they are there"
        )
    return [*remarks, f"energy = time × {watts:g} W, {_STATUS[kernel.power.status]}"]


_STATUS = {
    "published": "as published",
    "derived": "derived from what is published",
    "fitted": "fitted to published values",
    "estimate": "estimated from the specification",
}


def _vectors_text(product: Product, batch: int) -> str:
    per_inference = product.vectors * product.calls // batch
    if per_inference == 1:
        return ""
    return f" of {per_inference} vectors" + (", one after the other" if product.calls > 1 else "")
