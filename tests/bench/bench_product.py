"""Products on the compressed form against SciPy's CSR (one thread, as ours) and dense BLAS (all CPUs)."""

import numpy as np
import pytest

import accelsim
from accelsim.baseline.measured.kernels import Weights, codebook, dense_blas, sparse_csr
from bench.harness import compare


@pytest.fixture(scope="module")
def network():
    return accelsim.compress("alexnet_fc")


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("name", ["Alex-6", "Alex-7", "Alex-8"])
def test_layers_of_alexnet(network, name, batch):
    weights = Weights(network.layer(name))
    vector = network.activations[name]
    inputs = vector if batch == 1 else np.tile(vector[:, None], batch)
    ours = codebook(weights, inputs).run
    for maker, least in ((sparse_csr, 1.0), (dense_blas, 0.5)):
        other = maker(weights, inputs)
        ratio = compare(
            f"{name}, batch {batch}, {np.mean(vector != 0):.0%} of the inputs not zero",
            ours,
            other.run,
            baseline_name=other.name,
            rounds=15,
        )
        assert ratio > least
