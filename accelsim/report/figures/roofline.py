"""Rooflines: what each layer reaches, over its operations per byte, under the roof of each machine."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from accelsim.errors import InputError
from accelsim.report.figures import style
from accelsim.report.units import short

if TYPE_CHECKING:
    import pandas as pd

PANELS = {
    "Dense float32 weights": ("dense",),
    "Sparse weights: float32 in CSR, or compressed in SRAM": ("sparse", "compressed"),
}
# The SRAM machine is blue, as what is simulated is in all figures.
COLOURS = (style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY, style.INK)
MARKERS = "sD^vPX"
SIMULATED = (style.BLUE, "o")

LABEL_GAP = 0.035  # of the width of an axis: names of layers closer than this share a line
LONGEST = 22  # characters of a name of layers, for which there is room
ROOM = 0.34  # of the height of an axis, under all points, for the names of layers


class _Look(NamedTuple):
    colour: str
    marker: str
    dashed: bool


class _Layers(NamedTuple):
    """Layers whose operations per byte are about the same."""

    ops_per_byte: float
    names: tuple[str, ...]

    def text(self) -> str:
        """All names, or as many of the first one's characters as there is room for."""
        together = ", ".join(self.names)
        if len(together) <= LONGEST:
            return together
        more = f" +{len(self.names) - 1}" if len(self.names) > 1 else ""
        room = LONGEST - len(more)
        first = self.names[0]
        return (first if len(first) <= room else first[: room - 1] + "…") + more


def draw_roofline(
    points: "pd.DataFrame", roofs: "pd.DataFrame", path: Path, *, title: str = ""
) -> Path:
    """Draw a panel for dense and one for sparse weights, both axes logarithmic.

    points: system, kernel, layer, ops_per_byte, gop_per_s; roofs: system, kernel, kind, status,
        gop_per_s, bandwidth_gbyte_per_s (as in `accelsim.study.roofline.Roofline`)
    A roof is dashed if its status is `estimate`. A layer's name stands under its points; layers with
    about the same operations per byte share a line. Returns `path`. Raises InputError for an empty
    table.
    """
    if points.empty or roofs.empty:
        raise InputError("roofline: nothing to draw: it needs roofs, and layers under them")
    looks = _looks(roofs)
    panels = {
        heading: kernels
        for heading, kernels in PANELS.items()
        if points["kernel"].isin(kernels).any()
    }
    with style.picture(path, 1.5 + 5.2 * len(panels), 5.6, title) as figure:
        row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (heading, kernels) in zip(row, panels.items(), strict=True):
            _scale(axes, points, roofs, kernels)
            _draw_roofs(axes, roofs[roofs["kernel"].isin(kernels)], looks)
            axes_points = points[points["kernel"].isin(kernels)]
            _draw_points(axes, axes_points, looks)
            axes.set_title(heading)
            sram = " or weight SRAM" if (axes_points["kernel"] == "compressed").any() else ""
            axes.set_xlabel(f"operations per byte from DRAM{sram}")
        row[0].set_ylabel("Gop/s")
        style.legend_below(figure, _handles(looks))
    return path


