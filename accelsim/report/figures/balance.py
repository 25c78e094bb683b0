"""How evenly the work is spread over the PEs: what each PE did with its cycles, layer by layer."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from accelsim.errors import InputError
from accelsim.report.figures import style
from accelsim.report.units import short

if TYPE_CHECKING:
    import pandas as pd

MAX_LAYERS = 6
# Column of `Result.pes`, what it is called, colour.
STATES = (
    ("busy_cycles", "busy: one entry a cycle", style.BLUE),
    ("empty_column_cycles", "column without entries", "#B8B8B8"),
    ("starved_cycles", "starved: queue empty", style.ORANGE),
)


def draw_pe_balance(pes: "pd.DataFrame", path: Path, *, title: str = "") -> Path:
    """Draw what every PE did with its cycles, the busiest PE first; one panel per layer.

    pes: `Result.pes`: columns layer, pe, busy_cycles; starved_cycles and empty_column_cycles if
        there. Of more than MAX_LAYERS layers those with the most busy cycles are drawn.
    The number over each panel is the load balance: mean over maximum of the PEs' busy cycles.
    Returns `path`. Raises InputError for an empty table.
    """
    layers = _longest(pes)
    if not layers:
        raise InputError("PE balance: nothing to draw: the table has no rows")
    left_out = pes["layer"].nunique() - len(layers)
    columns = min(3, len(layers))
    rows = -(-len(layers) // columns)
    size = (max(6.5, 3.9 * columns), 2.7 * rows + 1.0)
    with style.picture(path, *size, _title(title, len(layers), left_out)) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).flat
        for axes, layer in zip(grid, layers, strict=False):
            _draw_layer(axes, pes[pes["layer"] == layer], str(layer))
        for axes in list(grid)[len(layers) :]:
            axes.set_axis_off()
        shown = [state for state in STATES if state[0] in pes]
        style.legend_below(figure, [Patch(color=c, label=name) for _, name, c in shown])
    return path


def load_balance(busy_cycles: Any) -> float:
    """Mean over maximum of the PEs' busy cycles: 1 where all have the same work."""
    busy = np.asarray(busy_cycles, dtype=float)
    return float(busy.mean() / busy.max()) if busy.size and busy.max() > 0 else 1.0


def _longest(pes: "pd.DataFrame") -> list[Any]:
    """At most MAX_LAYERS layers, those with the most work, in the order of the network."""
    work = pes.groupby("layer", sort=False)["busy_cycles"].sum()
    kept = set(work.sort_values(ascending=False, kind="stable").index[:MAX_LAYERS])
    return [layer for layer in work.index if layer in kept]


def _draw_layer(axes: Axes, pes: "pd.DataFrame", name: str) -> None:
    ordered = pes.sort_values("busy_cycles", ascending=False, kind="stable")
    edges = np.arange(len(ordered) + 1)
    base = np.zeros(len(ordered))
    for column, _, colour in STATES:
        if column in ordered:
            top = base + ordered[column].to_numpy(dtype=float)
            axes.stairs(top, edges, baseline=base, fill=True, color=colour, linewidth=0)
            base = top
    axes.set_xlim(0, len(ordered))
    axes.set_ylim(0, 1.08 * base.max() or 1.0)
    axes.set_title(name if len(name) <= 28 else name[:27] + "…")
    axes.set_title(f"balance {load_balance(ordered['busy_cycles']):.2f}", loc="right",
                   fontweight="normal", fontsize=9)  # fmt: skip
    axes.set_xlabel(f"{len(ordered)} PEs, busiest first" if len(ordered) > 1 else "1 PE")
    axes.set_ylabel("cycles")
    axes.set_xticks([])
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.grid(False, axis="x")


def _title(title: str, shown: int, left_out: int) -> str:
    if not left_out:
        return title
    note = f"the {shown} layers with the most work of {shown + left_out}"
    return f"{title}: {note}" if title else note[0].upper() + note[1:]
