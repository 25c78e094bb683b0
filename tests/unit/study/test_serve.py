"""`accelsim.serve`: what is asked for, is done; what cannot be, is refused in one line."""

import json
import math

import numpy as np
import pytest

import accelsim
from accelsim.compression.compressor import compress
from accelsim.errors import AccelsimError, InputError
from accelsim.network.layers import Layer, Network
from accelsim.study.serve import load_curve, serve, theory_latency_us

PIPELINED = {"chips": 2, "arrangement": "pipelined"}


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(0)
    sizes = [(30, 60), (20, 30), (10, 20)]
    layers = tuple(
        Layer(f"fc{i}", rng.standard_normal(shape).astype(np.float32), None, "relu")
        for i, shape in enumerate(sizes)
    )
    return compress(Network("small", layers), density=0.4)


@pytest.fixture(scope="module")
def lone(network):
    """Latency of one input by `simulate`."""
    return accelsim.simulate(network).total["latency_us"]


def test_a_lone_client_gets_the_latency_of_simulate(network, lone):
    served = serve(network, requests=20)
    assert served.requests["latency_us"].to_numpy() == pytest.approx(lone, abs=3e-6)
    assert served.figures["throughput_per_s"] == pytest.approx(1e6 / lone)
    assert served.figures["capacity_per_s"] == pytest.approx(1e6 / lone)
    assert served.figures["array_utilization_frac"] == 1
    assert served.settings["clients"] == 1


def test_chips_multiply_the_capacity(network, lone):
    assert serve(network, requests=10, chips=3).capacity_per_s == pytest.approx(3e6 / lone)
    layers = accelsim.simulate(network).layers["latency_us"]
    piped = serve(network, requests=300, chips=3, arrangement="pipelined", link_gbyte_per_s=1000)
    assert piped.capacity_per_s == pytest.approx(1e6 / layers.max())
    assert piped.figures["throughput_per_s"] == pytest.approx(1e6 / layers.max(), rel=0.02)


def test_a_slow_link_is_the_bottleneck(network):
    slow = serve(network, requests=10, chips=2, arrangement="pipelined", link_gbyte_per_s=0.001)
    # 30 or 20 values of 16 bits at 1 byte per microsecond, after 20 ns.
    values = 30 if len(slow.system.stages[0].layers) == 1 else 20
    assert slow.capacity_per_s == pytest.approx(1e6 / (2 * values + 0.02))


def test_poisson_arrivals_come_at_their_rate_and_from_their_seed(network, lone):
    rate = 0.5e6 / lone
    one, same, other = (
        serve(network, arrivals="poisson", rate_per_s=rate, requests=4000, seed=seed)
        for seed in (1, 1, 2)
    )
    assert one.offered_per_s == pytest.approx(rate, rel=0.05)
    assert one.requests.equals(same.requests)
    assert not one.requests["arrival_us"].equals(other.requests["arrival_us"])


def test_more_than_the_capacity_is_noted(network, lone):
    served = serve(network, arrivals="poisson", rate_per_s=2e6 / lone, requests=500)
    assert any("the queue grows as long as they come" in note for note in served.notes)
    assert served.figures["throughput_per_s"] < 1.01e6 / lone


def test_a_trace_is_replayed(network, lone, tmp_path):
    times = [0.0, 0.0, 100.0]
    expected = pytest.approx([lone, 2 * lone, lone], abs=1e-5)
    assert serve(network, arrivals="trace", trace=times).requests["latency_us"].tolist() == expected
    path = tmp_path / "times.csv"
    path.write_text("arrival_us\n0\n0\n100\n")
    assert serve(network, arrivals="trace", trace=path).requests["latency_us"].tolist() == expected
    assert len(serve(network, arrivals="trace", trace=times, requests=2).requests) == 2


def test_streamed_weights_are_said_to_need_room(network):
    served = serve(network, requests=10, weights_in="dram", dram="hbm3")
    assert any("room for two layers" in note for note in served.notes)
    assert served.figures["dram_utilization_frac"] > 0.5
    assert math.isnan(theory_latency_us(served.system, 1.0))


def test_batches_save_fetches(network):
    options = {"requests": 400, "weights_in": "dram", "dram": "hbm3"}
    single, batched = serve(network, **options), serve(network, batch=8, **options)
    assert batched.figures["batches"] == 50
    assert batched.figures["throughput_per_s"] > 2 * single.figures["throughput_per_s"]
    energy = [x.energy.set_index("part")["energy_uj"]["DRAM"] for x in (single, batched)]
    assert energy[0] == pytest.approx(8 * energy[1])


