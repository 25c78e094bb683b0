"""The code that measures GPUs, run by torch on the CPU; only events and NVML are left to stand-ins."""

import numpy as np
import pytest

from accelsim.baseline.measured import gpu, torch_backend
from accelsim.baseline.measured.device import Gpu
from accelsim.baseline.measured.gpu import measure_gpu
from accelsim.baseline.measured.kernels import Weights, dense_blas
from accelsim.baseline.measured.torch_backend import TorchBackend, kernel_makers
from accelsim.errors import InputError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("small_caches")


def test_dense_and_csr_at_both_batches(network):
    record = measure_gpu(network, batches=(1, 64), repetitions=3, budget_s=0.01, device="cpu")
    for layer in record.layers:
        assert [(k.batch, k.kernel) for k in layer.kernels] == [
            (batch, name) for batch in (1, 64) for name in ("torch dense", "torch sparse CSR")
        ]
        for kernel in layer.kernels:
            assert [timing.cache for timing in kernel.timings] == ["flushed", "warm"]
            assert f"torch {torch.__version__}" in kernel.package
    assert record.device.gpu is None
    assert record.flush_bytes == 100_000


@pytest.mark.parametrize("columns", [1, 5])
def test_products_are_those_of_numpy(columns, make_layer):
    layer = make_layer("fc", 50, 20)
    shape = 50 if columns == 1 else (50, columns)
    inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    weights = Weights(layer)
    expected = dense_blas(weights, inputs).run()
    for maker in kernel_makers("cpu"):
        kernel = maker(weights, inputs)
        np.testing.assert_allclose(kernel.read(kernel.run()), expected, rtol=1e-4, atol=1e-5)


def test_a_flush_reads_the_whole_buffer():
    backend = TorchBackend("cpu", cache_bytes=1)
    assert backend._buffer.nbytes >= 100_000
    assert float(backend._buffer.min()) == 1  # pages of its own, not the shared page of zeros
    backend.flush()


class FakeEvent:
    """An event of a GPU whose clock goes on by 3 ms from one record to the next."""

    now_ms = 0.0
    waited = 0

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        FakeEvent.now_ms += 3.0
        self.at_ms = FakeEvent.now_ms

    def synchronize(self):
        FakeEvent.waited += 1

    def elapsed_time(self, end):
        return end.at_ms - self.at_ms


def test_a_gpu_is_timed_with_its_own_events(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    backend = TorchBackend("cpu", cache_bytes=1)
    backend._cuda = True
    calls = []
    assert backend.sample_us(lambda: calls.append(1), 6) == pytest.approx(500)
    assert len(calls) == 6
    assert FakeEvent.waited == 1


def test_energy_runs_end_when_the_gpu_is_done(monkeypatch):
    waits = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(1))
    backend = TorchBackend("cpu", cache_bytes=1)
    backend.finish()
    assert not waits
    backend._cuda = True
    backend.finish()
    assert waits == [1]


def test_a_gpu_warms_up_for_a_while(monkeypatch):
    times, waits, calls = iter([0.0, 0.1, 0.19, 0.21]), [], []
    monkeypatch.setattr(torch_backend, "perf_counter", lambda: next(times))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(1))
    backend = TorchBackend("cpu", cache_bytes=1)
    backend._cuda = True
    backend.warm_up(lambda: calls.append(1))
    assert (len(calls), waits) == (3, [1])


class Facts:
    """What torch tells about a GPU."""

    name = "NVIDIA H200"
    total_memory = 150_000_000_000
    L2_cache_size = 62_914_560
    uuid = "0123"


@pytest.fixture
def facts(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Facts)
    monkeypatch.setattr(torch_backend, "driver_version", lambda: "580.1")


@pytest.mark.usefixtures("facts")
def test_the_gpu_is_described(monkeypatch):
    assert torch_backend.cuda_gpu() == Gpu(
        name="NVIDIA H200",
        memory_bytes=150_000_000_000,
        cache_bytes=62_914_560,
        driver="580.1",
        cuda=str(torch.version.cuda),
    )
    described, cache_bytes = gpu._describe("cuda")
    assert (described.name, cache_bytes) == ("NVIDIA H200", 62_914_560)
    monkeypatch.setattr(torch_backend, "nvml_meter", lambda uuid: f"meter of {uuid}")
    assert torch_backend.gpu_meter() == "meter of GPU-0123"


def test_without_torch(network, monkeypatch):
    monkeypatch.setattr(torch_backend, "find_spec", lambda _: None)
    with pytest.raises(
        InputError, match=r"measure gpu: PyTorch is not installed: pip install"
    ) as e:
        measure_gpu(network)
    assert "\n" not in str(e.value)


def test_without_a_gpu(network, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"measure gpu: torch finds no CUDA GPU: .*measure cpu"):
        measure_gpu(network)
