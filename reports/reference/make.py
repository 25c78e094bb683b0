"""Write the committed reference tables: published numbers, ours, and the difference.

Run with `make reference`. Real data (AlexNet FC8) come from the folder in ACCELSIM_DATA, by default
../shared/data (CONTRIBUTING.md says what is in it).
"""

import csv
import os
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from skew import experiment, work_us

import accelsim
from accelsim.baseline.published import published_layer
from accelsim.simulation.result import Result
from accelsim.study.compare import compare

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = Path(os.environ.get("ACCELSIM_DATA") or ROOT.parent / "shared" / "data")
NETWORKS = ("alexnet_fc", "vgg16_fc", "neuraltalk")
APART = "listed apart here"
LOGIC = "registers and combinational logic"
# EIE Table II by type of component; our groups of components in the same types.
TYPES = {"memory": "memory", "leakage": "memory", "clock": "clock network", "logic": LOGIC}
# EIE Table II by module, and how the components that do the same here begin.
MODULES = {
    "SpmatRead": ("weight SRAM",),
    "PtrRead": ("pointer SRAM",),
    "ActRW": ("activation SRAM", "accumulators"),
    "ArithmUnit": ("multiply", "add", "codebook"),
    "ActQueue": ("activation queues",),
}
# How numbers are written, by the end of a column's name: the first that fits.
FORMATS = {
    "difference_pct": "{:+.1f} %",
    "density_pct": "{:g} %",
    "_pct": "{:.1f} %",
    "ours_us": "{:.2f}",
    "_us": "{:.1f}",
    "_mw": "{:.3f}",
    "_um2": "{:,.0f}",
}
DECIMALS = {"power_mw": 3, "area_um2": 0}
HEADINGS = {
    "layer": "layer",
    "weights": "weights, activations",
    "theoretical_us": "theoretical, EIE (µs)",
    "work_us": "work here (µs)",
    "published_us": "EIE (µs)",
    "ours_us": "here (µs)",
    "difference_pct": "difference",
    "useful_pct": "useful entries",
    "padding_pct": "padding entries",
    "empty_column_pct": "empty columns",
    "starved_pct": "starved",
    "before_and_after_pct": "before and after",
    "by": "by",
    "part": "part",
    "published_power_mw": "EIE (mW)",
    "ours_power_mw": "here (mW)",
    "published_area_um2": "EIE (µm²)",
    "ours_area_um2": "here (µm²)",
    "of": "made up here of",
    "density_pct": "density",
    "row_sigma": "σ of rows",
    "column_sigma": "σ of columns",
}


class Part(NamedTuple):
    """A part of our PE: what it is a part by, its mW or µm², and the components that make it up."""

    by: str
    name: str
    ours: float
    of: str = ""


def weights_of(note: str) -> str:
    """Whether a row of Table IV ran drawn data, or the real data of AlexNet FC8's file."""
    return "real" if note == "weights: given; activations: given" else "synthetic"


def layer_runs() -> list[tuple[Result, pd.DataFrame]]:
    """Nine synthetic layers, and AlexNet FC8 with its real weights and activations."""
    comparisons = [
        compare(network, measure=False) for network in (*NETWORKS, DATA / "alexnet_fc8.npz")
    ]
    return [(next(iter(each.results.values())), each.table_iv) for each in comparisons]


def eie_table_iv(runs: list[tuple[Result, pd.DataFrame]]) -> pd.DataFrame:
    """Our time per layer beside EIE's."""
    frame = pd.concat([table for _, table in runs], ignore_index=True)
    frame["weights"] = [weights_of(note) for note in frame.pop("note")]
    frame["difference_pct"] = frame["difference_pct"].round(1) + 0.0  # no -0.0
    return frame.round({"ours_us": 2})


def where_the_cycles_go(runs: list[tuple[Result, pd.DataFrame]]) -> pd.DataFrame:
    """Shares of cycles × PEs; and all entries, spread evenly over the PEs, beside EIE's theory."""
    rows = []
    for result, table in runs:
        pes = result.pes.groupby("layer", sort=False).sum(numeric_only=True)
        for name, layer in zip(table["layer"], result.rows, strict=True):
            slots = layer["array_cycles"] * result.machine.pes
            parts = {
                "useful_pct": layer["entries"] - layer["padding_entries"],
                "padding_pct": layer["padding_entries"],
                "empty_column_pct": pes["empty_column_cycles"][layer["name"]],
                "starved_pct": pes["starved_cycles"][layer["name"]],
            }
            parts["before_and_after_pct"] = slots - sum(parts.values())
            rows.append(
                {"layer": name, "weights": weights_of(table["note"].iloc[0])}
                | {part: round(100 * float(count) / slots, 1) for part, count in parts.items()}
                | {"theoretical_us": published_layer(name).theoretical_us}
                | {"work_us": round(work_us(layer["entries"], result.machine), 1)}
            )
    return pd.DataFrame(rows)


