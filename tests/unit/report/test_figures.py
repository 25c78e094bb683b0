import struct
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelsim.errors import InputError
from accelsim.report.figures import (
    draw_comparison,
    draw_energy_breakdown,
    draw_pe_balance,
    draw_sweep,
    knee,
    load_balance,
    style,
)
from accelsim.report.figures.sweep import varied_fields
from accelsim.report.figures.systems import part_of, parts_by_system


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[-8:-4] == b"IEND"
    return struct.unpack(">II", data[16:24])


def check_picture(path, written):
    assert written == path
    width, height = png_size(path)
    assert 900 < width < 3000
    assert 200 < height < 3000
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "figure.png"


@pytest.fixture
def axes_texts(monkeypatch):
    """All texts of the figures that are saved."""
    texts = []
    save = Figure.savefig

    def saved(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        texts.extend(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))

    monkeypatch.setattr(Figure, "savefig", saved)
    return texts


@pytest.mark.parametrize("n", [1, 4, 12])
def test_comparison_of_n_systems(systems, path, n):
    check_picture(path, draw_comparison(systems(n), path, title="AlexNet FC8 → <b>$x_1$"))


def test_comparison_writes_values_ratios_and_what_was_not_measured(systems, path, axes_texts):
    draw_comparison(systems(12), path)
    assert "9.90 µs   1.0×" in axes_texts
    assert "2.62 mJ   355×" in axes_texts
    assert axes_texts.count("not known") == 1
    assert {"simulated", "published", "measured", "estimate"} <= set(axes_texts)


def test_every_number_of_a_comparison_has_its_source_in_a_footnote(systems, path, axes_texts):
    table = systems(12)
    draw_comparison(table, path)
    notes = next(text for text in axes_texts if text.startswith("1  "))
    for index, source in enumerate(table["source"].unique(), start=1):
        assert f"{index}  {source}" in notes
    marks = {"simulated": 1, "published": 2}
    for name, kind in zip(table["system"], table["kind"], strict=True):
        assert any(name[:40] in text and f"[{marks.get(kind, 2)}]" in text for text in axes_texts)


def test_systems_stand_under_what_their_numbers_are(systems, path, monkeypatch):
    """Kinds are told apart by heading, mark and colour; limits are drawn where they are known."""
    drawn = []
    plot = Axes.plot

    def recorded(axes, x, y, *args, **options):
        drawn.append((list(x), args, options))
        return plot(axes, x, y, *args, **options)

    monkeypatch.setattr(Axes, "plot", recorded)
    table = systems(12).assign(energy_low_uj=5.0, energy_high_uj=np.nan)
    table.loc[0, "energy_high_uj"] = 9.0
    draw_comparison(table, path)
    marks = [(args[0], options["color"]) for _, args, options in drawn if args]
    for kind, count in (("simulated", 6), ("published", 12), ("measured", 3), ("estimate", 2)):
        look = (style.MARKS[kind], style.kind_style(kind).colour)
        assert marks.count(look) == count  # one measured energy is not known
    bars = [x for x, _, options in drawn if options.get("linewidth") == 5]
    assert bars == [[5.0, 9.0]]


def test_an_energy_may_be_of_another_kind_than_its_latency(systems, path, monkeypatch):
    marks = []
    plot = Axes.plot

    def recorded(axes, x, y, *args, **options):
        marks.extend(args)
        return plot(axes, x, y, *args, **options)

    monkeypatch.setattr(Axes, "plot", recorded)
    measured = systems(12).iloc[[10]].assign(energy_kind="estimate")
    draw_comparison(measured, path)
    assert marks == [style.MARKS["measured"], style.MARKS["estimate"]]


def test_comparison_without_any_energy(systems, path):
    table = systems(3).assign(energy_uj=np.nan, energy_ratio=np.nan)
    check_picture(path, draw_comparison(table, path))


def test_comparison_of_equal_systems(systems, path):
    table = systems(2).assign(latency_us=5.0, energy_uj=1.0, latency_ratio=1.0, energy_ratio=1.0)
    check_picture(path, draw_comparison(table, path))


def test_comparison_of_other_kinds_extreme_ranges_and_empty_names(systems, path):
    table = systems(3).assign(kind="guess", latency_us=[1e-6, 0.0, 1e9], system=["", "x" * 90, "y"])
    check_picture(path, draw_comparison(table, path))


def test_a_column_of_none_is_not_measured(systems, path):
    table = systems(2).assign(energy_uj=[1.0, None], energy_ratio=[1.0, None])
    check_picture(path, draw_comparison(table, path))


