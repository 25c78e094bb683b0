import numpy as np
import pytest

from accelsim.baseline.measured import cpu, torch_backend
from accelsim.baseline.measured.cpu import load_measurement, save_measurement
from accelsim.errors import InputError
from accelsim.network.layers import Layer, Network
from accelsim.study import measure as module
from accelsim.study.measure import measure


@pytest.fixture(autouse=True)
def _small_caches(monkeypatch):
    """A flush of 128 MiB before each sample would make these tests slow and prove nothing."""
    monkeypatch.setattr(cpu, "flush_bytes", lambda _: 100_000)


def test_every_layer_is_measured(network, tmp_path):
    told = []
    record = measure(network, repetitions=3, progress=told.append)
    assert told == ["one", "two"]
    shapes = [(layer.name, layer.n_out, layer.n_in) for layer in record.layers]
    assert shapes == [("one", 18, 24), ("two", 10, 18)]
    assert [layer.nonzeros for layer in record.layers] == [x.n_kept for x in network.layers]
    assert {kernel.batch for kernel in record.layers[0].kernels} == {1, 64}
    save_measurement(record, tmp_path / "cpu.json")
    assert load_measurement(tmp_path / "cpu.json") == record


@pytest.mark.parametrize(("target", "name"), [("cpu", "measure_cpu"), ("gpu", "measure_gpu")])
def test_inputs_given_are_the_inputs_measured(network, monkeypatch, target, name):
    seen = {}
    monkeypatch.setattr(module, "check_gpu", lambda: None)
    monkeypatch.setattr(module, name, lambda _, **options: seen.update(options))
    x = np.arange(24, dtype=np.float32)
    measure(network, target, activations=x, batches=(4,), repetitions=7)
    assert seen["activations"]["one"].tolist() == [x.tolist()]
    assert (seen["repetitions"], seen["batches"]) == (7, (4,))
    assert seen.get("with_torch") is (True if target == "cpu" else None)


def test_a_dense_network_is_compressed_first():
    weights = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)
    record = measure(Network("net", (Layer("a", weights),)), batches=(1,), repetitions=3)
    assert record.layers[0].name == "a"


def test_an_unknown_target_is_named(network):
    with pytest.raises(InputError, match="target 'tpu' is not known: use cpu or gpu"):
        measure(network, "tpu")


def test_a_gpu_without_torch_is_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(torch_backend, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="measure gpu: PyTorch is not installed"):
        measure("no such file", "gpu")
