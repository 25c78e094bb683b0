"""Ways to multiply a layer's matrix on a CPU: dense with BLAS, SciPy's CSR, our codebook kernel."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from accelsim.baseline.measured.device import blas_name, blas_threads
from accelsim.baseline.measured.record import KernelName
from accelsim.compression.layer import CompressedLayer
from accelsim.compression.sparse import Float32, Int32, SparseCodes, transposed
from accelsim.kernels import product
from accelsim.provenance import software_versions

# Columns whose inputs, 64 KiB for 64 vectors, stay in a level-2 cache. On a Zen 3 EPYC, AlexNet's layers
# took the same time with 128, 256 and 512, and a third more with 1024. With codes of 8 bits, a place
# among 256 columns is the most that fits an entry of two bytes.
TILE = 256
ONE_THREAD = "one thread"

Entries: TypeAlias = NDArray[np.uint16 | np.uint32]


class Kernel(NamedTuple):
    """A product ready to run.

    run: computes it; what it returns may still be under way on a GPU
    read: waits for what `run` returned, as float32[n_out] or [n_out, columns]
    """

    name: KernelName
    package: str
    threads: str
    weight_bytes: int
    run: Callable[[], Any]
    read: Callable[[Any], Float32] = np.asarray


class Packed(NamedTuple):
    """Entries of two or four bytes and where the columns, or the rows of each tile, start."""

    pointers: Int32 | NDArray[np.int64]
    entries: Entries

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.pointers.nbytes + self.entries.nbytes


@dataclass(frozen=True, eq=False)
class Weights:
    """A layer's matrix in every form, each made when it is first asked for."""

    layer: CompressedLayer

    @cached_property
    def dense(self) -> Float32:
        """float32[n_out, n_in]."""
        return self.layer.dense_weights()

    @cached_property
    def csr(self) -> Any:
        """float32, row by row, with 32-bit indices where they are enough."""
        from scipy.sparse import csc_array

        sparse = self._sparse
        columns = (self.layer.codebook[sparse.codes], sparse.rows, _narrow(sparse.col_ptr))
        return csc_array(columns, shape=(self.layer.n_out, self.layer.n_in)).tocsr()

    @cached_property
    def columns(self) -> Packed:
        """Codes column by column, for one vector."""
        sparse = self._sparse
        return Packed(_narrow(sparse.col_ptr), self._packed(sparse.rows, sparse.codes))

    @cached_property
    def tiles(self) -> Packed:
        """Codes row by row in tiles of columns, for many vectors; pointers [tiles, n_out + 1]."""
        sparse, layer = self._sparse, self.layer
        pointers, parts = [], []
        for first in range(0, layer.n_in, TILE):
            col_ptr = sparse.col_ptr[first : min(first + TILE, layer.n_in) + 1]
            own = slice(col_ptr[0], col_ptr[-1])
            tile = SparseCodes(col_ptr - col_ptr[0], sparse.rows[own], sparse.codes[own])
            by_rows = transposed(tile, layer.n_out)
            pointers.append(by_rows.col_ptr + col_ptr[0])
            parts.append(self._packed(by_rows.rows, by_rows.codes))
        return Packed(_narrow(np.stack(pointers)), np.concatenate(parts))

    @cached_property
    def _sparse(self) -> SparseCodes:
        """The layer's own columns, without the bias."""
        sparse, last = self.layer.sparse, self.layer.n_kept
        pointers = sparse.col_ptr[: self.layer.n_in + 1]
        return SparseCodes(pointers, sparse.rows[:last], sparse.codes[:last])

    def _packed(self, places: Int32, codes: NDArray[np.uint8]) -> Entries:
        bits = self.layer.code_bits
        narrow = int(places.max(initial=0)) < 1 << (16 - bits)
        entries: Entries = (
            np.empty(codes.size, np.uint16) if narrow else np.empty(codes.size, np.uint32)
        )
        product.pack(places, codes, bits, entries)
        return entries


KernelMaker: TypeAlias = Callable[[Weights, Float32], Kernel]


def dense_blas(weights: Weights, inputs: Float32) -> Kernel:
    """NumPy. inputs: float32[n_in] or [n_in, columns], as for the others."""
    matrix = weights.dense
    return Kernel(
        name="dense BLAS",
        package=f"NumPy {np.__version__} with {blas_name()}",
        threads=blas_threads(),
        weight_bytes=matrix.nbytes,
        run=lambda: matrix @ inputs,
    )


def sparse_csr(weights: Weights, inputs: Float32) -> Kernel:
    """SciPy's compressed sparse rows."""
    import scipy

    matrix = weights.csr
    return Kernel(
        name="sparse CSR",
        package=f"SciPy {scipy.__version__}",
        threads=ONE_THREAD,
        weight_bytes=matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes,
        run=lambda: matrix @ inputs,
    )


def codebook(weights: Weights, inputs: Float32) -> Kernel:
    """Our own kernel on the compressed form; it skips zero activations of a single vector."""
    layer = weights.layer
    packed = weights.columns if inputs.ndim == 1 else weights.tiles
    versions = software_versions()
    return Kernel(
        name="codebook",
        package=f"accelsim {versions['accelsim']} with Numba {versions['numba']}",
        threads=ONE_THREAD,
        weight_bytes=packed.nbytes + layer.codebook.nbytes,
        run=_codebook_product(layer, packed, inputs),
    )


def _codebook_product(
    layer: CompressedLayer, packed: Packed, inputs: Float32
) -> Callable[[], Float32]:
    sums = np.empty((layer.n_out, *inputs.shape[1:]), dtype=np.float32)

    def one_vector() -> Float32:
        product.multiply_vector(*packed, layer.code_bits, layer.codebook, inputs, sums)
        return sums

    def many_vectors() -> Float32:
        product.multiply_vectors(*packed, layer.code_bits, TILE, layer.codebook, inputs, sums)
        return sums

    return one_vector if inputs.ndim == 1 else many_vectors


def one_element() -> Weights:
    """A matrix of a single 1.0, on which a kernel costs its call and nothing else."""
    sparse = SparseCodes(np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.uint8))
    layer = CompressedLayer(
        name="one element",
        n_out=1,
        n_in=1,
        activation="none",
        codebook=np.array([0, 1], dtype=np.float32),
        sparse=sparse,
        bias_coded=False,
        bias=None,
        code_bits=1,
        index_bits=4,
        max_code_length=15,
    )
    return Weights(layer)


def _narrow(pointers: NDArray[np.int64]) -> Int32 | NDArray[np.int64]:
    """As 32-bit numbers where they are enough: SciPy else widens the row indices too."""
    fits = int(pointers.max(initial=0)) <= np.iinfo(np.int32).max
    return pointers.astype(np.int32) if fits else pointers
