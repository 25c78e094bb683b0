"""Tables for the terminal: numbers right-aligned in human units, sources as numbered footnotes.

All fit 80 columns. Names in the first column are folded where there is too little room, numbers stay
whole; where even that does not fit, each row is laid out over several lines.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from accelsim.report.units import (
    MISSING,
    bytes_text,
    energy_text,
    label,
    number,
    percent,
    ratio_text,
    time_text,
)

if TYPE_CHECKING:
    import pandas as pd

    from accelsim.compression.describe import Inspection
    from accelsim.simulation.result import Result

KIND_STYLES = {"simulated": "blue", "measured": "green", "published": "yellow", "estimate": "dim"}
# Columns of `Inspection.layers`: bits per stored entry before and after Huffman coding, and at best.
ENTRY_BITS = (
    "weight_bits_pq",
    "weight_bits_pqh",
    "code_entropy_bits",
    "index_bits_pq",
    "index_bits_pqh",
    "run_entropy_bits",
)
FOLDED = 9  # columns of the terminal that a folded name keeps
# What a sweep measures; every other column is one of its settings.
SWEEP_MEASURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "cycles": ("Cycles", lambda value: f"{value:,.0f}"),
    "latency_us": ("Latency", time_text),
    "utilization_frac": ("Utilisation", percent),
    "energy_pj": ("Energy", energy_text),
    "area_mm2": ("Area (mm²)", number),
}


class Footnotes:
    """Numbers for texts, the same number for the same text, in order of appearance."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, text: str) -> str:
        """Return the text's number, or nothing for an empty text."""
        return str(self._numbers.setdefault(text, len(self._numbers) + 1)) if text else ""

    def marks(self, *texts: Any) -> str:
        """Numbers of several texts, without those that are empty or missing."""
        return ",".join(self.mark(text) for text in map(_text, texts) if text)

    def render(self) -> RenderableType:
        """All texts with their numbers, each with a hanging indent."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(justify="right", style="dim", no_wrap=True)
        grid.add_column(style="dim", overflow="fold")
        for text, index in self._numbers.items():
            grid.add_row(str(index), Text(text))
        return Padding(grid, (0, 0, 1, 1))


def layers_table(result: "Result") -> RenderableType:
    """Lay out a run layer by layer: size, cycles, time, utilisation, padding, energy.

    The result's notes are left to the caller.
    """
    table = _table(f"{result.network} on {result.machine.name}, {result.machine.pes} PEs")
    _columns(table, name="Layer", numbers=[
        "Out × in", "Cycles", "Latency", "Util.", "Pad", "Energy", "From",
    ])  # fmt: skip
    for row in result.rows:
        table.add_row(*_layer_cells(row))
    for row in result.unit_rows:
        table.add_row(
            Text(row["name"]), "", f"{row['cycles']:,}", time_text(row["latency_us"]), "", "",
            energy_text(row["energy_pj"]), "",
        )  # fmt: skip
    total = result.total
    table.add_section()
    table.add_row(
        "total", "", f"{total['cycles']:,}", time_text(total["latency_us"]), "", "",
        energy_text(total["energy_pj"]), "", style="bold",
    )  # fmt: skip
    return Group(table, _lines(_run_summary(result)))


def energy_table(result: "Result") -> RenderableType:
    """Lay out energy by component over all layers: actions, energy, share, source."""
    table = _table(f"Energy of {result.network} on {result.machine.name}")
    _columns(table, name="Component", numbers=["Actions", "Each", "Energy", "Share", "Source"])
    notes = Footnotes()
    terms = _terms_by_component(result.energy_rows)
    total = sum(term["energy_pj"] for term in terms)
    for term in terms:
        table.add_row(
            Text(term["component"]), f"{term['count']:,.0f}", _each(term),
            energy_text(term["energy_pj"]), percent(_share(term["energy_pj"], total)),
            notes.mark(term["source"]),
        )  # fmt: skip
    table.add_section()
    table.add_row("total", "", "", energy_text(total), "", "", style="bold")
    return Group(table, notes.render())


def sizes_table(inspection: "Inspection") -> RenderableType:
    """Lay out the sizes of a compressed network, in the manner of Deep Compression's tables 2 to 5."""
    rows = inspection.layers
    table = _table(f"{inspection.name}, compressed")
    _columns(table, name="Layer", numbers=[
        "Weights", "Kept", "Bits/\nweight", "Bits/\nindex", "Dense", "Stored", "Of\ndense", "Ratio",
    ])  # fmt: skip
    for row in rows:
        table.add_row(*_size_cells(row))
    table.add_section()
    table.add_row(*_size_total_cells(inspection), style="bold")
    return Group(table, _lines(_size_notes(inspection)))


