"""EIE beside CPU, GPU and mobile GPU: Table IV's other times, Table V, Figures 6 and 7."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from accelsim.baseline.calibration import FIT_LAYERS
from accelsim.baseline.platform import KernelName
from accelsim.baseline.printed import (
    EFFICIENCY,
    GEOMEAN,
    SPEEDUP,
    printed_platforms,
    printed_ratios,
)
from accelsim.baseline.published import BaselineRow, published_times
from accelsim.baseline.roofline import estimated_times
from accelsim.hardware.accelerator import accelerator
from accelsim.simulation.result import Result
from accelsim.study.calibrate import pes_energy_pj
from accelsim.study.reproduce.chapters import Chapter, Compared
from accelsim.study.reproduce.eie.runs import Bench, Runs

if TYPE_CHECKING:
    import pandas as pd

BATCHES = (1, 64)
FC7 = "Alex-7"
EIE = "EIE"
# EIE's 256-PE chip is a projection to 28 nm (Table V).
CLOCK_28NM_MHZ = 1200.0
MODEL_NOTE = "ours: roofline model (docs/baselines.md)"
TABLE_V_COLUMNS = {
    "area_mm2": "area (mm²)",
    "power_w": "power (W)",
    "fc7_frames_per_s": "throughput (frames/s)",
    "frames_per_s_per_mm2": "frames/s/mm²",
    "frames_per_joule": "frames/J",
}


class System(NamedTuple):
    """A platform and kernel: how Figures 6 and 7, `published_times` and the roofline models call it."""

    series: str
    label: str
    platform: str
    kernel: KernelName


CPU_DENSE = System("CPUd", "CPU (Core i7-5930K), dense", "i7-5930k", "dense")
SYSTEMS = (
    CPU_DENSE,
    System("CPUc", "CPU (Core i7-5930K), sparse", "i7-5930k", "sparse"),
    System("GPUd", "GPU (Titan X), dense", "titan-x", "dense"),
    System("GPUc", "GPU (Titan X), sparse", "titan-x", "sparse"),
    System("mGPUd", "mobile GPU (Tegra K1), dense", "tegra-k1", "dense"),
    System("mGPUc", "mobile GPU (Tegra K1), sparse", "tegra-k1", "sparse"),
)


def published_time(layer: str, system: System, batch: int = 1) -> BaselineRow:
    """What the paper prints for a layer on a system; energy is time × published power."""
    return next(row for row in published_times(layer, batch) if row.system == system.label)


def modelled_time(bench: Bench, system: System, batch: int = 1) -> BaselineRow:
    """What the roofline model says of the drawn layer."""
    network = bench.session.network
    return estimated_times(network, system.platform, batch, system.kernel)[0]


def platform_times(runs: Runs) -> Chapter:
    """Table IV, the rows of CPU, GPU and mobile GPU, by the models that were fitted to them."""
    rows: list[dict[str, Any]] = [
        {
            "layer": bench.name,
            "system": system.label,
            "batch": batch,
            "published_us": published_time(bench.name, system, batch).latency_us,
            "ours_us": modelled_time(bench, system, batch).latency_us,
        }
        for system in SYSTEMS
        for batch in BATCHES
        for bench in runs.benches
    ]
    compared = tuple(
        Compared(
            "Table IV",
            str(row["layer"]),
            f"{row['system']}, batch {row['batch']} (µs)",
            row["published_us"],
            row["ours_us"],
            f"{MODEL_NOTE}, fitted to {', '.join(FIT_LAYERS)}",
        )
        for row in rows
    )
    frame = _frame(rows)
    off = (frame.ours_us / frame.published_us).map(math.log)
    rms = frame.assign(square=off**2).groupby("system", sort=False).square.mean()
    worst = ", ".join(f"{math.exp(math.sqrt(value)):.2f} for {name}" for name, value in rms.items())
    text = (
        "Times per input vector. Ours are roofline models of the three platforms, a few numbers per "
        "platform and kernel, so single layers are off by more than the simulated machine is. Typical "
        f"factors: {worst}."
    )
    return Chapter("platform_times", "Table IV: CPU, GPU and mobile GPU", compared, frame, text)


def table_v(runs: Runs) -> Chapter:
    """Platforms on AlexNet FC7."""
    bench = runs.bench(FC7)
    small = accelerator("eie-256", clock_mhz=CLOCK_28NM_MHZ, technology="28nm", overflow="grow")
    ours = {
        "i7-5930K": _modelled(bench, SYSTEMS[0]),
        "TitanX": _modelled(bench, SYSTEMS[2]),
        "TegraK1": _modelled(bench, SYSTEMS[4]),
        "EIE64": _simulated(bench.result),
        "EIE256_28nm": _simulated(bench.session.run(small)),
    }
    notes = dict.fromkeys(("i7-5930K", "TitanX", "TegraK1"), MODEL_NOTE) | {
        "EIE64": "ours: simulated on the drawn layer, energy and area as accelsim computes them (45 nm)",
        "EIE256_28nm": (
            f"ours: simulated, 256 PEs at {CLOCK_28NM_MHZ:g} MHz, tables scaled to 28 nm (docs/energy.md); "
            "the paper projects, and its power is four times that of 64 PEs in 45 nm"
        ),
    }
    compared, rows = [], []
    for printed in printed_platforms():
        own = ours.get(printed.platform, {})
        note = notes.get(printed.platform, "not modelled here")
        rows.append(
            {"platform": printed.platform, "kind": printed.kind}
            | {f"published_{name}": getattr(printed, name) for name in TABLE_V_COLUMNS}
            | {f"ours_{name}": own.get(name) for name in TABLE_V_COLUMNS}
        )
        compared += [
            Compared("Table V", printed.platform, title, value, own.get(name), note)
            for name, title in TABLE_V_COLUMNS.items()
            if (value := getattr(printed, name)) is not None
        ]
    frame = _frame(rows)
    frame[[f"ours_{name}" for name in TABLE_V_COLUMNS]] = frame[
        [f"ours_{name}" for name in TABLE_V_COLUMNS]
    ].astype(float)
    return Chapter(
        "table_v", "Table V: platforms on AlexNet FC7", tuple(compared), frame, _v_text(compared)
    )


def figure_6(runs: Runs) -> Chapter:
    """Speed-up over the CPU, dense."""
    return _ratios(
        runs,
        SPEEDUP,
        "figure_6",
        "Figure 6: speed-up over the CPU, dense, batch 1",
        "latency_us",
        {bench.name: bench.result.total["latency_us"] for bench in runs.benches},
    )


def figure_7(runs: Runs) -> Chapter:
    """Energy efficiency over the CPU, dense."""
    return _ratios(
        runs,
        EFFICIENCY,
        "figure_7",
        "Figure 7: energy efficiency over the CPU, dense, batch 1",
        "energy_uj",
        {bench.name: bench.energy_uj for bench in runs.benches},
    )


def geomean(values: Iterable[float]) -> float:
    """Geometric mean."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def _modelled(bench: Bench, system: System) -> dict[str, float]:
    row = modelled_time(bench, system)
    assert row.energy_uj is not None
    return {
        "fc7_frames_per_s": 1e6 / row.latency_us,
        "frames_per_joule": 1e6 / row.energy_uj,
        "power_w": row.energy_uj / row.latency_us,
    }


