"""From a `Result` to the work of one input."""

import numpy as np
import pytest

import accelsim
from accelsim.compression.compressor import compress
from accelsim.errors import InputError
from accelsim.hardware.dram import link
from accelsim.network.layers import Layer, Network
from accelsim.simulation.system.host import OpenLoop
from accelsim.simulation.system.model import run_system
from accelsim.simulation.system.result import ServingResult
from accelsim.simulation.system.stages import build_system
from accelsim.simulation.system.work import network_work


def served(result, requests=1, batch=1):
    """As many requests at once, on one chip."""
    system = build_system(
        network_work(result), link("grs"), arrangement="replicated", chips=1, batch=batch,
        batch_timeout_ps=0,
    )  # fmt: skip
    counted = run_system(system, OpenLoop([0] * requests))
    return ServingResult(system, counted, {}, 0.0, None)


@pytest.mark.parametrize("fields", [{}, {"pes": 16, "clock_mhz": 700}, {"decoder": "huffman"}])
def test_a_lone_request_takes_the_time_and_the_energy_of_simulate(fields):
    result = accelsim.simulate("lenet-300-100", **fields)
    one = served(result)
    rounding_us = 1e-6 * len(result.rows)
    assert one.figures["latency_mean_us"] == pytest.approx(
        result.total["latency_us"], abs=rounding_us
    )
    assert one.figures["energy_uj"] == pytest.approx(result.total["energy_pj"] / 1e6, rel=1e-5)
    assert one.figures["idle_leakage_uj"] == 0


def test_streamed_weights_are_fetched_once_per_batch():
    result = accelsim.simulate("lenet-300-100", weights_in="dram", dram="hbm2")
    work = network_work(result)
    assert sum(part.weight_bytes for part in work.layers) == sum(
        r["dram_bytes"] for r in result.rows
    )
    single, batch = served(result, 4), served(result, 4, batch=4)
    energy = {term["component"]: 0.0 for term in result.energy_rows}
    for term in result.energy_rows:
        energy[term["component"]] += term["energy_pj"] / 1e6
    fetched_uj = energy["DRAM"] + energy["weight SRAM fill"] + energy["pointer SRAM fill"]

    def apart_from_time(served):
        parts = served.energy.set_index("part")["energy_uj"]
        return parts["computing"] + parts["DRAM"]

    assert apart_from_time(single) - apart_from_time(batch) == pytest.approx(3 * fetched_uj)


def test_an_input_that_takes_no_time_cannot_be_served():
    network = compress(Network("none", (Layer("a", np.ones((4, 4), np.float32)),)))
    result = accelsim.simulate(network, activations=np.zeros(4, np.float32))
    with pytest.raises(InputError, match="network 'none': takes no time on this input"):
        network_work(result)
