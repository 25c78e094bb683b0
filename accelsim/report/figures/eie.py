"""EIE's tables and figures as pictures: each function draws one chapter's data."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from accelsim.report.figures import style
from accelsim.report.units import short

if TYPE_CHECKING:
    import pandas as pd

Draw = Callable[["pd.DataFrame", Path], Path]

PUBLISHED: Any = {"facecolor": style.ORANGE, "edgecolor": "white", "hatch": "..."}
OURS: Any = {"color": style.BLUE}
WIDTH, HEIGHT = 9.0, 3.9
BAR = 0.38
# Nine curves: the palette's six colours, then three greys; markers tell all of them apart.
COLOURS = (*style.CYCLE, style.INK, style.GREY, "#B8B8B8")
SHARES = (
    ("useful_pct", "useful entries", style.BLUE),
    ("padding_pct", "padding entries", style.SKY),
    ("empty_column_pct", "empty columns", "#B8B8B8"),
    ("starved_pct", "starved", style.ORANGE),
    ("before_and_after_pct", "before and after", style.PALE),
)


def draw_table_iv(frame: "pd.DataFrame", path: Path) -> Path:
    """Published and our time per layer; a line spans what the densities' rounding allows."""
    with style.picture(path, WIDTH, HEIGHT, "Time per layer on EIE, 64 PEs") as figure:
        axes = figure.subplots()
        at = _pairs(axes, frame, "layer", "published_us", "ours_us")
        spread = frame[["least_density_us", "greatest_density_us"]].to_numpy(dtype=float).T
        ours = frame["ours_us"].to_numpy(dtype=float)
        both = np.array([ours - spread[0], spread[1] - ours]).clip(min=0.0)
        axes.errorbar(
            at + BAR / 2, ours, both, fmt="none", ecolor=style.INK, capsize=3, linewidth=1.2
        )
        axes.set_ylabel("µs")
        for x, row in zip(at, frame.itertuples(), strict=True):
            top = np.nanmax([row.published_us, row.ours_us, row.greatest_density_us])
            axes.annotate(
                f"{row.difference_pct:+.1f} %", (x, top), xytext=(0, 4),
                textcoords="offset points", ha="center", fontsize=8,
            )  # fmt: skip
        axes.margins(y=0.12)
        line = Line2D([], [], color=style.INK, label="within the rounding of the densities")
        style.legend_below(figure, [*_pair_handles(), line])
    return path


def draw_pe(frame: "pd.DataFrame", path: Path) -> Path:
    """Published and our rows of Table II; those that were fitted are pale."""
    what = next(str(name) for name in frame if str(name).startswith("ours_"))[len("ours_") :]
    quantity, unit = {"power_mw": ("Power", "mW"), "area_um2": ("Area", "µm²")}[what]
    with style.picture(path, WIDTH, HEIGHT, f"{quantity} of one PE of EIE") as figure:
        axes = figure.subplots()
        at = _pairs(axes, frame, "row", f"published_{what}", f"ours_{what}")
        axes.set_yscale("log")
        axes.set_ylabel(unit)
        axes.tick_params(axis="x", labelsize=8)
        ours: Any = axes.containers[1]
        for bar, fitted in zip(ours, frame["fitted"], strict=True):
            bar.set_alpha(0.35 if fitted else 1.0)
        for x, row in zip(at, frame.to_dict("records"), strict=True):
            top = max(row[f"published_{what}"], row[f"ours_{what}"])
            axes.annotate(
                f"{row['difference_pct']:+.1f} %", (x, top), xytext=(0, 4),
                textcoords="offset points", ha="center", fontsize=8,
            )  # fmt: skip
        axes.margins(y=0.12)
        fitted_bar = Patch(**OURS, alpha=0.35, label="ours, fitted to this row")
        style.legend_below(figure, [*_pair_handles(), fitted_bar])
    return path


