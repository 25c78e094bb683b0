import statistics
from types import SimpleNamespace

import numpy as np
import pytest

from accelsim.baseline.measured import procedure
from accelsim.baseline.measured.device import this_device
from accelsim.baseline.measured.kernels import dense_blas, sparse_csr
from accelsim.baseline.measured.procedure import LayerWork, Rules, Way, measure_network
from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import AccelsimError, InputError

RULES = Rules(batches=(1,), repetitions=4, budget_s=10.0)


class Meter:
    """Counts a microjoule for every product."""

    source = "a counter"

    def __init__(self, backend):
        self.backend = backend

    def start(self):
        self.before = self.backend.products

    def stop_uj(self):
        return float(self.backend.products - self.before)


class FakeBackend:
    """A machine on which every product takes 10 µs, and one with flushed caches 70."""

    flush_bytes = 100_000
    meter = None

    def __init__(self):
        self.flushes = self.products = 0
        self.cold = False
        self.finished = False

    def warm_up(self, run):
        run()

    def flush(self):
        self.flushes += 1
        self.cold = True

    def sample_us(self, run, loops):
        for _ in range(loops):
            run()
        first = 70 if self.cold else 10
        self.cold = False
        self.products += loops
        return (first + 10 * (loops - 1)) / loops

    def finish(self):
        self.finished = True


@pytest.fixture
def backend():
    return FakeBackend()


def measured(network, backend, rules=RULES, makers=(dense_blas, sparse_csr), **options):
    ways = [Way(maker, backend) for maker in makers]
    return measure_network(network, {}, ways, this_device(), rules, **options)


def test_every_way_is_measured_by_its_own_backend(network, backend):
    other = FakeBackend()
    ways = [Way(dense_blas, backend), Way(sparse_csr, other)]
    measure_network(network, {}, ways, this_device(), RULES)
    assert backend.flushes == other.flushes > 0


def test_every_layer_kernel_and_batch_cold_and_warm(network, backend):
    record = measured(network, backend, RULES._replace(batches=(1, 8)))
    assert [layer.name for layer in record.layers] == ["first", "second"]
    for layer in record.layers:
        assert [(k.batch, k.kernel) for k in layer.kernels] == [
            (1, "dense BLAS"),
            (1, "sparse CSR"),
            (8, "dense BLAS"),
            (8, "sparse CSR"),
        ]
        for kernel in layer.kernels:
            cold, warm = kernel.timings
            assert (cold.cache, cold.loops, len(cold.samples_us)) == ("flushed", 1, 4)
            assert (warm.cache, warm.loops, len(warm.samples_us)) == ("warm", 5, 4)  # 50 µs
            assert set(cold.samples_us) == {70 / kernel.batch}
            assert set(warm.samples_us) == {10 / kernel.batch}
            assert kernel.overhead_us == 10 / kernel.batch
            assert kernel.cold_overhead_us == 70 / kernel.batch
    assert record.date_utc.utcoffset().total_seconds() == 0


def test_one_flush_before_each_cold_sample_and_none_else(network, backend):
    measured(network, backend)
    per_kernel = RULES.repetitions + procedure.COLD_OVERHEADS
    assert backend.flushes == 4 * per_kernel  # two layers, two kernels


def test_weights_larger_than_the_flush_buffer_need_no_flush(make_layer, backend):
    network = CompressedNetwork("large", (make_layer("fc", 300, 200),))
    dense, sparse = measured(network, backend).layers[0].kernels
    assert sparse.weight_bytes > 100_000
    assert [timing.cache for timing in dense.timings] == ["larger than cache"]
    assert dense.cold_overhead_us is None
    assert not backend.flushes


def test_summary_numbers_follow_from_the_samples(network, backend):
    times = iter([5.0, 1.0, 4.0, 2.0] * 1000)
    backend.sample_us = lambda _run, _loops: next(times)
    timing = measured(network, backend).layers[0].kernels[0].timing("flushed")
    assert timing.median_us == statistics.median(timing.samples_us) == 3
    assert timing.min_us == 1
    # Ranks 0 to 3: the tenth percentile has rank 0.3, between 1 and 2.
    assert timing.percentile_us(10) == pytest.approx(1.3)
    assert timing.percentile_us(90) == pytest.approx(4.7)


def test_the_budget_ends_sampling_but_leaves_a_few_samples(network, backend):
    record = measured(network, backend, Rules((1,), 1000, 1e-9))
    assert {len(t.samples_us) for t in record.layers[0].kernels[0].timings} == {3}


def test_samples_keep_six_digits(network, backend):
    backend.sample_us = lambda _run, _loops: 12.3456789
    assert measured(network, backend).layers[0].kernels[0].timings[0].samples_us[0] == 12.3457


