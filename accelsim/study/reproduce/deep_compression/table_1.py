"""Deep Compression's Table 1: errors and sizes of four networks."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from accelsim.study.examples import examples_for
from accelsim.study.reproduce.chapters import Chapter, Compared
from accelsim.study.reproduce.deep_compression.published import published_networks, size_bytes
from accelsim.study.reproduce.deep_compression.sizes import OurNetwork
from accelsim.study.scoring import score_of, weighted_network

if TYPE_CHECKING:
    import pandas as pd

MNIST = "mnist"  # its folder in the real data
UNITS = {"KB": 1e3, "MB": 1e6}
NO_WEIGHTS = "no trained weights at hand, and drawn ones have no accuracy"


class Errors(NamedTuple):
    """Top-1 errors on MNIST's test images in per cent; None: not known.

    dense, compressed: as they were recorded when the network was trained
    again: of the decoded artifact, counted now
    """

    dense: float | None = None
    compressed: float | None = None
    again: float | None = None

    @property
    def latest(self) -> float | None:
        """The compressed network's error, counted now if it could be."""
        return self.compressed if self.again is None else self.again

    @property
    def note(self) -> str:
        """Where the compressed network's error comes from."""
        if self.compressed is None:
            return NO_WEIGHTS
        if self.again is None:
            return f"recorded in training; without {MNIST}/ in ACCELSIM_DATA not counted again"
        # One of the 10,000 images is a hundredth of a point.
        verdict = "agrees with" if abs(self.again - self.compressed) < 0.005 else "DIFFERS from"
        return f"counted now; {verdict} the {self.compressed:.2f} % that training recorded"


def errors_of(ours: OurNetwork, images: Path | None) -> Errors:
    """The errors of a trained network, none of a drawn one. images: MNIST's, where they are at hand."""
    if not ours.paper.is_trained:
        return Errors()
    reached = ours.network.provenance["training"]
    recorded = Errors(reached["test_dense_error_pct"], reached["test_compressed_error_pct"])
    if images is None:
        return recorded
    network = weighted_network(ours.network)
    score = score_of(network, examples_for(network, images))
    return recorded._replace(again=score.as_row()["error_pct"])


def table_1(networks: Sequence[tuple[OurNetwork, Errors]]) -> Chapter:
    """Errors and sizes of the whole networks."""
    import pandas as pd

    data = pd.DataFrame([_row(*each) for each in networks])
    compared = [number for each in networks for number in _numbers(*each)]
    return Chapter("table_1", "Table 1: errors and sizes", tuple(compared), data, _text(data))


def _row(ours: OurNetwork, errors: Errors) -> dict[str, Any]:
    published: Any = published_networks().loc[ours.paper.title]
    sizes = ours.sizes
    row = {
        "network": ours.paper.title,
        "weights": ours.weights,
        "published_top1_error_reference_pct": published["top1_error_reference_pct"],
        "top1_error_reference_pct": errors.dense,
        "published_top1_error_compressed_pct": published["top1_error_compressed_pct"],
        "top1_error_compressed_pct": errors.latest,
        "recorded_error_compressed_pct": errors.compressed,
        "published_dense_bytes": size_bytes(published["size_reference"]),
        "dense_bytes": sizes.total("dense_weight_bits") / 8,
        "published_bytes": size_bytes(published["size_compressed"]),
        "paper_bytes": sizes.total("paper_bits") / 8,
        "everything_bytes": sizes.total("total_bits") / 8,
        "published_ratio": published["compression_ratio"],
        "paper_ratio": sizes.paper_compression_ratio,
        "everything_ratio": sizes.compression_ratio,
    }
    return {name: float("nan") if value is None else value for name, value in row.items()}


def _numbers(ours: OurNetwork, errors: Errors) -> list[Compared]:
    published: Any = published_networks().loc[ours.paper.title]
    unit = published["size_reference"].split()[1]
    row, scale = _row(ours, errors), UNITS[unit]
    dense_note = NO_WEIGHTS if errors.dense is None else "recorded in training"
    small_note = f"{ours.weights}; weights, runs and codebooks, as the paper counts"
    all_note = f"{ours.weights}; everything counted: {row['everything_ratio']:.1f}×"
    numbers = [
        ("top-1 error, dense (%)", published["top1_error_reference_pct"], errors.dense, dense_note),
        (
            "top-1 error, compressed (%)",
            published["top1_error_compressed_pct"],
            errors.latest,
            errors.note,
        ),
        ("top-5 error, dense (%)", published["top5_error_reference_pct"], None, NO_WEIGHTS),
        ("top-5 error, compressed (%)", published["top5_error_compressed_pct"], None, NO_WEIGHTS),
        (
            f"size, dense ({unit})",
            row["published_dense_bytes"] / scale,
            row["dense_bytes"] / scale,
            "weights in float32",
        ),
        (
            f"size, compressed ({unit})",
            row["published_bytes"] / scale,
            row["paper_bytes"] / scale,
            small_note,
        ),
        ("compression (×)", row["published_ratio"], row["paper_ratio"], all_note),
    ]
    return [
        Compared("Table 1", ours.paper.title, column, float(theirs), value, note)
        for column, theirs, value, note in numbers
        if not math.isnan(theirs)  # the table has no top-5 errors of LeNets
    ]


def _text(data: "pd.DataFrame") -> str:
    trained, drawn = (
        data[data["weights"] == which].to_dict("records") for which in ("trained", "drawn")
    )
    smaller = "; ".join(
        f"{row['network']} {row['paper_ratio']:.1f}× counted as in the paper, "
        f"{row['everything_ratio']:.1f}× with everything, at "
        f"{row['top1_error_compressed_pct'] - row['top1_error_reference_pct']:+.2f} points of error"
        for row in trained
    )
    larger = "; ".join(
        f"{row['network']} {row['paper_bytes'] / 1e6:.1f} MB for {row['published_bytes'] / 1e6:.1f} MB"
        for row in drawn
    )
    return (
        "The LeNets are the trained artifacts that come with accelsim, one run each (seed 0; means of "
        "three seeds: reports/reference/deep_compression_trained.md). They are smaller than the paper's: "
        f"{smaller}. Their dense networks are better to begin with, as they were trained on shifted "
        "images and with dropout.\n\n"
        "AlexNet and VGG-16 are not trained here. Their weights are drawn from a seed to the published "
        "shapes and densities, so this says what the coding makes of such networks and nothing of "
        f"accuracy. They come out larger: {larger}. Tables 4 and 5 show where.\n\n"
        "The paper's KB and MB are 1,000 and 1,000,000 bytes, and its dense networks about 4 bytes a weight: "
        + "; ".join(
            f"{row['published_dense_bytes'] / 1e6:.0f} MB are {row['network']}'s "
            f"{row['dense_bytes'] / 1e6:.1f} MB"
            for row in drawn
        )
        + "."
    )
