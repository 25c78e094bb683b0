"""A sweep as people see it: a table, two CSV files and a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.files import make_folder, write_csv
from accelsim.report.figures import draw_sweep
from accelsim.report.tables import sweep_table
from accelsim.study.sweep import sum_over_layers

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


def write_sweep(frame: "pd.DataFrame", varied: Sequence[str], folder: Path) -> Path:
    """Write sweep.csv (per layer), points.csv (summed over layers) and sweep.png; returns the last."""
    make_folder(folder)
    points = sum_over_layers(frame, varied)
    write_csv(frame, folder / "sweep.csv")
    write_csv(points, folder / "points.csv")
    x = "pes" if "pes" in varied else varied[0]
    return draw_sweep(points, x, folder / "sweep.png", title=str(frame.attrs.get("network", "")))


def print_sweep(
    frame: "pd.DataFrame", varied: Sequence[str], folder: Path, console: "Console"
) -> None:
    """Print the points, and where the files are."""
    console.print(sweep_table(sum_over_layers(frame, varied)))
    console.print(f"wrote {folder}/sweep.csv, points.csv, sweep.png", soft_wrap=True)