def inspection_table(inspection: "Inspection") -> RenderableType:
    """Lay out what is in a network file: shapes and densities.

    If it is compressed: sizes, the spread of its weights, and what Huffman coding saves.
    """
    if inspection.kind == "compressed":
        rows = inspection.layers
        return Group(sizes_table(inspection), spread_table(rows), huffman_table(rows))
    table = _table(f"{inspection.name} ({inspection.kind})")
    _columns(table, name="Layer", numbers=[
        "Out × in", "Weights", "Non-zero", "Active\ninputs", "Activation", "Bias",
    ])  # fmt: skip
    for row in inspection.layers:
        active = row.get("activation_density_frac")
        table.add_row(
            Text(str(row["layer"])), _shape(row), f"{row['n_weights']:,}",
            percent(row["kept_pct"] / 100), MISSING if active is None else percent(active),
            str(row["activation"]), str(row["bias"]),
        )  # fmt: skip
    return Group(table, _lines([f"Dense, in float32: {bytes_text(inspection.dense_bytes)}."]))


def spread_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Lay out which values the weights of compressed layers have. rows: of `Inspection.layers`."""
    table = _table("Weights that are kept")
    _columns(table, name="Layer", numbers=[
        "Kept", "Shared\nvalues", "Least", "Largest", "Mean", "Standard\ndeviation",
    ])  # fmt: skip
    for row in rows:
        numbers = [row[name] for name in ("weight_min", "weight_max", "weight_mean", "weight_std")]
        table.add_row(
            Text(str(row["layer"])), f"{row['kept_pct'] / 100 * row['n_weights']:,.0f}",
            str(row["n_shared_values"]),
            *(MISSING if value is None else number(value) for value in numbers),
        )  # fmt: skip
    return table


def huffman_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Lay out what Huffman coding saves, and what it could. rows: of `Inspection.layers`."""
    table = _table("Bits per stored entry")
    _columns(table, name="Layer", numbers=[
        "Code\nfixed", "Code\nHuffman", "Code\nentropy", "Run\nfixed", "Run\nHuffman",
        "Run\nentropy", "Saved",
    ])  # fmt: skip
    for row in rows:
        cells = (f"{row[name]:.2f}" for name in ENTRY_BITS)
        table.add_row(Text(str(row["layer"])), *cells, percent(_huffman_saving([row])))
    entries = sum(row["n_entries"] for row in rows)
    means = (_share(sum(r[n] * r["n_entries"] for r in rows), entries) for n in ENTRY_BITS)
    table.add_section()
    table.add_row(
        "total", *(f"{mean:.2f}" for mean in means), percent(_huffman_saving(rows)), style="bold"
    )
    return Group(
        table,
        _lines(
            [
                "Entropy: the least that any code could take which looks at one symbol at a time. Saved: "
                "of codes and runs of fixed width, after the Huffman tables are paid for.",
            ]
        ),
    )


