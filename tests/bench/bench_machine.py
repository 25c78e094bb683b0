"""The machine's kernels against a cycle-stepped model of the same machine."""

import numpy as np
import pytest
from exact.layers import alexnet_fc8, data_dir

from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.decoders import decoder_of
from accelsim.hardware.interleave import interleave
from accelsim.simulation.network import open_session
from accelsim.simulation.pe_array import PeArray
from bench.harness import compare
from bench.stepped_baseline import encode_layer, simulate_baseline

MACHINE = accelerator("eie-64")


def fc8_path():
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA is not set and ../shared/data is absent: AlexNet FC8 is needed")
    return folder / "alexnet_fc8.npz"


def test_alexnet_fc8_timing_with_all_counters():
    """Scan, timing and traffic of a vector, from activations to per-PE counters."""
    session = open_session(fc8_path(), None, MACHINE)
    layer = session.network.layers[0]
    decoded = decoder_of(MACHINE).decode(interleave(layer, 64, 4), MACHINE)
    array = PeArray(decoded, layer.n_in, has_bias=True)
    vector = session.inputs.given[layer.name][0]
    stepped_layer = alexnet_fc8()
    encoded = encode_layer(stepped_layer.codes, stepped_layer.bias_codes, 64)

    def ours():
        broadcasts = array.broadcasts(vector)
        array.traffic(broadcasts)
        return array.timing(broadcasts, MACHINE.queue_depth)

    def stepped():
        return simulate_baseline(encoded, stepped_layer.codebook, vector, 8, 8)

    assert ours().cycles == stepped().cycles == 7926
    ratio = compare(
        "AlexNet FC8, 64 PEs, all counters",
        ours,
        stepped,
        baseline_name="cycle-stepped Numba model",
        inner=200,
        baseline_inner=3,
        rounds=11,
    )
    assert ratio > 50


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
    from accelsim.compression.compressor import compress
    from accelsim.network.layers import Layer, Network

    rng = np.random.default_rng(0)
    weights = rng.laplace(size=(4096, 9216)).astype(np.float32)
    return compress(Network("fc6", (Layer("fc6", weights),)), density=0.09)
