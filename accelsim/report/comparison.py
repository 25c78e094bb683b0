"""A comparison as people see it: tables on the terminal, CSV, figures and a page in a folder."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.errors import InputError
from accelsim.files import make_folder, write_csv
from accelsim.report.figures import draw_comparison, draw_energy_breakdown
from accelsim.report.page import Section, write_page
from accelsim.report.tables import comparison_table, table_iv_table
from accelsim.study.compare import Comparison
from accelsim.study.compared import TOTAL

QUICKEST = "Of each measured or modelled device the quickest kernel is shown, caches cold; the table has all."

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


def print_comparison(comparison: Comparison, console: "Console", layer: str | None = None) -> None:
    """Print the systems for one layer (default: the whole network), and EIE's own times beside ours."""
    console.print(comparison_table(rows_of(comparison, layer)))
    if not comparison.table_iv.empty:
        console.print(table_iv_table(comparison.table_iv))


def write_comparison(comparison: Comparison, folder: Path, layer: str | None = None) -> Path:
    """Write comparison.csv, energy.csv, table_iv.csv, two figures and index.html; returns the page."""
    rows_of(comparison, layer)  # an unknown layer is an error before anything is written
    make_folder(folder)
    write_csv(comparison.table, folder / "comparison.csv")
    write_csv(comparison.energy, folder / "energy.csv")
    if not comparison.table_iv.empty:
        write_csv(comparison.table_iv, folder / "table_iv.csv")
    result = next(iter(comparison.results.values()))
    return write_page(
        folder / "index.html",
        f"{comparison.network}: SRAM against DRAM",
        "Latency and energy per inference. Every number's source stands in its row.",
        comparison_sections(comparison, folder, layer),
        provenance=result.provenance,
    )


def comparison_sections(
    comparison: Comparison, folder: Path, layer: str | None = None
) -> list[Section]:
    """Draw the figures into `folder`; return the page's sections."""
    rows = rows_of(comparison, layer)
    what = rows["layer"].iloc[0]
    picture = folder / "comparison.png"
    systems = draw_comparison(quickest(rows), picture, title=_title(comparison, what))
    energy = draw_energy_breakdown(
        comparison.energy, folder / "energy.png", title=_title(comparison, TOTAL)
    )
    sections = [
        Section(
            f"Systems side by side ({what})",
            " ".join(comparison.notes),
            [("Latency and energy per inference", rows)],
            [(f"Latency and energy per inference, logarithmic. {QUICKEST}", systems)],
        ),
        Section(
            "Where the energy goes",
            "Counts times energy per action; sources in the table.",
            [("Energy per inference by component", comparison.energy)],
            [("Shares of the energy", energy)],
        ),
    ]
    if not comparison.table_iv.empty:
        sections.append(
            Section(
                "Beside the published chip",
                "EIE's own times (Table IV) and ours.",
                [("EIE Table IV", comparison.table_iv)],
                [],
            )
        )
    return sections


def comparison_dict(comparison: Comparison, layer: str | None = None) -> dict[str, Any]:
    """The comparison for JSON, of one layer or of all; what was not measured is null."""
    table = rows_of(comparison, layer) if layer else comparison.table
    return {
        "network": comparison.network,
        "systems": json_records(table),
        "energy": json_records(comparison.energy),
        "table_iv": json_records(comparison.table_iv),
        "notes": list(comparison.notes),
        "provenance": next(iter(comparison.results.values())).provenance,
    }


def rows_of(comparison: Comparison, layer: str | None = None) -> "pd.DataFrame":
    """The rows of one layer, or of the whole network. Raises InputError for an unknown layer."""
    names = comparison.layer_names
    chosen = layer or (TOTAL if TOTAL in names else names[0])
    if chosen not in names:
        raise InputError(f"--layer {chosen}: no such layer; the layers are {', '.join(names)}")
    table = comparison.table
    return table[table["layer"] == chosen].reset_index(drop=True)


def quickest(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Of measured and modelled devices only their quickest kernel, per batch; all of the others.

    Warm caches are left out, unless nothing else was measured: inputs come one by one, not the same again.
    """
    best: dict[tuple[str, ...], tuple[bool, float]] = {}
    own = []
    for row in rows.to_dict("records"):
        key = _device(row["system"], row["kind"])
        mark = (", warm" in row["system"], row["latency_us"])
        own.append((key, mark))
        best[key] = min(mark, best.get(key, mark))
    return rows[[mark == best[key] for key, mark in own]].reset_index(drop=True)


def _device(system: str, kind: str) -> tuple[str, ...]:
    """What is compared: a device and a batch where kernels compete, else the system itself."""
    if kind == "estimate":
        return kind, system.partition(",")[0]
    if kind == "measured":
        batch = re.search(r", batch \d+", system)
        kernels = re.sub(
            r"(dense BLAS|sparse CSR|codebook|torch dense|torch sparse CSR)", "", system
        )
        return kind, kernels.replace(", warm", ""), batch[0] if batch else ""
    return kind, system


def _title(comparison: Comparison, layer: str) -> str:
    """Name the network, the layer if a single one is shown, and whether its weights were drawn."""
    network = comparison.network
    name = network if layer in (network, TOTAL) else f"{network}: {layer}"
    provenance = next(iter(comparison.results.values())).provenance
    return f"{name} (synthetic weights)" if provenance["network"].get("synthetic") else name


def json_records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """A table for JSON, which has no NaN: what is missing is None."""
    import pandas as pd

    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]
