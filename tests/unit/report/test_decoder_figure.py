import struct

import pandas as pd
import pytest
from matplotlib.figure import Figure

from accelsim.errors import InputError
from accelsim.report.figures import draw_decoders
from accelsim.report.figures.decoders import COLOURS


def frame(networks):
    rows = []
    for network in networks:
        common = {"network": network, "shared_by": 4}
        rows.append(common | point("", "", "bit", 0.0, 1.0))
        for i, design in enumerate(COLOURS):
            rows.append(common | point("inline", design, "bit", 20.0, 1.5 + i))
            rows.append(common | point("shared", design, "byte", 10.0, 3.0 + i))
            rows.append(common | point("load", design, "row", -80.0, 1.0))
    return pd.DataFrame(rows)


def point(placement, design, alignment, saved_pct, ratio):
    return {
        "placement": placement,
        "design": design,
        "alignment": alignment,
        "saved_pct": saved_pct,
        "cycles_ratio": ratio,
        "energy_ratio": ratio,
        "area_ratio": 1 + ratio / 100,
    }


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved."""
    figures = []
    save = Figure.savefig

    def saved(figure, *args, **kwargs):
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", saved)
    return figures


@pytest.mark.parametrize("n", [1, 3])
def test_a_row_of_three_panels_per_network(tmp_path, drawn, n):
    path = tmp_path / "decoders.png"
    networks = [f"network {i}" for i in range(n)]
    assert draw_decoders(frame(networks), path, title="Decoders") == path
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert 900 < width < 3000
    assert height > width * n / 6
    (figure,) = drawn
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        f"{name}: {what}" for name in networks for what in ("cycles", "energy", "area")
    ]
    for axes in figure.axes:
        points = [line for line in axes.lines if line.get_linestyle() == "None"]
        assert len(points) == 1 + 3 * len(COLOURS)


def test_points_stand_at_their_capacity_and_ratio(tmp_path, drawn):
    draw_decoders(frame(["one"]), tmp_path / "decoders.svg")
    cycles = drawn[0].axes[0]
    points = [line for line in cycles.lines if line.get_linestyle() == "None"]
    at = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in points]
    assert at[0] == (1.0, 1.0)
    # The design in the middle stands at its place, others beside it.
    middle = 1 + 3 * list(COLOURS).index("pair")
    assert at[middle] == pytest.approx((0.8, 3.5))
    assert at[middle + 1] == pytest.approx((0.9, 5.0))
    assert at[middle + 2] == pytest.approx((1.8, 1.0))
    assert [x for x, _ in at[1::3]] == sorted(x for x, _ in at[1::3])
    assert at[1] == pytest.approx((0.8, 1.5), rel=0.05)
    colours = {line.get_color() for line in points}
    assert colours == {*COLOURS.values(), "#222222"}


def test_the_legend_names_what_is_there(tmp_path, drawn):
    draw_decoders(frame(["one"]), tmp_path / "decoders.png")
    texts = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert texts[: len(COLOURS)] == list(COLOURS)
    assert "one decoder for 4 PEs" in texts
    assert "columns begin at any row" in texts
    only_fixed = frame(["one"]).iloc[:1]
    draw_decoders(pd.concat([only_fixed, frame(["one"]).iloc[3:4]]), tmp_path / "few.png")
    texts = [text.get_text() for text in drawn[1].legends[0].get_texts()]
    assert texts == [
        "bit_serial",
        "fixed entries",
        "decoded on the way from DRAM",
        "columns begin at any bit",
        "columns begin at any row",
    ]


def test_an_empty_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="decoders: nothing to draw"):
        draw_decoders(frame([]).reindex(columns=["network"]), tmp_path / "decoders.png")
