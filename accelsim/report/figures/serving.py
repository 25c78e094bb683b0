"""What serving requests looks like: latency over load, latencies of one run, and the first batches."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from accelsim.errors import InputError
from accelsim.report.figures import style
from accelsim.report.units import short, time_text

if TYPE_CHECKING:
    import pandas as pd

# Columns of `load_curve`, their names in the legend and how they are drawn.
CURVES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("latency_p99_us", "99th percentile", {"color": style.VERMILION, "marker": "D"}),
    ("latency_p95_us", "95th percentile", {"color": style.ORANGE, "marker": "^"}),
    ("latency_p50_us", "median", {"color": style.SKY, "marker": "s"}),
    ("latency_mean_us", "mean", {"color": style.BLUE, "marker": "o"}),
)
THEORY: Any = {"color": style.INK, "linestyle": style.DASHES, "linewidth": 1.1}
MARKED = (("latency_p50_us", "p50"), ("latency_p95_us", "p95"), ("latency_p99_us", "p99"))
BINS = 60
BARS = 0.7  # of the height: above them are the names of the percentiles
SHOWN_BATCHES = 6
LANE = 0.7  # of the distance between two lanes
HAIRLINE = 0.005  # of the width: a bar as narrow as this has no room for a white edge


def load_knee(frame: "pd.DataFrame") -> float:
    """The load that gets most throughput per latency: Kleinrock's power, at its greatest.

    frame: as `load_curve` gives it. (Kleinrock, Power and deterministic rules of thumb for
    probabilistic problems in computer communications, ICC 1979.) Beyond it latency grows faster than
    throughput.
    """
    power = frame["load_frac"] / frame["latency_mean_us"]
    return float(frame["load_frac"].iloc[int(power.to_numpy().argmax())])


def draw_load_curve(frame: "pd.DataFrame", path: Path, *, title: str = "") -> Path:
    """Draw percentiles of latency over the offered load, the knee, and what queueing theory says.

    frame: as `load_curve` gives it; the line of theory is left out where there is none. Returns
    `path`. Raises InputError for less than two loads.
    """
    if len(frame) < 2:
        raise InputError("load curve: one load is no curve: give at least two")
    with style.picture(path, 6.8, 4.2, title) as figure:
        axes = figure.subplots()
        load = 100.0 * frame["load_frac"]
        for column, name, looks in CURVES:
            axes.plot(load, frame[column], label=name, markeredgecolor="white",
                      markeredgewidth=0.6, **looks)  # fmt: skip
        if frame["md1_latency_us"].notna().all():
            axes.plot(load, frame["md1_latency_us"], label="mean by theory (M/D/1)", **THEORY)
        knee = 100.0 * load_knee(frame)
        axes.axvline(knee, color=style.GREY, linewidth=1.0, zorder=1)
        axes.annotate(
            f"knee: {short(knee)} %", (knee, 1.0), xycoords=("data", "axes fraction"),
            xytext=(-4, -4), textcoords="offset points", ha="right", va="top", fontsize=9,
        )  # fmt: skip
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(_time_tick))
        axes.set_xlim(0, 100)
        axes.set_xlabel("Offered load (% of capacity)")
        axes.set_title("Latency")
        axes.legend(loc="upper left")
        rates = axes.secondary_xaxis(
            "top", functions=_scale(float((frame["rate_per_s"] / load).iloc[0]))
        )
        rates.xaxis.set_major_locator(MaxNLocator(5))
        rates.xaxis.set_major_formatter(FuncFormatter(_count_tick))
        rates.set_xlabel("Requests per second")
    return path


def draw_latency_histogram(
    latency_us: Any, figures: dict[str, float], path: Path, *, title: str = ""
) -> Path:
    """Draw how many requests took how long, with the percentiles of `ServingResult.figures`."""
    with style.picture(path, 6.8, 3.6, title) as figure:
        axes = figure.subplots()
        values = np.asarray(latency_us, dtype=float)
        low, high = float(values.min()), float(values.max())
        spread = high > low * (1 + 1e-9)
        counts, _, _ = axes.hist(values, bins=BINS if spread else 11, color=style.SKY)
        axes.set_ylim(top=np.max(counts) / BARS)
        for index, (column, name) in enumerate(MARKED):
            at = figures[column]
            left = at > (low + high) / 2
            axes.axvline(at, color=style.VERMILION, linewidth=1.1)
            axes.annotate(
                f"{name}: {time_text(at)}", (at, 0.97 - 0.09 * index),
                xycoords=("data", "axes fraction"), xytext=(-5 if left else 5, 0),
                textcoords="offset points", ha="right" if left else "left", va="top", fontsize=8.5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            )  # fmt: skip
        axes.xaxis.set_major_formatter(FuncFormatter(_time_tick))
        axes.yaxis.set_major_formatter(FuncFormatter(_count_tick))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("Latency")
        axes.set_title("Requests")
        axes.grid(False, axis="x")
    return path


def draw_activity(activity: "pd.DataFrame", path: Path, *, title: str = "") -> Path:
    """Draw what arrays, DRAM channels and links did for the first batches, a lane for each."""
    shown = activity[activity["batch"] < SHOWN_BATCHES]
    pairs = zip(shown["chip"].tolist(), shown["unit"].tolist(), strict=True)
    lanes: list[tuple[int, str]] = list(dict.fromkeys(pairs))
    lanes.sort(key=lambda lane: (lane[0], ("DRAM", "array", "link").index(lane[1])))
    narrow_us = HAIRLINE * float(shown["end_us"].max() - shown["start_us"].min())
    with style.picture(path, 7.6, 1.4 + 0.45 * len(lanes), title) as figure:
        axes = figure.subplots()
        for row in shown.to_dict("records"):
            lane = len(lanes) - 1 - lanes.index((row["chip"], row["unit"]))
            _draw_bar(axes, row, lane, narrow_us)
        several = any(chip for chip, _ in lanes)
        names: list[str] = [f"chip {chip}: {unit}" if several else unit for chip, unit in lanes]
        axes.set_yticks(range(len(lanes)), names[::-1])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.6, len(lanes) - 0.4)
        axes.xaxis.set_major_formatter(FuncFormatter(_time_tick))
        axes.grid(False, axis="y")
        axes.set_xlabel("Time")
        batches = sorted(shown["batch"].unique())
        style.legend_below(
            figure,
            [Patch(color=_colour(batch), label=f"batch {batch}") for batch in batches],
        )
    return path


def _draw_bar(axes: Axes, row: Mapping[Any, Any], lane: int, narrow_us: float) -> None:
    length = row["end_us"] - row["start_us"]
    colour = _colour(row["batch"])
    axes.barh(
        lane, length, left=row["start_us"], height=LANE, color=colour, linewidth=0.6,
        edgecolor="white" if length > narrow_us else colour,
    )  # fmt: skip


def _colour(batch: int) -> str:
    return style.CYCLE[batch % len(style.CYCLE)]


def _scale(factor: float) -> tuple[Any, Any]:
    return (lambda x: x * factor, lambda y: y / factor)


def _time_tick(value: float, _position: int) -> str:
    if value == 0:
        return "0"
    number, unit = time_text(value).split(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def _count_tick(value: float, _position: int) -> str:
    for factor, name in ((1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{short(value / factor)}{name}"
    return short(value)
