"""EIE's abstract beside ours, and where the paper does not agree with itself."""

from typing import TYPE_CHECKING

from accelsim.baseline.printed import (
    EFFICIENCY,
    GEOMEAN,
    SPEEDUP,
    eie_layers,
    printed_platforms,
    printed_ratios,
    stated,
)
from accelsim.hardware.accelerator import accelerator
from accelsim.study.reproduce.chapters import COLUMNS, Chapter, Compared
from accelsim.study.reproduce.eie.layers import ACTIVATION_ROUNDING, WEIGHT_ROUNDING
from accelsim.study.reproduce.eie.runs import REAL_LAYER, Runs
from accelsim.study.reproduce.eie.systems import (
    CPU_DENSE,
    EIE,
    SYSTEMS,
    geomean,
    published_time,
)
from accelsim.study.reproduce.rounding import half_unit

if TYPE_CHECKING:
    import pandas as pd

ALEXNET = ("Alex-6", "Alex-7", "Alex-8")
DADIANNAO, LARGE, SMALL = "DaDianNao", "EIE256_28nm", "EIE64"
GPU_DENSE = SYSTEMS[2]
NEURALTALK = "NT-"  # layers whose power on CPU and GPUs nobody printed
TIME_ROUNDING_US = 0.05  # Table IV


def abstract(runs: Runs) -> Chapter:
    """The numbers that the paper is quoted with."""
    times = {bench.name: bench.result.total["latency_us"] for bench in runs.benches}
    energies = {bench.name: bench.energy_uj for bench in runs.benches}
    if runs.real:
        times[REAL_LAYER] = runs.real.result.total["latency_us"]
        energies[REAL_LAYER] = runs.real.energy_uj
    watts = sum(energies[name] for name in ALEXNET) / sum(times[name] for name in ALEXNET)
    rows = {
        "speed-up over the CPU (ratio)": (
            "speedup_over_cpu",
            geomean(published_time(n, CPU_DENSE).latency_us / t for n, t in times.items()),
        ),
        "speed-up over the GPU (ratio)": (
            "speedup_over_gpu",
            geomean(published_time(n, GPU_DENSE).latency_us / t for n, t in times.items()),
        ),
        "energy efficiency over the CPU (ratio)": (
            "energy_over_cpu",
            geomean((published_time(n, CPU_DENSE).energy_uj or 0) / e for n, e in energies.items()),
        ),
        "energy efficiency over the GPU (ratio)": (
            "energy_over_gpu",
            geomean((published_time(n, GPU_DENSE).energy_uj or 0) / e for n, e in energies.items()),
        ),
        "peak of 64 PEs (GOP/s)": (
            "peak_gops",
            2 * runs.machine.pes * runs.machine.clock_mhz / 1e3,
        ),
        "AlexNet FC6 to FC8 (frames/s)": (
            "alexnet_fc_frames_per_s",
            1e6 / sum(times[name] for name in ALEXNET),
        ),
        "power on AlexNet FC6 to FC8 (mW)": ("power_mw", 1e3 * watts),
    }
    data = f", {REAL_LAYER} with its real data" if runs.real else ""
    note = f"nine drawn layers{data}; published CPU and GPU"
    compared = tuple(
        Compared("Abstract", EIE, column, stated(name), ours, note)
        for column, (name, ours) in rows.items()
    )
    return Chapter(
        "abstract",
        "The abstract",
        compared,
        _frame(compared),
        "What the paper is quoted with. Ratios are geometric means over the nine layers, batch 1, of "
        "published CPU and GPU (dense) over the simulated machine. Energy and power are of the PEs, as the "
        "paper counts them: the wires and the tree between PEs, which are estimates, are left out.",
    )


def inconsistencies() -> Chapter:
    """The paper's numbers against each other; nothing here is simulated."""
    compared = (*figures(), *table_iii(), *table_iv(), *table_v(), *of_abstract())
    return Chapter(
        "inconsistencies",
        "Inconsistencies inside the paper",
        compared,
        _frame(compared),
        "Printed numbers against what the paper's own other numbers give. Here *ours* is that second "
        "number, not a simulation. Listed is what rounding of the printed numbers does not explain. Bars "
        "of Figure 7 are checked for AlexNet and VGG only, as the paper prints no power of CPU and GPUs "
        "on NeuralTalk's layers.\n\n" + _summary(compared),
    )


def figures() -> list[Compared]:
    """Figures 6 and 7 against Table IV's times (and powers), and against their own bars."""
    found = []
    for figure, field, table in (
        (SPEEDUP, "latency_us", "Figure 6"),
        (EFFICIENCY, "energy_uj", "Figure 7"),
    ):
        printed = printed_ratios(figure)
        for series, ratios in printed.items():
            bars = [float(text) for layer, text in ratios.items() if layer != GEOMEAN]
            half = half_unit(*ratios.values())
            for layer, text in ratios.items():
                if layer == GEOMEAN:
                    again, note = geomean(bars), "of the figure's own bars"
                    # A mean is no better known than what it is of.
                    slack = sum(half / bar for bar in bars) / len(bars)
                elif field == "energy_uj" and layer.startswith(NEURALTALK):
                    continue
                else:
                    again, note = _ratio(layer, series, field), _FROM[field]
                    slack = _ROUNDED[field]
                if abs(float(text) - again) > half + slack * again:
                    column = f"{series} (ratio)"
                    found.append(Compared(table, layer, column, float(text), again, note))
    return found


_FROM = {
    "latency_us": "from Table IV's times",
    "energy_uj": "from Table IV's times and the powers of Deep Compression's Table 9",
}