def draw_theory(frame: "pd.DataFrame", path: Path) -> Path:
    """Theoretical time over operations ÷ throughput."""
    title = "Theoretical time over operations ÷ throughput"
    with style.picture(path, WIDTH, HEIGHT, title) as figure:
        axes = figure.subplots()
        _pairs(axes, frame, "layer", "published_ratio", "ours_ratio")
        axes.axhline(1.0, color=style.GREY, linestyle=style.DASHES, linewidth=1.1)
        axes.set_ylabel("ratio")
        style.legend_below(figure, _pair_handles())
    return path


def draw_cycles(frame: "pd.DataFrame", path: Path) -> Path:
    """Shares of the PEs' cycles, one bar per layer."""
    with style.picture(path, WIDTH, 4.2, "Where the cycles of 64 PEs go") as figure:
        axes = figure.subplots()
        left = np.zeros(len(frame))
        for column, _, colour in SHARES:
            axes.barh(frame["layer"], frame[column], left=left, color=colour, height=0.7)
            left += frame[column].to_numpy(dtype=float)
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("cycles (%)")
        axes.grid(False, axis="y")
        style.legend_below(figure, [Patch(color=c, label=name) for _, name, c in SHARES])
    return path


def draw_unevenness(frame: "pd.DataFrame", path: Path) -> Path:
    """Difference to the published time by spread of rows and columns, one panel per layer."""
    layers = list(dict.fromkeys(frame["layer"]))
    with style.picture(path, WIDTH, 3.8, "Time with uneven densities, against Table IV") as figure:
        panels = figure.subplots(1, len(layers), sharey=True, squeeze=False)[0]
        for axes, layer in zip(panels, layers, strict=True):
            rows = frame[frame["layer"] == layer]
            names = [f"{row.row_sigma:g}\n{row.column_sigma:g}" for row in rows.itertuples()]
            axes.bar(names, rows["difference_pct"], **OURS, width=0.7)
            axes.axhline(0.0, color=style.INK, linewidth=1)
            axes.set_title(layer)
            axes.set_xlabel("σ of rows, of columns")
            axes.grid(False, axis="x")
        panels[0].set_ylabel("difference (%)")
    return path


def draw_spreads(frame: "pd.DataFrame", path: Path) -> Path:
    """How uneven trained layers are: density against σ."""
    with style.picture(path, 6.5, 3.9, "Spread of densities in trained layers") as figure:
        axes = figure.subplots()
        for column, name, colour, marker in (
            ("row_sigma", "rows", style.BLUE, "o"),
            ("column_sigma", "columns", style.VERMILION, "s"),
        ):
            axes.plot(
                frame["density_pct"], frame[column], linestyle="none", marker=marker, color=colour,
                label=name,
            )  # fmt: skip
        axes.set_xscale("log")
        ticks = [3, 5, 10, 20, 40]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("weights kept (%)")
        axes.set_ylabel("σ of the log-normal densities")
        axes.legend()
    return path


def draw_platform_times(frame: "pd.DataFrame", path: Path) -> Path:
    """Roofline models against published times, both logarithmic."""
    title = "CPU, GPU and mobile GPU: models against Table IV"
    with style.picture(path, 6.8, 5.6, title) as figure:
        axes = figure.subplots()
        values = frame[["published_us", "ours_us"]].to_numpy(dtype=float)
        ends = [0.6 * values.min(), 1.7 * values.max()]
        axes.plot(ends, ends, color=style.GREY, linestyle=style.DASHES, linewidth=1.1)
        systems = dict.fromkeys(frame["system"])
        for index, system in enumerate(systems):
            for batch, filled in ((1, True), (64, False)):
                rows = frame[(frame["system"] == system) & (frame["batch"] == batch)]
                axes.plot(
                    rows["published_us"], rows["ours_us"], linestyle="none",
                    marker=style.MARKERS[index], color=COLOURS[index],
                    markerfacecolor=COLOURS[index] if filled else "white",
                )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
        axes.set_xlabel("published (µs per vector)")
        axes.set_ylabel("model (µs per vector)")
        handles = [
            Line2D([], [], linestyle="none", marker=style.MARKERS[i], color=COLOURS[i], label=name)
            for i, name in enumerate(systems)
        ]
        handles.append(
            Line2D([], [], linestyle="none", marker="o", color=style.GREY, markerfacecolor="white",
                   label="hollow: batch 64")
        )  # fmt: skip
        style.legend_below(figure, [*handles])
    return path