def comparison_table(table: "pd.DataFrame") -> RenderableType:
    """Lay out systems side by side with ratios to the first, kinds, and where each number is from.

    table: columns system, kind, latency_us, energy_uj, latency_ratio, energy_ratio, source, note.
    """
    shown = _table("Latency and energy per inference")
    _columns(shown, name="System", words=["Kind"], numbers=[
        "Latency", "Ratio", "Energy", "Ratio", "Source",
    ])  # fmt: skip
    notes = Footnotes()
    for row in table.to_dict("records"):
        energy_uj = row["energy_uj"]
        shown.add_row(
            Text(str(row["system"])), Text(str(row["kind"]), KIND_STYLES.get(row["kind"], "")),
            time_text(row["latency_us"]), _bold(ratio_text(row["latency_ratio"])),
            MISSING if _missing(energy_uj) else energy_text(1e6 * energy_uj),
            _bold(ratio_text(row["energy_ratio"])), notes.marks(row.get("source"), row.get("note")),
        )  # fmt: skip
    return Group(shown, notes.render())


def table_iv_table(frame: "pd.DataFrame") -> RenderableType:
    """Lay out our times beside EIE's published ones.

    frame: columns layer, published_us, ours_us, difference_pct, note.
    """
    table = _table("Time per layer beside EIE, Table IV")
    _columns(table, name="Layer", numbers=["Published", "Ours", "Difference", "Note"])
    notes = Footnotes()
    for row in frame.to_dict("records"):
        table.add_row(
            Text(str(row["layer"])), time_text(row["published_us"]), time_text(row["ours_us"]),
            _bold(_signed_percent(row["difference_pct"])), notes.mark(_text(row.get("note"))),
        )  # fmt: skip
    return Group(table, notes.render())


def sweep_table(frame: "pd.DataFrame") -> RenderableType:
    """Lay out sweep points: the settings that differ, then the measures, the best of each in bold.

    frame: a row per point (`sum_over_layers`). Settings that all points share stand in the title.
    """
    measures = [name for name in SWEEP_MEASURES if name in frame]
    settings = [name for name in frame.columns if name not in {*SWEEP_MEASURES, "examples"}]
    varied = [name for name in settings if frame[name].nunique(dropna=False) > 1]
    shared = [f"{label(name)} {frame[name].iloc[0]}" for name in settings if name not in varied]
    table = _table(f"{len(frame)} points" + (f", {', '.join(shared)}" if shared else ""))
    headings = [label(name) for name in varied] + [SWEEP_MEASURES[name][0] for name in measures]
    _columns(table, numbers=headings)
    best = _best_rows(frame, measures)
    for index, row in enumerate(frame.to_dict("records")):
        cells: list[RenderableType] = [Text(_text(row[name])) for name in varied]
        for name in measures:
            text = MISSING if _missing(row[name]) else SWEEP_MEASURES[name][1](row[name])
            cells.append(_bold(text) if index in best[name] else text)
        table.add_row(*cells)
    return table


def evaluation_table(frame: "pd.DataFrame") -> RenderableType:
    """Lay out an evaluation: a row per arithmetic, errors, and how often it agrees with float32."""
    examples = int(frame["examples"].max())
    table = _table(f"{frame.attrs['network']} on {frame.attrs['data']}, {examples:,} examples")
    _columns(table, words=["Arithmetic"], numbers=[
        "Error", "Top-5 error", "As float32", "Saturated\nadditions",
    ])  # fmt: skip
    for row in frame.to_dict("records"):
        top = row["top5_error_pct"]
        table.add_row(
            row["arithmetic"],
            f"{row['error_pct']:.2f}%",
            MISSING if math.isnan(top) else f"{top:.2f}%",
            f"{row['same_as_float32_pct']:.2f}%",
            f"{row['saturated_additions']:,}",
        )
    return table


