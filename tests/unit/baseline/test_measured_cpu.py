import json
import statistics

import numpy as np
import pytest

from accelsim.baseline import measured_cpu
from accelsim.baseline.measured_cpu import load_measurement, measure_cpu, save_measurement
from accelsim.baseline.rapl import Counter
from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import sparse_codes
from accelsim.errors import AccelsimError, FileFormatError, InputError, NetworkError


def make_layer(name, n_in, n_out, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 16, (n_out, n_in)).astype(np.uint8)
    codes[rng.random(codes.shape) > 0.3] = 0
    codebook = np.linspace(-1, 1, 16, dtype=np.float32)
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
        code_bits=4,
        index_bits=4,
        max_code_length=11,
    )


@pytest.fixture
def network():
    return CompressedNetwork("tiny", (make_layer("first", 60, 40), make_layer("second", 40, 10)))


@pytest.fixture(autouse=True)
def _small_caches(monkeypatch):
    """A flush of 128 MiB before each sample would make these tests slow and prove nothing."""
    monkeypatch.setattr(measured_cpu, "flush_bytes", lambda _: 100_000)
    monkeypatch.setattr(measured_cpu, "package_counters", lambda: ())


@pytest.fixture
def measurement(network):
    return measure_cpu(network, repetitions=5)


def test_every_layer_and_kernel_is_measured_cold_and_warm(measurement):
    assert [layer.name for layer in measurement.layers] == ["first", "second"]
    for layer in measurement.layers:
        assert [kernel.kernel for kernel in layer.kernels] == ["dense BLAS", "sparse CSR"]
        for kernel in layer.kernels:
            assert [timing.cache for timing in kernel.timings] == ["flushed", "warm"]
            assert all(len(timing.samples_us) == 5 for timing in kernel.timings)
            assert kernel.timing("flushed").loops == 1
            assert kernel.overhead_us > 0
    assert measurement.date_utc.utcoffset().total_seconds() == 0


def test_sizes(measurement, network):
    dense, sparse = measurement.layers[0].kernels
    nonzeros = network.layers[0].n_kept
    assert measurement.layers[0].nonzeros == nonzeros
    assert dense.weight_bytes == 4 * 60 * 40
    assert sparse.weight_bytes == 8 * nonzeros + 4 * 41


def test_summary_numbers_follow_from_the_samples(measurement):
    timing = measurement.layers[0].kernels[0].timing("flushed")
    assert timing.median_us == statistics.median(timing.samples_us)
    assert timing.min_us == min(timing.samples_us)
    assert timing.min_us <= timing.percentile_us(10) <= timing.median_us
    assert timing.median_us <= timing.percentile_us(90) <= max(timing.samples_us)


def test_warm_samples_are_long_enough_for_the_timer(monkeypatch):
    now_ns = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(measured_cpu, "perf_counter_ns", lambda: next(now_ns))
    assert measured_cpu._loops(lambda: None) == 50


def test_weights_larger_than_the_flush_buffer_need_no_flush(monkeypatch):
    flushes = []
    monkeypatch.setattr(measured_cpu, "_flusher", lambda _: lambda: flushes.append(1))
    large = CompressedNetwork("large", (make_layer("fc", 300, 200),))
    dense, sparse = measure_cpu(large, repetitions=4).layers[0].kernels
    assert [timing.cache for timing in dense.timings] == ["larger than cache"]
    assert sparse.weight_bytes > 100_000
    assert not flushes


def test_one_flush_before_each_cold_sample_and_none_else(monkeypatch, network):
    flushes = []
    monkeypatch.setattr(measured_cpu, "_flusher", lambda _: lambda: flushes.append(1))
    measure_cpu(network, repetitions=4)
    assert len(flushes) == 4 * 4  # samples × (two layers, two kernels)


def test_the_flush_buffer_has_pages_of_its_own():
    product = measured_cpu._flusher(10_000_000)()
    assert product.size * 1024 * 4 >= 10_000_000
    assert (product == 1024).all()


def test_the_budget_ends_sampling_but_leaves_a_few_samples(network):
    timings = measure_cpu(network, repetitions=1000, budget_s=1e-9).layers[0].kernels[0].timings
    assert {len(timing.samples_us) for timing in timings} == {3}


