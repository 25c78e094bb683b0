"""Traces against a log of the stepped array, cycle by cycle."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from unit.simulation.pe_array_twin import random_case
from unit.study.logged_array import cases, logged, traced

from accelsim.study import layer_trace
from accelsim.study.layer_trace import State

SEEDS = range(12)
STARVED = (State.NO_BROADCAST, State.STALLED)


def states_of(trace, cycles):
    """int[cycles, P] from spans; asserts that no cycle of a PE is told twice."""
    states = np.zeros((cycles, trace.pes), dtype=int)
    for spans in trace.spans():
        for pe, first, end in zip(spans.pe, spans.first, spans.end, strict=True):
            cell = states[first - 1 : end - 1, pe]
            assert len(cell) == end - first > 0
            assert (cell == 0).all()
            cell[:] = spans.state
    return states


@pytest.mark.parametrize("seed", SEEDS)
def test_every_cycle_of_every_pe_is_that_of_the_stepped_array(seed):
    for case in cases(seed):
        log, trace = logged(case), traced(case)
        expected = np.array([cycle.states for cycle in log])
        states = states_of(trace, len(log))
        starved = np.isin(states, STARVED)
        assert_array_equal(np.where(starved, State.NO_BROADCAST, states)[: trace.last_end - 1],
                           expected[: trace.last_end - 1])  # fmt: skip
        # The layer is over: columns without entries may go on, nobody waits for them.
        assert set(states[trace.last_end - 1 :].flat) <= {State.IDLE, State.EMPTY, *STARVED}


@pytest.mark.parametrize("seed", SEEDS)
def test_queues_hold_what_the_stepped_arrays_hold(seed, monkeypatch):
    monkeypatch.setattr(layer_trace, "CHUNK_CELLS", 100)
    for case in cases(seed, count=4):
        log, trace = logged(case), traced(case)
        expected = np.array([cycle.queues for cycle in log])
        chunks = list(trace.occupancy(1, len(log)))
        assert_array_equal(np.concatenate([held for _, held in chunks]), expected)
        assert [first for first, _ in chunks] == list(
            np.cumsum([1] + [len(c) for _, c in chunks])[:-1]
        )
        first, last = 1 + len(log) // 3, 1 + len(log) // 2
        part = [held for _, held in trace.occupancy(first, last)]
        assert_array_equal(np.concatenate(part), expected[first - 1 : last])
        for pe in range(trace.pes):
            cycles, items = trace.queue_changes(pe)
            held = np.zeros(len(log), dtype=int)
            for cycle, count in zip(cycles, items, strict=True):
                held[cycle - 1 :] = count
            assert_array_equal(held, expected[:, pe])


@pytest.mark.parametrize("seed", SEEDS)
def test_stalls_are_in_the_cycles_in_which_the_stepped_array_stalls(seed):
    for case in cases(seed):
        log, trace = logged(case), traced(case)
        stalled = np.zeros(len(log), dtype=bool)
        for ready, broadcast in zip(trace.ready, trace.broadcast, strict=True):
            stalled[ready - 1 : broadcast - 1] = True
        assert_array_equal(stalled, [cycle.is_stalled for cycle in log])
        sent = [
            (i, cycle.broadcast) for i, cycle in enumerate(log, 1) if cycle.broadcast is not None
        ]
        assert sent == list(zip(trace.broadcast, trace.columns, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("queue_depth", [2, 3, 6])
def test_the_pe_to_blame_is_at_the_column_to_blame_with_a_full_queue(seed, queue_depth):
    """In the cycle before each late stall cycle, whose end decides whether a queue has room."""
    seen = 0
    for case in cases(seed, queue_depth=queue_depth):
        log, trace = logged(case), traced(case)
        for j in np.flatnonzero(trace.late_stalls):
            pe, item = trace.blocked_by[j], trace.blocking_item[j]
            for cycle in range(trace.broadcast[j] - trace.late_stalls[j], trace.broadcast[j]):
                before = log[cycle - 2]
                assert before.columns[pe] == trace.columns[item]
                assert before.queues[pe] == queue_depth - 1
                seen += 1
        assert (trace.blocking_item >= 0).tolist() == (trace.late_stalls > 0).tolist()
        assert (trace.depth_stalls == 0).all() or queue_depth == 2
    assert seen or queue_depth > 3


def test_a_queue_of_depth_2_costs_a_cycle_per_broadcast_even_if_no_pe_is_late():
    """One item at a time: broadcast in cycle t, popped in t + 1, room again in t + 2."""
    case = random_case(1)
    work = [[item._replace(entries=1, padding=0, service=1, rows=range(1)) for item in line]
            for line in case.work[:1]]  # fmt: skip
    case = case._replace(
        work=work * 6, n_in=6, has_bias=False, vectors=np.ones((1, 6), dtype=int),
        sram_rows=[1] * case.pes, rules=case.rules._replace(queue_depth=2, shared_by=0, n_coded=6,
                                                            sram_latency=0),
    )  # fmt: skip
    trace = traced(case)
    between = np.diff(trace.broadcast)
    assert (between >= 2).all()
    assert trace.late_stalls.sum() == 0
    assert_array_equal(trace.depth_stalls[1:], between - 1 - trace.gaps[1:])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stall_starves_a_pe_for_as_long_as_the_item_would_have_been_there_sooner(seed):
    for case in cases(seed):
        trace = traced(case)
        scan, stalled = trace.starved
        for j in range(1, len(trace.columns)):
            sooner = np.maximum(trace.ready[j] + 1, trace.end[j - 1])  # pops without this stall
            assert_array_equal(stalled[j], trace.pop[j] - sooner)
            assert_array_equal(scan[j], sooner - trace.end[j - 1])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_has_the_spans_that_touch_it(seed):
    for case in cases(seed, count=3):
        trace = traced(case)
        first, last = 1 + trace.last_cycle // 4, 1 + trace.last_cycle // 2
        for whole, part in zip(trace.spans(), trace.spans(first, last), strict=True):
            rows = [tuple(row) for row in zip(*whole[1:], strict=True)]
            kept = [row for row in rows if row[2] <= last and row[3] - 1 >= first]
            assert [tuple(row) for row in zip(*part[1:], strict=True)] == kept


def test_a_vector_that_broadcasts_nothing_takes_no_time():
    case = random_case(3)._replace(has_bias=False)
    case = case._replace(vectors=np.zeros_like(case.vectors))
    trace = traced(case)
    assert (trace.array_cycles, trace.last_cycle, trace.last_end) == (0, 0, 1)
    assert [spans.pe.size for spans in trace.spans()] == [0] * 7
    assert list(trace.occupancy(1, 0)) == []