def grouped(ops_per_byte: Sequence[float], names: Sequence[str], gap: float) -> list[_Layers]:
    """Layers from few to many operations per byte; those within `gap` decades of a first one together.

    In a group names are in the order in which they came.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(names)), key=lambda index: ops_per_byte[index]):
        if groups and math.log10(ops_per_byte[index] / ops_per_byte[groups[-1][0]]) < gap:
            groups[-1].append(index)
        else:
            groups.append([index])
    return [_Layers(ops_per_byte[own[0]], tuple(names[i] for i in sorted(own))) for own in groups]


def _looks(roofs: "pd.DataFrame") -> dict[str, _Look]:
    looks, others = {}, 0
    for system, own in roofs.groupby("system", sort=False):
        if (own["kind"] == "simulated").any():
            looks[str(system)] = _Look(*SIMULATED, dashed=False)
            continue
        colour, marker = COLOURS[others % len(COLOURS)], MARKERS[others % len(MARKERS)]
        looks[str(system)] = _Look(colour, marker, bool((own["status"] == "estimate").any()))
        others += 1
    return looks


def _scale(
    axes: Axes, points: "pd.DataFrame", roofs: "pd.DataFrame", kernels: tuple[str, ...]
) -> None:
    """Logarithmic axes that hold all points and ridges, and the same heights in all panels."""
    own = roofs[roofs["kernel"].isin(kernels)]
    ridges = own["gop_per_s"] / own["bandwidth_gbyte_per_s"]
    here = points.loc[points["kernel"].isin(kernels), "ops_per_byte"]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(here.min(), ridges.min()) / 4, max(here.max(), ridges.max()) * 4)
    lowest, highest = math.log10(points["gop_per_s"].min()), math.log10(roofs["gop_per_s"].max())
    used = (highest + 0.4 - lowest) / (1 - ROOM)
    axes.set_ylim(10 ** (highest + 0.4 - used), 10 ** (highest + 0.4))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=9))
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axis.set_minor_formatter(NullFormatter())
    # Under the points stand names, not values.
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: short(value) if math.log10(value) > lowest - 1 else "")
    )
    axes.tick_params(which="minor", length=0)


def _draw_roofs(axes: Axes, roofs: "pd.DataFrame", looks: dict[str, _Look]) -> None:
    low, high = axes.get_xlim()
    for row in roofs.to_dict("records"):
        look = looks[row["system"]]
        bandwidth, peak = row["bandwidth_gbyte_per_s"], row["gop_per_s"]
        x = np.array([low, peak / bandwidth, high])
        axes.plot(x, np.minimum(bandwidth * x, peak), color=look.colour, **_line(look))


def _draw_points(axes: Axes, points: "pd.DataFrame", looks: dict[str, _Look]) -> None:
    for system, own in points.groupby("system", sort=False):
        look = looks[str(system)]
        axes.plot(own["ops_per_byte"], own["gop_per_s"], color=look.colour, linestyle="none",
                  **_marker(look))  # fmt: skip
    # The machine has other operations per byte than a platform: each has names of its own.
    low, high = axes.get_xlim()
    gap = LABEL_GAP * math.log10(high / low)
    for simulated, own in points.groupby(points["kernel"] == "compressed"):
        layers = own.drop_duplicates("layer")
        _write_names(
            axes,
            grouped(layers["ops_per_byte"].tolist(), layers["layer"].tolist(), gap),
            style.BLUE if simulated else style.INK,
            own,
        )


def _write_names(axes: Axes, groups: list[_Layers], colour: str, points: "pd.DataFrame") -> None:
    bottom = axes.get_ylim()[0]
    for group in groups:
        top = points.loc[points["layer"].isin(group.names), "gop_per_s"].max()
        axes.plot([group.ops_per_byte] * 2, [bottom, top], color=colour, linewidth=0.6, alpha=0.5,
                  linestyle=":", zorder=0.9)  # fmt: skip
        axes.annotate(
            group.text(), (group.ops_per_byte, 0.0), xycoords=("data", "axes fraction"),
            xytext=(0, 4), textcoords="offset points", rotation=90, ha="center", va="bottom",
            fontsize=7.5, color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip


def _line(look: _Look) -> dict[str, Any]:
    return {"linewidth": 1.3, "linestyle": style.DASHES if look.dashed else "-", "alpha": 0.9}


def _marker(look: _Look) -> dict[str, Any]:
    return {
        "marker": look.marker,
        "markersize": 5.5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }


def _handles(looks: dict[str, _Look]) -> list[Artist]:
    return [
        Line2D(
            [],
            [],
            color=look.colour,
            label=f"{name} (estimate)" if look.dashed else name,
            **_line(look),
            **_marker(look),
        )
        for name, look in looks.items()
    ]
