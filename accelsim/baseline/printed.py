"""What EIE prints beside its times: Figures 6 and 7, Table V, and numbers in its text."""

import csv
from functools import cache
from typing import NamedTuple

from accelsim.baseline.published import TABLES, PublishedLayer, published_layer

GEOMEAN = "geomean"
SPEEDUP, EFFICIENCY = "6 speedup", "7 energy efficiency"


class PrintedPlatform(NamedTuple):
    """A row of Table V: a platform on AlexNet FC7; None where the paper leaves the cell empty."""

    platform: str
    kind: str
    area_mm2: float | None
    power_w: float | None
    fc7_frames_per_s: float | None
    frames_per_s_per_mm2: float | None
    frames_per_joule: float | None


def eie_layers() -> tuple[PublishedLayer, ...]:
    """The nine layers of Tables III and IV, in their order."""
    found = (published_layer(row["layer"]) for row in _rows("eie_layers.csv"))
    return tuple(layer for layer in found if layer)


def printed_ratios(figure: str) -> dict[str, dict[str, str]]:
    """Figure 6 or 7 (SPEEDUP, EFFICIENCY) by series and layer, as printed: ratios to CPU, dense.

    GEOMEAN stands among the layers. Texts, because the digits that are printed say how far it is rounded.
    """
    figures: dict[str, dict[str, str]] = {}
    for row in _rows("eie_speedup_energy.csv"):
        if row["figure"] == figure:
            figures.setdefault(row["series"], {})[row["layer"]] = row["ratio_to_cpu_dense"]
    return figures


def printed_platforms() -> tuple[PrintedPlatform, ...]:
    """Table V, in its order."""
    return tuple(
        PrintedPlatform(
            row["platform"],
            row["type"],
            *(float(row[name]) if row[name] else None for name in PrintedPlatform._fields[2:]),
        )
        for row in _rows("eie_platforms.csv")
    )


def stated(name: str) -> float:
    """A number of EIE's abstract or text, by its name in eie_statements.csv."""
    return next(float(r["value"]) for r in _rows("eie_statements.csv") if r["name"] == name)


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    with (TABLES / name).open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))
