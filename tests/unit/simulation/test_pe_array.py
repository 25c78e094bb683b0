"""The PE array's kernels against a cycle-stepped twin, on random plans and rules."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from unit.simulation.pe_array_twin import SteppedArray, random_case

from accelsim.simulation.pe_array import DRAIN_CYCLES, PeArray

SEEDS = range(40)
CASES = 10


def cases(seed, n_vectors=1):
    return [random_case(CASES * seed + i, n_vectors) for i in range(CASES)]


def array_of(case):
    return PeArray(case.decoded, case.n_in, has_bias=case.has_bias)


@pytest.mark.parametrize("seed", SEEDS)
def test_events_are_those_of_the_stepped_array(seed):
    for case in cases(seed):
        array = array_of(case)
        expected = SteppedArray(case, case.vectors[0]).run()
        events = array.events(array.broadcasts(case.vectors[0]), case.rules)
        assert_array_equal(events.broadcast, expected.broadcast)
        assert_array_equal(events.pop, expected.pop)
        assert_array_equal(events.start, expected.start)
        assert_array_equal(events.end, expected.end)
        assert_array_equal(events.blocked_by, expected.blocked_by)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_batch_is_the_stepped_array_vector_by_vector(seed):
    for case in cases(seed + 100, n_vectors=3):
        stepped = [SteppedArray(case, vector) for vector in case.vectors]
        runs = [array.run() for array in stepped]
        columns = [array.columns for array in stepped]
        got = array_of(case).run_batch(case.vectors, case.rules)
        cycles = [run.last_entry + DRAIN_CYCLES if run.broadcast else 0 for run in runs]
        assert_array_equal(got.cycles, cycles)
        assert_array_equal(got.stall_cycles, [run.stall_cycles for run in runs])
        assert_array_equal(got.broadcasts, [len(run.broadcast) for run in runs])
        assert_array_equal(got.first_pop, [run.pop[0, 0] if len(run.pop) else 0 for run in runs])
        for name in ("waits", "row_reads", "starved", "arbitration"):
            assert_array_equal(getattr(got, name), sum(getattr(run, name) for run in runs), name)
        everything = [c for broadcast in columns for c in broadcast]
        counts = [everything.count(c) for c in range(len(case.work))]
        assert_array_equal(got.column_counts, counts)
        for name in ("entries", "padding", "service"):
            work = [[getattr(item, name) for item in case.work[c]] for c in everything]
            expected = np.sum(work, axis=0) if work else np.zeros(case.pes)
            assert_array_equal(getattr(got, name), expected, name)
