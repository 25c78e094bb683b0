"""Sizes that Deep Compression prints, against each other: Tables 1 to 5 and 7, Figure 1, and the text."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from accelsim.study.reproduce.deep_compression.layers import COLUMNS, STAGES
from accelsim.study.reproduce.deep_compression.published import (
    CODED,
    PAPER_NETWORKS,
    PER_ENTRY,
    TOTAL,
    WIDTHS,
    PaperNetwork,
    known_statement,
    printed,
    stated,
)
from accelsim.study.reproduce.rounding import Check, Known, mean

if TYPE_CHECKING:
    import pandas as pd

EVERYTHING_PCT = Known.exactly(100.0)


def size_checks(weights: Mapping[str, "pd.Series"]) -> Iterator[Check]:
    """All of them. weights: of each network's layers by its name, which the paper prints rounded."""
    for paper in PAPER_NETWORKS:
        yield from _totals(paper, weights[paper.name])
        yield from _rates(paper, weights[paper.name])
        yield from _longest_codes(paper)
        yield from _index_widths(paper)
        yield from _whole_network(paper)
    yield from _ranges()
    by_title = {paper.title: paper for paper in PAPER_NETWORKS}
    yield from _about_alexnet(by_title["AlexNet"])
    yield from _about_vgg(by_title["VGG-16"])


def _layers(paper: PaperNetwork) -> "pd.DataFrame":
    """The texts of the network's table by layer, the row `Total` among them."""
    table = printed("layers")
    return table[table["network"] == paper.title].set_index("layer")


def _known(layers: "pd.DataFrame", layer: str, measure: str) -> Known:
    others = layers[measure].drop(TOTAL)
    if measure in WIDTHS and layer != TOTAL:
        return Known.exactly(float(layers[measure][layer]))
    return Known.printed(layers[measure][layer], *others)


def _totals(paper: PaperNetwork, weights: "pd.Series") -> Iterator[Check]:
    """The row Total of a table against its layers."""
    table = _layers(paper)
    names = [str(name) for name in weights.index]
    kept = [_known(table, name, "kept_pct").times(Known.exactly(weights[name])) for name in names]
    every = [Known.exactly(weights[name]) for name in names]
    for measure, column in COLUMNS.items():
        of = kept if measure in PER_ENTRY else every
        kind = "kept weights" if measure in PER_ENTRY else "weights"
        yield Check(
            "total",
            paper.table,
            f"{paper.title}, {TOTAL}",
            column,
            _known(table, TOTAL, measure),
            mean([_known(table, name, measure) for name in names], of),
            f"mean over the layers' {kind}",
        )


def _rates(paper: PaperNetwork, weights: "pd.Series") -> Iterator[Check]:
    """A layer's rate after Huffman coding, from its rate before and the bits of its entries."""
    table = _layers(paper)
    for name in map(str, weights.index):
        known = {measure: _known(table, name, measure) for measure in COLUMNS}
        parts = zip(*known.values(), strict=True)
        rates = [
            _rate_after(dict(zip(known, values, strict=True)), weights[name]) for values in parts
        ]
        yield Check(
            "rate",
            paper.table,
            f"{paper.title}, {name}",
            COLUMNS["rate_pqh_pct"],
            known["rate_pqh_pct"],
            Known(*rates),
            "from the rate before Huffman coding and the bits",
        )


def _rate_after(layer: Mapping[str, float], n_weights: int) -> float:
    """The rate in per cent; codebooks are not Huffman-coded."""
    codebook_pct = 100 * 2 ** layer["weight_bits_pq"] / n_weights
    entry_bits, coded_bits = (sum(layer[name] for name in names) for names in (WIDTHS, CODED))
    return (layer["rate_pq_pct"] - codebook_pct) * coded_bits / entry_bits + codebook_pct


def _longest_codes(paper: PaperNetwork) -> Iterator[Check]:
    """No Huffman code is longer than one of fixed width: the layer where it is longest against it."""
    table = _layers(paper).drop(TOTAL)
    for fixed, coded in zip(WIDTHS, CODED, strict=True):
        name = str((table[coded].astype(float) - table[fixed].astype(float)).idxmax())
        width = float(table[fixed][name])
        yield Check(
            "code",
            paper.table,
            f"{paper.title}, {name}",
            COLUMNS[coded],
            Known.printed(table[coded][name], *table[coded]),
            Known(width, 0.0, width),
            "at most, as no Huffman code is longer than the fixed width",
        )


