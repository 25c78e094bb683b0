import numpy as np
import pytest

from accelsim.baseline.measured_cpu import load_measurement, save_measurement
from accelsim.errors import InputError
from accelsim.network.layers import Layer, Network
from accelsim.study import measure as module
from accelsim.study.measure import measure


def test_every_layer_is_measured(network, tmp_path):
    told = []
    record = measure(network, repetitions=3, progress=told.append)
    assert told == ["one", "two"]
    shapes = [(layer.name, layer.n_out, layer.n_in) for layer in record.layers]
    assert shapes == [("one", 18, 24), ("two", 10, 18)]
    assert [layer.nonzeros for layer in record.layers] == [x.n_kept for x in network.layers]
    save_measurement(record, tmp_path / "cpu.json")
    assert load_measurement(tmp_path / "cpu.json") == record


def test_inputs_given_are_the_inputs_measured(network, monkeypatch):
    seen = {}
    monkeypatch.setattr(module, "measure_cpu", lambda _, **options: seen.update(options))
    x = np.arange(24, dtype=np.float32)
    measure(network, activations=x, repetitions=7)
    assert seen["activations"]["one"].tolist() == [x.tolist()]
    assert seen["repetitions"] == 7


def test_a_dense_network_is_compressed_first():
    weights = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)
    record = measure(Network("net", (Layer("a", weights),)), repetitions=3)
    assert record.layers[0].name == "a"


def test_an_unknown_target_is_named(network):
    with pytest.raises(InputError, match="target 'gpu' is not known: use cpu"):
        measure(network, "gpu")
