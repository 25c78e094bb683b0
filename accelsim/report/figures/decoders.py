"""What decoders save and cost: weight-SRAM capacity against cycles, energy and area."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from accelsim.errors import InputError
from accelsim.report.figures import style

if TYPE_CHECKING:
    import pandas as pd

COLOURS = {
    "bit_serial": style.VERMILION,
    "one_symbol": style.ORANGE,
    "pair": style.BLUE,
    "two_level": style.GREEN,
    "multi_symbol": style.PURPLE,
}
FIXED = style.INK
MARKERS = {"": "*", "inline": "o", "shared": "s", "load": "^"}
NAMES = {
    "": "fixed entries",
    "inline": "decoded in each PE",
    "shared": "one decoder for {} PEs",
    "load": "decoded on the way from DRAM",
}
PANELS = (
    ("cycles_ratio", "Cycles"),
    ("energy_ratio", "Energy"),
    ("area_ratio", "Area"),
)
SIZE = 6.5
DODGE = 0.022  # of the width of a panel
LOG_SPAN = 2.0


class Kind(NamedTuple):
    """How a point looks: its colour tells the design, its shape the placement, its face the alignment."""

    colour: str
    marker: str
    alignment: str

    def drawn(self) -> dict[str, Any]:
        """Keywords for a marker: filled, half filled (byte) or open (row)."""
        faces = {"bit": "full", "byte": "left", "row": "none"}
        return {
            "marker": self.marker,
            "color": self.colour,
            "fillstyle": faces[self.alignment],
            "markerfacecoloralt": "white",
            "markersize": SIZE + 4 * (self.marker == "*"),
            "markeredgewidth": 1.1,
            "linestyle": "none",
            "zorder": 4 if self.colour == FIXED else 3,
        }


def draw_decoders(frame: "pd.DataFrame", path: Path, *, title: str = "") -> Path:
    """Draw cycles, energy and area over the weight-SRAM capacity that is left; a row per network.

    frame: a row per network and machine: columns network, placement ("" for fixed entries), design,
        alignment, shared_by, saved_pct, cycles_ratio, energy_ratio, area_ratio; the ratios are to fixed
        entries.
    Returns `path`. Raises InputError for an empty table.
    """
    networks = list(dict.fromkeys(frame["network"]))
    if not networks:
        raise InputError("decoders: nothing to draw: the table has no rows")
    with style.picture(path, 11, 2.9 * len(networks) + 1.5, title) as figure:
        grid = figure.subplots(len(networks), len(PANELS), squeeze=False)
        for row, network in zip(grid, networks, strict=True):
            points = frame[frame["network"] == network]
            for axes, (column, name) in zip(row, PANELS, strict=True):
                _draw_panel(axes, points, column)
                axes.set_title(f"{network}: {name.lower()}")
        for axes in grid[-1]:
            axes.set_xlabel("weight SRAM (fixed entries = 1)")
        for axes in grid[:, 0]:
            axes.set_ylabel("fixed entries = 1")
        style.legend_below(figure, _legend(frame))
    return path


def _draw_panel(axes: Axes, points: "pd.DataFrame", column: str) -> None:
    capacity = (1 - points["saved_pct"] / 100).tolist()
    step = DODGE * math.log(max(capacity) / min(capacity))
    axes.axhline(1.0, color=style.GREY, linestyle=style.DASHES, linewidth=1.0, zorder=1.5)
    axes.axvline(1.0, color=style.GREY, linestyle=style.DASHES, linewidth=1.0, zorder=1.5)
    designs = list(COLOURS)
    for point, at in zip(points.to_dict("records"), capacity, strict=True):
        design = point["design"]
        # Points of several designs would hide each other: they stand side by side.
        aside = designs.index(design) - len(designs) // 2 if design in designs else 0
        kind = Kind(COLOURS.get(design, FIXED), MARKERS[point["placement"]], point["alignment"])
        axes.plot([at * math.exp(step * aside)], [point[column]], **kind.drawn())
    axes.set_xscale("log")
    axes.margins(x=0.08)
    _ticks(axes.xaxis, min(capacity), max(capacity))
    low, high = min(1.0, points[column].min()), max(1.2, points[column].max())
    if high / low > LOG_SPAN:
        axes.set_yscale("log")
        axes.set_ylim(0.93 * low, 1.12 * high)
        _ticks(axes.yaxis, low, high)
    else:
        axes.set_ylim(low - 0.05 * (high - low), high + 0.08 * (high - low))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(_times)


def _ticks(axis: Axis, low: float, high: float) -> None:
    """A few ticks on a logarithmic axis, more of them where it is short."""
    subs = (1.0, 2.0, 5.0) if high / low > 5 else (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 8.0)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(_times)


def _times(value: float, _position: float) -> str:
    return f"{value:.3g}×"


def _legend(frame: "pd.DataFrame") -> list[Artist]:
    """Designs by colour, placements by shape, alignments by face; only those that are there."""
    handles: list[Artist] = [
        Line2D([], [], label=design, **Kind(colour, "o", "bit").drawn())
        for design, colour in COLOURS.items()
        if (frame["design"] == design).any()
    ]
    for placement, marker in MARKERS.items():
        here = frame[frame["placement"] == placement]
        if len(here):
            name = NAMES[placement].format(here["shared_by"].iloc[0])
            kind = Kind(style.GREY if placement else FIXED, marker, "bit")
            handles.append(Line2D([], [], label=name, **kind.drawn()))
    handles += [
        Line2D([], [], label=f"columns begin at any {unit}", **Kind(style.GREY, "o", unit).drawn())
        for unit in ("bit", "byte", "row")
        if (frame["alignment"] == unit).any()
    ]
    return handles
