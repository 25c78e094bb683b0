"""Tables of a run: what must add up, adds up."""

import numpy as np
import pytest
from unit.simulation.system.systems import US, layer

from accelsim.simulation.system.host import OpenLoop
from accelsim.simulation.system.model import run_system
from accelsim.simulation.system.result import ServingResult

PIPELINED = {"chips": 2, "arrangement": "pipelined"}


def serve(system, times_us):
    counted = run_system(system, OpenLoop([round(time * US) for time in times_us]))
    return ServingResult(system, counted, {}, 1.0, None)


def drawn(requests=400, gap_us=6.0):
    return np.cumsum(np.random.default_rng(1).exponential(gap_us, requests))


ONE_BY_ONE = ["one", "streamed", "two", "batches"]


@pytest.fixture(params=[*ONE_BY_ONE, "pipelined"])
def system(request, build):
    layers = [layer(2, output_bytes=100, input_pj=7e6, batch_pj=5e6), layer(3, output_bytes=4)]
    streamed = [layer(2, 4, activations_us=0.5), layer(1, 3)]
    return {
        "one": lambda: build(*layers),
        "streamed": lambda: build(*streamed),
        "two": lambda: build(*layers, chips=2),
        "pipelined": lambda: build(*layers, **PIPELINED),
        "batches": lambda: build(*streamed, batch=4, timeout_us=3),
    }[request.param]()


def test_energy_parts_worked_by_hand(build):
    # Two requests of 5 us at 10 and 30, in a pipeline: stages of 2 and 3 us, 100 bytes over the link.
    # DRAM: 3 pJ/bit; link: 2 pJ/bit, 1 us + 0.2 us.
    system = build(layer(2, 1, output_bytes=100, input_pj=7e6, batch_pj=5e6), layer(3), **PIPELINED)
    served = serve(system, [10, 30])
    # Chip 0 fetches for 1 us and computes for 2; chip 1 computes for 3.
    assert served.requests["latency_us"].tolist() == pytest.approx([7.2, 7.2])
    assert served.duration_us == pytest.approx(27.2)
    busy, idle = 2 * (3 + 3), 2 * 27.2 - 12
    expected = {
        "computing": 2 * 7 + 2 * 5,
        "DRAM": 2 * 1000 * 8 * 3 / 1e6,
        "links": 2 * 100 * 8 * 2 / 1e6,
        "clock": 100 * busy / 1e3,
        "SRAM leakage, busy": 10 * busy / 1e3,
        "SRAM leakage, idle": 10 * idle / 1e3,
    }
    parts = served.energy.set_index("part")["energy_uj"]
    assert parts.to_dict() == pytest.approx(expected)
    figures = served.figures
    assert figures["energy_uj"] == pytest.approx(sum(expected.values()))
    assert figures["power_mw"] == pytest.approx(1e3 * sum(expected.values()) / 27.2)
    assert figures["array_utilization_frac"] == pytest.approx(2 * (2 + 3) / (2 * 27.2))
    assert figures["dram_utilization_frac"] == pytest.approx(2 * 1 / (2 * 27.2))
    assert figures["link_utilization_frac"] == pytest.approx(2 * 1.2 / 27.2)


def test_parts_of_the_energy_are_the_whole(system):
    served = serve(system, drawn())
    figures = served.figures
    parts = figures["dynamic_uj"] + figures["leakage_uj"] + figures["idle_leakage_uj"]
    assert parts == pytest.approx(figures["energy_uj"])
    standing_uj = figures["leakage_uj"] + figures["idle_leakage_uj"]
    assert standing_uj == pytest.approx(10.0 * system.chips * served.duration_us / 1e3)


# Of pipelined chips, requests tell only when the first one took them.
@pytest.mark.parametrize("system", ONE_BY_ONE, indirect=True)
def test_busy_time_is_when_a_batch_is_in_hand(system):
    """Idle leakage is leakage power times the time without any batch, by another way of counting."""
    served = serve(system, drawn())
    busy_us = 0.0
    for chip in range(system.chips):
        mine = served.requests[served.requests["chip"] == chip]
        until = -np.inf
        for start, end in zip(mine["start_us"], mine["end_us"], strict=True):
            busy_us += max(0.0, end - max(start, until))
            until = max(until, end)
    idle_us = system.chips * served.duration_us - busy_us
    assert served.figures["idle_leakage_uj"] == pytest.approx(10.0 * idle_us / 1e3)


def test_littles_law(system):
    """Mean number in the system is throughput times mean latency."""
    served = serve(system, drawn())
    requests = served.requests
    moments = np.concatenate([requests["arrival_us"], requests["end_us"]])
    steps = np.repeat([1, -1], len(requests))
    order = np.argsort(moments, kind="stable")
    present = np.cumsum(steps[order])[:-1]
    mean_present = (present * np.diff(moments[order])).sum() / served.duration_us
    figures = served.figures
    rate_per_us = figures["throughput_per_s"] / 1e6
    assert mean_present == pytest.approx(rate_per_us * figures["latency_mean_us"])


def test_the_timeline_counts_every_request(system):
    served = serve(system, drawn())
    timeline = served.timeline
    assert len(timeline) == 200
    assert timeline["answered"].iloc[-1] == 400
    assert (timeline[["waiting", "in_work", "answered"]] >= 0).all().all()
    total = timeline[["waiting", "in_work", "answered"]].sum(axis=1)
    arrived = np.searchsorted(served.requests["arrival_us"], timeline["time_us"], side="right")
    assert total.tolist() == arrived.tolist()


def test_percentiles_are_of_the_latencies(build):
    # Ten at once, 2 us each: latencies 2, 4, ..., 20.
    figures = serve(build(layer(2)), [0] * 10).figures
    assert figures["latency_p50_us"] == pytest.approx(11)
    assert figures["latency_p95_us"] == pytest.approx(19.1)
    assert figures["latency_max_us"] == 20
    assert figures["wait_mean_us"] == 9
    assert figures["throughput_per_s"] == pytest.approx(5e5)


def test_chips_say_what_they_run(build):
    layers = [layer(2, name="a"), layer(1, name="b"), layer(4, 9, name="c")]
    chips = serve(build(*layers, **PIPELINED), [0, 0]).chips
    assert chips["layers"].tolist() == ["a b", "c"]
    assert chips["full_batch_us"].tolist() == [3, 9]
    replicated = serve(build(*layers, chips=2), [0]).chips
    assert replicated["layers"].tolist() == ["a b c"] * 2
    assert replicated["busy_frac"].tolist() == [1, 0]
