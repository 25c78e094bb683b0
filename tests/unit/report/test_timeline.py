"""Pictures of traces: shares of bins against counting, and files that are written."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from unit.study.logged_array import cases, traced

from accelsim.errors import InputError
from accelsim.report.figures.stalls import draw_stalls
from accelsim.report.figures.timeline import STATES, draw_timeline, shares
from accelsim.report.trace.network_tracks import Step
from accelsim.study.layer_trace import State
from accelsim.study.stalls import column_table, layer_table, pe_table


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.mark.parametrize("seed", range(6))
def test_shares_of_bins_are_what_counting_cycles_gives(seed):
    rng = np.random.default_rng(seed)
    trace = traced(cases(seed)[0])
    first, last = 1 + trace.last_cycle // 5, trace.last_cycle
    edges = np.unique(np.append(rng.integers(first, last + 2, 7), [first, last + 1]))
    for spans in trace.spans():
        told = shares([(spans.pe, spans.first, spans.end)], trace.pes, edges)
        cycles = np.zeros((trace.pes, last + 2))
        for pe, begin, end in zip(spans.pe, spans.first, spans.end, strict=True):
            cycles[pe, begin:end] = 1
        expected = [cycles[:, a:b].mean(axis=1) for a, b in pairwise(edges)]
        assert told == pytest.approx(np.array(expected).T)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize("window", [None, (5, 20)])
def test_a_timeline_is_drawn(tmp_path, suffix, window):
    trace = traced(cases(2)[1])
    steps = [Step("PE array", "layer", 0, 100, {}), Step("DMA", "other", 20, 90, {})]
    path = draw_timeline(trace, tmp_path / f"t{suffix}", window=window, steps=steps, title="a net")
    assert path.stat().st_size > 5000


def test_many_pes_and_cycles_are_drawn_as_mixtures(tmp_path):
    trace = traced(next(case for case in cases(0, count=1)))
    many = trace.__class__(**{
        **{name: getattr(trace, name) for name in trace.__dataclass_fields__},
        **{name: np.repeat(getattr(trace, name), 20, axis=1)
           for name in ("pop", "granted", "start", "end", "inner_waits", "entries", "padding")},
    })  # fmt: skip
    assert many.pes > 256
    path = draw_timeline(many, tmp_path / "t.png")
    assert size_of(path)[0] == 1500


def test_a_window_without_anything_in_it_is_refused(tmp_path):
    trace = traced(cases(2)[1])
    with pytest.raises(InputError, match="nothing happens in these cycles"):
        draw_timeline(trace, tmp_path / "t.png", window=(10**6, 10**6 + 5))
    assert not list(tmp_path.iterdir())


def test_every_state_but_idle_has_a_colour_of_its_own():
    assert set(STATES) == set(State) - {State.IDLE}
    assert len({colour for colour, _ in STATES.values()}) == len(STATES)


@pytest.mark.parametrize("queue_depth", [2, 1000])
def test_stalls_are_drawn_for_layers_with_and_without(tmp_path, queue_depth):
    some = [
        traced(case, name)
        for case, name in zip(cases(3, queue_depth=queue_depth), "abcdefgh", strict=False)
    ]
    path = draw_stalls(
        layer_table(some), pe_table(some), column_table(some), tmp_path / "s.png", title="a net"
    )
    height = size_of(path)[1] / 150
    drawn = min(4, sum(trace.stalls.sum() > 0 for trace in some)) or 1
    assert height == pytest.approx(3.3 * drawn + 0.7, abs=0.02)