def _simulated(result: Result) -> dict[str, float]:
    """Power and energy of the PEs, as the paper counts them."""
    total, energy_pj = result.total, pes_energy_pj(result)
    frames_per_s = 1e6 / total["latency_us"]
    return {
        "area_mm2": total["area_mm2"],
        "power_w": energy_pj / total["latency_us"] / 1e6,
        "fc7_frames_per_s": frames_per_s,
        "frames_per_s_per_mm2": frames_per_s / total["area_mm2"],
        "frames_per_joule": 1e12 / energy_pj,
    }


def _v_text(compared: list[Compared]) -> str:
    ours = {number.column: number for number in compared if number.row == "EIE64"}
    parts = ", ".join(
        f"{name} {number.difference_pct:+.1f} %"
        for name, number in ours.items()
        if number.difference_pct is not None
    )
    return (
        f"EIE with 64 PEs, ours against published: {parts}. The throughput is that of Table IV's {FC7}, "
        "drawn; power and area are counters times tables, power that of the PEs alone, as the paper counts. "
        "The 28 nm chip is scaled; the paper's 2.36 W are four times the 0.59 W of 64 PEs in 45 nm, whatever "
        "node and clock. Platforms that accelsim has no model of have no number of ours."
    )


def _ratios(
    runs: Runs, figure: str, name: str, title: str, field: str, eie: dict[str, float]
) -> Chapter:
    """Ratios to CPU, dense: EIE against the published CPU, platforms by their models."""
    printed = printed_ratios(figure)
    rows: list[dict[str, Any]] = []
    for system in SYSTEMS[1:]:
        rows += [
            {
                "layer": bench.name,
                "series": system.series,
                "ours": _of(modelled_time(bench, CPU_DENSE), field)
                / _of(modelled_time(bench, system), field),
            }
            for bench in runs.benches
        ]
    rows += [
        {
            "layer": bench.name,
            "series": EIE,
            "ours": _of(published_time(bench.name, CPU_DENSE), field) / eie[bench.name],
        }
        for bench in runs.benches
    ]
    for series in dict.fromkeys(row["series"] for row in rows):
        own = [row["ours"] for row in rows if row["series"] == series]
        rows.append({"layer": GEOMEAN, "series": series, "ours": geomean(own)})
    for row in rows:
        row["published"] = float(printed[row["series"]][row["layer"]])
    eie_note = f"ours: published CPU over simulated EIE, {'times' if field == 'latency_us' else 'energies'}"
    compared = tuple(
        Compared(
            title.partition(":")[0],
            row["layer"],
            f"{row['series']} (ratio)",
            row["published"],
            row["ours"],
            eie_note if row["series"] == EIE else f"{MODEL_NOTE}, of both systems",
        )
        for row in rows
    )
    frame = _frame(rows)[["layer", "series", "published", "ours"]]
    mean = frame[(frame.layer == GEOMEAN) & (frame.series == EIE)].iloc[0]
    over_models = geomean(
        _of(modelled_time(bench, CPU_DENSE), field) / eie[bench.name] for bench in runs.benches
    )
    text = (
        "Published as printed in the figure. For EIE, ours is the published CPU divided by the simulated "
        f"machine: {mean.ours:,.0f} in the geometric mean, {mean.published:,.0f} published. Over the CPU's "
        f"roofline model instead of its published numbers it would be {over_models:,.0f}. For the other "
        "systems ours is the ratio of two roofline models. Where the figure does not agree with the "
        "paper's own tables is listed under *Inconsistencies*."
    )
    if field == "energy_uj":
        text += (
            " Published energies are times × powers of Deep Compression's Table 9 (Table V's for "
            "NeuralTalk); the paper takes one power for EIE on all layers, ours depends on what the layer "
            "does."
        )
    return Chapter(name, title, compared, frame, text)


def _of(row: BaselineRow, field: str) -> float:
    return float(getattr(row, field))


def _frame(rows: list[dict[str, Any]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows)
