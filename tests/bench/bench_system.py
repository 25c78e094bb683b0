"""A million requests through the system model, against as many bare SimPy events."""

import time

import pytest
import simpy

import accelsim
from accelsim.study.serve import serve
from bench.harness import compare

MILLION = 1_000_000
MOST_SECONDS = 60.0  # for a million requests on one core
EVENTS = 4  # per request: it comes, a chip is told, takes it, and is done


def bare_simpy(events):
    env = simpy.Environment()

    def process():
        for _ in range(events):
            yield env.timeout(5)

    env.process(process())
    env.run()


@pytest.fixture(scope="module")
def network():
    return accelsim.load("lenet-300-100")


CASES = {
    "one by one": {},
    "batches of 8": {"batch": 8, "batch_timeout_us": 20.0},
    "3 chips, pipelined": {"chips": 3, "arrangement": "pipelined"},
    "3 layers streamed": {"weights_in": "dram", "dram": "hbm3"},
}


@pytest.mark.parametrize("case", CASES)
def test_a_million_requests(network, case):
    """Poisson arrivals at 80 % of the capacity."""
    capacity = serve(network, requests=10, **CASES[case]).capacity_per_s
    start = time.process_time()  # of one core, whatever else runs
    served = serve(
        network, arrivals="poisson", rate_per_s=0.8 * capacity, requests=MILLION, **CASES[case]
    )
    seconds = time.process_time() - start
    print(f"\n{case}: {MILLION:,} requests in {seconds:.1f} s, {seconds:.1f} us each")
    assert served.figures["requests"] == MILLION
    assert seconds <= MOST_SECONDS


def test_a_request_costs_little_more_than_its_events(network):
    rate = 0.8 * serve(network, requests=10).capacity_per_s
    ratio = compare(
        "20,000 requests, one by one",
        lambda: serve(network, arrivals="poisson", rate_per_s=rate, requests=20_000),
        lambda: bare_simpy(20_000 * EVENTS),
        baseline_name=f"{EVENTS} bare SimPy events each",
        rounds=5,
    )
    assert ratio > 0.1
