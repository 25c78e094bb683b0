"""Write the committed reference tables: published numbers, ours, and the difference.

Run with `make reference`. Real data (AlexNet FC8) come from ACCELSIM_DATA or ../shared/data.
"""

import csv
import os
from pathlib import Path

import pandas as pd

import accelsim
from accelsim.study.compare import table_iv

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = Path(os.environ.get("ACCELSIM_DATA", ROOT.parent / "shared" / "data"))
NETWORKS = ("alexnet_fc", "vgg16_fc", "neuraltalk")
# EIE Table II by type of component; ours in the same types.
GROUPS = {
    "memory": "memory",
    "leakage": "memory",
    "clock": "clock",
    "logic": "register+combinational",
}


def eie_table_iv() -> pd.DataFrame:
    """Nine synthetic layers, and AlexNet FC8 with its real weights and activations."""
    real = table_iv([DATA / "alexnet_fc8.npz"])
    return pd.concat([table_iv(NETWORKS), real], ignore_index=True).round(2)


def eie_table_ii() -> pd.DataFrame:
    """Power and area of one PE by type, on AlexNet FC8's real data, nothing fitted."""
    result = accelsim.simulate(DATA / "alexnet_fc8.npz")
    per_pe_mw = result.energy.energy_pj / result.total["latency_us"] / 1e3 / result.machine.pes
    power = per_pe_mw.groupby(result.energy.group.map(GROUPS)).sum()
    area = result.area.set_index("component").area_mm2 * 1e6 / result.machine.pes
    ours = {
        ("memory", "power_mw"): power["memory"],
        ("clock", "power_mw"): power["clock"],
        ("register+combinational", "power_mw"): power["register+combinational"],
        ("total", "power_mw"): power.sum(),
        ("memory", "area_um2"): area.filter(like="SRAM").sum(),
        ("total", "area_um2"): area.sum(),
    }
    published = published_pe()
    rows = [
        {
            "component": component,
            "what": what,
            "published": published[component, what],
            "ours": round(value, 3),
            "difference_pct": round(100 * (value / published[component, what] - 1), 1),
        }
        for (component, what), value in ours.items()
    ]
    return pd.DataFrame(rows)


def published_pe() -> dict[tuple[str, str], float]:
    """EIE Table II, with registers and combinational logic added up."""
    with (HERE / "eie_pe_power_area.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["component"]: row for row in csv.DictReader(file)}
    numbers = {
        (name, what): float(row[what])
        for name, row in rows.items()
        for what in ("power_mw", "area_um2")
    }
    for what in ("power_mw", "area_um2"):
        logic = numbers["register", what] + numbers["combinational", what]
        numbers["register+combinational", what] = logic
    return numbers


def markdown(frame: pd.DataFrame) -> str:
    """A DataFrame as a Markdown table."""
    lines = [
        list(frame.columns),
        ["---"] * len(frame.columns),
        *frame.astype(str).to_numpy().tolist(),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Write the CSV files and put the tables into README.md."""
    tables = {"table_iv": eie_table_iv(), "table_ii": eie_table_ii()}
    text = (HERE / "README.in.md").read_text(encoding="utf-8")
    for name, frame in tables.items():
        frame.to_csv(HERE / f"{name}.csv", index=False)
        text = text.replace(f"{{{name}}}", markdown(frame))
    (HERE / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
