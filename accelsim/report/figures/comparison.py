"""Systems side by side: latency and energy per inference, logarithmic, every number with its source."""

import math
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from accelsim.errors import InputError
from accelsim.report.figures import style
from accelsim.report.units import energy_text, ratio_text, time_text

if TYPE_CHECKING:
    import pandas as pd

ROW_INCHES = 0.25
NOTE_INCHES = 0.145  # of a line of a footnote
NAME_WIDTH, NOTE_WIDTH, NOTE_LINES = 52, 215, 2
HEADINGS = {
    "simulated": "Simulated: SRAM, and the same machine on DRAM",
    "measured": "Measured",
    "published": "Published",
    "estimate": "Estimated: models, not measurements",
}


class _Line(NamedTuple):
    """A heading, or a system with the number of its footnote."""

    text: str
    row: dict[str, Any] | None
    mark: str = ""


class _Panel(NamedTuple):
    """What one axis shows: columns of the table, and how its values are written."""

    title: str
    what: str
    unit: str
    kind: str
    text: Callable[[float], str]

    def limits(self, row: dict[str, Any]) -> tuple[float, float] | None:
        """Least and most, if the row has both."""
        low, high = (row.get(f"{self.what}_{end}_{self.unit}") for end in ("low", "high"))
        if low is None or high is None or not (_drawable(low) and _drawable(high)):
            return None
        return low, high


def _microjoules(energy_uj: float) -> str:
    return energy_text(1e6 * energy_uj)


PANELS = (
    _Panel("Latency per inference", "latency", "us", "kind", time_text),
    _Panel("Energy per inference", "energy", "uj", "energy_kind", _microjoules),
)


def draw_comparison(table: "pd.DataFrame", path: Path, *, title: str = "") -> Path:
    """Draw every system's latency and energy, grouped, marked and coloured by what the numbers are.

    table: columns as in `Comparison.table`; ratios are to the first row, whose values are the dashed lines.
        *_low and *_high are drawn as bars, where a row has them. A NaN is marked as not known.
    Sources stand as numbered footnotes below. Returns `path`. Raises InputError for an empty table.
    """
    if table.empty:
        raise InputError("comparison: nothing to draw: the table has no rows")
    lines, notes = _lines(table)
    n_notes = sum(note.count("\n") + 1 for note in notes)
    height = ROW_INCHES * len(lines) + NOTE_INCHES * n_notes + 1.7
    with style.picture(path, 12, height, title) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, panel in zip((left, right), PANELS, strict=True):
            _draw_panel(axes, panel, lines)
        _name_rows(left, lines)
        kinds = dict.fromkeys(
            str(kind) for panel in PANELS for kind in table.get(panel.kind, table["kind"])
        )
        figure.legend(handles=_legend(list(kinds)), loc="outside upper right", ncols=len(kinds) + 1)
        _write_notes(figure, notes)
    return path


def _lines(table: "pd.DataFrame") -> tuple[list[_Line], list[str]]:
    """Systems under the heading of their kind, in the order of the kinds, and the footnotes."""
    lines: list[_Line] = []
    numbers: dict[str, int] = {}
    records = table.to_dict("records")
    kinds = dict.fromkeys([*HEADINGS, *(str(row["kind"]) for row in records)])
    for kind in kinds:
        own = [row for row in records if row["kind"] == kind]
        if own:
            lines.append(_Line(HEADINGS.get(kind, kind.capitalize()), None))
        for row in own:
            source = str(row.get("source") or "")
            mark = str(numbers.setdefault(source, len(numbers) + 1)) if source else ""
            lines.append(_Line(str(row["system"]), {str(k): v for k, v in row.items()}, mark))
    return lines, [_note(number, source) for source, number in numbers.items()]


def _note(number: int, source: str) -> str:
    """A footnote on as few lines as there is room for."""
    text = f"{number}  {source}"
    kept = textwrap.wrap(text, NOTE_WIDTH, max_lines=NOTE_LINES, placeholder=" …")
    return "\n".join(kept)


def _draw_panel(axes: Axes, panel: _Panel, lines: list[_Line]) -> None:
    column = f"{panel.what}_{panel.unit}"
    values = [line.row[column] for line in lines if line.row]
    low, high = _decades(values)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_title(panel.title)
    for y, line in enumerate(lines):
        if line.row:
            _draw_value(axes, panel, line.row, y, low)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    first = next(line.row for line in lines if line.row)
    _finish_axis(axes, first[column], any(map(_drawable, values)), panel.text)


