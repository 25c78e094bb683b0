"""The PE array's kernels against a cycle-stepped twin, on random plans and rules."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from unit.simulation.pe_array_twin import Case, SteppedArray, Work, random_case

from accelsim.hardware.decoders import DecodedLayer
from accelsim.hardware.interleave import narrowest
from accelsim.kernels.types import NO_FIRST, NO_LAST, ROW_BASE, ColumnPlan
from accelsim.simulation.pe_array import DRAIN_CYCLES, PeArray, Rules

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


def random_plan(rng, pes, n_in, largest_service):
    """A plan too large to step through: services and rows of any width, PEs without entries."""
    entries = rng.poisson(rng.choice([0.2, 2.0, 20.0]), (n_in, pes))
    entries[:, rng.random(pes) < 0.05] = 0
    entries[rng.random(n_in) < 0.1] = 0
    end = np.cumsum(entries, axis=0)
    row_units = int(rng.choice([1, 8]))
    first = np.where(entries > 0, (end - entries) // row_units + ROW_BASE, NO_FIRST)
    last = np.where(entries > 0, (end - 1) // row_units + ROW_BASE, NO_LAST)
    service = np.where(entries > 0, rng.integers(1, largest_service + 1, entries.shape), 1)
    plan = ColumnPlan(
        entries=entries.astype(np.uint8),
        padding=(entries // 2).astype(np.uint8),
        service=service.astype(narrowest(int(service.max()))),
        first_row=first.astype(np.uint32),
        last_row=last.astype(np.uint32),
    )
    return DecodedLayer(
        plan=plan,
        sram_rows=-(-end[-1] // row_units),
        pointer_bits=16,
        codebook_reads=1,
        dram_bits=0,
        padding_bits=np.zeros(pes, dtype=int),
    )


@pytest.mark.parametrize("pes", [1, 5, 63, 64, 65, 130])
@pytest.mark.parametrize("largest_service", [3, 20, 3000, 60000, 10**6])
def test_a_batch_adds_up_the_events_of_its_vectors(pes, largest_service):
    rng = np.random.default_rng([pes, largest_service])
    for _ in range(4):
        n_in = int(rng.integers(1, 300))
        decoded = random_plan(rng, pes, n_in, largest_service)
        array = PeArray(decoded, n_in, has_bias=False)
        rules = Rules(
            queue_depth=int(rng.choice([2, 4, 8, 64])),
            row_buffer_rows=int(rng.choice([1, 4])),
            sram_latency=int(rng.choice([0, 2])),
            shared_by=int(rng.choice([0, 0, 3])),
        )
        vectors = rng.random((5, n_in)) < rng.choice([0.1, 0.9])
        got = array.run_batch(vectors, rules)
        worked, starved = np.zeros((2, pes), dtype=int)
        for i, vector in enumerate(vectors):
            columns, gaps = array.broadcasts(vector)
            times = array.events(array.broadcasts(vector), rules)
            ends = times.end[decoded.plan.entries[columns] > 0]
            assert got.cycles[i] == (ends.max(initial=0) + DRAIN_CYCLES if len(columns) else 0)
            free = np.append(1, times.broadcast)[:-1] + 1 + gaps
            assert got.stall_cycles[i] == (times.broadcast - free).sum()
            assert np.count_nonzero(times.blocked_by >= 0) == np.count_nonzero(
                times.broadcast > free
            )
            worked += (times.end - times.pop + 1).sum(axis=0)
            starved += (times.pop[1:] - times.end[:-1] - 1).sum(axis=0)
        assert_array_equal(got.service + got.waits + got.arbitration, worked)
        assert_array_equal(got.starved, starved)


@pytest.mark.parametrize("rows", [1, 2, 64])
@pytest.mark.parametrize("seed", range(20))
def test_who_reads_everything_reads_each_row_once(seed, rows):
    case = random_case(seed)
    everything = np.ones((2, case.n_in), dtype=np.int32)
    got = array_of(case).run_batch(everything, Rules(8, row_buffer_rows=rows))
    assert_array_equal(got.row_reads, 2 * np.array(case.sram_rows))


def test_rows_beyond_16_bits_are_counted():
    first, entries = 200_000, 8
    work = [[Work(entries, 0, entries, range(0, first))], [Work(1, 0, 1, range(first, first + 1))]]
    case = Case(work, 2, False, [first + 1], np.array([[1, 1], [0, 1]]), Rules(8))
    got = array_of(case).run_batch(case.vectors, case.rules)
    assert_array_equal(got.row_reads, [first + 2])


def assert_same_run(got, expected):
    for name, value in got._asdict().items():
        assert_array_equal(value, getattr(expected, name), name)


@pytest.mark.parametrize("seed", range(20))
def test_a_decoder_that_nobody_else_needs_is_one_of_ones_own(seed):
    case = random_case(seed, n_vectors=2)
    array, rules = array_of(case), case.rules._replace(shared_by=0)
    own = array.run_batch(case.vectors, rules)
    assert_same_run(array.run_batch(case.vectors, rules._replace(shared_by=1)), own)
    uncoded = rules._replace(shared_by=4, n_coded=0)
    assert_same_run(array.run_batch(case.vectors, uncoded), own)


def test_no_vectors_make_an_empty_batch():
    case = random_case(3)
    got = array_of(case).run_batch(np.empty((0, case.n_in), dtype=np.int16), case.rules)
    assert got.cycles.shape == (0,)
    assert not got.entries.any()
    assert not got.column_counts.any()


# --- by hand ---


def one_column(*work, rules, vector=(1,)):
    """One column, broadcast in cycle 2, on as many PEs as there is work."""
    sram_rows = [item.rows.stop for item in work]
    case = Case([list(work)], 1, False, sram_rows, np.array([vector]), rules)
    array = array_of(case)
    return array.run_batch(case.vectors, rules), array.events(
        array.broadcasts(case.vectors[0]), rules
    )


def test_every_row_is_waited_for_without_prefetching():
    run, events = one_column(Work(5, 0, 5, range(0, 3)), rules=Rules(8, sram_latency=10))
    # popped in 3, first row there in 13, 5 entries and two more waits
    assert (events.pop, events.start, events.end) == (3, 13, 3 + 30 + 5 - 1)
    assert (run.cycles, run.waits, run.row_reads) == (37 + 6, 30, 3)


def test_only_the_first_row_is_waited_for_with_prefetching():
    run, events = one_column(Work(5, 0, 5, range(0, 3)), rules=Rules(8, 2, sram_latency=10))
    assert (events.start, events.end) == (13, 17)
    assert (run.waits, run.row_reads) == (10, 3)


def test_a_shared_decoder_serves_the_lowest_pe_first():
    work = [Work(n, 0, n, range(0, 1)) for n in (3, 2, 4)]
    run, events = one_column(*work, rules=Rules(8, shared_by=3))
    assert_array_equal(events.pop, [[3, 3, 3]])
    assert_array_equal(events.start, [[3, 6, 8]])
    assert_array_equal(events.end, [[5, 7, 11]])
    assert_array_equal(run.arbitration, [0, 3, 5])
    assert run.cycles == 17


def test_the_decoder_waits_for_rows_along_with_its_pe():
    work = [Work(2, 0, 2, range(0, 1)), Work(1, 0, 1, range(0, 1))]
    run, events = one_column(*work, rules=Rules(8, sram_latency=4, shared_by=2))
    assert_array_equal(events.start, [[7, 13]])
    assert_array_equal(events.end, [[8, 13]])
    assert_array_equal(run.arbitration, [0, 6])
    assert_array_equal(run.waits, [4, 4])
