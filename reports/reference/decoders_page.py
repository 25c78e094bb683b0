"""The tables of docs/decoders.md, from the rows of decoders.csv."""

import re
from pathlib import Path
from typing import Any

import pandas as pd

FC8 = "AlexNet FC8"
# The first one is the default.
TECHNOLOGIES = ("45nm", "45nm-cacti", "45nm-horowitz")
PAGE = Path(__file__).parents[2] / "docs" / "decoders.md"
SAVED = {"weight SRAM saved": "{saved_pct:.1f} %"}
RATIOS = {
    "cycles": "{cycles_ratio:.2f}×",
    "energy": "{energy_ratio:.2f}×",
    "area": "{area_ratio:.2f}×",
}
DECODER = {
    "table bits of a decoder": "{table_bits:,}",
    "decoding": "{decoding_pct:.0f} % of energy",
}
# Headings and what stands under them; text to the left, numbers to the right.
COLUMNS = {
    "designs": DECODER | SAVED | RATIOS,
    "shared": RATIOS,
    "alignments": SAVED | {"pointer SRAM (bytes per PE)": "{pointer_sram_bytes_per_pe:,}"} | RATIOS,
    "variants": DECODER | SAVED | RATIOS,
    "streaming": {"from DRAM (KB)": "{dram_kb:,.0f}", "decoder busy (cycles)": "{load_cycles:,}"}
    | {"cycles": "{cycles:,}"}
    | {"energy": "{energy_ratio:.2f}×"},
    "sources": {f"energy, `{name}`": f"{{{name}:.2f}}×" for name in TECHNOLOGIES},
}


def fill_page(frame: pd.DataFrame) -> None:
    """Put every table between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    for name, rows in tables(frame).items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = marked.sub(lambda match, rows=rows: f"{match[1]}{rows}\n{match[2]}", text)
    PAGE.write_text(text, encoding="utf-8")


def tables(frame: pd.DataFrame) -> dict[str, str]:
    """Each table in Markdown, by the name that marks its place. frame: decoders.csv."""
    frame = filled(
        frame.assign(
            decoding_pct=100 * frame["decoding_energy_pj"] / frame["energy_pj"],
            dram_kb=frame["dram_bytes"] / 1024,
        )
    )
    fc8 = frame.network == FC8
    placement = frame.part == "placement"
    inline, any_bit = frame.placement == "inline", frame.alignment == "bit"
    parts = {
        "designs": placement & inline & any_bit,
        "shared": placement & (frame.placement == "shared") & any_bit & fc8,
        "alignments": placement & ((frame.decoder == "fixed") | inline & (frame.design == "pair")),
        "variants": (frame.part == "variant") & fc8,
        "streaming": (frame.part == "streaming") & fc8,
    }
    rows = {name: frame[part] for name, part in parts.items()}
    rows["sources"] = side_by_side(frame[frame.part == "sources"])
    return {name: markdown(several, COLUMNS[name]) for name, several in rows.items()}


def side_by_side(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per machine instead of one per technology; its energies in columns of their names."""
    energy = {
        name: rows[rows.technology == name]["energy_ratio"].to_numpy() for name in TECHNOLOGIES
    }
    return rows[rows.technology == TECHNOLOGIES[0]].assign(**energy)


def filled(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with empty texts where nothing stands."""
    return frame.astype(object).where(frame.notna(), "")


def markdown(frame: pd.DataFrame, columns: dict[str, str]) -> str:
    """A row per machine: the network, if there are several, the machine in words, and the columns."""
    several = frame["network"].nunique() > 1
    first = ["network", "machine"] if several else ["machine"]
    lines = [[*first, *columns], [*["---"] * len(first), *["---:"] * len(columns)]]
    for row in frame.to_dict("records"):
        numbers = [how.format(**row) for how in columns.values()]
        lines.append([*[row["network"]] * several, machine_text(row), *numbers])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine_text(row: dict[str, Any]) -> str:
    """What sets a machine apart."""
    words = [f"`{row['design']}`" if row["design"] else "fixed entries"]
    if row["weights_in"] == "dram" and row["design"]:
        words.append(f"one for {row['shared_by']:.0f} PEs" if row["shared_by"] else "in each PE")
    if row["alphabet"] == "joint":
        words.append(f"joint, words up to {row['max_code_length']:.0f} bits")
    if row["entries_per_cycle"] not in ("", 2):
        words.append(f"{row['entries_per_cycle']:.0f} entries in {row['window_bits']:.0f} bits")
    for field, name in (("bits_per_cycle", "bits per cycle"), ("sub_streams", "sub-streams")):
        if row[field] not in ("", 1):
            words.append(f"{row[field]:.0f} {name}")
    if row["multipliers"] > 1:
        words.append(f"{row['multipliers']} multipliers")
    if row["alignment"] != "bit":
        words.append(f"columns from any {row['alignment']}")
    if row["part"] == "sources" and row["weights_in"] == "dram":
        words.append("weights from DRAM")
    return ", ".join(words)