def _draw_value(axes: Axes, panel: _Panel, row: dict[str, Any], y: int, low: float) -> None:
    """A line to the value, its mark, the bar of its limits, and the value with its ratio."""
    value = row[f"{panel.what}_{panel.unit}"]
    if not _drawable(value):
        _write(axes, low, y, "not known", color=style.GREY, style="italic")
        return
    kind = str(row.get(panel.kind) or row["kind"])
    colour, mark = _look(kind)
    axes.plot([low, value], [y, y], color=colour, linewidth=1.0, alpha=0.45, zorder=1.5)
    limits = panel.limits(row)
    end = value
    if limits:
        end = max(value, limits[1])
        axes.plot(limits, [y, y], color=colour, linewidth=5, alpha=0.35, zorder=1.6,
                  solid_capstyle="butt")  # fmt: skip
    axes.plot([value], [y], mark, color=colour, markersize=6, zorder=3,
              markerfacecolor="white" if kind == "estimate" else colour)  # fmt: skip
    ratio = ratio_text(row[f"{panel.what}_ratio"])
    _write(
        axes,
        end,
        y,
        f"{panel.text(value)}   {ratio}",
        weight="bold" if ratio == "1.0×" else "normal",
    )


def _finish_axis(axes: Axes, first: float, drawn: bool, text: Callable[[float], str]) -> None:
    """Ticks at decades in human units; the first row's value as a line."""
    if not drawn:
        axes.set_xticks([])
        axes.set_xticks([], minor=True)
        return
    axes.xaxis.set_major_locator(LogLocator(numticks=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _without_zeros(text(value))))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)
    if _drawable(first):
        axes.axvline(first, color=style.INK, linewidth=0.9, linestyle=style.DASHES, zorder=0.9)


def _name_rows(axes: Axes, lines: list[_Line]) -> None:
    """Systems from top to bottom, each with its footnote's number; headings in bold, at the left."""
    labels = [
        f"{_short(line.text)} [{line.mark}]" if line.mark else _short(line.text) for line in lines
    ]
    axes.set_yticks(range(len(lines)), labels)
    axes.set_ylim(len(lines) - 0.4, -0.7)
    for label, line in zip(axes.get_yticklabels(), lines, strict=True):
        if line.row is None:
            label.set_fontweight("bold")


def _look(kind: str) -> tuple[str, str]:
    """Colour and mark of a kind of number."""
    return style.kind_style(kind).colour, style.MARKS.get(kind, "v")


def _short(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…"


def _legend(kinds: list[str]) -> list[Artist]:
    handles: list[Artist] = []
    for kind in kinds:
        colour, mark = _look(kind)
        face = "white" if kind == "estimate" else colour
        handles.append(
            Line2D(
                [], [], linestyle="", marker=mark, color=colour, markerfacecolor=face, label=kind
            )
        )
    bar = Line2D(
        [], [], color=style.GREY, linewidth=5, alpha=0.35,
        label="where sources disagree, or the model's error",
    )  # fmt: skip
    return [*handles, bar]


def _write_notes(figure: Figure, notes: list[str]) -> None:
    """Footnotes below the panels."""
    if notes:
        figure.supxlabel(
            "\n".join(notes), x=0.01, ha="left", fontsize=6.5, color=style.GREY, linespacing=1.25
        )


def _decades(values: list[float]) -> tuple[float, float]:
    """Limits of a logarithmic axis: lines of a visible length, and room for what stands there."""
    shown = [math.log10(value) for value in values if _drawable(value)]
    if not shown:
        return 0.1, 10.0
    low = math.floor(min(shown) - 0.25)
    used = max(1.0, max(shown) - low)
    return 10.0**low, 10.0 ** (low + used / 0.68)


def _drawable(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _without_zeros(text: str) -> str:
    """`1 µs` for `1.00 µs`."""
    amount, unit = text.split(" ")
    return f"{amount.rstrip('0').rstrip('.') if '.' in amount else amount} {unit}"


def _write(axes: Axes, x: float, row: int, text: str, **font: Any) -> None:
    axes.annotate(
        text, (x, row), xytext=(8, 0), textcoords="offset points", va="center", annotation_clip=False,
        fontsize=8, **font,
    )  # fmt: skip
