import numpy as np
import pytest

from accelsim.baseline.measured import cpu, torch_backend
from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import sparse_codes


@pytest.fixture
def make_layer():
    def make(name, n_in, n_out, code_bits=4, density=0.3):
        rng = np.random.default_rng(0)
        codes = rng.integers(1, 2**code_bits, (n_out, n_in)).astype(np.uint8)
        codes[rng.random(codes.shape) > density] = 0
        codebook = np.linspace(-1, 2, 2**code_bits, dtype=np.float32)
        codebook[0] = 0
        return CompressedLayer(
            name=name,
            n_out=n_out,
            n_in=n_in,
            activation="relu",
            codebook=codebook,
            sparse=sparse_codes(codes),
            bias_coded=False,
            bias=None,
            code_bits=code_bits,
            index_bits=4,
            max_code_length=11,
        )

    return make


@pytest.fixture
def network(make_layer):
    return CompressedNetwork("tiny", (make_layer("first", 60, 40), make_layer("second", 40, 10)))


@pytest.fixture
def small_caches(monkeypatch):
    """A flush of 128 MiB before each sample would make tests slow and prove nothing."""
    for module in (cpu, torch_backend):
        monkeypatch.setattr(module, "flush_bytes", lambda _: 100_000)
    monkeypatch.setattr(cpu, "rapl_meter", lambda: None)
