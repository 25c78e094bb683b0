"""Deep Compression's sizes, gains by pruning and times, published and ours side by side."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from accelsim.report.figures import style

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 0.4  # of a bar; two stand side by side
STAGES = {"pruned": "pruned", "shared": "+ shared\ncodebook", "coded": "+ Huffman\ncoding"}
PLATFORMS = {"CPU": "Core i7-5930K", "GPU": "Titan X", "mGPU": "Tegra K1"}
MEAN = "mean"


def draw_stages(data: "pd.DataFrame", path: Path) -> Path:
    """Draw the size of each network after each stage, in per cent of its dense weights.

    data: columns network, weights, stage, and of both bytes and ratio a published_ one
    Returns `path`.
    """
    networks = list(dict.fromkeys(data["network"]))
    with style.picture(path, 11, 3.9) as figure:
        panels = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
        for axes, network in zip(panels, networks, strict=True):
            of_network = data[data["network"] == network].set_index("stage")
            rows = of_network.loc[list(STAGES)]
            _pairs(axes, 100 / rows["published_ratio"], 100 / rows["ratio"], "simulated")
            for x, (_, row) in enumerate(rows.iterrows()):
                for shift, whose in ((-WIDTH / 2, "published_"), (WIDTH / 2, "")):
                    text = f"{_size(row[f'{whose}bytes'])}, {row[f'{whose}ratio']:.0f}×"
                    _at_end(axes, x + shift, 100 / row[f"{whose}ratio"], text, rotation=90)
            axes.set_xticks(range(len(STAGES)), list(STAGES.values()))
            dense, weights = of_network.loc["dense", ["bytes", "weights"]]
            axes.set_title(f"{network} ({weights})\n{_size(dense)} dense")
        panels[0].set_ylabel("size (% of dense)")
        pruned = data[data["stage"] == "pruned"][["published_ratio", "ratio"]].to_numpy(float)
        panels[0].set_ylim(0, 1.4 * 100 / pruned.min())
        style.legend_below(figure, [_patch("published"), _patch("simulated", "ours")])
    return path


def draw_layer_rates(data: "pd.DataFrame", path: Path) -> Path:
    """Draw what each layer takes after Huffman coding, on a logarithmic axis, and before it as lines.

    data: columns layer, rate_pq_pct, rate_pqh_pct, and of both a published_ one
    Returns `path`.
    """
    names = ("published_rate_pqh_pct", "rate_pqh_pct", "published_rate_pq_pct", "rate_pq_pct")
    low = 10.0 ** np.floor(np.log10(data[list(names)].to_numpy(float).min()) - 0.1)
    with style.picture(path, max(6.5, 1.6 + 0.62 * len(data)), 3.9) as figure:
        axes = figure.subplots()
        axes.set_yscale("log")
        _pairs(axes, data[names[0]], data[names[1]], "simulated", bottom=low)
        for shift, name in ((-WIDTH / 2, names[2]), (WIDTH / 2, names[3])):
            x = np.arange(len(data)) + shift
            axes.hlines(data[name], x - WIDTH / 2, x + WIDTH / 2, color=style.INK, linewidth=1.2)
        for place, row in enumerate(data.to_dict("records")):
            _at_end(
                axes, place, max(row[name] for name in names), f"{row['difference_pct']:+.0f} %"
            )
        axes.set_xticks(range(len(data)), list(data["layer"]))
        axes.set_ylim(low, 2.0 * data[list(names)].to_numpy(float).max())
        _plain_log(axes.yaxis)
        axes.set_ylabel("stored (% of dense weights)")
        before = Line2D([], [], color=style.INK, linewidth=1.2, label="before Huffman coding")
        handles = [_patch("published"), _patch("simulated", "ours"), before]
        style.legend_below(figure, handles)
    return path


def draw_ratios(data: "pd.DataFrame", path: Path, *, label: str) -> Path:
    """Draw what pruning gains by platform (columns of panels) and batch (rows), on logarithmic axes.

    data: columns platform, batch, layer, published_ratio, model_ratio, stated_ratio; label: of the axis
    Returns `path`.
    """
    batches = list(dict.fromkeys(data["batch"]))
    with style.picture(path, 11, 6.0) as figure:
        grid = figure.subplots(len(batches), len(PLATFORMS), sharey="row", squeeze=False)
        for panels, batch in zip(grid, batches, strict=True):
            for axes, platform in zip(panels, PLATFORMS, strict=True):
                chosen = (data["batch"] == batch) & (data["platform"] == platform)
                _ratio_panel(axes, data[chosen])
                axes.set_ylim(*_limits(data[data["batch"] == batch]))
                axes.set_title(f"{PLATFORMS[platform]}, batch {batch}")
            panels[0].set_ylabel(label)
        stated = Line2D(
            [], [], color=style.VERMILION, linestyle=style.DASHES, label="mean, as stated"
        )
        handles = [_patch("published"), _patch("estimate", "roofline model"), stated]
        style.legend_below(figure, handles)
    return path


def _ratio_panel(axes: Axes, rows: "pd.DataFrame") -> None:
    axes.set_yscale("log")
    both = rows[["published_ratio", "model_ratio"]].to_numpy(float)
    _pairs(axes, rows["published_ratio"], rows["model_ratio"], "estimate", bottom=1.0)
    for x, (theirs, ours) in enumerate(both):
        for shift, value in ((-WIDTH / 2, theirs), (WIDTH / 2, ours)):
            _at_end(
                axes, x + shift, value, f"{value:.{1 if value >= 1 else 2}f}", base=1.0, rotation=90
            )
    axes.axhline(1.0, color=style.INK, linewidth=0.9)
    if rows["stated_ratio"].notna().any():
        stated = rows["stated_ratio"].max()
        axes.axhline(stated, color=style.VERMILION, linestyle=style.DASHES, linewidth=1.2)
    names = [str(name).replace(" ", "\n") for name in rows["layer"]]
    names = [name.replace(MEAN, "geom.\nmean") for name in names]
    axes.set_xticks(range(len(rows)), names, fontsize=7)
    _plain_log(axes.yaxis)


def _limits(rows: "pd.DataFrame") -> tuple[float, float]:
    """Of the ratios' axis, with room for what stands at the ends of bars."""
    both = rows[["published_ratio", "model_ratio"]].to_numpy(float)
    return min(0.7, 0.5 * both.min()), 1.7 * max(1.0, both.max())