def _index_widths(paper: PaperNetwork) -> Iterator[Check]:
    """The widths of runs in the text, and those of the tables."""
    widths = _layers(paper).drop(TOTAL)["index_bits_pq"].astype(float)
    is_conv = widths.index.str.startswith("conv")
    for kind, chosen in (("convolutions", is_conv), ("fully connected", ~is_conv)):
        for width in sorted(set(widths[chosen])):
            yield Check(
                "width",
                "Section 2",
                f"{paper.title}, {kind}",
                COLUMNS["index_bits_pq"],
                Known.exactly(stated("Section 2", kind, "index_bits")),
                Known.exactly(width),
                f"{paper.table} has this width",
            )


def _whole_network(paper: PaperNetwork) -> Iterator[Check]:
    """Table 1, and the ratios beside the row Total, from sizes and rates."""
    table = _layers(paper)
    row = printed("networks").set_index("network").loc[paper.title]
    dense, small = (
        Known.printed(str(row[f"size_{which}"]).split()[0]) for which in ("reference", "compressed")
    )
    unit = str(row["size_compressed"]).split()[1]
    rates = ("kept_pct", "rate_pq_pct", "rate_pqh_pct")
    total = [_known(table, TOTAL, measure) for measure in rates]
    where, ratio = f"{paper.title}, {TOTAL}", Known.printed(str(row["compression_ratio"]), "1")
    yield Check(
        "whole", "Table 1", paper.title, "compression (×)", ratio, dense.over(small),
        "from both sizes",
    )  # fmt: skip
    yield Check(
        "whole", "Table 1", paper.title, f"size, compressed ({unit})", small,
        dense.times(total[-1]).over(EVERYTHING_PCT), f"dense size × Total of {paper.table}",
    )  # fmt: skip
    for stage, rate in zip(STAGES, total, strict=True):
        yield Check(
            "whole", paper.table, where, stage.column, known_statement(paper.table, paper.title, stage.ratio),
            EVERYTHING_PCT.over(rate), "from the per cent beside it",
        )  # fmt: skip


def _ranges() -> Iterator[Check]:
    """Ranges over all networks: those of Figure 1, and of what Huffman coding saves."""
    for stage in STAGES:
        ratios = [
            known_statement(paper.table, paper.title, stage.ratio) for paper in PAPER_NETWORKS
        ]
        yield from _range("Figure 1", stage.ratio, stage.column, ratios)
    savings = [_saving(paper) for paper in PAPER_NETWORKS]
    yield from _range("Section 4", "huffman_saving_pct", "saved by Huffman coding (%)", savings)


def _saving(paper: PaperNetwork) -> Known:
    table = _layers(paper)
    left = _known(table, TOTAL, "rate_pqh_pct").over(_known(table, TOTAL, "rate_pq_pct"))
    return Known(*(100 * (1 - part) for part in (left.value, left.most, left.least)))


def _range(place: str, quantity: str, column: str, values: list[Known]) -> Iterator[Check]:
    for end, choose in (("least", min), ("most", max)):
        found = choose(values)
        title = PAPER_NETWORKS[values.index(found)].title
        yield Check(
            "range",
            place,
            f"all networks, {end}",
            column,
            known_statement(place, end, quantity),
            found,
            title,
        )


def _about_alexnet(paper: PaperNetwork) -> Iterator[Check]:
    """What the text and Table 7 say of AlexNet."""
    table = _layers(paper)
    dense = Known.printed(
        str(printed("networks").set_index("network")["size_reference"][paper.title]).split()[0]
    )
    yield Check(
        "text", "Section 5.2", paper.title, "saved by Huffman coding (%)",
        known_statement("Section 5.2", paper.title, "huffman_saving_pct"), _saving(paper),
        f"from the rates of {paper.table}",
    )  # fmt: skip
    yield Check(
        "text", "Section 5.2", paper.title, COLUMNS["index_bits_pq"],
        known_statement("Section 5.2", paper.title, "index_bits"), _known(table, TOTAL, "index_bits_pq"),
        f"{paper.table} has this width",
    )  # fmt: skip
    for stage, rate in (("pruned", "kept_pct"), ("shared", "rate_pq_pct")):
        yield Check(
            "text", "Table 7", paper.title, f"size, {stage} (MB)",
            known_statement("Table 7", paper.title, f"{stage}_mb"),
            dense.times(_known(table, TOTAL, rate)).over(EVERYTHING_PCT),
            f"dense size × Total of {paper.table}",
        )  # fmt: skip


def _about_vgg(paper: PaperNetwork) -> Iterator[Check]:
    """To what the text says that VGG-16's largest layers can be pruned."""
    for name in ("fc6", "fc7"):
        yield Check(
            "text", "Section 5.3", f"{paper.title}, {name}", "pruned to less than (%)",
            known_statement("Section 5.3", f"{paper.title} fc6 and fc7", "rate_below_pct"),
            _known(_layers(paper), name, "kept_pct"), f"weights kept in {paper.table}",
        )  # fmt: skip
