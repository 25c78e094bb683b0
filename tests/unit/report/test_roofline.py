import pandas as pd
import pytest
from matplotlib.figure import Figure

from accelsim.errors import InputError
from accelsim.report.figures.roofline import LONGEST, draw_roofline, grouped
from accelsim.report.roofline import check_out, roofline_dict, write_roofline
from accelsim.study.roofline import Roofline

MACHINES = ("eie-64, weights in SRAM", "Titan X", "H200 SXM")


def point(system, kernel, layer, ops_per_byte, gop_per_s):
    kind = "simulated" if kernel == "compressed" else "estimate"
    return {
        "system": system, "kernel": kernel, "kind": kind, "layer": layer,
        "ops_per_byte": ops_per_byte, "gop_per_s": gop_per_s, "latency_us": 1.0,
        "bound": "memory", "note": "",
    }  # fmt: skip


def roof(system, kernel, gop_per_s, bandwidth, status):
    kind = "simulated" if kernel == "compressed" else "estimate"
    return {
        "system": system, "kernel": kernel, "kind": kind, "gop_per_s": gop_per_s,
        "bandwidth_gbyte_per_s": bandwidth, "status": status, "source": "made up",
    }  # fmt: skip


@pytest.fixture
def drawn():
    sram, titan, h200 = MACHINES
    points = [point(sram, "compressed", name, 1.0, 80.0) for name in ("fc1", "fc2")]
    roofs = [roof(sram, "compressed", 102.4, 409.6, "derived")]
    for system, scale, status in ((titan, 1, "fitted"), (h200, 10, "estimate")):
        for kernel, intensity in (("dense", 0.5), ("sparse", 0.25)):
            roofs.append(roof(system, kernel, 1000.0 * scale, 300.0 * scale, status))
            points += [
                point(system, kernel, name, intensity * (1 + i), 100.0 * scale * (1 + i))
                for i, name in enumerate(("fc1", "fc2"))
            ]
    return Roofline("net", 1, pd.DataFrame(points), pd.DataFrame(roofs))


@pytest.fixture
def figures(monkeypatch):
    """Figures that are saved."""
    saved, save = [], Figure.savefig

    def savefig(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        saved.append(figure)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return saved


def test_a_panel_for_dense_and_one_for_sparse_weights(drawn, figures, tmp_path):
    path = draw_roofline(drawn.points, drawn.roofs, tmp_path / "r.png", title="net")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    left, right = figures[0].axes
    assert [axes.get_xscale() + axes.get_yscale() for axes in (left, right)] == ["loglog"] * 2
    legend = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert legend == [MACHINES[0], "Titan X", "H200 SXM (estimate)"]
    # the machine's layers and the platforms' have names of their own
    assert [text.get_text() for text in right.texts] == ["fc1", "fc2", "fc1, fc2"]


def test_a_roof_bends_where_arithmetic_takes_over(drawn, figures, tmp_path):
    draw_roofline(drawn.points, drawn.roofs, tmp_path / "r.svg")
    bends = {
        (round(float(x[1]), 6), round(float(y[1]), 6))
        for axes in figures[0].axes
        for line in axes.lines
        if len(x := line.get_xdata()) == 3
        for y in [line.get_ydata()]
    }
    assert bends == {(0.25, 102.4), (round(10 / 3, 6), 1000.0), (round(10 / 3, 6), 10000.0)}


def test_every_point_and_ridge_is_inside_the_picture(drawn, figures, tmp_path):
    draw_roofline(drawn.points, drawn.roofs, tmp_path / "r.png")
    for axes in figures[0].axes:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        for line in axes.lines:
            y = line.get_ydata()
            assert all(left <= x <= right for x in line.get_xdata())
            assert min(y) >= bottom
            assert max(y) < top


def test_one_panel_if_there_is_one_kind_of_weights(drawn, figures, tmp_path):
    dense = drawn.points["kernel"] == "dense"
    draw_roofline(drawn.points[dense], drawn.roofs, tmp_path / "r.png")
    assert len(figures[0].axes) == 1


def test_nothing_to_draw(drawn, tmp_path):
    with pytest.raises(InputError, match="nothing to draw"):
        draw_roofline(drawn.points[:0], drawn.roofs, tmp_path / "r.png")
    assert list(tmp_path.iterdir()) == []


def test_layers_that_are_close_together_share_a_name():
    groups = grouped([2.0, 1.0, 1.04, 1.2], ["c", "b", "a", "d"], 0.05)
    assert [(group.ops_per_byte, group.names) for group in groups] == [
        (1.0, ("b", "a")),  # 0.05 decades are a factor of 1.12
        (1.2, ("d",)),
        (2.0, ("c",)),
    ]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("fc",), "fc"),
        (("fc1", "fc2", "fc3"), "fc1, fc2, fc3"),
        (tuple(f"layer{i}" for i in range(12)), "layer0 +11"),
        (("a" * 30,), "a" * 21 + "…"),
        (("a" * 30, "b"), "a" * 18 + "… +1"),
    ],
)
def test_names_are_as_long_as_there_is_room_for(names, text):
    [group] = grouped([1.0] * len(names), names, 0.1)
    assert group.text() == text
    assert len(text) <= LONGEST


def test_files(drawn, tmp_path):
    assert write_roofline(drawn, tmp_path / "r.csv") == [tmp_path / "r.csv"]
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "r.csv", keep_default_na=False), drawn.points
    )
    folder = tmp_path / "deep/folder"
    written = write_roofline(drawn, folder)
    assert [path.name for path in written] == ["points.csv", "roofs.csv", "roofline.png"]
    assert sorted(folder.iterdir()) == sorted(written)


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"r\.pdf: give a folder, or a file that ends in \.png"):
        check_out(tmp_path / "r.pdf")
    (tmp_path / "v1.2").mkdir()
    check_out(tmp_path / "v1.2")  # a folder that is there may be called so


def test_json_holds_everything(drawn):
    content = roofline_dict(drawn)
    assert [len(content["points"]), len(content["roofs"])] == [10, 5]
    assert content["points"][0]["layer"] == "fc1"
