import math
import struct
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from accelsim.errors import InputError
from accelsim.report.figures import style
from accelsim.report.figures.serving import (
    draw_activity,
    draw_latency_histogram,
    draw_load_curve,
    load_knee,
)
from accelsim.report.serving import print_serving, write_serving
from accelsim.study.queueing import md1_wait
from accelsim.study.serve import load_curve, serve


def check_picture(path, written):
    assert written == path
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert 900 < width < 3000
    assert 150 < height < 3000
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "figure.png"


@pytest.fixture
def curve():
    """An M/D/1 queue as theory has it; percentiles as multiples of the mean."""

    def build(loads=(0.1, 0.3, 0.5, 0.6, 0.8, 0.95), service_us=2.0):
        mean = np.array([service_us + md1_wait(load, service_us) for load in loads])
        return pd.DataFrame(
            {
                "load_frac": loads,
                "rate_per_s": np.array(loads) * 1e6 / service_us,
                "latency_mean_us": mean,
                "latency_p50_us": 0.8 * mean,
                "latency_p95_us": 2 * mean,
                "latency_p99_us": 3 * mean,
                "md1_latency_us": mean,
            }
        )

    return build


def test_the_knee_of_an_m_d_1_queue_is_where_kleinrock_has_it(curve):
    # d/dr of r / (1 + r / (2 (1 - r))) is zero at 2 - sqrt(2).
    loads = np.linspace(0.01, 0.99, 981)
    assert load_knee(curve(loads)) == pytest.approx(2 - math.sqrt(2), abs=1e-3)


@pytest.mark.parametrize("loads", [(0.1, 0.9), (0.1, 0.3, 0.5, 0.6, 0.8, 0.95)])
def test_a_load_curve(curve, path, loads):
    check_picture(path, draw_load_curve(curve(loads), path, title="a <b>$x_1$"))


def test_a_load_curve_without_theory(curve, path):
    check_picture(path, draw_load_curve(curve().assign(md1_latency_us=np.nan), path))


def test_one_load_is_no_curve(curve, path):
    with pytest.raises(InputError, match="one load is no curve"):
        draw_load_curve(curve((0.5,)), path)


@pytest.mark.parametrize("latencies", [[5.0], [5.0] * 9, [1.0, 2.0, 900.0], range(1, 2000)])
def test_a_histogram_of_latencies(latencies, path):
    values = np.array(list(latencies), dtype=float)
    figures = {f"latency_p{p}_us": float(np.percentile(values, p)) for p in (50, 95, 99)}
    check_picture(path, draw_latency_histogram(values, figures, path))


@pytest.mark.parametrize("latencies", [[5.0] * 9, [1.0] * 99 + [2.0], range(1, 2000)])
def test_the_names_of_percentiles_stand_above_the_bars(latencies, path, monkeypatch):
    seen = []

    @contextmanager
    def picture(_path, width, height, _title):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        FigureCanvasAgg(figure).draw()
        seen.append(figure.axes[0])

    monkeypatch.setattr(style, "picture", picture)
    values = np.array(list(latencies), dtype=float)
    figures = {f"latency_p{p}_us": float(np.percentile(values, p)) for p in (50, 95, 99)}
    draw_latency_histogram(values, figures, path)
    top = max(bar.get_window_extent().y1 for bar in seen[0].patches)
    assert len(seen[0].texts) == 3
    assert all(text.get_window_extent().y0 >= top for text in seen[0].texts)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weights_in": "dram"},
        {"chips": 3, "arrangement": "pipelined"},
        {"chips": 2, "batch": 4},
    ],
)
def test_a_served_network_on_paper(tmp_path, options):
    served = serve("lenet-300-100", requests=30, **options)
    curve = load_curve(served, (0.2, 0.7), requests=100)
    page = write_serving(served, curve, tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert text.count("<img ") == 3
    for note in served.notes:
        assert note.split("'")[0] in text
    console = Console(width=80, record=True)
    print_serving(served, console)
    assert max(len(line.rstrip()) for line in console.export_text().splitlines()) <= 80


def test_activity_of_a_single_batch(path):
    served = serve("lenet-300-100", requests=1)
    check_picture(path, draw_activity(served.activity, path))
