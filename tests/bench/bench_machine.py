"""The machine's kernels against a cycle-stepped model of the same machine."""

import numpy as np
import pytest
from exact.layers import alexnet_fc8, data_dir, synthetic_layer

from accelsim.compression.compressor import compress
from accelsim.compression.layer import CompressedNetwork
from accelsim.compression.loading import load
from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.decoders import decoder_of
from accelsim.hardware.interleave import interleave
from accelsim.network.layers import Layer, Network
from accelsim.simulation.pe_array import PeArray, Rules
from bench.harness import compare
from bench.stepped_baseline import encode_layer, simulate_baseline

MACHINE = accelerator("eie-64")
EIE = Rules(MACHINE.queue_depth)


def fc8_path():
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA is not set and ../shared/data is absent: AlexNet FC8 is needed")
    return folder / "alexnet_fc8.npz"


@pytest.fixture(scope="module")
def fc8():
    """The layer on 64 PEs, the same encoded for the stepped model, its codebook and a vector."""
    layer = alexnet_fc8()
    network = load(fc8_path())
    assert isinstance(network, CompressedNetwork)
    array = array_of(network.layers[0])
    encoded = encode_layer(layer.codes, layer.bias_codes, MACHINE.pes)
    return array, encoded, layer.codebook, layer.activations


def array_of(layer):
    decoded = decoder_of(MACHINE).decode(interleave(layer, MACHINE.pes, MACHINE.run_bits), MACHINE)
    return PeArray(decoded, layer.n_in, has_bias=layer.has_bias)


@pytest.mark.parametrize("vectors", [1, 64])
def test_alexnet_fc8_timing_with_all_counters(fc8, vectors):
    """Scan, timing and traffic of vectors, from activations to per-PE counters."""
    array, encoded, codebook, vector = fc8
    batch = np.tile(vector, (vectors, 1))

    def ours():
        return array.run_batch(batch, EIE)

    def stepped():
        return [simulate_baseline(encoded, codebook, vector, 8, 8) for vector in batch]

    assert ours().cycles[0] == stepped()[0].cycles == 7926
    ratio = compare(
        f"AlexNet FC8, 64 PEs, all counters, {vectors} vectors",
        ours,
        stepped,
        baseline_name="cycle-stepped Numba model",
        inner=max(1, 200 // vectors),
        rounds=5,
    )
    assert ratio > 50


@pytest.mark.parametrize(
    ("n_out", "n_in", "vectors"), [(64, 27, 512), (256, 1152, 227), (512, 4608, 57)]
)
def test_vectors_of_a_convolution(n_out, n_in, vectors):
    """A piece of a 3x3 convolution at 30 %, half of its inputs active, no bias."""
    layer = synthetic_layer(n_out, n_in, weight_density=0.3, activation_density=0.5, seed=0)
    network = Network("net", (Layer("conv", layer.codebook[layer.codes]),))
    array = array_of(compress(network, density=1.0).layers[0])
    encoded = encode_layer(layer.codes, None, MACHINE.pes)
    batch = (np.random.default_rng(1).random((vectors, n_in)) < 0.5).astype(np.float32)
    active = batch.astype(np.uint8)
    items = np.count_nonzero(batch) * MACHINE.pes

    def ours():
        return array.run_batch(active, EIE)

    def stepped():
        return [simulate_baseline(encoded, layer.codebook, vector, 8, 8) for vector in batch]

    assert ours().cycles.tolist() == [result.cycles for result in stepped()]
    ratio = compare(
        f"{vectors} vectors of {n_out}x{n_in} on 64 PEs, {items / 1e6:.3g} M (broadcast, PE)",
        ours,
        stepped,
        baseline_name="cycle-stepped Numba model",
        inner=20,
        rounds=5,
    )
    assert ratio > 10


@pytest.mark.parametrize(
    "rules",
    [Rules(8, sram_latency=2), Rules(8, 4, 2), Rules(8, shared_by=4), Rules(8, 4, 2, 4)],
    ids=["row waits", "row buffer", "shared", "both"],
)
def test_other_rules_on_alexnet_fc8(fc8, rules):
    """The same vectors with waits and shared decoders, against the plain machine."""
    array, _, _, vector = fc8
    batch = np.tile(vector, (16, 1))
    ratio = compare(
        f"AlexNet FC8, 64 PEs, 16 vectors, {rules}",
        lambda: array.run_batch(batch, rules),
        lambda: array.run_batch(batch, EIE),
        baseline_name="plain",
        rounds=5,
    )
    assert ratio > 0.002


def test_interleaving_for_a_new_number_of_pes():
    """An AlexNet-FC6-sized artifact laid out for another P, against SciPy converting it to CSR."""
    from scipy.sparse import csc_array

    layer = fc6().layers[0]
    sparse = layer.sparse
    values = layer.codebook[sparse.codes]
    matrix = csc_array((values, sparse.rows, sparse.col_ptr[: layer.n_in + 1]), shape=(4096, 9216))
    ratio = compare(
        "9216x4096 at 9 %, interleaved for 64 PEs",
        lambda: interleave(layer, 64, 4),
        matrix.tocsr,
        baseline_name="SciPy CSC to CSR",
        rounds=5,
    )
    assert ratio > 0.1


def fc6():
    rng = np.random.default_rng(0)
    weights = rng.laplace(size=(4096, 9216)).astype(np.float32)
    return compress(Network("fc6", (Layer("fc6", weights),)), density=0.09)
