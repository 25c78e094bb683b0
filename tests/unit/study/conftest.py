import numpy as np
import pytest

from accelsim.compression.compressor import compress
from accelsim.network.layers import Layer, Network


@pytest.fixture(scope="session")
def network():
    """24 -> 18 -> 10: two layers with biases, of few enough values to be stored without loss."""
    rng = np.random.default_rng(3)
    values = np.append(0, rng.standard_normal(7)).astype(np.float32)

    def layer(name, n_out, n_in, activation):
        kept = rng.random((n_out, n_in)) < 0.4
        weights = np.where(kept, values[rng.integers(1, 8, (n_out, n_in))], 0)
        bias = values[rng.integers(0, 8, n_out)]
        return Layer(name, weights.astype(np.float32), bias, activation)

    x = np.where(rng.random(24) < 0.6, rng.random(24), 0).astype(np.float32)
    layers = (layer("one", 18, 24, "relu"), layer("two", 10, 18, "none"))
    return compress(Network("tiny", layers, {"one": x}))
