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
    with style.picture(path, 10.0, 3.3 * len(shown) + 0.7, title) as figure:
        grid = figure.subplots(len(shown), 2, squeeze=False)
        for (left, right), layer in zip(grid, shown.to_dict("records"), strict=True):
            name = str(layer["layer"])
            about = f"stalled {layer['stall_cycles']:,} of {layer['array_cycles']:,} cycles"
            _draw_pes(left, pes[pes["layer"] == name], name, about)
            _draw_columns(right, columns[columns["layer"] == name])
        style.legend_below(figure, LEGEND)
    return path


def _draw_pes(axes: Axes, pes: "pd.DataFrame", name: str, about: str) -> None:
    """Each PE by its load, and what it cost the others: load imbalance shows as a slope."""
    over = 100 * pes["entries_over_mean_frac"]
    axes.scatter(over, pes["stall_cycles_caused"], s=22, color=style.BLUE, alpha=0.8, linewidths=0)
    for row in pes[pes["stall_cycles_caused"] > 0].head(5).to_dict("records"):
        axes.annotate(
            f"PE {row['pe']}", (100 * row["entries_over_mean_frac"], row["stall_cycles_caused"]),
            xytext=(4, 2), textcoords="offset points", fontsize=8,
        )  # fmt: skip
    axes.axvline(0, color=style.GREY, linestyle=style.DASHES, linewidth=0.8)
    axes.set_xlabel("entries above the mean PE's (%)")
    axes.set_ylabel("stall cycles caused")
    axes.set_ylim(bottom=0, top=1.15 * max(1, int(pes["stall_cycles_caused"].max())))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.set_title(name if len(name) <= 28 else name[:27] + "…")
    axes.set_title(about, loc="right", fontweight="normal", fontsize=8)


def _draw_columns(axes: Axes, columns: "pd.DataFrame") -> None:
    worst = columns.head(MAX_BARS)
    axes.set_title("columns at work while a broadcast waited")
    if worst.empty:
        axes.text(0.5, 0.5, "no PE was late for a broadcast", ha="center", va="center",
                  transform=axes.transAxes, color=style.GREY)  # fmt: skip
        axes.set_axis_off()
        return
    places = np.arange(len(worst))
    axes.barh(places - 0.2, worst["entries"], 0.38, color=style.BLUE)
    axes.plot(worst["mean_entries"], places - 0.2, "|", color=style.INK, markersize=9,
              markeredgewidth=2, linestyle="none")  # fmt: skip
    axes.barh(places + 0.2, worst["stall_cycles_caused"], 0.38, color=style.VERMILION)
    names = [f"{row['column']} in PE {row['pe']}" for row in worst.to_dict("records")]
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(len(worst) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(False, axis="y")