def energy_rows():
    sram = [
        ("weight SRAM", "memory", 3.3),
        ("multiply", "logic", 0.3),
        ("clock network", "clock", 1),
    ]
    return pd.DataFrame(
        [("sram", *row) for row in sram] + [("dram", "DRAM", "DRAM", 2600.0), ("dram", *sram[1])],
        columns=["system", "component", "group", "energy_uj"],
    )


def test_energy_breakdown(path, axes_texts):
    check_picture(path, draw_energy_breakdown(energy_rows(), path, title="net"))
    assert "4.60 µJ   1.0×" in axes_texts
    assert "2.60 mJ   565×" in axes_texts


def test_energy_breakdown_without_energy(path):
    energy = energy_rows().assign(energy_uj=0.0)
    check_picture(path, draw_energy_breakdown(energy, path))


def test_energy_of_a_real_run(result, path):
    energy = result.energy.assign(system="eie", energy_uj=result.energy["energy_pj"] / 1e6)
    parts = parts_by_system(energy)
    assert "other" not in parts
    assert parts.to_numpy().sum() == pytest.approx(result.total["energy_pj"] / 1e6)
    check_picture(path, draw_energy_breakdown(energy, path))


@pytest.mark.parametrize(
    ("component", "group", "part"),
    [
        ("DRAM", "DRAM", "DRAM"),
        ("weight SRAM fill", "memory", "weight SRAM"),
        ("SRAM leakage", "leakage", "leakage"),
        ("Huffman tables", "memory", "other SRAM"),
        ("add", "logic", "arithmetic"),
        ("accumulators", "logic", "queues and registers"),
        ("activation queues", "logic", "queues and registers"),
        ("clock network", "clock", "clock"),
        ("something else", "something", "other"),
    ],
)
def test_parts(component, group, part):
    assert part_of(component, group) == part


def test_sweep_over_pes(points, path, axes_texts):
    check_picture(path, draw_sweep(points[points["queue_depth"] == 8], "pes", path, title="net"))
    assert any(text.startswith("knee: ") and text.endswith(" PEs") for text in axes_texts)
    assert "perfect scaling (1/PEs)" in axes_texts


def test_sweep_with_a_curve_for_each_queue_depth(points, path, axes_texts):
    check_picture(path, draw_sweep(points, "pes", path))
    assert any(text.startswith("queue depth 2 (knee: ") for text in axes_texts)
    assert any(text.startswith("queue depth 8") for text in axes_texts)


def test_sweep_of_one_point(points, path):
    check_picture(path, draw_sweep(points.head(1), "pes", path))


def test_sweep_without_some_measures(points, path):
    check_picture(path, draw_sweep(points[["pes", "cycles", "area_mm2"]].head(9), "pes", path))
    check_picture(path, draw_sweep(points[["pes", "energy_pj"]].head(9), "pes", path))


def test_sweep_with_missing_values(points, path):
    points.loc[3, "cycles"] = np.nan
    points["area_mm2"] = np.nan
    check_picture(path, draw_sweep(points, "queue_depth", path))


def test_sweep_over_names(points, path, axes_texts):
    frame = points.head(3).assign(decoder=["fixed", "huffman", "dense"]).drop(columns="pes")
    check_picture(path, draw_sweep(frame, "decoder", path))
    assert {"fixed", "huffman", "dense", "404,000"} <= set(axes_texts)
    names = pd.concat([points.assign(decoder=name) for name in ("fixed", "huffman")])
    check_picture(path, draw_sweep(names, "decoder", path))


def test_sweep_over_flags_and_linear_numbers(points, path):
    check_picture(path, draw_sweep(points.head(2).assign(x=[True, False]), "x", path))
    check_picture(path, draw_sweep(points.head(3).assign(x=[0, 1, 2]), "x", path))
    check_picture(path, draw_sweep(points.head(3).assign(x=[4, 5, 6], cycles=7), "x", path))


def test_sweep_with_many_curves(points, path):
    frame = pd.concat([points.assign(row_bits=bits) for bits in range(8, 80, 8)])
    check_picture(path, draw_sweep(frame, "pes", path))


@pytest.mark.parametrize("x", ["pes", "no such column"])
def test_sweep_with_nothing_to_draw(points, path, x):
    with pytest.raises(InputError, match="nothing to draw"):
        draw_sweep(points[["pes", "queue_depth"]], x, path)
    with pytest.raises(InputError, match="nothing to draw"):
        draw_sweep(points.head(0), x, path)
    assert not path.exists()