class FittedTable(Table):
    """A table that lays each row out over several lines where its columns do not fit side by side."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the table out for the width at hand."""
        if self._least_width(console) <= options.max_width:
            yield from super().__rich_console__(console, options)
        else:
            yield Text(str(self.title), style="bold")
            rows = zip(*(column.cells for column in self.columns), strict=True)
            yield from (self._in_lines(cells) for cells in rows)

    def _least_width(self, console: Console) -> int:
        """Columns of the terminal, where only the first column of the table may be folded."""
        widths = [
            max(console.measure(cell).maximum for cell in (column.header, *column.cells))
            for column in self.columns
        ]
        if self.columns[0].no_wrap is False:
            widths[0] = min(widths[0], FOLDED)
        return sum(widths) + 2 * len(widths)

    def _in_lines(self, cells: Iterable[RenderableType]) -> RenderableType:
        headings = (
            str(column.header).replace("/\n", "/").replace("\n", " ") for column in self.columns
        )
        (heading, name), *rest = zip(headings, map(str, cells), strict=True)
        if self.columns[0].justify == "right":  # a number says nothing without its heading
            name = f"{heading} {name}"
        values = [Text(f"{heading}: {value}") for heading, value in rest if value]
        return Group(Text(name, style="bold"), Padding(Columns(values), (0, 0, 0, 2)))


def _table(title: str) -> Table:
    return FittedTable(
        title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False,
        collapse_padding=True,
    )  # fmt: skip


def _columns(
    table: Table, *, name: str = "", words: Iterable[str] = (), numbers: Iterable[str]
) -> None:
    """Add a column of names, which may be folded, columns of short words, and columns of numbers."""
    if name:
        table.add_column(name, overflow="fold", min_width=len(name))
    for heading in words:
        table.add_column(heading, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)


def _lines(texts: Iterable[str]) -> RenderableType:
    """Lines below a table, wrapped and never read as markup."""
    return Padding(Group(*(Text(text, style="dim") for text in texts)), (0, 0, 1, 1))


def _layer_cells(row: Mapping[str, Any]) -> list[RenderableType]:
    return [
        Text(str(row["name"])),
        _shape(row),
        f"{row['cycles']:,}",
        time_text(row["latency_us"]),
        percent(row["utilization_frac"]),
        percent(_share(row["padding_entries"], row["entries"])),
        energy_text(row["energy_pj"]),
        "SRAM" if row["memory"] == "sram" else "DRAM",
    ]


def _run_summary(result: "Result") -> list[str]:
    total = result.total
    examples = max((row["examples"] for row in result.rows), default=1)
    inputs = "one input" if examples == 1 else f"{examples} inputs, one after the other"
    outside = [row["name"] for row in result.rows if row["activations_in"] == "dram"]
    streamed = [f"Activations of {len(outside)} layers go through DRAM."] if outside else []
    return [
        "Util.: useful entries of all that PEs and cycles could take. Pad: entries that only bridge "
        "runs of zeros. From: where weights are.",
        *streamed,
        f"For {inputs}: mean power {number(total['power_mw'])} mW, "
        f"area {number(total['area_mm2'])} mm².",
    ]