# How far the rounding of printed times, and of printed powers, too, can move a ratio of them.
_ROUNDED = {"latency_us": 0.01, "energy_uj": 0.02}


def table_iii() -> list[Compared]:
    """Share of operations against the product of the two densities, as far as these can be rounded."""
    found = []
    for layer in eie_layers():
        weights, active = layer.weight_density_frac, layer.activation_density_frac
        least = 100 * (weights - WEIGHT_ROUNDING) * (active - ACTIVATION_ROUNDING)
        most = 100 * (weights + WEIGHT_ROUNDING) * min(active + ACTIVATION_ROUNDING, 1.0)
        printed = 100 * layer.flop_frac
        if not least - 0.5 < printed < most + 0.5 - 1e-9:
            note = (
                f"product of the table's two densities; {least:.1f} to {most:.1f} before rounding"
            )
            product = 100 * weights * active
            found.append(
                Compared("Table III", layer.name, "operations left (%)", printed, product, note)
            )
    return found


def table_iv() -> list[Compared]:
    """Theoretical times that are below what operations alone take, whatever the rounding."""
    machine = accelerator("eie-64")
    found = []
    for layer in eie_layers():
        inputs = layer.n_in * layer.activation_density_frac
        kept = layer.n_out * (layer.weight_density_frac - WEIGHT_ROUNDING)
        least_us = inputs * kept * machine.cycle_us / machine.pes
        if layer.theoretical_us + TIME_ROUNDING_US < least_us:
            found.append(
                Compared(
                    "Table IV",
                    layer.name,
                    "theoretical time (µs)",
                    layer.theoretical_us,
                    least_us,
                    "operations over throughput at the least density that rounds to Table III's",
                )
            )
    return found


def table_v() -> list[Compared]:
    """Efficiencies against throughput, power and area."""
    found = []
    for row in printed_platforms():
        for column, printed, divisor, what in (
            ("frames/J", row.frames_per_joule, row.power_w, "power"),
            ("frames/s/mm²", row.frames_per_s_per_mm2, row.area_mm2, "area"),
        ):
            if printed is None or divisor is None or row.fc7_frames_per_s is None:
                continue
            again = row.fc7_frames_per_s / divisor
            if not _rounds_to(printed, again, half_unit(f"{divisor:g}") / divisor):
                note = f"throughput over {what}"
                found.append(Compared("Table V", row.platform, column, printed, again, note))
    return found


def of_abstract() -> list[Compared]:
    """The abstract against the tables behind it."""
    platforms = {row.platform: row for row in printed_platforms()}
    layers = {layer.name: layer for layer in eie_layers()}
    large, old = platforms[LARGE], platforms[DADIANNAO]
    frames = 1e6 / sum(layers[name].actual_us for name in ALEXNET)
    candidates = [
        ("alexnet_fc_frames_per_s", "AlexNet FC6 to FC8 (frames/s)", frames, "Table IV's times"),
        ("power_mw", "power (mW)", 1e3 * (platforms[SMALL].power_w or 0.0), "Table V"),
        (
            "throughput_over_dadiannao",
            "throughput over DaDianNao (ratio)",
            _over(large.fc7_frames_per_s, old.fc7_frames_per_s),
            f"Table V, {LARGE}",
        ),
        (
            "energy_over_dadiannao",
            "energy efficiency over DaDianNao (ratio)",
            _over(large.frames_per_joule, old.frames_per_joule),
            f"Table V, {LARGE}",
        ),
        (
            "area_over_dadiannao",
            "area efficiency over DaDianNao (ratio)",
            _over(large.frames_per_s_per_mm2, old.frames_per_s_per_mm2),
            f"Table V, {LARGE}",
        ),
    ]
    return [
        Compared("Abstract", EIE, column, stated(name), again, note)
        for name, column, again, note in candidates
        if not _rounds_to(stated(name), again)
    ]


def _ratio(layer: str, series: str, field: str) -> float:
    """CPU, dense, over a system, from the tables; EIE's energy is its time × Table V's power."""
    cpu = getattr(published_time(layer, CPU_DENSE), field)
    if series == EIE:
        actual_us = next(row.actual_us for row in eie_layers() if row.name == layer)
        watts = next(row.power_w for row in printed_platforms() if row.platform == SMALL)
        return float(cpu / (actual_us if field == "latency_us" else actual_us * (watts or 0.0)))
    system = next(system for system in SYSTEMS if system.series == series)
    return float(cpu / getattr(published_time(layer, system), field))


def _rounds_to(printed: float, number: float, slack: float = 0.0) -> bool:
    """Whether a number that is known to within a fraction `slack` can be printed so."""
    return abs(printed - number) <= half_unit(f"{printed:g}") + slack * number


def _over(number: float | None, other: float | None) -> float:
    assert number is not None
    assert other is not None
    return number / other


def _summary(compared: tuple[Compared, ...]) -> str:
    """How many there are in each table, and the largest."""
    counts: dict[str, int] = {}
    for number in compared:
        counts[number.table] = counts.get(number.table, 0) + 1
    worst = max(compared, key=lambda number: abs(number.difference_pct or 0.0))
    parts = ", ".join(f"{table}: {count}" for table, count in counts.items())
    return (
        f"{len(compared)} numbers ({parts}). The largest: {worst.table}, {worst.row}, {worst.column} is "
        f"printed as {worst.published:g}, and {worst.ours:.3g} {worst.note}. The theoretical times of "
        "Table IV, which are not operations over throughput, have a section of their own."
    )


def _frame(compared: tuple[Compared, ...]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        [(*number[:5], number.difference_pct, number.note) for number in compared],
        columns=list(COLUMNS),
    )