def eie_table_ii(what: str) -> pd.DataFrame:
    """`power_mw` or `area_um2` of one PE, by type and by module, on AlexNet FC8's real data."""
    result = accelsim.simulate(DATA / "alexnet_fc8.npz")
    parts = _power_parts(result) if what == "power_mw" else _area_parts(result)
    published = published_pe(what)
    return pd.DataFrame(
        [_beside(part, None if part.by == APART else published[part.name], what) for part in parts]
    )


def _power_parts(result: Result) -> list[Part]:
    energy = result.energy
    per_pe = 1 / result.total["latency_us"] / 1e3 / result.machine.pes
    ours = pd.DataFrame({"component": energy.component, "value": energy.energy_pj * per_pe})
    kinds = energy.group.map(TYPES)
    types = [
        Part("type", kind, ours.value[kinds == kind].sum())
        for kind in dict.fromkeys(TYPES.values())
    ]
    modules = [_module(ours, module) for module in MODULES]
    counted = ours.component.str.startswith(sum(MODULES.values(), ()))
    rest = [Part(APART, row.component, row.value) for row in ours[~counted].itertuples()]
    return [Part("", "total", ours.value.sum()), *types, *modules, *rest]


def _area_parts(result: Result) -> list[Part]:
    area = result.area.area_mm2 * 1e6 / result.machine.pes
    ours = pd.DataFrame({"component": result.area.component, "value": area})
    memory = ours.value[ours.component.str.contains("SRAM")].sum()
    modules = [_module(ours, module) for module in ("SpmatRead", "PtrRead", "ActRW")]
    counted = ours.component.str.contains("SRAM")
    rest = [Part(APART, row.component, row.value) for row in ours[~counted].itertuples()]
    return [Part("", "total", ours.value.sum()), Part("type", "memory", memory), *modules, *rest]


def _module(ours: pd.DataFrame, module: str) -> Part:
    """Add up the components that do the module's work."""
    own = ours[ours.component.str.startswith(MODULES[module])]
    return Part("module", module, own.value.sum(), ", ".join(own.component))


def _beside(part: Part, published: float | None, what: str) -> dict[str, Any]:
    digits = DECIMALS[what]
    difference = None if published is None else 100 * (part.ours / published - 1)
    return {
        "by": part.by,
        "part": part.name,
        f"published_{what}": published,
        f"ours_{what}": round(part.ours, digits),
        "difference_pct": None if difference is None else round(difference, 1) + 0.0,
        "of": part.of,
    }


def published_pe(what: str) -> dict[str, float]:
    """EIE Table II, with registers and combinational logic added up as LOGIC."""
    with (HERE / "eie_pe_power_area.csv").open(newline="", encoding="utf-8") as file:
        numbers = {row["component"]: float(row[what]) for row in csv.DictReader(file)}
    numbers["clock network"] = numbers.pop("clock")
    numbers[LOGIC] = numbers.pop("register") + numbers.pop("combinational")
    return numbers


def markdown(frame: pd.DataFrame) -> str:
    """A DataFrame as a Markdown table: headings in words, numbers as far as they are meant."""
    rules = ["---:" if frame[column].dtype.kind in "if" else "---" for column in frame]
    lines = [[HEADINGS[column] for column in frame], rules]
    lines += [
        [_cell(column, value) for column, value in row.items()] for row in frame.to_dict("records")
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(column: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    how = next((how for ending, how in FORMATS.items() if column.endswith(ending)), "{}")
    return how.format(value).replace("+0.0 %", "0.0 %")


def tables() -> dict[str, pd.DataFrame]:
    """Every table by the name of its CSV file, which is its place in README.in.md too."""
    runs = layer_runs()
    return {
        "table_iv": eie_table_iv(runs),
        "cycles": where_the_cycles_go(runs),
        "table_ii_power": eie_table_ii("power_mw"),
        "table_ii_area": eie_table_ii("area_um2"),
        "skew": experiment(),
    }


def main() -> None:
    """Write the CSV files and put the tables into README.md."""
    text = (HERE / "README.in.md").read_text(encoding="utf-8")
    for name, frame in tables().items():
        frame.to_csv(HERE / f"{name}.csv", index=False)
        text = text.replace(f"{{{name}}}", markdown(frame))
    (HERE / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
