"""wave.vcd, read back with pyvcd's own reader and compared cycle by cycle with the stepped array."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from unit.study.logged_array import cases, logged, traced
from vcd.reader import TokenKind, tokenize

from accelsim.report.trace.waves import STATE_NAMES, estimated_bytes, write_waves
from accelsim.study.layer_trace import State

SEEDS = range(8)
STARVED = ("no_broadcast", "stalled")


class Wave(NamedTuple):
    timescale: str
    begin: int
    end: int
    changes: dict  # name -> [(time, value)]


def read(path):
    names, changes, time, begin, scale, scopes = {}, {}, None, None, None, []
    with path.open("rb") as file:
        for token in tokenize(file):
            if token.kind is TokenKind.TIMESCALE:
                scale = str(token.timescale)
            elif token.kind is TokenKind.SCOPE:
                scopes.append(token.scope.ident)
            elif token.kind is TokenKind.UPSCOPE:
                scopes.pop()
            elif token.kind is TokenKind.VAR:
                name = ".".join([*scopes, token.var.reference])
                names[token.var.id_code] = name
                changes[name] = []
            elif token.kind is TokenKind.CHANGE_TIME:
                assert time is None or token.time_change > time
                time = token.time_change
                begin = time if begin is None else begin
            elif token.kind in (
                TokenKind.CHANGE_SCALAR, TokenKind.CHANGE_VECTOR, TokenKind.CHANGE_STRING
            ):  # fmt: skip
                change = token.data
                value = change.value
                if isinstance(value, str) and value.isdecimal():
                    value = int(value)
                changes[names[change.id_code]].append((time, value))
    return Wave(scale, begin, time, changes)


def at(wave, name, time):
    """The value of a signal at a time."""
    values = [value for when, value in wave.changes[name] if when <= time]
    return values[-1]


@pytest.fixture
def written(tmp_path):
    def write(trace, first, last, clock_mhz=800.0):
        path = tmp_path / "wave.vcd"
        write_waves(trace, path, first, last, clock_mhz)
        return read(path)

    return write


@pytest.mark.parametrize("seed", SEEDS)
def test_every_signal_in_every_cycle_is_that_of_the_stepped_array(seed, written):
    case = min(cases(seed), key=lambda case: case.pes)
    log, trace = logged(case), traced(case)
    first, last = 1 + len(log) // 5, min(len(log), trace.last_cycle, 120 + len(log) // 5)
    wave = written(trace, first, last)
    digits = len(str(case.pes - 1))
    for cycle in range(first, last + 1):
        time = round((cycle - 0.25) * 1250)
        expected = log[cycle - 1]
        assert at(wave, "accelsim.cycle", time) == cycle
        assert at(wave, "accelsim.broadcast.valid", time) == (expected.broadcast is not None)
        if expected.broadcast is not None:
            assert at(wave, "accelsim.broadcast.column", time) == expected.broadcast
        assert at(wave, "accelsim.broadcast.stalled", time) == expected.is_stalled
        for pe in range(case.pes):
            scope = f"accelsim.pe{pe:0{digits}}"
            assert at(wave, f"{scope}.queue", time) == expected.queues[pe]
            column = expected.columns[pe]
            assert at(wave, f"{scope}.column", time) == ("x" if column < 0 else column)
            assert at(wave, f"{scope}.entries", time) == expected.entries[pe]
            state = at(wave, f"{scope}.state", time)
            if cycle < trace.last_end:
                wanted = STATE_NAMES[expected.states[pe]]
                assert state == wanted or (wanted == "no_broadcast" and state in STARVED)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_countdown_of_a_column_ends_with_its_last_cycle(seed, written):
    case = min(cases(seed), key=lambda case: case.pes)
    trace = traced(case)
    last = min(trace.last_cycle, 150)
    wave = written(trace, 1, last)
    digits = len(str(case.pes - 1))
    for pe in range(case.pes):
        left = np.zeros(trace.last_cycle + 2, dtype=int)
        for item in np.flatnonzero(trace.entries[:, pe]):
            span = range(trace.start[item, pe], trace.end[item, pe])
            left[span.start : span.stop] = range(len(span), 0, -1)
        for cycle in range(1, last + 1):
            name = f"accelsim.pe{pe:0{digits}}.cycles_left"
            assert at(wave, name, round((cycle - 0.25) * 1250)) == left[cycle]


@pytest.mark.parametrize("clock_mhz", [800.0, 333.0])
def test_the_clock_rises_where_cycles_begin(written, clock_mhz):
    trace = traced(cases(0)[0])
    wave = written(trace, 3, 9, clock_mhz)
    period = 1e6 / clock_mhz
    assert wave.timescale == "1 ps"
    assert (wave.begin, wave.end) == (round(2 * period), round(9 * period))
    clock = wave.changes["accelsim.clk"]
    assert [time for time, value in clock if value == 1] == [round(c * period) for c in range(2, 9)]
    assert [time for time, value in clock if value == 0] == [
        round((c + 0.5) * period) for c in range(2, 9)
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_signals_change_only_to_other_values_and_only_inside_the_window(seed, written):
    trace = traced(min(cases(seed), key=lambda case: case.pes))
    first, last = 1, min(trace.last_cycle, 100)
    wave = written(trace, first, last)
    for changes in wave.changes.values():
        values = [value for _, value in changes]
        assert all(a != b for a, b in pairwise(values))
        assert changes[0][0] == 0
        assert changes[-1][0] < last * 1250


@pytest.mark.parametrize("seed", SEEDS)
def test_the_estimate_of_the_size_is_neither_too_small_nor_far_off(seed, tmp_path):
    trace = traced(max(cases(seed), key=lambda case: case.pes))
    last = min(trace.last_cycle, 400)
    path = tmp_path / "wave.vcd"
    write_waves(trace, path, 1, last, 800.0)
    size = path.stat().st_size
    assert 0.8 * size < estimated_bytes(trace, 1, last) < 4 * size + 1000


def test_every_state_has_a_name_without_spaces():
    assert set(STATE_NAMES) == set(State)
    assert all(name.isidentifier() for name in STATE_NAMES.values())


@pytest.mark.parametrize("name", ["$end", "schön", "a b"])
def test_a_layers_name_does_not_break_the_file(name, tmp_path):
    trace = traced(cases(0)[0], name)
    write_waves(trace, tmp_path / "wave.vcd", 1, 5, 800.0)
    assert read(tmp_path / "wave.vcd").changes["accelsim.clk"]
