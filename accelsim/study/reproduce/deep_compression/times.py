"""Deep Compression's Tables 8 and 9 and Figures 9 and 10: time, power and energy, dense and pruned."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from accelsim.baseline.calibration import (
    POWER_CHECK_LAYERS,
    POWER_FIT_LAYERS,
    calibration_table,
)
from accelsim.study.reproduce.chapters import Chapter, Compared
from accelsim.study.reproduce.deep_compression.published import stated

if TYPE_CHECKING:
    import pandas as pd

# As the paper's statements name the platforms (`platform` of deep_compression_statements.csv).
PLATFORMS = {"i7-5930k": "CPU", "titan-x": "GPU", "tegra-k1": "mGPU"}
LAYERS = {
    name: f"{network} fc{name[-1]}"
    for network, names in (("AlexNet", POWER_FIT_LAYERS), ("VGG-16", POWER_CHECK_LAYERS))
    for name in names
}
MEAN = "mean"


class Ratio(NamedTuple):
    """Dense over pruned, as a figure shows it. what: a column of `times` without `published_`."""

    figure: str
    what: str
    statement: str
    column: str
    title: str


SPEEDUP = Ratio(
    "Figure 9", "us", "speedup", "speed-up by pruning (×)", "Figure 9: speed-up by pruning"
)
ENERGY = Ratio(
    "Figure 10",
    "uj",
    "energy_ratio",
    "energy saved by pruning (×)",
    "Figure 10: energy saved by pruning",
)
RATIOS = (SPEEDUP, ENERGY)


def times() -> "pd.DataFrame":
    """A row per platform, kernel, batch and layer: time, power and energy per input vector.

    Columns: platform, kernel (dense, sparse), batch, layer, half (`fit`: the model was fitted to it;
    `check`), published_us, model_us, published_w, model_w, published_uj, model_uj (time × power).
    """
    table = calibration_table()
    table = table[table["layer"].isin(LAYERS)].reset_index(drop=True)
    table = table.assign(
        platform=table["platform"].map(PLATFORMS),
        layer=table["layer"].map(LAYERS),
        published_uj=table["published_us"] * table["published_w"],
        model_uj=table["model_us"] * table["model_w"],
    )
    columns = ["platform", "kernel", "batch", "layer", "half"]
    return table[
        columns
        + [f"{whose}_{what}" for what in ("us", "w", "uj") for whose in ("published", "model")]
    ]


def table_8(data: "pd.DataFrame") -> Chapter:
    """Time per layer."""
    return Chapter(
        "table_8", "Table 8: time of a layer", _measured("Table 8", data, "us", "time (µs)"),
        data.drop(columns=["published_w", "model_w", "published_uj", "model_uj"]), _model_text(data),
    )  # fmt: skip


def table_9(data: "pd.DataFrame") -> Chapter:
    """Power per layer."""
    return Chapter(
        "table_9", "Table 9: power", _measured("Table 9", data, "w", "power (W)"),
        data.drop(columns=["published_us", "model_us"]), TABLE_9_TEXT,
    )  # fmt: skip


TABLE_9_TEXT = (
    "Ours is the mean of the paper's powers over AlexNet's layers, by platform, kernel and batch; VGG-16's "
    "show how well that serves other layers. Energy, in this chapter's CSV file, is time × power, as in the "
    "paper."
)


_NOTES = {
    ("us", "fit"): "roofline model, fitted to this layer",
    ("us", "check"): "roofline model, not fitted to this layer",
    ("w", "fit"): "mean over AlexNet's layers, this one among them",
    ("w", "check"): "mean over AlexNet's layers",
}


def _measured(table: str, data: "pd.DataFrame", what: str, column: str) -> tuple[Compared, ...]:
    return tuple(
        Compared(
            table, f"{row['platform']}, {row['layer']}",
            f"{row['kernel']}, batch {row['batch']}: {column}",
            float(row[f"published_{what}"]), float(row[f"model_{what}"]), _NOTES[what, row["half"]],
        )
        for row in data.to_dict("records")
    )  # fmt: skip


def _model_text(data: "pd.DataFrame") -> str:
    errors = (data["model_us"] / data["published_us"]).map(math.log)
    factor = np.exp((errors**2).groupby([data["half"], data["batch"]]).mean() ** 0.5)
    worst = data.iloc[int(errors.abs().to_numpy(float).argmax())]
    return (
        "Published times are those of EIE's Table IV, which are the same. Ours are a roofline model "
        "(docs/baselines.md): a call's overhead, and the longer of moving its bytes and doing its "
        "operations, with effective roofs fitted to AlexNet's layers and to one of NeuralTalk; VGG-16's "
        f"layers check them. It is off by a factor of {factor['fit', 1]:.2f} (rms) on AlexNet's layers and "
        f"of {factor['check', 1]:.2f} on VGG-16's at batch 1, of {factor['fit', 64]:.2f} and "
        f"{factor['check', 64]:.2f} at batch 64; farthest on {worst['platform']}, {worst['layer']}, "
        f"{worst['kernel']}, batch {worst['batch']}: {worst['published_us']:.0f} µs published, "
        f"{worst['model_us']:.0f} µs modelled.\n\n"
        "Times of batch 64 are per input vector. Some that are published no roofline can have: "
        f"{_against_rooflines(data)}.\n\n{WHO}"
    )


WHO = "CPU: Core i7-5930K; GPU: Titan X; mGPU: Tegra K1."


def _against_rooflines(data: "pd.DataFrame") -> str:
    """Where VGG-16's fc6 takes hardly longer than fc7, which has a sixth of its weights."""
    found = []
    for key, group in data.groupby(["platform", "kernel", "batch"], sort=False):
        time_us = group.set_index("layer")["published_us"]
        larger, smaller = float(time_us["VGG-16 fc6"]), float(time_us["VGG-16 fc7"])
        if larger < 2 * smaller:
            platform, kernel, batch = map(str, key)
            found.append(
                f"{platform}, {kernel}, batch {batch}: {larger:.0f} µs for VGG-16's fc6, {smaller:.0f} µs "
                "for its fc7, which has a sixth of the weights"
            )
    return "; ".join(found)


