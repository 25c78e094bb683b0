import sys

import numpy as np
import pytest

from accelsim.baseline.measured import cpu
from accelsim.baseline.measured.cpu import measure_cpu
from accelsim.baseline.measured.rapl import RaplMeter
from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import NetworkError

pytestmark = pytest.mark.usefixtures("small_caches")

OWN = ["dense BLAS", "sparse CSR", "codebook"]


def kernels(record):
    return [kernel.kernel for kernel in record.layers[0].kernels]


def test_every_kernel_is_measured_cold_and_warm(network):
    record = measure_cpu(network, repetitions=5)
    assert kernels(record) == OWN
    for layer in record.layers:
        for kernel in layer.kernels:
            assert [timing.cache for timing in kernel.timings] == ["flushed", "warm"]
            assert all(len(timing.samples_us) == 5 for timing in kernel.timings)
            assert all(sample > 0 for t in kernel.timings for sample in t.samples_us)
            assert kernel.overhead_us > 0
            assert kernel.cold_overhead_us > 0
    assert record.flush_bytes == 100_000
    assert record.energy_source is None


def test_torch_is_measured_if_wanted(network):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    record = measure_cpu(network, batches=(1, 4), repetitions=3, budget_s=0.01, with_torch=True)
    assert kernels(record) == 2 * [*OWN, "torch dense", "torch sparse CSR"]
    dense, csr = record.layers[0].kernels[3:5]
    assert dense.weight_bytes == 4 * 60 * 40
    assert csr.weight_bytes == 8 * network.layers[0].n_kept + 4 * 41
    assert dense.threads == f"torch may use {record.device.cpus} threads"
    assert torch.get_num_threads() == before
    assert not record.remarks


def test_without_torch_the_record_says_how_to_get_it(network, monkeypatch):
    monkeypatch.setattr("accelsim.baseline.measured.torch_backend.find_spec", lambda _: None)
    record = measure_cpu(network, repetitions=3, budget_s=0.01, with_torch=True)
    assert kernels(record) == OWN
    assert "pip install 'accelsim[gpu]'" in record.remarks[0]


def test_torch_stays_where_it_is_unless_wanted(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    assert kernels(measure_cpu(network, repetitions=3, budget_s=0.01)) == OWN


def test_the_flush_buffer_has_pages_of_its_own():
    product = cpu._flusher(10_000_000)()
    assert product.size * 1024 * 4 >= 10_000_000
    assert (product == 1024).all()


def test_energy_is_read_from_the_package_counters(network, monkeypatch):
    readings = iter(range(10**6))
    meter = RaplMeter(())
    monkeypatch.setattr(meter, "stop_uj", lambda: 1000.0 + next(readings))
    monkeypatch.setattr(cpu, "rapl_meter", lambda: meter)
    record = measure_cpu(network, repetitions=3, budget_s=0.01)
    assert record.energy_source.startswith("RAPL counters of the CPU package")
    cold, warm = record.layers[0].kernels[0].timings
    assert cold.energy_uj is None
    assert 0 < warm.energy_uj <= 1000.0


def test_batches_are_reported_per_inference(network):
    activations = {"first": np.ones((3, 60), dtype=np.float32)}
    record = measure_cpu(network, activations=activations, batches=(8,), repetitions=3)
    assert [layer.inputs for layer in record.layers] == ["given", "drawn"]
    assert all(", batch 8 (" in row.system for row in record.rows())


def test_own_activations_are_used(network):
    own = CompressedNetwork("own", network.layers, {"first": np.ones(60, dtype=np.float32)})
    assert measure_cpu(own, repetitions=3).layers[0].inputs == "given"


def test_activations_that_do_not_fit(network):
    with pytest.raises(NetworkError, match="no such layer"):
        measure_cpu(network, activations={"third": np.ones(3, dtype=np.float32)})