def draw_times(data: "pd.DataFrame", path: Path) -> Path:
    """Draw modelled over published times, dense and sparse, batch 1 and 64.

    data: columns platform, kernel, batch, layer, half, published_us, model_us
    Returns `path`.
    """
    colours = dict(zip(PLATFORMS, style.CYCLE, strict=False))
    cases = [("dense", 1), ("sparse", 1), ("dense", 64), ("sparse", 64)]
    with style.picture(path, 11, 3.6) as figure:
        panels = figure.subplots(1, len(cases), sharex=True, sharey=True)
        for axes, (kernel, batch) in zip(panels, cases, strict=True):
            axes.set_xscale("log")
            axes.set_yscale("log")
            chosen = data[(data["kernel"] == kernel) & (data["batch"] == batch)]
            for (platform, half), points in chosen.groupby(["platform", "half"], sort=False):
                face = colours[str(platform)] if half == "check" else "white"
                axes.plot(
                    points["published_us"], points["model_us"], linestyle="none", marker="o",
                    color=colours[str(platform)], markerfacecolor=face,
                )  # fmt: skip
            axes.axline((100, 100), (1000, 1000), color=style.GREY, linewidth=0.9)
            axes.set_title(f"{kernel}, batch {batch}")
            axes.set_xlabel("published (µs)")
            axes.set_aspect("equal")
        panels[0].set_ylabel("roofline model (µs)")
        style.legend_below(figure, _time_handles(colours))
    return path


def _time_handles(colours: dict[str, str]) -> list[Artist]:
    dots: list[Artist] = [
        Line2D([], [], linestyle="none", marker="o", color=colour, label=PLATFORMS[platform])
        for platform, colour in colours.items()
    ]
    fitted = Line2D(
        [], [], linestyle="none", marker="o", color=style.INK, markerfacecolor="white",
        label="hollow: fitted to this layer",
    )  # fmt: skip
    return [*dots, fitted]


def _pairs(axes: Axes, published: Any, ours: Any, kind: str, *, bottom: float = 0.0) -> None:
    """Published and our bars side by side, from `bottom` on."""
    for shift, values, which in ((-WIDTH / 2, published, "published"), (WIDTH / 2, ours, kind)):
        colour, hatch = style.kind_style(which)
        heights = np.asarray(values, dtype=float) - bottom
        axes.bar(
            np.arange(len(heights)) + shift, heights, WIDTH, bottom=bottom,
            color=colour, hatch=hatch, edgecolor="white", linewidth=0,
        )  # fmt: skip
    axes.grid(False, axis="x")
    axes.tick_params(axis="x", length=0)


def _at_end(
    axes: Axes, x: float, value: float, text: str, *, base: float = 0.0, rotation: float = 0.0
) -> None:
    """Write at the end of a bar: above it, or below where it hangs from its base."""
    hangs = value < base
    axes.annotate(
        text, (x, value), xytext=(0, -3 if hangs else 3), textcoords="offset points",
        ha="center", va="top" if hangs else "bottom", fontsize=7, rotation=rotation,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
    )  # fmt: skip


def _plain_log(axis: Any) -> None:
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _size(n_bytes: float) -> str:
    """As the paper writes sizes: KB and MB of 1,000 and 1,000,000 bytes."""
    value, unit = (n_bytes / 1e6, "MB") if n_bytes >= 1e6 else (n_bytes / 1e3, "KB")
    return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"


def _patch(kind: str, name: str = "") -> Patch:
    colour, hatch = style.kind_style(kind)
    return Patch(facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0, label=name or kind)


def _speedups(data: "pd.DataFrame", path: Path) -> Path:
    return draw_ratios(data, path, label="speed-up of pruned over dense (×)")


def _energies(data: "pd.DataFrame", path: Path) -> Path:
    return draw_ratios(data, path, label="energy of dense over pruned (×)")


# The picture of a chapter's data, by the chapter's name.
FIGURES: dict[str, Callable[["pd.DataFrame", Path], Path]] = {
    "figure_1": draw_stages,
    **{f"table_{number}": draw_layer_rates for number in (2, 3, 4, 5)},
    "figure_9": _speedups,
    "figure_10": _energies,
    "table_8": draw_times,
}