def test_the_load_curve_rises_and_follows_the_theory(network):
    curve = load_curve(serve(network, requests=10), (0.2, 0.5, 0.8), requests=3000)
    assert curve["load_frac"].tolist() == [0.2, 0.5, 0.8]
    for column in ("latency_mean_us", "latency_p50_us", "latency_p95_us", "latency_p99_us"):
        assert curve[column].is_monotonic_increasing
    assert curve["latency_mean_us"].to_numpy() == pytest.approx(curve["md1_latency_us"], rel=0.1)
    assert curve["throughput_per_s"].to_numpy() == pytest.approx(curve["rate_per_s"], rel=0.1)


def test_theory_is_left_out_where_it_does_not_hold(network):
    for options in ({"chips": 2}, {"batch": 2}):
        assert math.isnan(theory_latency_us(serve(network, requests=4, **options).system, 1.0))


def test_the_result_can_be_written_as_json(network):
    served = serve(network, requests=4, batch=2, chips=2)
    content = json.loads(json.dumps(served.as_dict(), allow_nan=False))
    assert content["requests"] == 4
    assert content["provenance"]["simpy"]
    assert content["provenance"]["serving"]["batch"] == 2
    assert served.summary["power_mw"].iloc[0] == content["power_mw"]


def test_progress_is_told(network):
    told = []
    serve(network, requests=50, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (50, 50)


def test_an_interruption_is_not_held_back(network):
    def interrupt(done, _total):
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve(network, requests=1000, progress=interrupt)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arrivals": "poison"}, "arrivals='poison': no such choice; did you mean 'poisson'"),
        ({"arrangement": "both"}, "arrangement='both': no such choice"),
        ({"arrivals": "poisson"}, "arrivals=poisson: needs rate_per_s"),
        ({"arrivals": "poisson", "rate_per_s": 0}, "rate_per_s=0: give a number greater than 0"),
        ({"arrivals": "poisson", "rate_per_s": math.nan}, "rate_per_s=nan"),
        ({"arrivals": "poisson", "rate_per_s": "5"}, "rate_per_s='5'"),
        ({"arrivals": "trace"}, "arrivals=trace: needs trace"),
        ({"rate_per_s": 5.0}, "rate_per_s: is not for arrivals=closed: leave it out"),
        ({"trace": [1.0]}, "trace: is not for arrivals=closed"),
        ({"arrivals": "poisson", "rate_per_s": 5.0, "clients": 2}, "clients: is not for"),
        ({"requests": 0}, "requests=0: give a whole number from 1 to 10,000,000"),
        ({"requests": 10**9}, "requests=1000000000"),
        ({"batch": 1.5}, "batch=1.5: give a whole number"),
        ({"batch": True}, "batch=True"),
        ({"clients": 0}, "clients=0"),
        ({"chips": 0}, "chips=0: give a whole number from 1 to 1,024"),
        ({"batch_timeout_us": -1}, "batch_timeout_us=-1: give a number of at least 0"),
        (PIPELINED | {"link_kind": "wire"}, "link 'wire': no such kind"),
        (PIPELINED | {"link_gbyte_per_s": 0}, "link_gbyte_per_s=0"),
        (PIPELINED | {"link_kind": "grs", "chips": 1}, "link_kind: is for pipelined chips"),
        ({"link_gbyte_per_s": 5.0}, "link_gbyte_per_s: is for pipelined chips: leave it out"),
        ({"link_kind": "grs", "chips": 2}, "set arrangement=pipelined and at least two chips"),
        (
            {"arrivals": "trace", "trace": [1.0, 2.0], "requests": 3},
            "requests=3: the trace has 2: give no more, or leave requests out",
        ),
        ({"chips": 4, "arrangement": "pipelined"}, "network 'small' has 3 layers"),
        ({"seed": -1}, "seed"),
        ({"pes": 0}, "pes=0"),
        ({"dram": "ddr5", "weights_in": "dram"}, "no energy per bit is known"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(network, options, message):
    with pytest.raises(AccelsimError) as error:
        serve(network, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_arguments_are_checked_before_anything_long_is_done():
    with pytest.raises(InputError, match="batch=0"):
        serve("no-such-network", batch=0)