def test_energy_of_a_long_run(network, backend):
    backend.meter = Meter(backend)
    counted = FakeBackend.sample_us

    def product_of(maker):
        def make(weights, inputs):
            kernel = maker(weights, inputs)

            def run():
                backend.products += 1
                return kernel.run()

            return kernel._replace(run=run)

        return make

    backend.sample_us = lambda run, loops: counted(backend, run, loops)
    rules = Rules((4,), 3, 0.01)
    record = measured(network, backend, rules, makers=(product_of(dense_blas),))
    cold, warm = record.layers[0].kernels[0].timings
    assert cold.energy_uj is None  # flushing would count, too
    assert warm.energy_uj == 0.25  # one microjoule per product of four inferences
    assert backend.finished
    assert record.energy_source == "a counter"


def test_a_counter_that_stands_still_is_no_energy(network, backend):
    backend.meter = SimpleNamespace(source="a", start=lambda: None, stop_uj=lambda: 0.0)
    record = measured(network, backend, Rules((1,), 3, 0.01))
    assert record.layers[0].kernels[0].timing("warm").energy_uj is None


def test_other_processes(monkeypatch):
    clocks = {"busy_s": [10.0, 13.0], "process_time": [1.0, 2.0], "perf_counter": [0.0, 4.0]}
    for name, values in clocks.items():
        monkeypatch.setattr(procedure, name, iter(values).__next__)
    assert procedure._OtherProcesses().cpus() == 0.5


def test_other_processes_unknown(monkeypatch):
    monkeypatch.setattr(procedure, "busy_s", lambda: None)
    assert procedure._OtherProcesses().cpus() is None


def test_inputs_are_repeated_to_fill_the_batch(make_layer):
    vectors = np.arange(12, dtype=np.float32).reshape(2, 6)
    work = LayerWork(make_layer("fc", 6, 5), vectors, vectors=1, turns=1)
    np.testing.assert_array_equal(work.columns(3), vectors[[0, 1, 0]].T)
    np.testing.assert_array_equal(work.columns(1), vectors[0])


def test_vectors_of_an_inference_are_columns_unless_they_wait_for_each_other(make_layer):
    layer = make_layer("fc", 6, 5)
    assert LayerWork(layer, None, vectors=9, turns=1).columns(2).shape == (6, 18)
    assert LayerWork(layer, None, vectors=9, turns=9).columns(2).shape == (6, 2)
    assert LayerWork(layer, None, vectors=9, turns=9).columns(1).shape == (6,)


def test_the_share_of_inputs_that_are_not_zero(network, backend):
    x = np.zeros((1, 60), np.float32)
    x[0, :15] = 1
    record = measure_network(
        network, {"first": x}, [Way(dense_blas, backend)], this_device(), RULES
    )
    assert [layer.activation_density_frac for layer in record.layers] == [0.25, 1.0]
    assert [layer.inputs for layer in record.layers] == ["given", "drawn"]


def test_a_cells_state_matrix_is_multiplied_step_by_step(backend):
    """Three time steps are three products of one vector; the matrix on the inputs has one of three."""
    from network_model import draw_network

    network = draw_network(3, "lstm").network
    record = measured(network, backend, Rules((1,), 3, 0.01))
    recurrent = {
        name
        for step in network.flow.steps
        for name in step.op.layers
        if step.op.kind == "recurrent"
    }
    assert {layer.name for layer in record.layers if layer.in_turn} == recurrent
    for layer in record.layers:
        assert layer.vectors == network.flow.vectors(layer.name, layer.n_out)
    notes = [row.note for row in record.rows() if row.layer in recurrent]
    assert notes
    assert all("of 3 vectors, one after the other" in note for note in notes)


def test_a_repeated_product_runs_so_often():
    calls = []
    procedure._in_turn(lambda: calls.append(1), 5)()
    assert calls == [1] * 5


def wrong_by(factor):
    def maker(weights, inputs):
        kernel = sparse_csr(weights, inputs)
        return kernel._replace(run=lambda: kernel.run() * np.float32(factor))

    return maker


@pytest.mark.parametrize("factor", [1.01, np.nan, np.inf])
def test_kernels_that_disagree_are_not_timed(network, backend, factor):
    message = "layer 'first': products of dense BLAS and sparse CSR differ"
    with pytest.raises(AccelsimError, match=message):
        measured(network, backend, makers=(dense_blas, wrong_by(factor)))
    assert not backend.products


def test_a_difference_of_rounding_is_none(network, backend):
    assert measured(network, backend, makers=(dense_blas, wrong_by(1.0001))).layers


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batches": (1, 0)}, "batch=0: give 1 or more"),
        ({"batches": ()}, "batches: give one or more, each once"),
        ({"batches": (8, 8)}, "batches: give one or more, each once"),
        ({"repetitions": 0}, "repetitions=0"),
        ({"budget_s": 0.0}, "budget_s=0.0"),
        ({"budget_s": float("nan")}, "budget_s=nan"),
    ],
)
def test_numbers_out_of_range(network, backend, wrong, message):
    with pytest.raises(InputError, match=message):
        measured(network, backend, RULES._replace(**wrong))


def test_progress_tells_each_layer(network, backend):
    told = []
    measured(network, backend, progress=told.append)
    assert told == ["first", "second"]