def test_rows(measurement):
    rows = measurement.rows()
    assert len({(row.system, row.layer) for row in rows}) == len(rows) == 8
    cpu = measurement.device.cpu
    assert {row.system for row in rows} == {
        f"CPU here, dense BLAS ({cpu})",
        f"CPU here, dense BLAS, warm ({cpu})",
        f"CPU here, sparse CSR ({cpu})",
        f"CPU here, sparse CSR, warm ({cpu})",
    }
    cold = rows[0]
    assert (cold.kind, cold.layer, cold.energy_uj) == ("measured", "first", None)
    assert cold.latency_us == measurement.layers[0].kernels[0].timings[0].median_us
    assert "caches flushed before every sample" in cold.note
    assert "not measured: no readable RAPL counter" in cold.note
    assert "are call and timer" in rows[1].note  # 2400 weights are nothing beside a call


def test_a_disturbed_or_guessed_measurement_says_so(measurement):
    calm = measurement.model_copy(update={"others_cpus": 0.1})
    assert "DISTURBED" not in calm.rows()[0].note
    busy = measurement.model_copy(update={"others_cpus": 0.9})
    assert "DISTURBED: other processes kept 0.9 CPUs busy" in busy.rows()[0].note
    device = measurement.device.model_copy(update={"cache_assumed": True})
    assert "bytes assumed" in measurement.model_copy(update={"device": device}).rows()[0].note


def test_other_processes(monkeypatch):
    clocks = {"busy_s": [10.0, 13.0], "process_time": [1.0, 2.0], "perf_counter": [0.0, 4.0]}
    for name, values in clocks.items():
        monkeypatch.setattr(measured_cpu, name, iter(values).__next__)
    assert measured_cpu._OtherProcesses().cpus() == 0.5


def test_other_processes_unknown(monkeypatch):
    monkeypatch.setattr(measured_cpu, "busy_s", lambda: None)
    assert measured_cpu._OtherProcesses().cpus() is None


def test_batches_are_reported_per_vector(network):
    activations = {"first": np.ones((3, 60), dtype=np.float32)}
    measurement = measure_cpu(network, activations=activations, batch=8, repetitions=3)
    assert [layer.inputs for layer in measurement.layers] == ["given", "drawn"]
    assert all(", batch 8 (" in row.system for row in measurement.rows())


def test_inputs_are_repeated_to_fill_the_batch():
    vectors = np.arange(12, dtype=np.float32).reshape(2, 6)
    layer = make_layer("fc", 6, 5)
    columns = measured_cpu._input_columns(layer, vectors, 3)
    np.testing.assert_array_equal(columns, vectors[[0, 1, 0]].T)
    np.testing.assert_array_equal(measured_cpu._input_columns(layer, vectors, 1), vectors[0])


def test_own_activations_are_used(network):
    own = CompressedNetwork("own", network.layers, {"first": np.ones(60, dtype=np.float32)})
    assert measure_cpu(own, repetitions=3).layers[0].inputs == "given"


def test_progress_tells_each_layer(network):
    told = []
    measure_cpu(network, repetitions=3, progress=told.append)
    assert told == ["first", "second"]


def test_energy_of_a_long_run(network, monkeypatch, tmp_path):
    readings = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(Counter, "read_uj", lambda _: next(readings))
    counter = Counter(tmp_path / "intel-rapl:0", 2**32)
    monkeypatch.setattr(measured_cpu, "package_counters", lambda: (counter,))
    measurement = measure_cpu(network, repetitions=3, budget_s=0.01)
    cold, warm = measurement.layers[0].kernels[0].timings
    assert cold.energy_uj is None
    assert 0 < warm.energy_uj <= 1000
    rows = measurement.rows()
    assert "flushing would count too" in rows[0].note
    assert "CPU package (intel-rapl:0), idle power included" in rows[1].note


def test_a_counter_that_stands_still_is_no_energy(network, monkeypatch, tmp_path):
    monkeypatch.setattr(Counter, "read_uj", lambda _: 5)
    counter = Counter(tmp_path / "intel-rapl:0", 2**32)
    monkeypatch.setattr(measured_cpu, "package_counters", lambda: (counter,))
    row = measure_cpu(network, repetitions=3, budget_s=0.01).rows()[1]
    assert row.energy_uj is None
    assert "stood still" in row.note


def test_kernels_that_disagree_are_not_timed(network, monkeypatch):
    def timed(*_):
        raise AssertionError

    right = measured_cpu._csr
    monkeypatch.setattr(measured_cpu, "_csr", lambda layer: 1.01 * right(layer))
    monkeypatch.setattr(measured_cpu, "_measure_kernel", timed)
    with pytest.raises(AccelsimError, match="layer 'first'"):
        measure_cpu(network, repetitions=3)


