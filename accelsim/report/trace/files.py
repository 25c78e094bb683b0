"""A trace as files in a folder."""

from pathlib import Path

from accelsim.errors import CapacityError, InputError
from accelsim.files import make_folder, write_csv
from accelsim.report.figures.stalls import draw_stalls
from accelsim.report.figures.timeline import draw_timeline
from accelsim.report.trace import chrome, waves
from accelsim.report.trace.network_tracks import network_steps
from accelsim.report.trace.ruler import Ruler
from accelsim.report.units import setting
from accelsim.study.layer_trace import LayerTrace
from accelsim.study.trace import Trace

DEFAULT_LIMIT_MB = 200.0  # beyond this, Perfetto takes long to open JSON
DEFAULT_QUEUES = 4
MB = 1e6
OPTIONAL = ("wave.vcd", "timeline.png")  # not of every trace


def write_trace(
    trace: Trace,
    folder: Path,
    *,
    window: tuple[int, int] | None = None,
    queues: int = DEFAULT_QUEUES,
    ruler: str = "time",
    limit_mb: float = DEFAULT_LIMIT_MB,
) -> list[Path]:
    """Write trace.json, timeline.png, the stall report and, with a window, wave.vcd; returns the paths.

    The stall report is stalls.csv, stall_columns.csv, stall_layers.csv and stalls.png. Files of an
    earlier trace in the folder are replaced, or removed where this one has no such file.

    window: first and last cycle, of the only layer traced, to which trace.json, timeline.png and
        wave.vcd are limited; the stall report is of the whole layer
    queues: PEs with a track for their queue, those with the fullest
    ruler: `time` or `cycles`: what the time axis of trace.json shows
    limit_mb: largest trace.json and wave.vcd to write

    Raises InputError for a window that is not within the layer's cycles, and CapacityError for a file
    that would be too large, both before anything is written.
    """
    folder = Path(folder)
    axis = Ruler(ruler, trace.result.machine.clock_mhz)
    if window is not None:
        _check_window(trace, window)
    _check_sizes(trace, window, queues, limit_mb)
    make_folder(folder)
    tables = {
        "stalls.csv": trace.stalls,
        "stall_columns.csv": trace.stall_columns,
        "stall_layers.csv": trace.layers,
    }
    written = [folder / "trace.json"]
    chrome.write_chrome(trace, written[0], axis, window, queues)
    for name, table in tables.items():
        write_csv(table, folder / name)
        written.append(folder / name)
    if window is not None:
        written.append(folder / "wave.vcd")
        waves.write_waves(trace.traced[0], written[-1], *window, trace.result.machine.clock_mhz)
    written += _draw(trace, folder, window)
    for name in OPTIONAL:  # of an earlier trace
        if folder / name not in written:
            (folder / name).unlink(missing_ok=True)
    return written


def _draw(trace: Trace, folder: Path, window: tuple[int, int] | None) -> list[Path]:
    """The pictures: of several layers, the timeline is that of the longest."""
    machine = trace.result.machine
    name = f"{trace.result.network} on {machine.name}, {setting('pes', machine.pes)}"
    stalls = draw_stalls(
        trace.layers, trace.stalls, trace.stall_columns, folder / "stalls.png",
        title=f"{name}: who holds the array back",
    )  # fmt: skip
    longest = max(trace.traced, key=lambda layer: layer.array_cycles)
    if not longest.columns.size:
        return [stalls]
    timeline = draw_timeline(
        longest,
        folder / "timeline.png",
        window=window,
        steps=network_steps(trace.result),
        title=name,
    )
    return [stalls, timeline]


def _check_window(trace: Trace, window: tuple[int, int]) -> None:
    first, last = window
    names = [layer.name for layer in trace.traced]
    if len(names) != 1:
        raise InputError(
            f"window {first}:{last}: counts the cycles of one layer: choose it with --layer "
            f"({', '.join(names[:8])})"
        )
    end = trace.traced[0].last_cycle
    if not 1 <= first <= last <= end:
        raise InputError(
            f"window {first}:{last}: layer '{names[0]}' has cycles 1 to {end}: give FIRST:LAST of these"
        )


def _check_sizes(
    trace: Trace, window: tuple[int, int] | None, queues: int, limit_mb: float
) -> None:
    sizes = [
        chrome.estimated_bytes(layer, chrome.scope_of(layer, window, queues)) / MB
        for layer in trace.traced
    ]
    if sum(sizes) > limit_mb:
        remedy = "trace one layer (--layer)" if len(sizes) > 1 else _narrower(trace.traced[0])
        raise CapacityError(
            f"trace.json would have about {sum(sizes):,.0f} MB, more than {limit_mb:g}: {remedy}, "
            "or allow more (--limit)"
        )
    if window is not None:
        layer = trace.traced[0]
        size = waves.estimated_bytes(layer, *window) / MB
        if size > limit_mb:
            raise CapacityError(
                f"wave.vcd would have about {size:,.0f} MB, more than {limit_mb:g}: "
                f"{_narrower(layer)}, or allow more (--limit)"
            )


def _narrower(layer: LayerTrace) -> str:
    return f"trace fewer of the cycles 1 to {layer.last_cycle} (--window FIRST:LAST)"
