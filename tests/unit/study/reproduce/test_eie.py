"""EIE reproduced: the published shapes, asserted on what is computed, and the committed tables."""

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from exact.layers import data_dir

from accelsim.baseline.printed import (
    EFFICIENCY,
    SPEEDUP,
    eie_layers,
    printed_platforms,
    printed_ratios,
    stated,
)
from accelsim.baseline.published import published_layer
from accelsim.compression.layer import CompressedNetwork
from accelsim.hardware.accelerator import accelerator
from accelsim.report.reproduction import rounded
from accelsim.simulation.session import Session
from accelsim.study.reproduce.data import real_data
from accelsim.study.reproduce.eie import claims
from accelsim.study.reproduce.eie.layers import REAL, table_iii
from accelsim.study.reproduce.eie.paper import reproduce_eie
from accelsim.study.reproduce.eie.runs import NO_DATA, active_inputs, prepare, run_layer
from accelsim.study.reproduce.eie.sweeps import best_widths, lock_step, row_reads_per_column
from accelsim.study.reproduce.eie.systems import geomean
from accelsim.study.reproduce.eie.unevenness import draw_uneven, spreads

COMMITTED = Path(__file__).parents[4] / "reports" / "reference" / "eie"
# Layers that the published, rounded densities explain.
WITHIN_6_PCT = ("Alex-6", "Alex-7", "VGG-7", "VGG-8", "NT-We", "NT-Wd")
NO_REAL_DATA = "ACCELSIM_DATA not set and ../shared/data absent: no alexnet_fc8.npz"


@pytest.fixture(scope="module")
def computed():
    return reproduce_eie()


@pytest.fixture(scope="module")
def data(computed):
    return {chapter.name: chapter.data for chapter in computed.chapters}


@pytest.fixture(scope="module")
def small():
    """A layer that plain loops can run, with its session."""
    layer = published_layer("NT-LSTM")._replace(n_in=40, n_out=90, activation_density_frac=0.5)
    drawn, active = draw_uneven(layer, 0.5, 0.0, seed=3)
    return Session(CompressedNetwork("small", (drawn,), {drawn.name: active}, chained=False))


# --- The published shapes ---


def test_six_layers_of_table_iv_are_within_six_per_cent(data):
    off = data["table_iv"].set_index("layer").difference_pct
    assert all(abs(off[layer]) <= 6 for layer in WITHIN_6_PCT), off
    assert all(off[layer] < -6 for layer in ("Alex-8", "VGG-6", "NT-LSTM")), "no longer missed"


def test_alexnet_fc8_with_its_real_data_takes_the_published_time(data):
    if data_dir() is None:
        pytest.skip(NO_REAL_DATA)
    row = data["table_iv"].set_index("layer").loc[REAL]
    assert row.ours_us == pytest.approx(9.9, rel=0.01)
    assert row.work_us == pytest.approx(8.9, rel=0.01)


def test_rows_of_64_bits_take_the_least_energy_where_every_column_reads_its_own(data):
    frame = data["figure_9"]
    assert best_widths(frame)["energy_per_column_nj"] == 64
    total = frame.groupby("row_bits").energy_per_column_nj.sum()
    assert total[32] > total[64] < total[128] < total[256] < total[512]
    # Both counts fall with the width, and a row that stays is never read more often.
    reads = frame.groupby("row_bits")[["reads_row_kept", "reads_per_column"]].sum()
    assert (reads.diff().dropna() < 0).all(axis=None)
    assert (frame.reads_row_kept <= frame.reads_per_column).all()


def test_deeper_queues_balance_better_with_diminishing_returns(data):
    curves = data["figure_8"].pivot(
        index="fifo_depth", columns="layer", values="balance_bubbles_pct"
    )
    assert (curves.diff().dropna() >= 0).all(axis=None)
    mean = curves.mean(axis=1)
    gains = mean.diff().dropna()
    assert (gains.diff().dropna() < 0).all(), "each doubling gains less than the one before"
    assert mean[8] - mean[1] > 5 * (mean[256] - mean[8]), "flat beyond 8"
    assert gains[16] < 5


