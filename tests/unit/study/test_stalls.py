"""The stall report: sums that have to come out, and counts of the stepped array."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from unit.simulation.pe_array_twin import random_case
from unit.study.logged_array import LoggedArray, cases, traced

from accelsim.study.layer_trace import State
from accelsim.study.stalls import STATE_COLUMNS, column_table, layer_table, pe_table

SEEDS = range(10)


def stepped(case):
    array = LoggedArray(case, case.vectors[0])
    return array.run(), array.log


@pytest.mark.parametrize("seed", SEEDS)
def test_pes_and_columns_add_up_to_the_stalls_of_the_stepped_array(seed):
    for case in cases(seed):
        trace, (seen, _) = traced(case), stepped(case)
        layer = layer_table([trace]).loc[0]
        pes, columns = pe_table([trace]), column_table([trace])
        assert layer["stall_cycles"] == seen.stall_cycles
        assert layer["late_pe_stall_cycles"] + layer["depth_stall_cycles"] == seen.stall_cycles
        for table in (pes, columns):
            assert table["stall_cycles_caused"].sum() == layer["late_pe_stall_cycles"]
        assert pes["stalls_caused"].sum() == columns["stalls_caused"].sum()
        by_pe = columns.groupby("pe")["stall_cycles_caused"].sum()
        caused = pes.set_index("pe")["stall_cycles_caused"]
        assert by_pe.to_dict() == caused[caused > 0].to_dict()
        assert (pes["stall_cycles_caused"].diff().dropna() <= 0).all()
        assert (columns["stall_cycles_caused"].diff().dropna() <= 0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_pes_did_is_what_the_stepped_pes_did(seed):
    for case in cases(seed):
        trace, (seen, log) = traced(case), stepped(case)
        table = pe_table([trace]).sort_values("pe")
        starved = table["starved_scan_cycles"] + table["starved_stall_cycles"]
        assert_array_equal(starved, seen.starved)
        assert_array_equal(table["row_wait_cycles"], seen.waits)
        assert_array_equal(table["arbitration_cycles"], seen.arbitration)
        states = np.array([cycle.states for cycle in log])
        assert_array_equal(table["empty_column_cycles"], (states == State.EMPTY).sum(axis=0))
        inner = trace.inner_waits.sum(axis=0)
        assert_array_equal(table["busy_cycles"], (states == State.BUSY).sum(axis=0) - inner)
        assert_array_equal(
            table["entries"],
            [sum(case.work[c][k].entries for c in trace.columns) for k in range(case.pes)],
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cycles_of_a_pe_are_all_accounted_for(seed):
    """From its first pop to the end of the layer's last entry, or of its own last column."""
    for case in cases(seed):
        trace = traced(case)
        table = pe_table([trace]).sort_values("pe")
        told = table[list(STATE_COLUMNS.values())].sum(axis=1).to_numpy()
        assert_array_equal(told, np.maximum(trace.last_end, trace.free) - trace.pop[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_wait_for_the_last_pe_is_the_time_between_the_ends_of_the_pes(seed):
    for case in cases(seed):
        trace, (seen, _) = traced(case), stepped(case)
        layer = layer_table([trace]).loc[0]
        idle = np.maximum(seen.last_entry - seen.end[-1], 0)
        assert layer["end_wait_pe_cycles"] == idle.sum()
        assert layer["end_wait_cycles"] == idle.max()
        assert seen.end[-1][layer["last_pe"]] == seen.end[-1].max()


def test_a_layer_that_one_pe_holds_back():
    """PE 1 has 5 entries in every column, the others one; queues hold two items.

    Worked out by hand: the first items are popped in cycle 3. PE 1 pops every 5 cycles; its queue is
    full from cycle 4 on, when it is at item 0 with 1 and 2 behind, so that item 3 can be broadcast in
    the cycle after PE 1's pop of item 1, cycle 9, instead of cycle 5: 4 stall cycles, and each further
    item comes 5 cycles after the one before, 4 of which are stalls.
    """
    case = random_case(1)
    item = case.work[0][0]
    light = item._replace(entries=1, padding=0, service=1, rows=range(1))
    heavy = item._replace(entries=5, padding=0, service=5, rows=range(1))
    case = case._replace(
        work=[[light, heavy, light, light]] * 8, n_in=8, has_bias=False, sram_rows=[1] * 4,
        vectors=np.ones((1, 8), dtype=int),
        rules=case.rules._replace(queue_depth=3, shared_by=0, n_coded=8, sram_latency=0),
    )  # fmt: skip
    trace = traced(case)
    assert trace.broadcast.tolist() == [2, 3, 4, 9, 14, 19, 24, 29]
    pes = pe_table([trace])
    assert pes["pe"].tolist() == [1, 0, 2, 3]
    assert pes["stall_cycles_caused"].tolist() == [20, 0, 0, 0]
    assert pes["entries_over_mean_frac"].tolist() == pytest.approx([1.5, -0.5, -0.5, -0.5])
    # Items 3 to 7 reach the three others 4 cycles late; these had been idle, but for the last cycle.
    assert pes["starved_pe_cycles_caused"].tolist() == [3 * 5 * 4, 0, 0, 0]
    columns = column_table([trace])
    assert columns["column"].tolist() == [0, 1, 2, 3, 4]
    assert columns[
        ["entries", "mean_entries", "max_entries"]
    ].drop_duplicates().to_numpy().tolist() == [[5, 2, 5]]
    layer = layer_table([trace]).loc[0]
    # PE 1 is busy from cycle 3 to 42; the others work on the last item in cycle 30.
    assert (layer["array_cycles"], layer["last_pe"]) == (42 + 6, 1)
    assert layer["end_wait_pe_cycles"] == 3 * 12
    assert layer["load_balance_frac"] == pytest.approx(2 / 5)


def test_a_layer_without_stalls_has_tables_without_blame():
    case = random_case(1)
    case = case._replace(rules=case.rules._replace(queue_depth=1000))
    trace = traced(case)
    assert layer_table([trace])["stall_cycles"].tolist() == [0]
    assert pe_table([trace])["stall_cycles_caused"].tolist() == [0] * case.pes
    assert column_table([trace]).empty


def test_tables_of_several_layers_stand_one_below_the_other():
    some = [traced(case, name) for case, name in zip(cases(1), "abcd", strict=False)]
    assert layer_table(some)["layer"].tolist() == list("abcd")[: len(some)]
    assert pe_table(some).groupby("layer", sort=False).size().tolist() == [t.pes for t in some]
    numbers = column_table(some).drop(columns="layer")
    assert all(pd.api.types.is_numeric_dtype(numbers[name]) for name in numbers)