@pytest.mark.parametrize("wrong", [1.01, np.nan, np.inf])
def test_agreement(wrong):
    good = np.array([1.0, -100.0], dtype=np.float32)
    measured_cpu._check_agreement("fc", good, good * np.float32(1.0001))
    with pytest.raises(AccelsimError, match="layer 'fc': dense and sparse products differ"):
        measured_cpu._check_agreement("fc", good, good * np.float32(wrong))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch=0: give 1 or more"),
        ({"repetitions": 0}, "repetitions=0"),
        ({"budget_s": 0.0}, "budget_s=0.0"),
        ({"budget_s": float("nan")}, "budget_s=nan"),
    ],
)
def test_numbers_out_of_range(network, wrong, message):
    with pytest.raises(InputError, match=message):
        measure_cpu(network, **wrong)


def test_activations_that_do_not_fit(network):
    with pytest.raises(NetworkError, match="no such layer"):
        measure_cpu(network, activations={"third": np.ones(3, dtype=np.float32)})


def test_a_record_survives_its_file(measurement, tmp_path):
    path = tmp_path / "cpu.json"
    save_measurement(measurement, path)
    assert load_measurement(path) == measurement
    assert [entry.name for entry in tmp_path.iterdir()] == ["cpu.json"]


def test_saving_into_a_missing_folder(measurement, tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        save_measurement(measurement, tmp_path / "none" / "cpu.json")


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none.json: cannot be read: No such file"):
        load_measurement(tmp_path / "none.json")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"version": 1}'])
def test_files_that_are_no_records(tmp_path, content):
    path = tmp_path / "cpu.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"cpu\.json: ") as caught:
        load_measurement(path)
    assert "\n" not in str(caught.value)


SAMPLES = ("layers", 0, "kernels", 0, "timings", 0, "samples_us")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("version",), 2, "version=2"),
        (("batch",), 0, "batch=0"),
        (("layers", 0, "n_in"), "many", r"layers\.0\.n_in='many'"),
        (("layers", 0, "kernels", 0, "timings", 0, "cache"), "hot", r"timings\.0\.cache='hot'"),
        (SAMPLES, [], r"samples_us"),
        ((*SAMPLES, 0), -1.0, r"samples_us\.0=-1\.0"),
        ((*SAMPLES, 0), 0.0, r"samples_us\.0=0\.0: input should be greater than 0"),
        ((*SAMPLES, 0), True, r"samples_us\.0=True: input should be a valid number"),
        ((*SAMPLES[:-1], "loops"), True, r"loops=True: input should be a valid integer"),
        (("layers", 0, "n_in"), True, r"layers\.0\.n_in=True: input should be a valid integer"),
        (("layers", 0, "vectors"), True, r"vectors=True: input should be a valid integer"),
        ((*SAMPLES, 0), float("nan"), r"samples_us\.0=nan"),
        (("extra",), 1, "unknown field 'extra'"),
        (("date_utc",), "2026-01-01T00:00:00", "date_utc"),
    ],
)
def test_a_damaged_record_names_file_and_field(measurement, tmp_path, place, value, message):
    record = json.loads(measurement.model_dump_json())
    part = record
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    path = tmp_path / "cpu.json"
    path.write_text(json.dumps(record))
    with pytest.raises(FileFormatError, match=message) as caught:
        load_measurement(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cells_state_matrix_is_multiplied_step_by_step():
    """Three time steps are three products of one vector; the matrix on the inputs has one of three."""
    from network_model import draw_network

    network = draw_network(3, "lstm").network
    measured = measure_cpu(network, repetitions=3, budget_s=0.01)
    recurrent = {
        name
        for step in network.flow.steps
        for name in step.op.layers
        if step.op.kind == "recurrent"
    }
    assert {layer.name for layer in measured.layers if layer.in_turn} == recurrent
    for layer in measured.layers:
        assert layer.vectors == network.flow.vectors(layer.name, layer.n_out)
    notes = [row.note for row in measured.rows() if row.layer in recurrent]
    assert notes
    assert all("of 3 vectors, one after the other" in note for note in notes)


def test_a_repeated_product_runs_so_often():
    from accelsim.baseline.measured_cpu import _in_turn, _Kernel

    calls = []
    kernel = _Kernel("dense BLAS", "", 1, lambda: calls.append(1), lambda: calls.append(2))
    _in_turn(kernel, 5).run()
    assert calls == [1] * 5
