"""Served requests as people see them: a table, CSV files, pictures and a page in a folder."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.text import Text

from accelsim.files import make_folder, write_csv
from accelsim.report.figures.serving import (
    draw_activity,
    draw_latency_histogram,
    draw_load_curve,
    load_knee,
)
from accelsim.report.page import Section, write_page
from accelsim.report.tables import FittedTable
from accelsim.report.units import energy_text, number, percent, time_text
from accelsim.simulation.system.result import PERCENTILES, ServingResult

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, RenderableType
    from rich.table import Table

TABLES = ("summary", "energy", "chips", "timeline", "activity", "requests")
SECTION_RULE = ("", "")


def print_serving(served: ServingResult, console: "Console") -> None:
    """Print throughput, latency, utilisation and energy; then, if there are several, the chips."""
    parts: list[RenderableType] = [_figures_table(served)]
    if served.system.chips > 1:
        parts.append(_chips_table(served))
    console.print(Group(*parts))


def write_serving(served: ServingResult, curve: "pd.DataFrame", folder: Path) -> Path:
    """Write the tables as CSV, three pictures and index.html; returns the page.

    curve: as `load_curve` gives it
    """
    make_folder(folder)
    for name in TABLES:
        write_csv(getattr(served, name), folder / f"{name}.csv")
    write_csv(curve, folder / "load.csv")
    title = _title(served)
    load = draw_load_curve(curve, folder / "load.png", title=title)
    latency = draw_latency_histogram(
        served.requests["latency_us"], served.figures, folder / "latency.png", title=title
    )
    activity = draw_activity(served.activity, folder / "activity.png", title=title)
    knee = load_knee(curve)
    sections = [
        Section(
            "This run",
            " ".join(served.notes),
            [("Summary", served.summary), ("Energy", served.energy), ("Chips", served.chips)],
            [("Latency of the requests", latency), ("The first batches", activity)],
        ),
        Section(
            "Over the offered load",
            f"Poisson arrivals. Most throughput per latency at {percent(knee)} of the capacity "
            f"of {number(served.capacity_per_s)} requests per second.",
            [("Latency over load", curve)],
            [("Latency over load", load)],
        ),
    ]
    return write_page(
        folder / "index.html",
        f"Serving {title}",
        "Throughput, latency, utilisation and energy of requests over time.",
        sections,
        provenance=served.provenance,
    )


def _title(served: ServingResult) -> str:
    system = served.system
    chips = f"{system.chips} × " if system.chips > 1 else ""
    how = f", {system.arrangement}" if system.chips > 1 else ""
    return f"{served.network} on {chips}{system.work.machine.name}{how}"


def _figures_table(served: ServingResult) -> "Table":
    figures = served.figures
    table = _table(f"Serving {_title(served)}", "", "")
    rows = [
        ("Requests", f"{figures['requests']:,}"),
        ("Batches", f"{figures['batches']:,} of {number(figures['mean_batch_size'])} on average"),
        ("Throughput", f"{number(figures['throughput_per_s'])}/s"),
        ("Capacity", f"{number(figures['capacity_per_s'])}/s"),
        SECTION_RULE,
        ("Latency, mean", time_text(figures["latency_mean_us"])),
        *((f"Latency, p{p}", time_text(figures[f"latency_p{p}_us"])) for p in PERCENTILES),
        ("Wait, mean", time_text(figures["wait_mean_us"])),
        SECTION_RULE,
        ("Arrays busy", percent(figures["array_utilization_frac"])),
        ("DRAM busy", percent(figures["dram_utilization_frac"])),
    ]
    if served.system.arrangement == "pipelined":
        rows.append(("Links busy", percent(figures["link_utilization_frac"])))
    rows += [
        SECTION_RULE,
        ("Energy", energy_text(1e6 * figures["energy_uj"])),
        ("  leakage, busy", energy_text(1e6 * figures["leakage_uj"])),
        ("  leakage, idle", energy_text(1e6 * figures["idle_leakage_uj"])),
        ("Energy per request", energy_text(1e6 * figures["energy_per_request_uj"])),
        ("Power", f"{number(figures['power_mw'])} mW"),
    ]
    for row in rows:
        if row == SECTION_RULE:
            table.add_section()
        else:
            table.add_row(*row)
    return table


def _chips_table(served: ServingResult) -> "Table":
    table = _table("", "Chip", "Layers", "Full batch", "Array busy", "DRAM busy")
    for row in served.chips.to_dict("records"):
        table.add_row(
            str(row["chip"]), Text(row["layers"]), time_text(row["full_batch_us"]),
            percent(row["array_utilization_frac"]), percent(row["dram_utilization_frac"]),
        )  # fmt: skip
    return table


def _table(title: str, *headings: str) -> "Table":
    table = FittedTable(
        title=Text(title, style="bold") if title else None, title_justify="left",
        box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(headings), collapse_padding=True,
    )  # fmt: skip
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < 2 and any(headings) else "right")
    table.columns[0].justify = "left"
    return table