def draw_table_v(frame: "pd.DataFrame", path: Path) -> Path:
    """Throughput and energy efficiency of the platforms."""
    names = frame["platform"].str.replace("_", "\n")
    with style.picture(path, 10.0, HEIGHT, "Platforms on AlexNet FC7 (Table V)") as figure:
        panels = figure.subplots(1, 2)
        for axes, column, title in zip(
            panels,
            ("fc7_frames_per_s", "frames_per_joule"),
            ("Throughput (frames/s)", "Energy efficiency (frames/J)"),
            strict=True,
        ):
            _pairs(axes, frame.assign(name=names), "name", f"published_{column}", f"ours_{column}")
            axes.set_yscale("log")
            axes.set_title(title)
            axes.tick_params(axis="x", labelrotation=60)
        style.legend_below(figure, _pair_handles())
    return path


def draw_figure_6(frame: "pd.DataFrame", path: Path) -> Path:
    """EIE's speed-up by layer, and the other systems' mean."""
    return _draw_ratios(frame, path, "Speed-up over the CPU, dense, batch 1")


def draw_figure_7(frame: "pd.DataFrame", path: Path) -> Path:
    """EIE's energy efficiency by layer, and the other systems' mean."""
    return _draw_ratios(frame, path, "Energy efficiency over the CPU, dense, batch 1")


def draw_figure_8(frame: "pd.DataFrame", path: Path) -> Path:
    """Load balance over queue depth."""
    title = "Load balance against queue depth, 64 PEs"
    return _draw_curves(frame, path, title, "fifo_depth", "balance_bubbles_pct", "FIFO depth",
                        "load balance (%)")  # fmt: skip


def draw_figure_9(frame: "pd.DataFrame", path: Path) -> Path:
    """Reads and energy per read; total energy counted both ways."""
    total = frame.groupby("row_bits", as_index=False).agg(
        {
            "read_energy_pj": "first", "reads_row_kept": "sum", "reads_per_column": "sum",
            "energy_row_kept_nj": "sum", "energy_per_column_nj": "sum",
        }
    )  # fmt: skip
    x = np.arange(len(total))
    counts = (("per_column", "every column reads its rows", style.VERMILION, "s"),
              ("row_kept", "a row stays for the next column", style.BLUE, "o"))  # fmt: skip
    with style.picture(path, 10.0, HEIGHT, "Reading AlexNet's weights, by row width") as figure:
        reads, each, energy = figure.subplots(1, 3)
        for name, label, colour, marker in counts:
            look: Any = {"color": colour, "marker": marker, "label": label}
            reads.plot(x, total[f"reads_{name}"] / 1e3, **look)
            values = total[f"energy_{name}_nj"] / 1e3
            energy.plot(x, values, **look)
            best = int(values.to_numpy().argmin())
            energy.plot(x[best], values[best], marker="o", markersize=12, color=colour,
                        markerfacecolor="none")  # fmt: skip
        each.plot(x, total["read_energy_pj"], color=style.INK, marker="D")
        for axes, title in (
            (reads, "Reads (thousands)"), (each, "Energy per read (pJ)"), (energy, "Energy (µJ)"),
        ):  # fmt: skip
            axes.set_xticks(x, [str(bits) for bits in total["row_bits"]])
            axes.set_xlabel("row width (bits)")
            axes.set_ylim(bottom=0)
            axes.set_title(title)
        handles = [Line2D([], [], color=c, marker=m, label=label) for _, label, c, m in counts]
        handles.append(Line2D([], [], linestyle="none", marker="o", markersize=10,
                              markerfacecolor="none", color=style.GREY, label="least"))  # fmt: skip
        style.legend_below(figure, [*handles])
    return path


def draw_figure_11(frame: "pd.DataFrame", path: Path) -> Path:
    """Speed-up over PEs, beside a straight line."""
    title = "Speed-up over one PE"
    return _draw_curves(frame, path, title, "pes", "speedup", "PEs", "speed-up", ideal=True)


