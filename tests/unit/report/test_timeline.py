"""Pictures of traces: shares of bins against counting, and files that are written."""

from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from unit.study.logged_array import cases, traced

from accelsim.errors import InputError
from accelsim.report.figures import style
from accelsim.report.figures.stalls import draw_stalls
from accelsim.report.figures.timeline import BROADCASTS, STATES, draw_timeline, shares
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


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, to be looked at as objects."""
    figures = []

    @contextmanager
    def picture(_path, width, height, title=""):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.suptitle(title)
        yield figure
        FigureCanvasAgg(figure).draw()
        figures.append(figure)

    monkeypatch.setattr(style, "picture", picture)
    return figures


def test_the_legend_of_the_broadcasts_has_their_colours(tmp_path, drawn):
    trace = traced(cases(2)[1])
    draw_timeline(trace, tmp_path / "t.png")
    legend = drawn[0].axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "broadcast",
        f"stalled ({trace.stalls.sum():,} of {trace.array_cycles:,} cycles)",
        "scan",
    ]
    colours = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    assert colours == [to_rgb(colour) for colour, _ in BROADCASTS]
    for one, other in combinations(colours, 2):
        assert np.linalg.norm(np.subtract(one, other)) > 0.5


def many_layers(count=6):
    """Layers of the same trace, the later the fewer stalls; the last one has none."""
    trace = traced(cases(3, queue_depth=2)[0])
    some = [replace(trace, label=trace.label._replace(name=f"layer{i}")) for i in range(count)]
    layers, pes, columns = layer_table(some), pe_table(some), column_table(some)
    layers["stall_cycles"] = 10 * (count - 1 - layers.index)
    return layers, pes, columns


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (6, "4 of 6 layers: those with the most stall cycles"),
        (3, "2 of 3 layers: the others were not stalled"),
        (2, "1 of 2 layers: the others were not stalled"),
        (1, ""),
    ],
)
def test_the_choice_of_layers_is_explained(tmp_path, drawn, count, told):
    draw_stalls(*many_layers(count), tmp_path / "s.png", title="a net")
    assert drawn[0].get_suptitle() == "\n".join(filter(None, ["a net", told]))


def test_entries_and_cycles_have_an_axis_each_and_names_of_pes_do_not_overlap(tmp_path, drawn):
    draw_stalls(*many_layers(), tmp_path / "s.png")
    for pes, entries, stalls in np.array(drawn[0].axes).reshape(4, 3):
        assert entries.get_xlabel() == "entries of the column"
        assert stalls.get_xlabel() == "stall cycles caused"
        assert {bar.get_facecolor()[:3] for bar in entries.patches} == {to_rgb(style.BLUE)}
        assert {bar.get_facecolor()[:3] for bar in stalls.patches} == {to_rgb(style.VERMILION)}
        boxes = [text.get_window_extent() for text in pes.texts]
        assert boxes
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_pes_that_are_close_together_are_not_all_named(tmp_path, drawn):
    layers, pes, columns = many_layers(1)
    pes = pd.concat([pes.iloc[:1]] * 5 + [pes], ignore_index=True)
    pes.loc[:4, "stall_cycles_caused"] = 1000
    draw_stalls(layers.assign(stall_cycles=9), pes, columns, tmp_path / "s.png")
    assert len(drawn[0].axes[0].texts) == 1


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
