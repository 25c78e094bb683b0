"""Deep Compression's Tables 2 to 5, layer by layer, and the stages of its Figure 1."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from accelsim.compression.sizes import FLOAT_BITS
from accelsim.study.reproduce.chapters import Chapter, Compared
from accelsim.study.reproduce.deep_compression.published import (
    TOTAL,
    WIDTHS,
    published_networks,
    size_bytes,
    stated,
)
from accelsim.study.reproduce.deep_compression.sizes import OurNetwork, beside_published

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "kept_pct": "weights kept (%)",
    "weight_bits_pq": "code (bits, P+Q)",
    "weight_bits_pqh": "code (bits, P+Q+H)",
    "index_bits_pq": "run (bits, P+Q)",
    "index_bits_pqh": "run (bits, P+Q+H)",
    "rate_pq_pct": "rate (%, P+Q)",
    "rate_pqh_pct": "rate (%, P+Q+H)",
}


class Stage(NamedTuple):
    """A stage of the pipeline; ratio: its name among the paper's statements."""

    name: str
    ratio: str
    column: str


STAGES = (
    Stage("pruned", "pruned_ratio", "after pruning (×)"),
    Stage("shared", "shared_ratio", "after sharing (×)"),
    Stage("coded", "coded_ratio", "after Huffman coding (×)"),
)


def layer_chapter(ours: OurNetwork) -> Chapter:
    """Table 2, 3, 4 or 5: the sizes of a network, layer by layer."""
    paper, data = ours.paper, beside_published(ours.paper, ours.layers)
    compared = [
        Compared(
            paper.table,
            str(row["layer"]),
            column,
            float(row[f"published_{measure}"]),
            float(row[measure]),
            _note(ours, measure),
        )
        for row in data.to_dict("records")
        for measure, column in COLUMNS.items()
    ]
    text = TRAINED_TEXT if paper.is_trained else _drawn_text(data)
    name = paper.table.lower().replace(" ", "_")
    return Chapter(
        name, f"{paper.table}: {paper.title}, layer by layer", tuple(compared), data, text
    )


def _note(ours: OurNetwork, measure: str) -> str:
    if measure in WIDTHS and not ours.paper.is_trained:
        return "code and run, P+Q: the paper's widths, given"
    return f"weights {ours.weights}"


TRAINED_TEXT = (
    "Bits are means over stored entries; a rate is what is stored over the layer's 32-bit weights. P: "
    "pruned, Q: quantised through a shared codebook, H: Huffman-coded.\n\n"
    "Ours is smaller because the training searched the width of each codebook and found fewer bits enough, "
    "because runs are as wide as suits the layer, so that hardly any padding is stored, and because, "
    "pruned in the course of its training, it does with fewer weights where the density differs."
)


def _drawn_text(data: "pd.DataFrame") -> str:
    layers = data[data["layer"] != TOTAL]
    conv = layers[layers["layer"].str.startswith("conv")]
    longer = conv["weight_bits_pqh"] - conv["published_weight_bits_pqh"]
    runs = (layers["index_bits_pqh"] - layers["published_index_bits_pqh"]).to_numpy(float)
    return (
        "Weights are drawn from a seed to the published density of each layer, then coded with the "
        "paper's widths. Three things make up the difference.\n\n"
        f"Codes: those of convolutions are {longer.min():.1f} to {longer.max():.1f} bits longer than "
        "published. Our k-means leaves no value without weights, so an 8-bit codebook is used in full; the "
        "paper's is not.\n\n"
        f"Runs: Huffman-coded, ours take up to {runs.max():.1f} bits more (in "
        f"{layers['layer'].iloc[int(runs.argmax())]}), as each weight is drawn to be kept independently of "
        f"the others, which the paper's are not.\n\n{_entries_text(layers)} Experiments: "
        "reports/reference/deep_compression_large.md."
    )


def _entries_text(layers: "pd.DataFrame") -> str:
    """Layers in which we store clearly more entries, and whether their rounded densities explain it."""
    padding = layers[layers["entries_pct"] > 1.04 * layers["published_entries_pct"]]
    found = []
    for row in padding.to_dict("records"):
        # Densities are printed in whole per cents, rates before Huffman coding in tenths.
        fewest = padded_pct(row["published_kept_pct"] / 100 - 0.005, row["index_bits_pq"])
        entry_bits = row["published_weight_bits_pq"] + row["published_index_bits_pq"]
        room = row["published_entries_pct"] + 0.05 * FLOAT_BITS / entry_bits
        verdict = "rounded figures can explain it" if fewest <= room else "unexplained"
        found.append(
            f"{row['layer']} {row['entries_pct']:.1f}, published {row['published_entries_pct']:.1f} "
            f"({verdict})"
        )
    return (
        "Entries per 100 weights, padding included, which follow from the rates before Huffman coding: "
        f"{'; '.join(found)}. Where the density is given, uneven weights need more padding, not less."
    )


def padded_pct(density: float, index_bits: float) -> float:
    """Entries per 100 weights that are kept independently: one padding per 2**index_bits zeros of a gap."""
    return 100 * density / float(1 - (1 - density) ** 2**index_bits)


def stages(networks: Sequence[OurNetwork]) -> Chapter:
    """The sizes of the networks after each stage: Figure 1, and the ratios of Tables 2 to 5."""
    import pandas as pd

    rows = [row for ours in networks for row in _stage_rows(ours)]
    compared = [
        Compared(
            ours.paper.table,
            f"{ours.paper.title}, {TOTAL}",
            stage.column,
            stated(ours.paper.table, ours.paper.title, stage.ratio),
            ratio,
            f"weights {ours.weights}",
        )
        for ours in networks
        for stage, ratio in zip(STAGES, _ratios(ours), strict=True)
    ]
    title = "Figure 1: size, stage by stage"
    return Chapter("figure_1", title, tuple(compared), pd.DataFrame(rows), STAGES_TEXT)


STAGES_TEXT = (
    "How many times smaller than the dense weights each stage makes a network, as the paper prints it "
    "beside the row Total of each table. After pruning, kept weights alone are counted, 32 bits each, as "
    "in the paper's Table 7 (without their places); from then on everything that the decoder needs: "
    "codes, runs and codebooks."
)


def _ratios(ours: OurNetwork) -> tuple[float, float, float]:
    """Dense weights over what each stage leaves."""
    sizes = ours.sizes
    shared = sum(sizes.total(part) for part in ("weight_bits", "index_bits", "codebook_bits"))
    left = (FLOAT_BITS * sizes.total("n_kept"), shared, sizes.total("paper_bits"))
    pruned, shared_ratio, coded = (sizes.total("dense_weight_bits") / bits for bits in left)
    return pruned, shared_ratio, coded


def _stage_rows(ours: OurNetwork) -> list[dict[str, Any]]:
    published = size_bytes(str(published_networks()["size_reference"][ours.paper.title]))
    dense = ours.sizes.total("dense_weight_bits") / 8
    ratios = {"dense": (1.0, 1.0)} | {
        stage.name: (stated(ours.paper.table, ours.paper.title, stage.ratio), ratio)
        for stage, ratio in zip(STAGES, _ratios(ours), strict=True)
    }
    return [
        {
            "network": ours.paper.title,
            "weights": ours.weights,
            "stage": stage,
            "published_ratio": theirs,
            "ratio": ratio,
            "published_bytes": published / theirs,
            "bytes": dense / ratio,
        }
        for stage, (theirs, ratio) in ratios.items()
    ]
