"""A measurement as people see it on the terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from accelsim.baseline.measured.record import Cache, KernelTimings, Measurement, Timing
from accelsim.report.tables import FittedTable
from accelsim.report.units import MISSING, energy_text, time_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

ESTIMATED = "≈ "
CACHES: dict[Cache, str] = {"flushed": "cold", "larger than cache": "large", "warm": "warm"}


def print_measurement(measurement: Measurement, console: "Console") -> None:
    """Print what was measured."""
    console.print(measurement_table(measurement))


def measurement_table(measurement: Measurement) -> "RenderableType":
    """Lay out what was measured: median, spread and energy of every kernel, batch and cache state."""
    table = FittedTable(
        title=Text(_title(measurement), style="bold"), title_justify="left", box=box.SIMPLE_HEAD,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    table.add_column("Layer", overflow="fold", min_width=len("Layer"))
    for heading in ("Kernel", "Caches"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Batch", "Median", "Spread", "Energy"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in measurement.layers:
        table.add_section()
        for kernel in layer.kernels:
            for timing in kernel.timings:
                table.add_row(Text(layer.name), *_cells(measurement, kernel, timing))
    lines = Group(*(Text(line, style="dim") for line in _lines(measurement)))
    return Group(table, Padding(lines, (0, 0, 1, 1)))


def _title(measurement: Measurement) -> str:
    where = "" if measurement.is_here else "another machine: "
    return f"{measurement.network} on {where}{measurement.device.name}"


def _cells(measurement: Measurement, kernel: KernelTimings, timing: Timing) -> list[str]:
    spread = (timing.percentile_us(90) - timing.percentile_us(10)) / 2
    return [
        kernel.kernel,
        CACHES[timing.cache],
        str(kernel.batch),
        time_text(timing.median_us),
        f"±{spread / timing.median_us:.0%}",
        _energy_text(measurement, timing),
    ]


def _energy_text(measurement: Measurement, timing: Timing) -> str:
    energy = measurement.energy(timing)
    if energy.energy_uj is None:
        return MISSING
    text = energy_text(1e6 * energy.energy_uj)
    return f"{ESTIMATED}{text}" if energy.kind == "estimate" else text


def _lines(measurement: Measurement) -> list[str]:
    """What the numbers are, and what may be wrong with them."""
    samples = [
        len(timing.samples_us)
        for layer in measurement.layers
        for kernel in layer.kernels
        for timing in kernel.timings
    ]
    lines = [
        "Per inference, float32. Spread: half of what lies between the 10th and the 90th percentile "
        f"of {min(samples)} to {max(samples)} samples.",
        "Cold: caches flushed before each sample. Large: weights larger than the caches, not flushed.",
        f"Energy counters: {measurement.energy_source or 'none could be read'}.",
    ]
    power = measurement.power_specification
    if power:
        lines.append(
            f"{ESTIMATED}an estimate, not measured: time × {power.tdp_w:g} W. {power.source}; {power.note}."
        )
    if measurement.is_disturbed:
        lines.append(
            f"DISTURBED: other processes kept {measurement.others_cpus:.1f} CPUs busy: measure again."
        )
    return [*lines, *(f"{remark}." for remark in measurement.remarks)]
