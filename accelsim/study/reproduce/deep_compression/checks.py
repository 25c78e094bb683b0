"""Where Deep Compression's numbers do not agree with each other."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from accelsim.study.reproduce.chapters import Chapter
from accelsim.study.reproduce.deep_compression.published import known_statement
from accelsim.study.reproduce.deep_compression.size_checks import size_checks
from accelsim.study.reproduce.deep_compression.times import MEAN, RATIOS, ratio_table
from accelsim.study.reproduce.rounding import Check, Known

if TYPE_CHECKING:
    import pandas as pd

# Two runs of one product on one machine take equal times, but for so much.
NOISE_FRAC = 0.1
EQUAL = (("AlexNet fc7", "VGG-16 fc7", "4096 × 4096"), ("AlexNet fc8", "VGG-16 fc8", "1000 × 4096"))
# What disagrees, by the kind of check, and what there is to say about it.
KINDS = {
    "total": "Rows Total that are no mean of their layers' rows, however these are rounded",
    "rate": "Rates after Huffman coding that do not follow from the rate before it and the bits (in "
    "small layers, of which the codebook is much)",
    "code": "Huffman codes that are longer than codes of fixed width",
    "width": "Widths of runs: the text has others than the tables",
    "whole": "Sizes and ratios of whole networks",
    "range": "Ranges over all networks in text and figures that the tables leave",
    "text": "Text on single networks (VGG-16's largest layers reach this rate only after sharing)",
    "mean": "Means over the layers of Tables 8 and 9 (the mobile GPU's speed-up is stated with the number "
    "of its energy)",
    "time": "Times of dense products of equal shapes",
}


def inconsistencies(weights: Mapping[str, "pd.Series"], times: "pd.DataFrame") -> Chapter:
    """Every printed number that other numbers of the paper give as well.

    weights: of each network's layers by its name, as the paper prints them rounded
    times: of `deep_compression_times.times`
    """
    import pandas as pd

    checks = all_checks(weights, times)
    rows = [
        {
            **dict(zip(Check._fields[:4], check[:4], strict=True)),
            **{f"printed_{bound}": value for bound, value in check.printed._asdict().items()},
            **{f"recomputed_{bound}": value for bound, value in check.recomputed._asdict().items()},
            "agrees": check.agrees,
            "how": check.how,
        }
        for check in checks
    ]
    compared = tuple(check.compared for check in checks)
    title = "Where the paper disagrees with itself"
    return Chapter("inconsistencies", title, compared, pd.DataFrame(rows), _text(checks))


def all_checks(weights: Mapping[str, "pd.Series"], times: "pd.DataFrame") -> list[Check]:
    """The checks, those first that fail; arguments as of `inconsistencies`."""
    checks = [*size_checks(weights), *_means(times), *_equal_products(times)]
    return sorted(checks, key=lambda check: check.agrees)


def _text(checks: list[Check]) -> str:
    wrong = [check for check in checks if not check.agrees]
    paragraphs = [
        f"{len(checks)} printed numbers follow from other numbers of the paper, too. {len(wrong)} of them "
        "differ by more than rounding can explain (weights counted exactly, as the networks have them).",
    ]
    for kind, about in KINDS.items():
        found = [
            f"{check.table}, {check.row}, {check.column}: {check.printed.value:g}, from the rest "
            f"{check.recomputed.value:.4g}"
            for check in wrong
            if check.kind == kind
        ]
        if found:
            paragraphs.append(f"{about}: {'; '.join(found)}.")
    return "\n\n".join(paragraphs)


def _means(times: "pd.DataFrame") -> Iterator[Check]:
    """The means that captions and text state, from Tables 8 and 9."""
    for ratio in RATIOS:
        table = ratio_table(ratio, times)
        means = table[(table["batch"] == 1) & (table["layer"] == MEAN)]
        found = {row["platform"]: row["published_ratio"] for row in means.to_dict("records")}
        for platform, mean in found.items():
            yield Check(
                "mean", ratio.figure, f"{platform}, {MEAN}", ratio.column,
                known_statement(ratio.figure, platform, ratio.statement), Known.exactly(mean),
                "geometric mean over the six layers",
            )  # fmt: skip
        for end, choose in (("least", min), ("most", max)):
            platform = choose(found, key=found.__getitem__)
            yield Check(
                "mean", "Section 6.3", f"all platforms, {end}", ratio.column,
                known_statement("Section 6.3", end, ratio.statement), Known.exactly(found[platform]),
                f"{platform}: geometric mean over the six layers",
            )  # fmt: skip
    cpu = times[times["platform"] == "CPU"].set_index(["kernel", "batch", "layer"])["published_w"]
    powers = cpu["dense"] / cpu["sparse"]
    yield Check(
        "mean", "Table 9", "CPU", "power, dense over sparse (×)",
        known_statement("Table 9", "CPU", "power_ratio"),
        Known.exactly(float(np.exp(np.log(powers).mean()))), "geometric mean over layers and batches",
    )  # fmt: skip


def _equal_products(times: "pd.DataFrame") -> Iterator[Check]:
    """Dense products of equal shapes, which ought to take equal times."""
    dense = times[times["kernel"] == "dense"]
    for (platform, batch), group in dense.groupby(["platform", "batch"], sort=False):
        time_us = group.set_index("layer")["published_us"]
        for first, second, shape in EQUAL:
            again = float(time_us[first])
            yield Check(
                "time", "Table 8", f"{platform}, {second}", f"dense, batch {batch}: time (µs)",
                Known.exactly(float(time_us[second])),
                Known(again, again * (1 - NOISE_FRAC), again * (1 + NOISE_FRAC)),
                f"{first}, which is as large ({shape}), ±{100 * NOISE_FRAC:.0f} %",
            )  # fmt: skip