def _terms_by_component(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Terms of all layers added up by component and source, largest energy first."""
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["component"], row["source"])
        term = sums.setdefault(key, {**row, "count": 0, "energy_pj": 0.0})
        term["count"] += row["count"]
        term["energy_pj"] += row["energy_pj"]
    return sorted(sums.values(), key=lambda term: -float(term["energy_pj"]))


def _each(term: Mapping[str, Any]) -> str:
    return energy_text(term["energy_pj"] / term["count"]) if term["count"] else MISSING


def _size_cells(row: Mapping[str, Any]) -> list[RenderableType]:
    return [
        Text(str(row["layer"])),
        f"{row['n_weights']:,}",
        f"{row['kept_pct']:.1f}%",
        f"{row['weight_bits_pqh']:.2f}",
        f"{row['index_bits_pqh']:.2f}",
        bytes_text(row["dense_bits"] / 8),
        bytes_text(row["total_bits"] / 8),
        percent(_share(row["total_bits"], row["dense_bits"])),
        ratio_text(row["compression_ratio"]),
    ]


def _size_total_cells(inspection: "Inspection") -> list[RenderableType]:
    """Cells of the whole network: sums, and means over its stored entries."""
    rows, stored = inspection.layers, inspection.size_bytes or 0
    weights, entries = (sum(row[what] for row in rows) for what in ("n_weights", "n_entries"))
    kept = sum(row["kept_pct"] / 100 * row["n_weights"] for row in rows)
    return [
        "total",
        f"{weights:,}",
        percent(_share(kept, weights)),
        f"{_share(sum(row['weights_bits'] for row in rows), entries):.2f}",
        f"{_share(sum(row['indices_bits'] for row in rows), entries):.2f}",
        bytes_text(inspection.dense_bytes),
        bytes_text(stored),
        percent(_share(stored, inspection.dense_bytes)),
        ratio_text(_share(inspection.dense_bytes, stored)),
    ]


def _size_notes(inspection: "Inspection") -> list[str]:
    """What the numbers count, and what stands in no row."""
    notes = ["Bits per stored weight and index: means after Huffman coding, padding included."]
    in_rows = sum(row["total_bits"] for row in inspection.layers) / 8
    beside = (inspection.size_bytes or 0) - in_rows
    if beside:
        notes.append(f"The total holds {bytes_text(beside)} beside the layers, kept as float32.")
    if inspection.dense_bytes != sum(row["dense_bits"] for row in inspection.layers) / 8 + beside:
        notes.append("Dense, in the total, is the network before its layers were replaced.")
    notes.append(
        "Stored counts everything: weights, indices, codebooks, Huffman tables, segment addresses "
        "and biases; dense is float32 with biases. 1 KB is 1024 bytes."
    )
    if inspection.paper_compression_ratio:
        notes.append(
            f"Counted as in Deep Compression, without biases and tables: "
            f"{ratio_text(inspection.paper_compression_ratio)}."
        )
    reached = inspection.provenance.get("training")
    if isinstance(reached, dict):
        notes += _reached_notes(reached)
    if inspection.header_bytes is not None:
        notes.append(f"The file adds a header of {bytes_text(inspection.header_bytes)}.")
    return notes


def _reached_notes(reached: Mapping[str, Any]) -> list[str]:
    """Errors, or else losses, before and after, as the training noted them."""
    for measure, form in (("error_pct", "error {:.2f} %"), ("loss", "loss {:.4f}")):
        values = [reached.get(f"test_{which}_{measure}") for which in ("dense", "compressed")]
        if all(isinstance(value, int | float) for value in values):
            dense, small = (form.format(value) for value in values)
            return [
                f"On the test part of {reached.get('data')}: {dense} dense, {small} compressed."
            ]
    return []


def _huffman_saving(rows: Sequence[Mapping[str, Any]]) -> float:
    """Fraction of the bits of fixed-width entries that Huffman coding saves, its tables counted."""
    fixed = sum(row["n_entries"] * (row["weight_bits_pq"] + row["index_bits_pq"]) for row in rows)
    coded = sum(row["weights_bits"] + row["indices_bits"] + row["tables_bits"] for row in rows)
    return _share(fixed - coded, fixed)


def _best_rows(frame: "pd.DataFrame", measures: Iterable[str]) -> dict[str, set[int]]:
    """Positions of the least cycles, time, energy and area, and of the greatest utilisation."""
    best = {}
    for name in measures:
        values = frame[name].astype(float)
        target = values.max() if name == "utilization_frac" else values.min()
        rows = {index for index, value in enumerate(values) if value == target}
        # Where all points are equal, none is the best.
        best[name] = rows if len(rows) < len(frame) else set()
    return best


def _shape(row: Mapping[str, Any]) -> str:
    return f"{row['n_out']:,} × {row['n_in']:,}"


def _signed_percent(value: float) -> str:
    return MISSING if _missing(value) else f"{value:+.1f}%"


def _bold(text: str) -> Text:
    return Text(text, style="bold")


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    return "" if _missing(value) else str(value)
