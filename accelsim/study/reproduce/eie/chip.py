"""EIE's Table II and the whole chip: power and area from activity counts times tables, few factors fitted."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from accelsim.baseline.printed import PrintedPlatform, printed_platforms
from accelsim.baseline.published import pe_table
from accelsim.hardware.technology import technology
from accelsim.simulation.result import Result
from accelsim.study.calibrate import (
    FACTORS,
    FIT_ROWS,
    What,
    calibrate,
    every_half,
    pe_parts,
    pe_rows,
    pes_energy_pj,
)
from accelsim.study.reproduce.chapters import Chapter, Compared
from accelsim.study.reproduce.eie.runs import REAL_LAYER, Bench, Runs

if TYPE_CHECKING:
    import pandas as pd

TABLE = "Table II"
UNITS: Mapping[What, str] = {"power_mw": "power (mW)", "area_um2": "area (um2)"}
ALLOWED_PCT = 15.0
# Types and modules each add up to the total: with five rows fitted, these are no checks of their own.
SUMS = ("total", "memory")
# Equations that are worse than this fix some factor by rounding alone.
MOST_CONDITION = 1e3
SRAM_SOURCES = ("45nm", "45nm-cacti", "45nm-horowitz")


class _Half(NamedTuple):
    """How well halves of the rows predict the other: all, those that fix the factors, those that pass."""

    all: int
    fixing: int
    passing: int


def chapters(runs: Runs) -> list[Chapter]:
    """Table II by type and module, the factors, power on every layer, and the SRAM sources."""
    bench = runs.real or runs.bench(REAL_LAYER)
    where = "real data" if runs.real else "drawn data: the real layer is not at hand"
    return [
        _table_ii(bench.result, "power_mw", where),
        _table_ii(bench.result, "area_um2", where),
        _components(bench.result),
        _factors(bench.result),
        _layers(runs),
        _sources(bench, runs),
    ]


def _table_ii(result: Result, what: What, where: str) -> Chapter:
    import pandas as pd

    published, ours = pe_table(what), pe_rows(pe_parts(result, what))
    compared = [
        Compared(TABLE, row, UNITS[what], value, ours[row], _role(row, what))
        for row, value in published.items()
    ]
    data = pd.DataFrame(
        {
            "row": number.row,
            f"published_{what}": number.published,
            f"ours_{what}": number.ours,
            "difference_pct": number.difference_pct,
            "fitted": number.row in FIT_ROWS[what],
        }
        for number in compared
    )
    return Chapter(
        name=f"table_ii_{'power' if what == 'power_mw' else 'area'}",
        title=f"{TABLE}: {UNITS[what].split()[0]} of one PE",
        compared=tuple(compared),
        data=data,
        text=_table_text(compared, what, where),
    )


def _components(result: Result) -> Chapter:
    """Every component by module and type."""
    import pandas as pd

    frames = [
        pd.DataFrame(pe_parts(result, what))
        .assign(what=what)
        .groupby(["what", "module", "type", "component", "factor"], sort=False, dropna=False)
        .sum()
        .reset_index()
        for what in FACTORS
    ]
    return Chapter(
        name="table_ii_components",
        title=f"{TABLE}: our components",
        compared=(),
        data=pd.concat(frames, ignore_index=True),
        text=(
            "Each component belongs to one module and to one type of cell; what all share is divided among "
            "the modules by the bits of their registers, by their area, or by the area of their SRAMs. "
            "`factor` is what it is proportional to, if that is fitted."
        ),
    )


def _role(row: str, what: What) -> str:
    if row in FIT_ROWS[what]:
        return "fitted to this row"
    follows = " (follows from the fitted rows and the other checks)" if row in SUMS else ""
    return f"a check: nothing is fitted to it{follows}"


def _table_text(compared: list[Compared], what: What, where: str) -> str:
    checks = {n.row: n.difference_pct or 0.0 for n in compared if n.row not in FIT_ROWS[what]}
    worst = max(checks, key=lambda row: abs(checks[row]))
    workload = (
        f"AlexNet FC8 on 64 PEs ({where}): the paper does not say which layers its power is of. Broadcast "
        "wires and the leading-non-zero tree stand outside of the PE."
        if what == "power_mw"
        else "Memories are CACTI's times a factor; logic is counted bits, multiplexers and operators."
    )
    return (
        f"{workload}\n\nFive factors are fitted to {', '.join(FIT_ROWS[what])}; the other rows check them. "
        f"Of these, {worst} is the furthest off, by {checks[worst]:+.1f} %; the total is "
        f"{checks['total']:+.1f} % off. Types and modules both add up to the total, so that total and memory "
        f"follow from the fitted rows and the other {len(checks) - len(SUMS)} checks: what these miss may "
        f"cancel there.\n\nThe half was chosen after all {len(compared)} rows had been seen; "
        "the chapter on the factors tells how other halves do."
    )


def _factors(result: Result) -> Chapter:
    import pandas as pd

    tech = technology(result.machine.technology)
    rows = []
    for what, factors in FACTORS.items():
        refitted = calibrate(result, what).factors
        for name, components in factors.items():
            value, unit, source = _table_value(tech.model_dump(), name)
            rows.append(
                {
                    "factor": name,
                    "of": ", ".join(components),
                    "value": value,
                    "unit": unit,
                    "refitted": value * refitted[name],
                    "fitted_to": ", ".join(FIT_ROWS[what]),
                    "source": source,
                }
            )
    halves = {what: _halves(every_half(result, what)) for what in FACTORS}
    told = " ".join(
        f"{UNITS[what].split()[0].capitalize()}: of {half.all} ways to choose five rows, {half.fixing} fix "
        f"all factors with none below 0, and with {half.passing} of these every other row is within "
        f"{ALLOWED_PCT:g} %."
        for what, half in halves.items()
    )
    return Chapter(
        name="table_ii_factors",
        title=f"{TABLE}: what is fitted",
        compared=(),
        data=pd.DataFrame(rows),
        text=(
            "Energy is counts times these numbers and published ones (docs/energy.md). `refitted` is what a "
            "fit to this run gives: the table keeps four digits of it.\n\n"
            f"{told} A half without any row of a factor's own kind fixes it badly, so these figures tell how "
            "much the printed rows agree with the model, not how likely it is to be right."
        ),
    )


def _table_value(fields: dict[str, Any], name: str) -> tuple[float, str, str]:
    """The number of a row of the technology table, its unit, and its source."""
    kind, _, row_name = name.partition(".")
    row = fields[kind][row_name]
    number = next(key for key in row if key not in ("status", "source", "bits", "at_mhz", "per"))
    return float(row[number]), number, str(row["source"])


def _halves(halves: "pd.DataFrame") -> _Half:
    fixing = halves[(halves["condition"] < MOST_CONDITION) & (halves["least_factor"] >= 0)]
    return _Half(len(halves), len(fixing), int((fixing["worst_check_pct"] < ALLOWED_PCT).sum()))


def _layers(runs: Runs) -> Chapter:
    """Power of one PE on each layer: what the unstated workload makes of it."""
    import pandas as pd

    published = pe_table("power_mw")
    benches = {bench.name: bench for bench in runs.benches}
    if runs.real:
        benches[f"{runs.real.name} (real data)"] = runs.real
    power = {name: pe_rows(pe_parts(bench.result, "power_mw")) for name, bench in benches.items()}
    data = pd.DataFrame(
        {"layer": name} | {f"{row}_mw": parts[row] for row in published}
        for name, parts in power.items()
    )
    nine = [power[bench.name]["total"] for bench in runs.benches]
    return Chapter(
        name="power_by_layer",
        title="Power of one PE, layer by layer",
        compared=tuple(
            Compared(
                TABLE,
                f"total, on {name}",
                "power (mW)",
                published["total"],
                parts["total"],
                "the paper prints one figure, and does not say of which layers",
            )
            for name, parts in power.items()
        ),
        data=data,
        text=(
            "The factors are those fitted on AlexNet FC8. Over the nine drawn layers a PE takes "
            f"{min(nine):.1f} to {max(nine):.1f} mW, {sum(nine) / len(nine):.2f} mW in the mean, beside the "
            f"one published figure of {published['total']:g} mW: layers with many empty columns read "
            "pointers for nothing, dense ones read rows. The spread is how far the unstated workload leaves "
            "the power open; that the mean is so near is no more than luck."
        ),
    )


class _Source(NamedTuple):
    """The chip on one layer, with one source of SRAM numbers; outside: what is not in its PEs."""

    technology: str
    pes_w: float
    outside_w: float
    chip_w: float
    area_mm2: float


def _sources(bench: Bench, runs: Runs) -> Chapter:
    """The chip with each source of SRAM numbers, and what stands outside of its PEs."""
    import pandas as pd

    sources = [
        _source(bench.session.run(runs.machine.replace(technology=name)), name)
        for name in SRAM_SOURCES
    ]
    ours, published = sources[0], published_chip()
    pes_w = 64 * pe_table("power_mw")["total"] / 1e3
    numbers = (
        ("64 PEs", "power (W)", published.power_w, ours.pes_w, "PEs alone, as the paper sums them"),
        (
            "64 PEs, with what connects them",
            "power (W)",
            published.power_w,
            ours.chip_w,
            "with the tree and broadcast wires (an H-tree, an estimate), which the paper leaves out",
        ),
        ("64 PEs", "area (mm2)", published.area_mm2, ours.area_mm2, "PEs and the tree"),
    )
    return Chapter(
        name="sram_sources",
        title="The chip, and sources that disagree on SRAM",
        compared=tuple(
            Compared("Table V", row, column, value, own, note)
            for row, column, value, own, note in numbers
        ),
        data=pd.DataFrame(sources),
        text=(
            f"The published {published.power_w:g} W are 64 times one PE ({pes_w:.3f} W): wires between PEs "
            "are not in. Three sources disagree on what an SRAM takes: the paper's Table I (5 pJ for 32 bits "
            "from 32 KB), CACTI (11.8 pJ, low-standby-power cells that hardly leak), and the chip, whose "
            "memories take less than CACTI says and more than Table I: `45nm` adds leakage to the latter. "
            "Choose with `--set technology=45nm-cacti` or `45nm-horowitz`."
        ),
    )


def published_chip() -> PrintedPlatform:
    """The chip's row of Table V."""
    return next(row for row in printed_platforms() if row.platform == "EIE64")


def _source(result: Result, technology_name: str) -> _Source:
    chip_w = result.total["power_mw"] / 1e3
    pes_w = pes_energy_pj(result) / result.total["latency_us"] / 1e6
    area_mm2 = result.total["area_mm2"]
    return _Source(technology_name, pes_w, chip_w - pes_w, chip_w, area_mm2)