def draw_figure_12(frame: "pd.DataFrame", path: Path) -> Path:
    """Real work over PEs."""
    title = "Entries that are not padding"
    return _draw_curves(frame, path, title, "pes", "real_work_pct", "PEs", "real work (%)")


def draw_figure_13(frame: "pd.DataFrame", path: Path) -> Path:
    """Load balance over PEs."""
    title = "Load balance against PEs, queue depth 8"
    return _draw_curves(frame, path, title, "pes", "balance_bubbles_pct", "PEs", "load balance (%)")


FIGURES: dict[str, Draw] = {
    "table_iv": draw_table_iv,
    "table_ii_power": draw_pe,
    "table_ii_area": draw_pe,
    "theory": draw_theory,
    "cycles": draw_cycles,
    "unevenness": draw_unevenness,
    "trained_spreads": draw_spreads,
    "platform_times": draw_platform_times,
    "table_v": draw_table_v,
    "figure_6": draw_figure_6,
    "figure_7": draw_figure_7,
    "figure_8": draw_figure_8,
    "figure_9": draw_figure_9,
    "figure_11": draw_figure_11,
    "figure_12": draw_figure_12,
    "figure_13": draw_figure_13,
}


def _pairs(axes: Axes, frame: "pd.DataFrame", names: str, published: str, ours: str) -> Any:
    """Two bars per row; returns the places of their middles."""
    at = np.arange(len(frame))
    axes.bar(at - BAR / 2, frame[published].astype(float), BAR, **PUBLISHED)
    axes.bar(at + BAR / 2, frame[ours].astype(float), BAR, **OURS)
    axes.set_xticks(at, [str(name).replace(", ", ",\n") for name in frame[names]])
    axes.grid(False, axis="x")
    return at


def _pair_handles() -> list[Any]:
    return [Patch(**PUBLISHED, label="published"), Patch(**OURS, label="ours")]


def _draw_ratios(frame: "pd.DataFrame", path: Path, title: str) -> Path:
    eie = frame[frame["series"] == "EIE"]
    others = frame[(frame["series"] != "EIE") & (frame["layer"] == "geomean")]
    with style.picture(path, 11.0, HEIGHT, title) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[2, 1])
        for axes, rows, names, what in (
            (left, eie, "layer", "EIE"),
            (right, others, "series", "Others, geometric mean (ours: models)"),
        ):
            _pairs(axes, rows, names, "published", "ours")
            axes.set_yscale("log")
            axes.set_title(what)
            axes.tick_params(axis="x", labelrotation=30)
        style.legend_below(figure, _pair_handles())
    return path


def _draw_curves(
    frame: "pd.DataFrame",
    path: Path,
    title: str,
    x: str,
    y: str,
    x_label: str,
    y_label: str,
    *,
    ideal: bool = False,
) -> Path:
    """One curve per layer over powers of two."""
    layers = list(dict.fromkeys(frame["layer"]))
    ticks = sorted(frame[x].unique())
    with style.picture(path, 7.0, 4.6, title) as figure:
        axes = figure.subplots()
        axes.set_xscale("log", base=2)
        if ideal:
            axes.set_yscale("log", base=2)
            axes.plot(ticks, ticks, color=style.GREY, linestyle=style.DASHES, linewidth=1.1)
            axes.set_yticks(ticks, [short(tick) for tick in ticks])
        handles: list[Any] = []
        for index, layer in enumerate(layers):
            rows = frame[frame["layer"] == layer]
            look: Any = {"color": COLOURS[index], "marker": style.MARKERS[index]}
            axes.plot(rows[x], rows[y], **look)
            handles.append(Line2D([], [], **look, label=layer))
        if not ideal:
            axes.set_ylim(0, 105)
        axes.set_xticks(ticks, [short(tick) for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if ideal:
            handles.append(Line2D([], [], color=style.GREY, linestyle=style.DASHES, label="linear"))
        style.legend_below(figure, handles)
    return path
