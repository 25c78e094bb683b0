"""Where the energy of each system goes."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from accelsim.errors import InputError
from accelsim.report.figures import style
from accelsim.report.units import energy_text, ratio_text

if TYPE_CHECKING:
    import pandas as pd

LABEL_WIDTH = 40
LINE_HEIGHT = 0.17  # inches, of one line of a label
LABELLED_SHARE = 5.0  # per cent: a smaller part is too narrow for a number
BAR = 0.62  # of the distance between two rows

# Parts of the energy, DRAM first, so that its bars start at the axis and can be compared. What is
# spent in an SRAM is a blue, what computes a green, what just runs a grey.
PARTS = {
    "DRAM": style.VERMILION,
    "weight SRAM": style.BLUE,
    "pointer SRAM": "#3D9BD6",
    "activation SRAM": "#8CC6EC",
    "other SRAM": "#C5E2F5",
    "arithmetic": style.GREEN,
    "queues and registers": "#7CCDB5",
    "broadcast wires": style.ORANGE,
    "clock": "#8F8F8F",
    "leakage": "#C9C9C9",
    "other": style.PURPLE,
}
SRAMS = ("weight SRAM", "pointer SRAM", "activation SRAM")
# For components whose group is not told: the first word that occurs decides.
WORDS = {
    "clock": "clock",
    "multipl": "arithmetic",
    "arithmetic": "arithmetic",
    "queue": "queues and registers",
    "codebook": "queues and registers",
    "accumulator": "queues and registers",
    "detection": "queues and registers",
    "table": "other SRAM",
}


def draw_energy_breakdown(energy: "pd.DataFrame", path: Path, *, title: str = "") -> Path:
    """Draw each system's energy as shares of its parts, with the total beside the bar.

    energy: columns system, component, group (as in `Result.energy`), energy_uj; rows of the same part
        are added up (`part_of`).
    Returns `path`. Raises InputError for an empty table.
    """
    if energy.empty:
        raise InputError("energy breakdown: nothing to draw: the table has no rows")
    parts = parts_by_system(energy)
    totals = parts.sum(axis=1)
    shares = 100 * parts.div(totals.where(totals > 0), axis=0).fillna(0.0)
    names = [_wrapped(str(name)) for name in parts.index]
    with style.picture(path, 11, _height(names) + 1.7, title) as figure:
        axes = figure.subplots()
        _stack(axes, shares)
        _write_totals(axes, totals.tolist())
        axes.set_title("Where the energy of an inference goes")
        _rows(axes, names)
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of the system's energy (%)")
        style.legend_below(figure, [_patch(part, PARTS[part]) for part in shares.columns])
    return path


def parts_by_system(energy: "pd.DataFrame") -> "pd.DataFrame":
    """Energy in µJ, a row per system and a column per part, both in the order to draw them."""
    parts = [
        part_of(str(component), str(group))
        for component, group in zip(energy["component"], energy["group"], strict=True)
    ]
    sums = energy.assign(part=parts).pivot_table(
        index="system", columns="part", values="energy_uj", aggfunc="sum", fill_value=0.0
    )
    systems = list(dict.fromkeys(energy["system"]))
    return sums.reindex(index=systems, columns=[name for name in PARTS if name in sums])


def part_of(component: str, group: str) -> str:
    """Name the part of the machine, a key of PARTS, that a component of `Result.energy` is in."""
    text = component.lower()
    if group == "DRAM" or "dram" in text.split():
        return "DRAM"
    if "leakage" in text or text in ("multiply", "add"):
        return "leakage" if "leakage" in text else "arithmetic"
    if "sram" in text or group == "memory":
        return next((part for part in SRAMS if text.startswith(part.lower())), "other SRAM")
    if group == "wires":
        return "broadcast wires"
    if group in ("logic", "registers"):
        return "queues and registers"
    return next((part for word, part in WORDS.items() if word in text), "other")


def _rows(axes: Axes, names: list[str]) -> None:
    """Systems from top to bottom."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")


def _microjoules(energy_uj: float) -> str:
    return energy_text(1e6 * energy_uj)


def _stack(axes: Axes, shares: "pd.DataFrame") -> None:
    left = np.zeros(len(shares))
    for name in shares.columns:
        width = shares[name].to_numpy(dtype=float)
        axes.barh(
            range(len(shares)), width, left=left, height=BAR,
            color=PARTS[name], edgecolor="white", linewidth=0.6,
        )  # fmt: skip
        _write_shares(axes, left, width, _text_on(PARTS[name]))
        left = left + width


def _write_shares(axes: Axes, left: Any, width: Any, colour: str) -> None:
    for row, (start, share) in enumerate(zip(left, width, strict=True)):
        if share >= LABELLED_SHARE:
            # Whole per cents, except where that would hide that something else is there too.
            text = f"{share:.1f}%" if 99 < share < 99.95 else f"{share:.0f}%"
            middle = start + share / 2
            axes.text(middle, row, text, ha="center", va="center", fontsize=8, color=colour)


def _write_totals(axes: Axes, totals: list[float]) -> None:
    for row, total in enumerate(totals):
        times = f"   {ratio_text(total / totals[0])}" if totals[0] > 0 else ""
        axes.annotate(
            _microjoules(total) + times, (1, row), xycoords=("axes fraction", "data"),
            xytext=(6, 0), textcoords="offset points", va="center", weight="bold",
            annotation_clip=False,
        )  # fmt: skip


def _text_on(colour: str) -> str:
    """White on dark colours, ink on light ones (weights of ITU-R BT.709)."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.55 else style.INK


def _wrapped(name: str) -> str:
    """Break the name into as few lines as fit, of about equal length."""
    fewest = textwrap.wrap(name, LABEL_WIDTH) or [""]
    for width in range(LABEL_WIDTH // 2, LABEL_WIDTH):
        lines = textwrap.wrap(name, width)
        if len(lines) == len(fewest):
            return "\n".join(lines)
    return "\n".join(fewest)


def _height(names: list[str]) -> float:
    """Inches for one bar a name."""
    lines = max(1 + name.count("\n") for name in names)
    return len(names) * max(0.36, 0.1 + LINE_HEIGHT * lines)


def _patch(name: str, colour: str, hatch: str = "") -> Patch:
    return Patch(facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0, label=name)
