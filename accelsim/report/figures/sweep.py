"""What a sweep found: cycles, utilisation, energy and area over one machine field."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from accelsim.compression.recipe import Recipe
from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.report.figures import style
from accelsim.report.figures.knee import knee
from accelsim.report.units import label, setting, short

if TYPE_CHECKING:
    import pandas as pd

LOG_SPAN = 4.0  # an axis whose values span this factor or more is logarithmic
SCALING_SPAN = 2.0  # the same, for cycles over PEs
# Ticks within a decade, by the factor that the values span.
LOG_TICKS = (
    (5.0, (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)),
    (100.0, (1.0, 2.0, 5.0)),
    (math.inf, (1.0,)),
)
BAR_GROUP = 0.8  # of the distance between two values of x
IDEAL: Any = {"color": style.GREY, "linestyle": style.DASHES, "linewidth": 1.1}


class Panel(NamedTuple):
    """One measure: its column, its title with unit, and the factor to that unit."""

    column: str
    title: str
    factor: float


class Curve(NamedTuple):
    """Points that differ only in x: `name` tells what they share, empty if there is one curve."""

    name: str
    points: "pd.DataFrame"
    colour: str
    marker: str


PANELS = (
    Panel("cycles", "Cycles", 1.0),
    Panel("utilization_frac", "PE utilisation (%)", 100.0),
    Panel("energy_pj", "Energy (µJ)", 1e-6),
    Panel("area_mm2", "Area (mm²)", 1.0),
)


def draw_sweep(
    frame: "pd.DataFrame",
    x: str,
    path: Path,
    *,
    title: str = "",
) -> Path:
    """Draw cycles, utilisation, energy and area over column `x`: lines for numbers, else bars.

    frame: a row per sweep point (`sum_over_layers`), with any of cycles, utilization_frac,
        energy_pj, area_mm2. Over PEs, a dashed line shows perfect scaling from the smallest array.
    There is one curve for each combination of the machine or recipe fields that vary beside `x`.
    Knees of the cycles (`knee`) are marked. Returns `path`. Raises InputError for a frame without
    rows, without column `x`, or without any measure.
    """
    panels = [panel for panel in PANELS if _has_values(frame, panel.column)]
    if not panels or not _has_values(frame, x):
        raise InputError(f"sweep: nothing to draw over '{x}': it needs points with that column")
    curves = _curves(frame, x, varied_fields(frame, x))
    # A line needs two points.
    lines = _is_numeric(frame[x]) and frame[x].nunique() > 1
    rows = 2 if len(panels) == 4 else 1
    columns = len(panels) // rows
    size = (max(6.5, 3.9 * columns), 3.1 * rows + 0.9 + 0.2 * (len(curves) > 1))
    with style.picture(path, *size, title) as figure:
        for axes, panel in zip(
            figure.subplots(rows, columns, squeeze=False).flat, panels, strict=True
        ):
            (_draw_lines if lines else _draw_bars)(axes, panel, curves, x)
            axes.set_title(panel.title)
            axes.set_xlabel(label(x))
        handles = _line_legend(curves, x, panels) if lines else _bar_legend(curves)
        style.legend_below(figure, handles)
    return path


def varied_fields(frame: "pd.DataFrame", x: str) -> list[str]:
    """Machine and recipe fields in `frame`, other than `x`, that vary while `x` stays the same."""
    fields = [*Accelerator.model_fields, *Recipe.model_fields]
    return [
        name
        for name in frame.columns
        if name != x and name in fields and frame.groupby(x)[name].nunique().max() > 1
    ]


def _curves(frame: "pd.DataFrame", x: str, by: list[str]) -> list[Curve]:
    frame = frame.sort_values(x, kind="stable") if _is_numeric(frame[x]) else frame
    if not by:
        return [Curve("", frame, style.BLUE, "o")]
    groups = list(frame.groupby(by, sort=True, dropna=False))
    colours = _colours(len(groups), ordered=len(by) == 1 and _is_numeric(frame[by[0]]))
    return [
        Curve(
            ", ".join(setting(name, value) for name, value in zip(by, values, strict=True)),
            points,
            colour,
            style.MARKERS[index % len(style.MARKERS)],
        )
        for index, ((values, points), colour) in enumerate(zip(groups, colours, strict=True))
    ]


def _colours(count: int, *, ordered: bool) -> list[str]:
    """Distinct colours; along one colour map where the curves have an order, or are many."""
    if not ordered and count <= len(style.CYCLE):
        return list(style.CYCLE[:count])
    return [to_hex(colour) for colour in colormaps["viridis"](np.linspace(0.0, 0.85, count))]


def _draw_lines(axes: Axes, panel: Panel, curves: list[Curve], x: str) -> None:
    everything = np.concatenate([_values(curve, panel) for curve in curves])
    ticks = sorted({float(value) for curve in curves for value in curve.points[x]})
    _scale_x(axes, ticks, x)
    _scale_y(axes, everything[np.isfinite(everything)], panel, x)
    if panel.column == "cycles" and x == "pes":
        start = min(curves, key=lambda curve: float(curve.points[x].min())).points.iloc[0]
        ideal = [start["cycles"] * start[x] / tick for tick in ticks]
        axes.plot(ticks, ideal, zorder=1.5, **IDEAL)
    for curve in curves:
        axes.plot(curve.points[x], _values(curve, panel), color=curve.colour, marker=curve.marker,
                  markeredgecolor="white", markeredgewidth=0.6)  # fmt: skip
        if panel.column == "cycles":
            _mark_knee(axes, curve, x, with_text=len(curves) == 1)


def _mark_knee(axes: Axes, curve: Curve, x: str, *, with_text: bool) -> None:
    at = _knee_of(curve, x)
    if at is None:
        return
    cycles = float(curve.points.loc[curve.points[x] == at, "cycles"].iloc[0])
    axes.plot([at], [cycles], marker="o", markersize=12, markerfacecolor="none",
              markeredgecolor=curve.colour, markeredgewidth=1.4, linestyle="none")  # fmt: skip
    if with_text:
        # Above and to the right of the point there is nothing: the curve falls.
        axes.annotate(
            f"knee: {setting(x, short(at))}", (at, cycles),
            xytext=(16, 24), textcoords="offset points", fontsize=9, weight="bold", color=style.INK,
            arrowprops={"arrowstyle": "-", "color": style.GREY, "shrinkB": 6},
        )  # fmt: skip


def _knee_of(curve: Curve, x: str) -> float | None:
    points = curve.points.dropna(subset=["cycles"])
    return knee(points[x].tolist(), points["cycles"].tolist())


def _draw_bars(axes: Axes, panel: Panel, curves: list[Curve], x: str) -> None:
    places = list(dict.fromkeys(str(value) for curve in curves for value in curve.points[x]))
    width = BAR_GROUP / len(curves)
    for index, curve in enumerate(curves):
        offset = (index + 0.5) * width - BAR_GROUP / 2
        at = [places.index(str(value)) + offset for value in curve.points[x]]
        bars = axes.bar(at, _values(curve, panel), width=0.9 * width, color=curve.colour)
        if len(places) * len(curves) <= 8:
            axes.bar_label(bars, fmt=short, fontsize=8, padding=2)
    axes.set_xticks(range(len(places)), places)
    axes.set_xlim(-0.7, len(places) - 0.3)
    axes.margins(y=0.12)
    axes.tick_params(axis="x", length=0)
    axes.grid(False, axis="x")
    axes.yaxis.set_major_formatter(FuncFormatter(_tick_text))


def _scale_x(axes: Axes, ticks: list[float], x: str) -> None:
    """Ticks at the swept values; a number that would run into its neighbour is left out."""
    least = SCALING_SPAN if x == "pes" else LOG_SPAN
    if ticks[0] > 0 and ticks[-1] / ticks[0] >= least:
        axes.set_xscale("log")
        places = [math.log(tick) for tick in ticks]
    else:
        places = ticks
    span = places[-1] - places[0]
    names, free_from = [], -math.inf
    for tick, place in zip(ticks, places, strict=True):
        text = short(tick)
        half = (0.011 * len(text) + 0.012) * span
        names.append(text if place - half >= free_from else "")
        free_from = place + half if names[-1] else free_from
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xticks(ticks, names)
    axes.xaxis.set_minor_locator(NullLocator())


def _scale_y(axes: Axes, values: Any, panel: Panel, x: str) -> None:
    """Per cent from 0 to 100; wide ranges on a logarithmic axis, narrow ones on a linear axis."""
    if panel.column == "utilization_frac":
        axes.set_ylim(0, 105)
        return
    low, high = float(values.min()), float(values.max())
    # Cycles over PEs: perfect scaling is a straight line only if both axes are logarithmic.
    least = SCALING_SPAN if panel.column == "cycles" and x == "pes" else LOG_SPAN
    if low > 0 and high / low >= least:
        axes.set_yscale("log")
        subs = next(subs for span, subs in LOG_TICKS if high / low < span)
        axes.yaxis.set_major_locator(LogLocator(subs=subs))
        axes.yaxis.set_minor_locator(NullLocator())
    elif panel.column != "cycles":
        axes.set_ylim(0, 1.15 * high or 1.0)
    else:
        axes.margins(y=0.15)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(_tick_text))


def _values(curve: Curve, panel: Panel) -> Any:
    return panel.factor * curve.points[panel.column].to_numpy(dtype=float)


def _line_legend(curves: list[Curve], x: str, panels: list[Panel]) -> list[Artist]:
    """Curves with their knees, if there are several; the line of perfect scaling."""
    handles: list[Artist] = []
    cycles_shown = any(panel.column == "cycles" for panel in panels)
    for curve in curves if len(curves) > 1 else []:
        at = _knee_of(curve, x) if cycles_shown else None
        name = curve.name + (f" (knee: {setting(x, short(at))})" if at else "")
        handles.append(Line2D([], [], color=curve.colour, marker=curve.marker, label=name))
    if cycles_shown and x == "pes":
        handles.append(Line2D([], [], label="perfect scaling (1/PEs)", **IDEAL))
    return handles


def _bar_legend(curves: list[Curve]) -> list[Artist]:
    return [Patch(color=curve.colour, label=curve.name) for curve in curves if len(curves) > 1]


def _has_values(frame: "pd.DataFrame", column: str) -> bool:
    return column in frame and bool(frame[column].notna().any())


def _is_numeric(values: "pd.Series[Any]") -> bool:
    return values.dtype.kind in "iuf"


def _tick_text(value: float, _position: int) -> str:
    return short(value)
