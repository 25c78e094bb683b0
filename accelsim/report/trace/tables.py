"""The stall report on the terminal, and as one object for programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.text import Text

from accelsim.report.comparison import json_records
from accelsim.report.tables import FittedTable
from accelsim.report.units import MISSING, number, percent
from accelsim.study.trace import Trace

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

WORST = 5


def print_trace(trace: Trace, files: Sequence[Path], console: "Console") -> None:
    """Print what holds which layer up, the worst PEs and columns, and where the files are."""
    console.print(stall_tables(trace))
    names = ", ".join(path.name for path in files)
    console.print(f"wrote {files[0].parent}: {names}", soft_wrap=True)


def trace_dict(trace: Trace, files: Sequence[Path]) -> dict[str, Any]:
    """The stall report with the worst PEs and columns of each layer; the files have all of them."""
    return {
        "network": trace.result.network,
        "machine": trace.result.machine.model_dump(),
        "layers": json_records(trace.layers),
        "worst_pes": json_records(_worst_of_each(trace.stalls)),
        "worst_columns": json_records(_worst_of_each(trace.stall_columns)),
        "files": [str(path) for path in files],
        "notes": list(trace.result.notes),
    }


def stall_tables(trace: Trace) -> RenderableType:
    """One line per layer; below, the worst PEs and columns of the layer with the most stalls."""
    layers = trace.layers
    shown: list[RenderableType] = [_layers(trace)]
    most = int(layers["late_pe_stall_cycles"].argmax())
    if layers["late_pe_stall_cycles"].iloc[most] > 0:
        name = str(layers["layer"].iloc[most])
        bias = next(layer.label.bias_column for layer in trace.traced if layer.name == name)
        shown.append(_pes(trace.stalls[trace.stalls["layer"] == name].head(WORST), name))
        columns = trace.stall_columns[trace.stall_columns["layer"] == name].head(WORST)
        shown.append(_columns(columns, name, bias))
    return Group(*shown)


def _layers(trace: Trace) -> RenderableType:
    table = _table("What holds the array back", "Layer", [
        "Array\ncycles", "Broadcast\nstalled", "Most by", "its stall\ncycles", "its\nentries",
        "Starved\nby stalls", "Wait for\nlast PE",
    ])  # fmt: skip
    worst = trace.stalls.groupby("layer", sort=False).first().to_dict("index")
    for row in trace.layers.to_dict("records"):
        pe = worst[row["layer"]]
        slots = row["array_cycles"] * row["pes"]
        caused = int(pe["stall_cycles_caused"])
        table.add_row(
            Text(str(row["layer"])), f"{row['array_cycles']:,}", f"{row['stall_cycles']:,}",
            f"PE {int(pe['pe'])}" if caused else MISSING, f"{caused:,}" if caused else MISSING,
            f"{100 * pe['entries_over_mean_frac']:+.1f}%" if caused else MISSING,
            percent(row["starved_by_stall_pe_cycles"] / slots) if slots else MISSING,
            f"{row['end_wait_cycles']:,}",
        )  # fmt: skip
    return table


def _pes(worst: "pd.DataFrame", name: str) -> RenderableType:
    table = _table(f"PEs that stall {name} the most", "PE", [
        "Stall cycles", "Broadcasts\ndelayed", "PE-cycles\nstarved by it", "Entries", "Over mean",
    ])  # fmt: skip
    for row in worst.to_dict("records"):
        table.add_row(
            f"PE {row['pe']}", f"{row['stall_cycles_caused']:,}", f"{row['stalls_caused']:,}",
            f"{row['starved_pe_cycles_caused']:,}", f"{row['entries']:,}",
            f"{100 * row['entries_over_mean_frac']:+.1f}%",
        )  # fmt: skip
    return table


def _columns(worst: "pd.DataFrame", name: str, bias: int | None) -> RenderableType:
    table = _table(f"Columns at work while broadcasts of {name} waited", "Column", [
        "PE", "Stall cycles", "Entries there", "Mean entries", "Most entries",
    ])  # fmt: skip
    for row in worst.to_dict("records"):
        table.add_row(
            "bias" if row["column"] == bias else str(row["column"]), str(row["pe"]),
            f"{row['stall_cycles_caused']:,}", f"{row['entries']:,}", number(row["mean_entries"]),
            f"{row['max_entries']:,}",
        )  # fmt: skip
    return table


def _worst_of_each(table: "pd.DataFrame") -> "pd.DataFrame":
    return table.groupby("layer", sort=False).head(WORST)


def _table(title: str, name: str, numbers: Sequence[str]) -> FittedTable:
    table = FittedTable(
        title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False,
        collapse_padding=True,
    )  # fmt: skip
    table.add_column(name, overflow="fold", min_width=len(name))
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