def test_a_field_that_follows_x_makes_no_curve(points):
    points["weight_sram_bytes"] = 1024 * points["pes"]  # grown memories
    assert varied_fields(points, "pes") == ["queue_depth"]


def test_the_knee_of_amdahl_is_where_both_parts_are_equal():
    x = 2.0 ** np.arange(0, 13)
    assert knee(x, 64 + 4096 / x) == 64
    assert knee(x[::-1], (64 + 4096 / x)[::-1]) == 64


def test_the_knee_of_a_broken_line_is_its_corner():
    x = np.array([1, 2, 4, 8, 16, 32, 64])
    assert knee(x, np.maximum(1000 / x, 125)) == 8


@pytest.mark.parametrize(
    ("x", "cycles"),
    [
        ([1, 2, 4, 8], [800, 400, 200, 100]),  # perfect scaling
        ([1, 2, 4], [100, 100, 100]),  # flat
        ([1, 2, 4], [100, 99.9, 99.8]),  # as good as flat
        ([1, 2, 4], [100, 200, 400]),  # rising
        ([1, 2, 4, 8], [100, 98, 80, 10]),  # bends the other way
        ([1, 2], [2, 1]),
        ([1], [1]),
        ([], []),
        ([0, 1, 2], [3, 2, 1]),
    ],
)
def test_curves_without_a_knee(x, cycles):
    assert knee(x, cycles) is None


def test_balance_of_a_real_run(result, path, axes_texts):
    check_picture(path, draw_pe_balance(result.pes, path, title="net"))
    assert "8 PEs, busiest first" in axes_texts


@pytest.mark.parametrize("layers", [1, 2, 4, 9])
def test_balance_of_many_layers(path, layers, axes_texts):
    pes = pd.DataFrame(
        {
            "layer": np.repeat([f"a rather long name of layer {i}" for i in range(layers)], 4),
            "pe": list(range(4)) * layers,
            "busy_cycles": np.arange(4 * layers),
            "starved_cycles": 3,
        }
    )
    check_picture(path, draw_pe_balance(pes, path))
    assert ("The 6 layers with the most work of 9" in axes_texts) == (layers == 9)


def test_balance_of_one_idle_pe(path):
    pes = pd.DataFrame({"layer": ["fc"], "pe": [0], "busy_cycles": [0], "starved_cycles": [0]})
    check_picture(path, draw_pe_balance(pes, path))


def test_load_balance():
    assert load_balance([4, 4]) == 1
    assert load_balance([4, 2]) == 0.75
    assert load_balance([0, 0]) == 1


def test_empty_tables_are_errors(systems, path):
    with pytest.raises(InputError, match="no rows"):
        draw_comparison(systems(0), path)
    with pytest.raises(InputError, match="no rows"):
        draw_energy_breakdown(energy_rows().head(0), path)
    with pytest.raises(InputError, match="no rows"):
        draw_pe_balance(pd.DataFrame({"layer": [], "pe": [], "busy_cycles": []}), path)


def test_the_same_data_give_the_same_file(systems, tmp_path):
    for suffix in ("png", "svg"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in "ab")
        draw_comparison(systems(2), first)
        draw_comparison(systems(2), second)
        assert first.read_bytes() == second.read_bytes()


def test_svg(systems, tmp_path):
    path = draw_comparison(systems(2), tmp_path / "figure.SVG")
    assert path.read_text().startswith("<?xml")


def test_other_formats_are_errors(systems, tmp_path):
    with pytest.raises(InputError, match=r"figure\.jpg.*\.png or \.svg"):
        draw_comparison(systems(2), tmp_path / "figure.jpg")


def test_nothing_is_left_behind_when_saving_fails(systems, path, monkeypatch):
    path.write_bytes(b"before")

    def fail(_figure, file, **_options):
        file.write_bytes(b"half")
        raise RuntimeError("no more ink")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(RuntimeError, match="ink"):
        draw_comparison(systems(2), path)
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == b"before"


def test_a_missing_folder_is_an_input_error(systems, tmp_path):
    with pytest.raises(InputError, match="cannot write there"):
        draw_comparison(systems(2), tmp_path / "none" / "figure.png")


def test_drawing_needs_no_pyplot_and_tables_no_matplotlib():
    code = (
        "import sys, accelsim.report, accelsim.report.tables, accelsim.report.page;"
        "assert 'matplotlib' not in sys.modules and 'pandas' not in sys.modules;"
        "import accelsim.report.figures; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
