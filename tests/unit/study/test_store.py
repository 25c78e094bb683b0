import os
from dataclasses import replace

import numpy as np
import pytest

from accelsim.errors import InputError
from accelsim.hardware.technology import TABLES
from accelsim.simulation.session import Session
from accelsim.study.store import PointStore
from accelsim.study.sweep import sweep

GRID = {"pes": [1, 2, 4], "queue_depth": [2, 8]}
RUN = Session.run


@pytest.fixture
def store(tmp_path):
    return tmp_path / "points.jsonl"


@pytest.fixture
def runs(monkeypatch):
    """(pes, queue_depth) of the points that are really run."""
    points = []

    def run(self, machine):
        points.append((machine.pes, machine.queue_depth))
        return RUN(self, machine)

    monkeypatch.setattr(Session, "run", run)
    return points


def test_a_sweep_that_was_done_runs_nothing_and_tells_the_same(network, store, runs):
    first = sweep(network, store=store, **GRID)
    assert len(runs) == 6
    assert len(store.read_text().splitlines()) == 1 + 6
    runs.clear()
    second = sweep(network, store=store, **GRID)
    assert runs == []
    assert second.equals(first)
    assert second.equals(sweep(network, **GRID))


def test_an_interrupted_sweep_goes_on_with_the_points_that_are_left(network, store, runs):
    whole = sweep(network, **GRID)
    runs.clear()

    def interrupt(done, _):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(network, store=store, progress=interrupt, **GRID)
    assert runs == [(1, 2), (1, 8), (2, 2), (2, 8)]
    runs.clear()
    assert sweep(network, store=store, **GRID).equals(whole)
    assert runs == [(4, 2), (4, 8)]


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_a_last_line_that_was_cut_off_is_run_again(network, store, runs, cut):
    whole = sweep(network, store=store, **GRID)
    lines = store.read_text().splitlines(keepends=True)
    store.write_text("".join(lines[:4]) + lines[4][:cut])
    runs.clear()
    assert sweep(network, store=store, **GRID).equals(whole)
    assert runs == [(2, 8), (4, 2), (4, 8)]
    assert store.read_text() == "".join(lines)


def test_a_header_that_was_cut_off_and_an_empty_file_are_a_fresh_start(network, store, runs):
    for text in ("", '{"sweep_of'):
        store.write_text(text)
        runs.clear()
        sweep(network, store=store, **GRID)
        assert len(runs) == 6


def test_a_larger_grid_takes_the_points_that_are_there(network, store, runs):
    sweep(network, store=store, pes=[1, 2])
    runs.clear()
    frame = sweep(network, store=store, pes=[1, 2, 4], queue_depth=[2, 8])
    assert sorted(runs) == [(1, 2), (2, 2), (4, 2), (4, 8)]
    assert frame.equals(sweep(network, pes=[1, 2, 4], queue_depth=[2, 8]))


@pytest.mark.parametrize("what", ["input", "network", "version"])
def test_a_store_of_something_else_is_refused_and_kept(network, store, monkeypatch, what):
    sweep(network, store=store, pes=[1])
    before = store.read_bytes()
    inputs = None
    if what == "input":
        inputs = np.ones(24)
    elif what == "network":
        one, two = network.layers
        other = replace(one, codebook=2 * one.codebook)
        network = replace(network, layers=(other, two))
    else:
        monkeypatch.setattr("accelsim.study.store.software_versions", lambda: {"accelsim": "9"})
    with pytest.raises(InputError, match="holds a sweep of another network, input or version"):
        sweep(network, activations=inputs, store=store, pes=[1])
    assert store.read_bytes() == before


@pytest.mark.parametrize("line", ["{", "[]", '{"point": "x"}', "3"])
def test_a_damaged_store_is_named(network, store, line):
    sweep(network, store=store, pes=[1])
    store.write_text(store.read_text() + line + "\n")
    with pytest.raises(InputError, match=r"points\.jsonl, line 3: damaged sweep store: start over"):
        sweep(network, store=store, pes=[1])


def test_a_store_that_is_no_text_is_damaged(network, store):
    store.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"points\.jsonl: damaged sweep store: start over"):
        sweep(network, store=store, pes=[1])


def test_a_dram_table_that_was_edited_makes_its_points_new(network, store, runs, tmp_path):
    table = tmp_path / "dram.toml"
    one = (TABLES / "dram" / "lpddr2.toml").read_text()
    table.write_text(one)
    fields = {"pes": [2], "weights_in": "dram", "dram": str(table)}
    before = sweep(network, store=store, **fields)
    table.write_text(one.replace("energy_pj_per_bit = 20.0", "energy_pj_per_bit = 40.0"))
    os.utime(table, ns=(0, 1))  # a time of change of its own, however coarse the clock
    after = sweep(network, store=store, **fields)
    assert len(runs) == 2
    more_pj = (after["energy_pj"] - before["energy_pj"]).tolist()
    assert more_pj == pytest.approx((8 * 20 * before["dram_bytes"]).tolist())


def test_a_disk_that_fills_up_keeps_the_points_so_far(network, store, runs, monkeypatch):
    """A real file whose third point does not fit: also the flush on closing fails."""
    put, done = PointStore.put, []

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, text):
            self.file.write(text[:30])
            self.file.flush()

        def flush(self):
            raise OSError(28, "No space left on device")

        def close(self):
            self.file.close()
            self.flush()

    def fill(self, machine, rows):
        if len(done) == 2:
            self._file = Full(self._file)
        done.append(machine)
        put(self, machine, rows)

    with monkeypatch.context() as patch:
        patch.setattr(PointStore, "put", fill)
        with pytest.raises(InputError, match="No space left on device: make room and run again"):
            sweep(network, store=store, **GRID)
    runs.clear()
    frame = sweep(network, store=store, **GRID)
    assert runs == [(2, 2), (2, 8), (4, 2), (4, 8)]
    assert frame.equals(sweep(network, **GRID))


def test_a_store_that_cannot_be_written_is_an_error(network, tmp_path, runs):
    with pytest.raises(InputError, match="cannot write there"):
        sweep(network, store=tmp_path / "missing" / "points.jsonl", pes=[1])
    with pytest.raises(InputError, match="damaged sweep store, a folder: remove it, or choose"):
        sweep(network, store=tmp_path, pes=[1])
    assert runs == []
