"""A roofline as people see it: a table of machines, CSV files and a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from accelsim.errors import InputError
from accelsim.files import make_folder, write_csv
from accelsim.report.comparison import json_records
from accelsim.report.figures.roofline import draw_roofline
from accelsim.report.figures.style import FORMATS
from accelsim.report.tables import FittedTable
from accelsim.report.units import number, time_text
from accelsim.study.roofline import Roofline

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


def print_roofline(roofline: Roofline, console: "Console") -> None:
    """Print each machine's roofs, and what binds the network under them."""
    console.print(roofline_table(roofline))


def write_roofline(roofline: Roofline, out: Path) -> list[Path]:
    """Write a picture (.png, .svg), the points (.csv), or all of it and the roofs into a folder.

    Returns the files. Raises InputError for another ending, or where nothing can be written.
    """
    check_out(out)
    suffix = out.suffix.lower()
    if suffix == ".csv":
        write_csv(roofline.points, out)
        return [out]
    if suffix in FORMATS:
        return [draw_roofline(roofline.points, roofline.roofs, out, title=_title(roofline))]
    make_folder(out)
    frames = {"points.csv": roofline.points, "roofs.csv": roofline.roofs}
    for name, frame in frames.items():
        write_csv(frame, out / name)
    return [out / name for name in frames] + write_roofline(roofline, out / "roofline.png")


def check_out(out: Path) -> None:
    """InputError unless `out` is a picture, a .csv file, or a name without an ending, for a folder."""
    known = (*FORMATS, ".csv")
    if out.suffix and out.suffix.lower() not in known and not out.is_dir():
        raise InputError(f"{out}: give a folder, or a file that ends in {', '.join(known)}")


def roofline_dict(roofline: Roofline) -> dict[str, Any]:
    """All of it, for JSON."""
    return {
        "network": roofline.network,
        "batch": roofline.batch,
        "points": json_records(roofline.points),
        "roofs": json_records(roofline.roofs),
        "notes": list(roofline.notes),
    }


def roofline_table(roofline: Roofline) -> Table:
    """Lay out a row per machine and kernel: its roofs, the time of all layers, and what binds them."""
    table = FittedTable(
        title=Text(_title(roofline), style="bold"), title_justify="left", box=box.SIMPLE_HEAD,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    table.add_column("Machine", overflow="fold")
    table.add_column("Weights")
    for heading in ("Gop/s", "GB/s", "Time per\ninference"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Layers bound by")
    for roof in roofline.roofs.to_dict("records"):
        own = roofline.points[
            (roofline.points["system"] == roof["system"])
            & (roofline.points["kernel"] == roof["kernel"])
        ]
        table.add_row(
            Text(str(roof["system"])),
            str(roof["kernel"]),
            number(roof["gop_per_s"]),
            number(roof["bandwidth_gbyte_per_s"]),
            time_text(float(own["latency_us"].sum())),
            _bounds(own),
        )
    return table


def _bounds(points: "pd.DataFrame") -> str:
    counts = points["bound"].value_counts()
    return ", ".join(f"{bound} {count}" for bound, count in counts.items())


def _title(roofline: Roofline) -> str:
    return f"{roofline.network}, batch {roofline.batch}: layers under the roofs"
