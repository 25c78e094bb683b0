"""Who holds the array back: the PEs and the columns that cause broadcast stalls, layer by layer."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from accelsim.errors import InputError
from accelsim.report.figures import style
from accelsim.report.units import short

if TYPE_CHECKING:
    import pandas as pd

MAX_LAYERS = 4
MAX_BARS = 12
MAX_LABELS = 5
LABEL_SIZE = (0.16, 0.09)  # of a PE's name, as part of the panel
LEGEND: list[Artist] = [
    Patch(color=style.BLUE, label="entries in that PE"),
    Line2D([], [], color=style.INK, marker="|", markersize=9, markeredgewidth=2, linestyle="none",
           label="entries in the mean PE"),
    Patch(color=style.VERMILION, label="stall cycles caused"),
]  # fmt: skip


def draw_stalls(
    layers: "pd.DataFrame",
    pes: "pd.DataFrame",
    columns: "pd.DataFrame",
    path: Path,
    *,
    title: str = "",
) -> Path:
    """Draw, for each layer with stalls, the PEs and the columns that cost the most of them.

    layers, pes, columns: tables of `accelsim.study.stalls`. Of more than MAX_LAYERS layers those with
    the most stall cycles are drawn; where none has any, the first one is. Returns `path`. Raises
    InputError for a table without layers.
    """
    if layers.empty:
        raise InputError("stalls: nothing to draw: no layer was traced")
    worst = layers.sort_values("stall_cycles", ascending=False, kind="stable")[:MAX_LAYERS]
    stalled = int((worst["stall_cycles"] > 0).sum())
    shown = worst[: max(1, stalled)].sort_index()
    title = "\n".join(filter(None, [title, _choice(len(shown), len(layers), stalled)]))
    with style.picture(path, 10.0, 3.3 * len(shown) + 0.7, title) as figure:
        grid = figure.subplots(len(shown), 3, squeeze=False, width_ratios=(1.3, 1, 1))
        for (left, middle, right), layer in zip(grid, shown.to_dict("records"), strict=True):
            name = str(layer["layer"])
            about = f"stalled {layer['stall_cycles']:,} of {layer['array_cycles']:,} cycles"
            _draw_pes(left, pes[pes["layer"] == name], name, about)
            _draw_columns(middle, right, columns[columns["layer"] == name])
        style.legend_below(figure, LEGEND)
    return path


def _choice(shown: int, layers: int, stalled: int) -> str:
    """Why these layers are drawn and others are not."""
    if shown == layers:
        return ""
    if not stalled:
        return f"the first of {layers} layers: none of them was stalled"
    if stalled < MAX_LAYERS:
        return f"{shown} of {layers} layers: the others were not stalled"
    return f"{shown} of {layers} layers: those with the most stall cycles"


def _draw_pes(axes: Axes, pes: "pd.DataFrame", name: str, about: str) -> None:
    """Each PE by its load, and what it cost the others: load imbalance shows as a slope."""
    over = 100 * pes["entries_over_mean_frac"]
    axes.scatter(over, pes["stall_cycles_caused"], s=22, color=style.BLUE, alpha=0.8, linewidths=0)
    axes.axvline(0, color=style.GREY, linestyle=style.DASHES, linewidth=0.8)
    axes.set_xlabel("entries above the mean PE's (%)")
    axes.set_ylabel("stall cycles caused")
    axes.set_ylim(bottom=0, top=1.15 * max(1, int(pes["stall_cycles_caused"].max())))
    _name_worst(axes, pes[pes["stall_cycles_caused"] > 0])
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.set_title(name if len(name) <= 28 else name[:27] + "…")
    axes.set_title(about, loc="right", fontweight="normal", fontsize=8)


def _name_worst(axes: Axes, worst: "pd.DataFrame") -> None:
    """Name the worst PEs, towards the middle; those whose names would lie on others stay without."""
    width, height = LABEL_SIZE
    taken: list[tuple[float, float]] = []
    for row in worst.head(MAX_LABELS).to_dict("records"):
        point = 100 * row["entries_over_mean_frac"], row["stall_cycles_caused"]
        x, y = axes.transAxes.inverted().transform(axes.transData.transform(point))
        on_left = x > 0.5
        place = (x - width if on_left else x, y)
        if any(abs(place[0] - x) < width and abs(y - other) < height for x, other in taken):
            continue
        taken.append(place)
        axes.annotate(
            f"PE {row['pe']}", point, xytext=(-4 if on_left else 4, 2), fontsize=8,
            textcoords="offset points", ha="right" if on_left else "left",
        )  # fmt: skip


def _draw_columns(entries: Axes, stalls: Axes, columns: "pd.DataFrame") -> None:
    """Bars of each column: its entries, and beside them, with an axis of their own, stall cycles."""
    worst = columns.head(MAX_BARS)
    if worst.empty:
        entries.text(0.5, 0.5, "no PE was late for a broadcast", ha="center", va="center",
                     transform=entries.transAxes, color=style.GREY)  # fmt: skip
        for axes in (entries, stalls):
            axes.set_axis_off()
        return
    places = np.arange(len(worst))
    entries.barh(places, worst["entries"], 0.7, color=style.BLUE)
    entries.plot(worst["mean_entries"], places, "|", color=style.INK, markersize=9,
                 markeredgewidth=2, linestyle="none")  # fmt: skip
    stalls.barh(places, worst["stall_cycles_caused"], 0.7, color=style.VERMILION)
    names = [f"{row['column']} in PE {row['pe']}" for row in worst.to_dict("records")]
    entries.set_title("columns at work meanwhile")
    entries.set_xlabel("entries of the column")
    stalls.set_xlabel("stall cycles caused")
    for axes, texts in ((entries, names), (stalls, [""] * len(names))):
        axes.set_yticks(places, texts, fontsize=8)
        axes.set_ylim(len(worst) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(False, axis="y")
