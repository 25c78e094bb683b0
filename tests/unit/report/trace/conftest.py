import numpy as np
import pytest

from accelsim.network.npz import load_npz
from accelsim.study.trace import trace


def network_file(folder, name="first", biased=True):
    """Two sparse layers, 60 -> 50 -> 10, as arrays in a file."""
    rng = np.random.default_rng(0)
    x = np.where(rng.random(60) < 0.7, rng.random(60), 0).astype(np.float32)
    arrays = {f"{name}/activations": x}
    for layer, (n_out, n_in) in {name: (50, 60), "second": (10, 50)}.items():
        kept = rng.random((n_out, n_in)) < 0.3
        # Rows of PE 2 are fuller than the others.
        kept[2::8] |= rng.random(kept[2::8].shape) < 0.4
        weights = np.where(kept, rng.standard_normal((n_out, n_in)), 0)
        arrays[f"{layer}/weights"] = weights.astype(np.float32)
        if biased:
            arrays[f"{layer}/bias"] = rng.standard_normal(n_out).astype(np.float32)
    path = folder / "net.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    return load_npz(network_file(tmp_path_factory.mktemp("net")))


@pytest.fixture(scope="session")
def traced(network):
    """Both layers on 8 PEs, with stalls in the first."""
    return trace(network, pes=8, queue_depth=3)


@pytest.fixture(scope="session")
def one_layer(network):
    return trace(network, pes=8, queue_depth=3, layer="first")