def test_lock_step_leaves_around_half_of_the_cycles_idle(data):
    first = data["figure_8"].query("fifo_depth == 1").balance_bubbles_pct
    assert 100 - first.mean() == pytest.approx(stated("idle_at_fifo_depth_1_pct"), abs=5)


def test_speed_up_is_near_linear_except_for_nt_we(data):
    at = data["figure_11"].pivot(index="layer", columns="pes", values="efficiency_pct")
    others = at.drop("NT-We")
    assert (at[1] == 100).all()
    assert (others[64] > 90).all()
    assert at.loc["NT-We", 64] < 80
    assert (at.loc["NT-We", [64, 128, 256]] < others[[64, 128, 256]].min()).all()


def test_more_pes_need_less_padding_and_balance_worse(data):
    work = data["figure_12"].pivot(index="pes", columns="layer", values="real_work_pct")
    # A PE's slice depends on how rows are dealt out, so single steps may waver by a little.
    assert (work.diff().dropna() > -0.1).all(axis=None)
    balance = data["figure_13"].groupby("pes").balance_bubbles_pct.mean()
    assert balance[1] == 100
    assert balance[8] > balance[64] > balance[256]


def test_theoretical_time_is_not_operations_over_throughput(data):
    ratios = data["theory"].set_index("layer").published_ratio.drop(REAL, errors="ignore")
    expected = [1.21, 1.12, 1.19, 1.91, 1.61, 0.97, 1.08, 1.15, 1.15]
    assert ratios.round(2).tolist() == expected


def test_speed_up_of_eie_is_published_cpu_over_simulated_time(data):
    rows = data["figure_6"].query("series == 'EIE'").set_index("layer")
    alex_7 = prepare_one("Alex-7").result.total["latency_us"]
    assert rows.ours["Alex-7"] == pytest.approx(6187.1 / alex_7)
    assert rows.ours["geomean"] == pytest.approx(geomean(rows.ours.drop("geomean")))
    assert rows.published["geomean"] == 189


def prepare_one(name):
    return prepare(0, lambda _what, _done: None).bench(name)


# --- The page's other numbers ---


def test_cycles_are_all_accounted_for(data):
    shares = data["cycles"].set_index("layer")
    assert shares.sum(axis=1).to_numpy() == pytest.approx(100)
    assert (shares >= 0).all(axis=None)


def test_every_text_is_filled_in(computed):
    for chapter in computed.chapters:
        assert "nan" not in chapter.text.split(), chapter.name
        assert "{" not in chapter.text, chapter.name


def test_inconsistencies_by_hand():
    found = {(each.row, each.column): each for each in claims.figures()}
    nt_we = found["NT-We", "EIE (ratio)"]
    assert (nt_we.published, nt_we.ours) == (63, pytest.approx(605.0 / 8.0))
    # 7516.2 / 30.3 = 248.06, printed as 248; 1134.9 / 80.5 = 14.1, printed as 14.
    assert ("Alex-6", "EIE (ratio)") not in found
    assert ("Alex-8", "GPUd (ratio)") not in found
    (nt_lstm,) = claims.table_iii()
    assert (nt_lstm.row, nt_lstm.published, nt_lstm.ours) == ("NT-LSTM", 11, pytest.approx(10))
    (vgg_8,) = claims.table_iv()
    # 4096 × 0.411 × 1000 × 0.225 / (64 × 800) µs
    assert (vgg_8.row, vgg_8.ours) == ("VGG-8", pytest.approx(7.398))


def test_table_v_agrees_with_itself_within_rounding():
    assert claims.table_v() == []


def test_printed_tables_are_whole():
    assert [layer.name for layer in eie_layers()][3] == "VGG-6"
    speedups, efficiencies = printed_ratios(SPEEDUP), printed_ratios(EFFICIENCY)
    assert {len(ratios) for ratios in (*speedups.values(), *efficiencies.values())} == {10}
    assert len(speedups) == len(efficiencies) + 1, "Figure 7 leaves CPU, dense, out"
    assert [row.platform for row in printed_platforms()][-2:] == ["EIE64", "EIE256_28nm"]


# --- What runs are made of ---


def test_exactly_the_published_share_of_activations_is_drawn():
    layer = published_layer("Alex-7")
    for seed in range(3):
        values = active_inputs(layer, layer.activation_density_frac, seed)
        assert np.count_nonzero(values) == round(0.353 * 4096)
    first, again = (active_inputs(layer, 0.5, 1) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, active_inputs(layer, 0.5, 2))