def figure(ratio: Ratio, data: "pd.DataFrame") -> Chapter:
    """Figure 9 or 10: what pruning gains, layer by layer and in the mean."""
    table = ratio_table(ratio, data)
    name = ratio.figure.lower().replace(" ", "_")
    return Chapter(name, ratio.title, _ratios(ratio, table), table, _ratio_text(table))


def ratio_table(ratio: Ratio, data: "pd.DataFrame") -> "pd.DataFrame":
    """Dense over sparse by platform, batch and layer, and the geometric mean as a layer `mean`.

    Columns: platform, batch, layer, published_ratio, model_ratio, stated_ratio (of the mean at batch 1;
    else NaN).
    """
    import pandas as pd

    rows = []
    key: Any
    for key, group in data.groupby(["platform", "batch"], sort=False):
        platform, batch = key
        dense, sparse = (
            group[group["kernel"] == kernel].set_index("layer") for kernel in ("dense", "sparse")
        )
        both = pd.DataFrame(
            {
                f"{whose}_ratio": dense[f"{whose}_{ratio.what}"] / sparse[f"{whose}_{ratio.what}"]
                for whose in ("published", "model")
            }
        )
        both.loc[MEAN] = np.exp(np.log(both).mean())
        both["stated_ratio"] = float("nan")
        if batch == 1:
            both.loc[MEAN, "stated_ratio"] = stated(ratio.figure, platform, ratio.statement)
        rows.append(both.reset_index().assign(platform=platform, batch=batch))
    table = pd.concat(rows, ignore_index=True)
    return table[["platform", "batch", "layer", "published_ratio", "model_ratio", "stated_ratio"]]


def _ratios(ratio: Ratio, table: "pd.DataFrame") -> tuple[Compared, ...]:
    """The figure's bars, at batch 1, and the means that its caption states."""
    source = "Table 8" if ratio is SPEEDUP else "Tables 8 and 9"
    return tuple(
        Compared(
            ratio.figure,
            row["layer"],
            f"{row['platform']}: {ratio.column}",
            row["stated_ratio"] if row["layer"] == MEAN else row["published_ratio"],
            row["model_ratio"],
            "published means: as the caption states them; ours: geometric"
            if row["layer"] == MEAN
            else f"published: from {source}; ours: roofline model",
        )
        for row in table[table["batch"] == 1].to_dict("records")
    )


def _ratio_text(table: "pd.DataFrame") -> str:
    means = table[(table["layer"] == MEAN) & (table["batch"] == 1)].to_dict("records")
    stated_beside = "; ".join(
        f"{row['platform']} {row['stated_ratio']:g}× stated, {row['published_ratio']:.2f}× from its tables, "
        f"{row['model_ratio']:.2f}× in our model"
        for row in means
    )
    batched = table[(table["layer"] != MEAN) & (table["batch"] == 64)]
    gains = batched[batched["published_ratio"] > 1].to_dict("records")
    but = ", ".join(
        f"{row['platform']} {row['layer']} ({row['published_ratio']:.1f}×)" for row in gains
    )
    return (
        "The figure draws bars without numbers; published ratios are computed from the paper's tables. Its "
        "caption states means over the six layers at batch 1, without saying which mean; geometric means "
        f"are nearest: {stated_beside}.\n\n"
        f"At batch 64 pruning loses on {len(batched) - len(gains)} of the {len(batched)} published rows (the "
        f"paper says that it shows no advantage there). It gains on {but}.\n\n{WHO}"
    )
