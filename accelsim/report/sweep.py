"""What a sweep found: cycles, utilisation, energy and area over one machine field."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from accelsim.compress.recipe import Recipe
from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.report import style
from accelsim.report.units import label, setting, short

if TYPE_CHECKING:
    import pandas as pd

LOG_SPAN = 8.0  # an axis whose values span more than this factor is logarithmic
KNEE_DEPTH = 0.1  # least distance from the chord, as a part of the unit square
BAR_GROUP = 0.8


class Panel(NamedTuple):
    """One measure: its column, its name with unit, and the factor to that unit."""

    column: str
    name: str
    factor: float


class Curve(NamedTuple):
    """Points that differ only in x: `name` tells what they share, empty if there is one curve."""

    name: str
    points: "pd.DataFrame"
    colour: str
    marker: str


PANELS = (
    Panel("cycles", "cycles", 1.0),
    Panel("utilization_frac", "PE utilisation (%)", 100.0),
    Panel("energy_pj", "energy per inference (µJ)", 1e-6),
    Panel("area_mm2", "area (mm²)", 1.0),
)


def knee(x: Sequence[float], cycles: Sequence[float]) -> float | None:
    """The x where more of it stops to pay: the point farthest below the chord, in log-log space.

    Logarithms of both axes are scaled to [0, 1] over the points given; the knee is the point with the
    greatest distance to the straight line from the first to the last point (Satopää et al., "Finding a
    'Kneedle' in a Haystack", ICDCSW 2011, for a decreasing convex curve, without smoothing). So it
    depends on the range that was swept, and says nothing of what lies beyond it.

    x, cycles: positive numbers, in any order. None where there is no knee: fewer than three points,
    cycles that do not fall by 1%, or a curve that stays within KNEE_DEPTH of its chord.
    """
    order = np.argsort(np.asarray(x, dtype=float), kind="stable")
    ordered = np.asarray(x, dtype=float)[order]
    values = np.asarray(cycles, dtype=float)[order]
    if len(ordered) < 3 or ordered[0] <= 0 or values.min() <= 0 or values[0] < 1.01 * values[-1]:
        return None
    across = np.log(ordered / ordered[0]) / math.log(ordered[-1] / ordered[0])
    down = np.log(values[0] / values) / math.log(values[0] / values[-1])
    depth = down - across
    farthest = int(np.argmax(depth))
    return float(ordered[farthest]) if depth[farthest] > KNEE_DEPTH else None


def draw_sweep(
    frame: "pd.DataFrame",
    x: str,
    path: Path,
    *,
    by: Sequence[str] | None = None,
    title: str = "",
) -> Path:
    """Cycles, utilisation, energy and area over column `x`: lines for numbers, bars for anything else.

    frame: a row per sweep point (`sum_over_layers`), with any of cycles, utilization_frac, energy_pj,
        area_mm2. Over PEs, the dashed line is what perfect scaling from the smallest array would need.
    by: columns to draw one curve for each combination of; default: every machine or recipe field that
        varies beside `x`.
    Knees of the cycles (`knee`) are marked. Returns `path`. Raises InputError for a frame without rows,
    without column `x`, or without any measure.
    """
    panels = [
        panel for panel in PANELS if panel.column in frame and frame[panel.column].notna().any()
    ]
    if frame.empty or x not in frame or not panels:
        raise InputError(f"sweep: nothing to draw over '{x}': it needs points with that column")
    curves = _curves(frame, x, varied_fields(frame, x) if by is None else list(by))
    draw = _draw_lines if _is_numeric(frame[x]) else _draw_bars
    rows = 2 if len(panels) == 4 else 1
    columns = -(-len(panels) // rows)
    size = (max(5.5, 3.9 * columns), 3.1 * rows + 0.9 + 0.2 * (len(curves) > 1))
    with style.picture(path, *size, title) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).flat
        for axes, panel in zip(grid, panels, strict=True):
            draw(axes, panel, curves, x)
            axes.set_title(
                panel.name[0].upper() + panel.name[1:] if panel.name[1].islower() else panel.name
            )
        style.legend_below(figure, _legend(curves, x, panels))
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
    _scale_x(axes, ticks, label(x))
    _scale_y(axes, everything[np.isfinite(everything)], panel)
    if panel.column == "cycles" and x == "pes" and len(ticks) > 1:
        start = max(curves, key=lambda curve: -float(curve.points[x].min())).points.iloc[0]
        ideal = [start["cycles"] * start[x] / tick for tick in ticks]
        axes.plot(ticks, ideal, color=style.GREY, linestyle=(0, (4, 3)), linewidth=1.1, zorder=1.5)
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
            f"knee: {setting(x, short(at))}", (at, cycles), xytext=(16, 24), textcoords="offset points",
            fontsize=9, weight="bold", color=style.INK,
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
            axes.bar_label(bars, fmt=_bar_text, fontsize=8, padding=2)
    axes.set_xticks(range(len(places)), places)
    axes.set_xlim(-0.7, len(places) - 0.3)
    axes.margins(y=0.12)
    axes.set_xlabel(label(x))
    axes.tick_params(axis="x", length=0)
    axes.grid(False, axis="x")
    axes.yaxis.set_major_formatter(FuncFormatter(_tick_text))


def _scale_x(axes: Axes, ticks: list[float], name: str) -> None:
    """Ticks at the swept values; the numbers of those that would run into each other are left out."""
    if ticks[0] > 0 and ticks[-1] / ticks[0] >= LOG_SPAN:
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
    axes.set_xlabel(name)


def _scale_y(axes: Axes, values: Any, panel: Panel) -> None:
    """Per cent from 0 to 100; wide ranges on a logarithmic axis, narrow ones on a linear axis."""
    if panel.column == "utilization_frac":
        axes.set_ylim(0, 105)
        return
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low >= LOG_SPAN:
        axes.set_yscale("log")
        decades = math.log10(high / low)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,)))
        axes.yaxis.set_minor_locator(NullLocator())
    elif panel.column != "cycles":
        axes.set_ylim(0, 1.15 * high or 1.0)
    else:
        axes.margins(y=0.15)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(_tick_text))


def _values(curve: Curve, panel: Panel) -> Any:
    return panel.factor * curve.points[panel.column].to_numpy(dtype=float)


def _legend(curves: list[Curve], x: str, panels: list[Panel]) -> list[Any]:
    cycles_shown = any(panel.column == "cycles" for panel in panels)
    if not _is_numeric(curves[0].points[x]):
        return [Patch(color=curve.colour, label=curve.name) for curve in curves if len(curves) > 1]
    handles: list[Any] = []
    for curve in curves:
        at = _knee_of(curve, x) if cycles_shown else None
        name = curve.name + (f" (knee: {setting(x, short(at))})" if at else "")
        handles.append(Line2D([], [], color=curve.colour, marker=curve.marker, label=name))
    handles = handles if len(curves) > 1 else []
    if cycles_shown and x == "pes" and curves[0].points[x].nunique() > 1:
        handles.append(Line2D([], [], color=style.GREY, linestyle=(0, (4, 3)), linewidth=1.1,
                              label="perfect scaling (1/PEs)"))  # fmt: skip
    return handles


def _is_numeric(values: "pd.Series[Any]") -> bool:
    return values.dtype.kind in "iuf"


def _tick_text(value: float, _position: int) -> str:
    return short(value)


def _bar_text(value: float) -> str:
    return short(value)