def entries_of(session, machine):
    """Entries of each active column in each PE, by plain loops over the dense weights."""
    layer = session.layers[next(iter(session.layers))]
    weights = layer.dense_weights()
    inputs = next(iter(session.inputs.given.values()))[0]
    counts = []
    for column in range(layer.n_in):
        per_pe = []
        for pe in range(machine.pes):
            entries, zeros = 0, 0
            for value in weights[pe :: machine.pes, column]:
                if value == 0:
                    zeros += 1
                    continue
                entries += 1 + zeros // 16
                zeros = 0
            per_pe.append(entries)
        counts.append(per_pe)
    return np.array(counts), inputs != 0


@pytest.mark.parametrize("pes", [2, 8])
def test_rows_that_every_column_reads_are_those_of_a_plain_loop(small, pes):
    machine = accelerator("eie-64", pes=pes, overflow="grow", row_bits=32)
    entries, is_active = entries_of(small, machine)
    expected = 0
    for pe in range(pes):
        start = 0
        for column, count in enumerate(entries[:, pe]):
            rows = {place // 4 for place in range(start, start + count)}
            expected += len(rows) * bool(is_active[column])
            start += count
    assert row_reads_per_column(run_layer(small, machine), machine) == expected


@pytest.mark.parametrize("pes", [2, 8])
def test_lock_step_is_a_plain_loop(small, pes):
    machine = accelerator("eie-64", pes=pes, overflow="grow")
    entries, is_active = entries_of(small, machine)
    cycles = idle = 0
    for column in entries[is_active]:
        service = [max(1, int(count)) for count in column]
        cycles += max(service)
        idle += sum(max(service) - own for own in service)
    counts = lock_step(run_layer(small, machine), machine)
    assert (counts["cycles"], counts["starved_cycles"]) == (cycles, idle)


def test_spreads_of_a_drawn_layer_are_those_it_was_drawn_with():
    layer = published_layer("NT-LSTM")
    even, _ = draw_uneven(layer, 0.0, 0.0, seed=1)
    uneven, active = draw_uneven(layer, 0.5, 0.25, seed=1)
    assert spreads(even)["row_sigma"] < 0.05 > spreads(even)["column_sigma"]
    assert spreads(uneven)["row_sigma"] == pytest.approx(0.5, rel=0.1)
    assert spreads(uneven)["column_sigma"] == pytest.approx(0.25, rel=0.1)
    assert np.count_nonzero(active) == layer.n_in


def test_the_densest_columns_are_those_with_an_activation():
    layer = published_layer("VGG-7")
    uneven, active = draw_uneven(layer, 0.0, 0.5, seed=1)
    per_column = np.diff(uneven.sparse.col_ptr)
    assert per_column[active != 0].mean() > 1.5 * per_column[active == 0].mean()


# --- Without the real data ---


def test_without_the_real_data_rows_say_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    assert real_data() == tmp_path
    runs = prepare(0, lambda _what, _done: None)
    assert runs.real is None
    missing = [row for row in table_iii(runs).compared if row.row == REAL]
    assert [(row.ours, row.note) for row in missing] == [(None, NO_DATA)]


def test_a_data_folder_that_is_not_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path / "absent"))
    assert real_data() is None


# --- The committed tables ---


def test_every_chapter_is_committed(computed):
    names = {path.stem for path in COMMITTED.glob("*.csv")}
    assert names == {"comparison", *(chapter.name for chapter in computed.chapters)}


def test_the_committed_tables_are_what_is_computed_now(computed):
    if data_dir() is None:
        pytest.skip(NO_REAL_DATA)
    tables = {chapter.name: chapter.data for chapter in computed.chapters}
    for name, frame in (tables | {"comparison": computed.comparison}).items():
        now = pd.read_csv(StringIO(rounded(frame).to_csv(index=False)))
        pd.testing.assert_frame_equal(
            pd.read_csv(COMMITTED / f"{name}.csv"),
            now,
            rtol=1e-4,  # of numbers of six digits
            obj=f"{name}.csv (`make reference`)",
        )
