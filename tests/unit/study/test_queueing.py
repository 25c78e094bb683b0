"""The simulation against queueing theory, within confidence intervals computed from the runs."""

import math

import numpy as np
import pytest
from scipy import stats
from unit.simulation.system.systems import LINK, US, layer

from accelsim.hardware.accelerator import accelerator
from accelsim.simulation.system.host import OpenLoop
from accelsim.simulation.system.model import run_system
from accelsim.simulation.system.stages import build_system
from accelsim.simulation.system.work import NetworkWork
from accelsim.study.arrivals import poisson_ps
from accelsim.study.queueing import md1_wait, tandem_latency

REQUESTS, WARM_UP = 8_000, 1_000


def system(*layers, **arrangement):
    work = NetworkWork("made up", accelerator("eie-64"), layers, 0.0, 0.0)
    arrangement = {"arrangement": "replicated", "chips": 1} | arrangement
    return build_system(work, LINK, batch=1, batch_timeout_ps=0, **arrangement)


def latencies_us(system, rate_per_s, seed):
    """Of single requests, once the queue has forgotten that it was empty."""
    counted = run_system(system, OpenLoop(poisson_ps(rate_per_s, REQUESTS, seed)))
    return (counted.end_ps - counted.arrival_ps)[WARM_UP:] / US


def interval(means):
    """Confidence interval (99 %) of the mean of independent runs."""
    half = stats.t.ppf(0.995, len(means) - 1) * np.std(means, ddof=1) / math.sqrt(len(means))
    return np.mean(means) - half, np.mean(means) + half


def check(means, expected):
    low, high = interval(means)
    assert low <= expected <= high
    assert high - low < 0.15 * expected  # or it would show nothing


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_mean_wait_is_that_of_an_m_d_1_queue(load):
    service_us = 5.0
    one = system(layer(2), layer(3))
    means = [
        latencies_us(one, 1e6 * load / service_us, seed).mean() - service_us for seed in range(12)
    ]
    check(means, md1_wait(load, service_us))


def test_the_mean_latency_of_pipelined_chips_is_that_of_servers_in_a_row():
    services = [2.0, 1.5, 5.0]  # a stage, the link (250 bytes), a stage
    two = system(layer(2, output_bytes=250), layer(5), arrangement="pipelined", chips=2)
    means = [latencies_us(two, 1e6 * 0.7 / 5.0, seed).mean() for seed in range(12)]
    check(means, tandem_latency(0.7, services))


def test_the_part_of_requests_that_wait_is_the_load():
    """In any queue with Poisson arrivals, an arrival finds the server busy as often as it is busy."""
    one = system(layer(5))
    means = [np.mean(latencies_us(one, 1e6 * 0.4 / 5, seed) > 5.0) for seed in range(12)]
    check(means, 0.4)


def test_closed_forms_by_hand():
    # Half loaded: half a service. Three quarters: one and a half.
    assert md1_wait(0.5, 8.0) == 4.0
    assert md1_wait(0.75, 8.0) == 12.0
    assert md1_wait(0.0, 8.0) == 0.0
    assert md1_wait(1.0, 8.0) == math.inf
    assert tandem_latency(0.5, [2.0, 8.0, 1.0]) == 15.0


def test_gaps_of_poisson_arrivals_are_exponential():
    times = np.array(poisson_ps(1e6, 20_000, 3)) / US
    gaps = np.diff(times)
    assert stats.kstest(gaps, "expon").pvalue > 0.01
    assert poisson_ps(1e6, 100, 3) == poisson_ps(1e6, 20_000, 3)[:100]
    assert poisson_ps(1e6, 100, 4) != poisson_ps(1e6, 100, 3)
