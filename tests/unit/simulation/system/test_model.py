"""The system in time: by hand on small cases, and against recurrences without events on large ones."""

import numpy as np
import pytest
from unit.simulation.system.systems import US, layer
from unit.simulation.system.twins import (
    double_buffered,
    one_server_in_batches,
    servers_in_a_row,
    servers_in_parallel,
)

from accelsim.simulation.system.host import ClosedLoop, OpenLoop
from accelsim.simulation.system.model import run_system


def arrivals(seed, requests, gap_us):
    """Arrival times in picoseconds, some at the same time."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(gap_us * US, requests) * rng.integers(0, 2, requests) * 2
    return np.rint(np.cumsum(gaps)).astype(np.int64).tolist()


def request_times(counted):
    batch = np.repeat(np.arange(len(counted.size)), counted.size)
    return list(zip(counted.start_ps[batch].tolist(), counted.end_ps[batch].tolist(), strict=True))


# --- weights in SRAM ---


def test_a_lone_request_takes_the_sum_of_its_layers(build, times):
    assert times(build(layer(3), layer(2), layer(0.5)), [7]) == [(7, 12.5)]


def test_a_trace_worked_by_hand(build, times):
    # 10 us each: the second waits for the first, the third finds the chip idle.
    assert times(build(layer(6), layer(4)), [0, 4, 25]) == [(0, 10), (10, 20), (25, 35)]


@pytest.mark.parametrize("chips", [1, 2, 5])
@pytest.mark.parametrize("gap_us", [1.0, 2.2, 12.0])
def test_replicated_chips_are_servers_in_parallel(build, chips, gap_us):
    come = arrivals(chips, 600, gap_us)
    counted = run_system(build(layer(7), layer(4), chips=chips), OpenLoop(come))
    assert request_times(counted) == servers_in_parallel(come, 11 * US, chips)
    assert counted.array_ps.sum() == 600 * 11 * US
    assert set(counted.chip.tolist()) == set(range(chips))


@pytest.mark.parametrize("clients", [1, 3])
def test_in_a_closed_loop_the_throughput_is_one_by_the_service(build, clients):
    counted = run_system(build(layer(6), layer(4)), ClosedLoop(clients, 50))
    assert counted.end_ps.tolist() == [10 * US * number for number in range(1, 51)]
    # Each client sends the next request when the last one is answered.
    latency = counted.end_ps - counted.arrival_ps
    assert latency[clients:].tolist() == [clients * 10 * US] * (50 - clients)


def test_fewer_requests_than_clients_come_once(build):
    counted = run_system(build(layer(1)), ClosedLoop(10, 4))
    assert counted.arrival_ps.tolist() == [0] * 4
    assert counted.end_ps.tolist() == [US, 2 * US, 3 * US, 4 * US]


# --- batches ---


def test_batches_worked_by_hand(build, times):
    # Three wait at 5: they run together, 4 us each. The fourth has waited 10 us at 16, but the chip
    # is free at 17. The fifth waits for company until 40.
    system = build(layer(4), batch=3, timeout_us=10)
    assert times(system, [0, 2, 5, 6, 30]) == [(5, 17)] * 3 + [(17, 21), (40, 44)]


def test_requests_of_the_same_moment_are_one_batch(build, times):
    system = build(layer(4), batch=3)
    assert times(system, [1, 1, 1, 1]) == [(1, 13)] * 3 + [(13, 17)]
    # One comes at the very moment when the chip is free again.
    assert times(system, [0, 1, 4]) == [(0, 4), (4, 12), (4, 12)]


@pytest.mark.parametrize("timeout_us", [0, 3, 50])
@pytest.mark.parametrize("size", [1, 4, 16])
@pytest.mark.parametrize("gap_us", [2.0, 6.0])
def test_batches_of_one_chip_follow_their_recurrence(build, size, timeout_us, gap_us):
    come = arrivals(size, 400, gap_us)
    counted = run_system(build(layer(5), batch=size, timeout_us=timeout_us), OpenLoop(come))
    ours = list(
        zip(counted.start_ps.tolist(), counted.end_ps.tolist(), counted.size.tolist(), strict=True)
    )
    assert ours == one_server_in_batches(come, 5 * US, size, timeout_us * US)


# --- weights from DRAM ---


def test_double_buffering_worked_by_hand(build, times):
    # Fetches 0-5, 5-17, 17-20; layers 5-15, 17-21, 21-27: the array waits for the second layer.
    assert times(build(layer(10, 5), layer(4, 12), layer(6, 3)), [0]) == [(0, 27)]
    # Fetches 0-5, 5-7, and the third waits for a buffer until 15; layers 5-15, 15-19, 19-25.
    short = build(layer(10, 5), layer(4, 2), layer(6, 3))
    assert times(short, [0]) == [(0, 25)]
    # The next request's first fetch is 19-24, when the second layer leaves its buffer; it computes
    # 25-35, and so on: from 25 on the array never waits.
    assert times(short, [0, 0]) == [(0, 25), (19, 45)]


def test_weights_are_fetched_for_requests_only(build, times):
    # Both buffers are empty again when the second request comes: nothing was fetched on speculation.
    assert times(build(layer(10, 5), layer(4, 12)), [0, 100]) == [(0, 21), (100, 121)]


def test_layers_in_sram_run_between_those_from_dram(build, times):
    # Fetches 0-4 and 4-9 (both buffers free); layers 0-3, 4-6, 6-7, 9-14.
    system = build(layer(3), layer(2, 4), layer(1), layer(5, 5))
    assert times(system, [0]) == [(0, 14)]


@pytest.mark.parametrize("seed", range(8))
def test_a_saturated_chip_follows_the_recurrence_of_double_buffering(build, seed):
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(2, 7))
    computing, fetching = rng.integers(1, 20, shape), rng.integers(0, 20, shape)
    fetching[0] = 3
    layers = list(zip(computing.tolist(), fetching.tolist(), strict=True))
    counted = run_system(build(*(layer(*times) for times in layers)), OpenLoop([0] * 30))
    expected = double_buffered([(c * US, f * US) for c, f in layers], 30)
    assert counted.end_ps.tolist() == expected
    assert counted.channel_ps.tolist() == [30 * US * int(fetching.sum())]


def test_a_batch_fetches_its_weights_once(build, times):
    # Fetches 0-5 and 5-17; layers 5-35 and 35-47.
    system = build(layer(10, 5), layer(4, 12), batch=3)
    assert times(system, [0, 0, 0]) == [(0, 47)] * 3
    counted = run_system(system, OpenLoop([0] * 6))
    assert counted.channel_ps.tolist() == [2 * 17 * US]


def test_activations_move_while_their_layer_computes(build, times):
    # 3 us to compute, 2 us of activations: hidden. Then 3 us and 5 us: not hidden.
    assert times(build(layer(3, activations_us=2), layer(1)), [0]) == [(0, 4)]
    assert times(build(layer(3, activations_us=5), layer(1)), [0]) == [(0, 6)]
    # Each input of a batch has its own.
    assert times(build(layer(3, activations_us=5), batch=2), [0, 0]) == [(0, 10)] * 2


def test_activations_and_weights_share_the_channel(build, times):
    # Fetch of the second layer 4-10; the first layer's activations, asked for at 4 as well but later,
    # 10-12; so the first layer takes 4-12, the second 12-13.
    assert times(build(layer(3, 4, activations_us=2), layer(1, 6)), [0]) == [(0, 13)]


# --- several chips ---


def test_an_idle_chip_comes_before_one_that_still_works(build, times):
    # Chip 0 has fetched all it needs at 1 and could fetch for another batch, but chip 1 is idle.
    system = build(layer(10, 1), chips=2)
    counted = run_system(system, OpenLoop([0, 2 * US, 3 * US]))
    assert counted.chip.tolist() == [0, 1, 0]
    assert times(system, [0, 2, 3]) == [(0, 11), (2, 13), (3, 21)]


def test_a_pipeline_worked_by_hand(build, times):
    # Stages of 3 and 2 us; 500 bytes over the link take 2 us.
    system = build(layer(3, output_bytes=500), layer(2), chips=2, arrangement="pipelined")
    assert times(system, [0, 1, 20]) == [(0, 7), (3, 10), (20, 27)]


@pytest.mark.parametrize("gap_us", [2.0, 6.0])
def test_pipelined_chips_and_links_are_servers_in_a_row(build, gap_us):
    layers = [layer(us, output_bytes=size) for us, size in ((3, 0), (1, 250), (4, 999), (2, 7))]
    come = arrivals(4, 400, gap_us)
    counted = run_system(build(*layers, chips=3, arrangement="pipelined"), OpenLoop(come))
    # The cuts that leave the least maximum: 3 + 1, 4, 2. Links take 1 us and 2 ns per byte.
    services = [4 * US, US + 250 * 2000, 4 * US, US + 999 * 2000, 2 * US]
    assert [end for _, end in request_times(counted)] == servers_in_a_row(come, services)
    assert counted.array_ps.tolist() == [400 * 4 * US, 400 * 4 * US, 400 * 2 * US]
    assert counted.link_ps.tolist() == [400 * 1_500_000, 400 * 2_998_000]


def test_a_full_pipeline_delivers_at_the_pace_of_its_largest_stage(build):
    layers = [layer(us, output_bytes=10) for us in (3, 5, 2, 4)]
    counted = run_system(build(*layers, chips=4, arrangement="pipelined"), ClosedLoop(16, 200))
    assert set(np.diff(counted.end_ps[20:]).tolist()) == {5 * US}


# --- what is noted down ---


def test_the_first_batches_are_noted_layer_by_layer(build):
    system = build(layer(2, name="a"), layer(1, name="b"), layer(4, 3, name="c"))
    counted = run_system(system, OpenLoop([0] * 100))
    noted = [
        (note.unit, note.layer, note.start_ps / US, note.end_ps / US) for note in counted.activity
    ]
    assert set(noted[:4]) == {
        ("DRAM", "c", 0, 3), ("array", "a", 0, 2), ("array", "b", 2, 3), ("array", "c", 3, 7)
    }  # fmt: skip
    assert {note.batch for note in counted.activity} == set(range(64))


def test_progress_is_told_to_the_end(build):
    told = []
    system = build(layer(1))
    run_system(system, OpenLoop([0] * 1000), lambda done, total: told.append((done, total)))
    assert told[-1] == (1000, 1000)
    assert len(told) <= 201
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_same_requests_give_the_same_times(build):
    system = build(layer(3, 2), layer(1, 4), chips=2, batch=2, timeout_us=5)
    come = arrivals(0, 500, 2.0)
    one, two = (run_system(system, OpenLoop(list(come))) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one[:-1], two[:-1], strict=True))
