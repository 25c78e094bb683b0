"""What happened when: layers and transfers of the network, and what every PE of one layer did."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from accelsim.errors import InputError
from accelsim.report.figures import style
from accelsim.report.units import short
from accelsim.study.layer_trace import LayerTrace, State

if TYPE_CHECKING:
    from accelsim.report.trace.network_tracks import Step

MAX_BINS = 1200
MAX_ROWS = 256
YELLOW = "#F0E442"  # of the palette of `style`, and far from vermilion
# Colour and name of each state; a bin of several cycles or PEs is the mixture of its colours.
STATES = {
    State.BUSY: (style.BLUE, "busy"),
    State.EMPTY: ("#8FB8D0", "empty column"),
    State.ROW_WAIT: (style.PURPLE, "waits for a weight row"),
    State.ARBITRATION: (style.GREEN, "waits for the decoder"),
    State.NO_BROADCAST: (YELLOW, "starved: scan finds nothing"),
    State.STALLED: (style.VERMILION, "starved: broadcast stalled"),
    State.DONE: ("#C8C8C8", "done, waits for the last PE"),
}
BROADCASTS = ((style.BLUE, "broadcast"), (style.VERMILION, "stalled"), (YELLOW, "scan"))


def draw_timeline(
    layer: LayerTrace,
    path: Path,
    *,
    window: tuple[int, int] | None = None,
    steps: Sequence["Step"] = (),
    title: str = "",
) -> Path:
    """Draw the network's steps, then broadcasts, PEs and queues of one layer over its cycles.

    window: first and last cycle to draw; default: all. steps: slices of the network's tracks.
    Returns `path`. Raises InputError if the window has nothing of the layer in it.
    """
    first, last = window or (1, layer.last_cycle)
    last = min(last, layer.last_cycle)
    if first > last or not layer.columns.size:
        raise InputError(f"timeline of layer '{layer.name}': nothing happens in these cycles")
    edges = np.unique(np.linspace(first, last + 1, min(MAX_BINS, last + 1 - first) + 1).round())
    edges = edges.astype(np.int64)
    rows = min(layer.pes, MAX_ROWS)
    heights = [0.35, max(1.2, min(4.0, 0.11 * rows)), 0.9]
    tracks = list(dict.fromkeys(step.track for step in steps))
    if tracks:
        heights.insert(0, 0.3 + 0.25 * len(tracks))
    with style.picture(path, 10.0, sum(heights) + 1.6, title) as figure:
        panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        if tracks:
            _draw_network(panels[0], steps, tracks, layer)
        broadcasts, pes, queues = panels[-3:]
        _draw_broadcasts(broadcasts, layer, edges)
        seen = _draw_pes(pes, layer, edges)
        _draw_queues(queues, layer, first, last, edges)
        for axes in (broadcasts, pes, queues):
            axes.set_xlim(first, last + 1)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        for axes in (broadcasts, pes):
            axes.tick_params(labelbottom=False)
        style.legend_below(
            figure, [Patch(color=STATES[state][0], label=STATES[state][1]) for state in seen]
        )
    return path


def shares(spans: Iterable[tuple[Any, Any, Any]], rows: int, edges: Any) -> Any:
    """How much of each bin each row's spans fill, float64[rows, bins], from 0 to 1.

    spans: (row, first, end), int64[n] each, which do not overlap within a row; edges: int64[bins + 1].
    """
    begin, width = edges[0], edges[-1] - edges[0]
    filled = np.zeros((rows, edges.size - 1))
    for row, first, end in spans:
        first, end = (np.clip(edge - begin, 0, width) for edge in (first, end))  # noqa: PLW2901
        # All rows one after the other on one long axis: one search serves them all.
        order = np.argsort(row * width + first, kind="stable")
        start, length = (row * width + first)[order], (end - first)[order]
        before = np.concatenate([[0], np.cumsum(length)])
        points = np.arange(rows)[:, None] * width + (edges - begin)
        index = np.searchsorted(start, points, "right") - 1
        inside = np.clip(points - start[index], 0, length[index]) if start.size else 0
        covered = np.where(index >= 0, before[index] + inside, 0)
        filled += np.diff(covered, axis=1)
    return filled / np.diff(edges)


def _draw_network(
    axes: Axes, steps: Sequence["Step"], tracks: list[str], layer: LayerTrace
) -> None:
    for step in steps:
        chosen = step.name == layer.name
        axes.barh(
            tracks.index(step.track), step.end - step.first, left=step.first, height=0.7,
            color=style.BLUE if chosen else style.SKY, edgecolor="white", linewidth=0.5,
        )  # fmt: skip
    total = max(step.end for step in steps)
    for step in steps:
        if step.end - step.first > 0.012 * total * len(step.name):
            middle = (step.first + step.end) / 2
            axes.text(middle, tracks.index(step.track), step.name, ha="center", va="center",
                      fontsize=8, color="white", clip_on=True)  # fmt: skip
    axes.set_yticks(range(len(tracks)), tracks)
    axes.set_ylim(len(tracks) - 0.5, -0.5)
    axes.set_xlim(0, total)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.set_title("network (cycles)")
    axes.grid(False)


def _draw_broadcasts(axes: Axes, layer: LayerTrace, edges: Any) -> None:
    row = np.zeros_like(layer.broadcast)
    parts = (
        (row, layer.broadcast, layer.broadcast + 1),
        (row, layer.ready, layer.broadcast),
        (row, layer.ready - layer.gaps, layer.ready),
    )
    filled = np.stack([shares([part], 1, edges) for part in parts])
    _image(axes, filled, [colour for colour, _ in BROADCASTS], edges, 1)
    axes.set_yticks([0], ["broadcast"])
    stalled = int(layer.stalls.sum())
    which = f" ({layer.label.pass_name})" if layer.label.pass_name else ""
    axes.set_title(f"layer {layer.name}{which}", loc="left")
    counts = {"stalled": f" ({stalled:,} of {layer.array_cycles:,} cycles)"}
    _legend_above(
        axes,
        [Patch(color=colour, label=name + counts.get(name, "")) for colour, name in BROADCASTS],
    )


def _draw_pes(axes: Axes, layer: LayerTrace, edges: Any) -> list[State]:
    """Draw the states; returns those that occur."""
    first, last = int(edges[0]), int(edges[-1]) - 1
    found = [spans for spans in layer.spans(first, last) if spans.pe.size]
    per_pe = [shares([(spans.pe, spans.first, spans.end)], layer.pes, edges) for spans in found]
    groups = np.array_split(np.arange(layer.pes), min(layer.pes, MAX_ROWS))
    filled = np.stack([[part[group].mean(axis=0) for group in groups] for part in per_pe])
    _image(axes, filled, [STATES[spans.state][0] for spans in found], edges, layer.pes)
    axes.set_ylabel("PE")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    return [spans.state for spans in found]


def _image(axes: Axes, filled: Any, colours: Sequence[str], edges: Any, rows: int) -> None:
    """Mix the colours by their shares, float64[n, rows, bins]; what is left is white."""
    rest = 1 - filled.sum(axis=0)
    image = np.einsum("srb,sc->rbc", filled, np.array([to_rgb(colour) for colour in colours]))
    axes.imshow(
        np.clip(image + rest[..., None], 0, 1), extent=(edges[0], edges[-1], rows - 0.5, -0.5),
        aspect="auto", interpolation="nearest",
    )  # fmt: skip
    axes.grid(False)


def _draw_queues(axes: Axes, layer: LayerTrace, first: int, last: int, edges: Any) -> None:
    held = [(chunk.max(axis=1), chunk.mean(axis=1)) for _, chunk in layer.occupancy(first, last)]
    fullest, mean = (np.concatenate(parts) for parts in zip(*held, strict=True))
    starts = edges[:-1] - first
    axes.stairs(np.maximum.reduceat(fullest, starts), edges, color=style.INK, linewidth=0.8,
                label="fullest")  # fmt: skip
    mean = np.add.reduceat(mean, starts) / np.diff(edges)
    axes.stairs(mean, edges, fill=True, color=style.SKY, label="mean")
    axes.axhline(layer.queue_depth - 1, color=style.GREY, linestyle=style.DASHES, linewidth=0.8,
                 label="full")  # fmt: skip
    axes.set_ylim(0, 1.15 * (layer.queue_depth - 1))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_ylabel("queue\n(items)")
    axes.set_xlabel(f"cycle of layer {layer.name}")
    _legend_above(axes, axes.get_legend_handles_labels()[0])


def _legend_above(axes: Axes, handles: list[Any]) -> None:
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0,
                ncols=len(handles), fontsize=8)  # fmt: skip
