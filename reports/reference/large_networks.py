"""AlexNet and VGG-16 by their statistics, beside Deep Compression's Tables 4 and 5.

Writes the CSV files of deep_compression/ and the page deep_compression_large.md. Run with `make
reference`. Real data come from the folder in ACCELSIM_DATA, by default ../shared/data
(CONTRIBUTING.md says what is in it).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import drawn_weights
import large_networks_page as page
import numpy as np
import pandas as pd

import accelsim
from accelsim.compression.huffman import build_table
from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sizes import NetworkSizes
from accelsim.network.draw import draw_sparse_weights
from accelsim.network.layers import Network
from accelsim.study.reproduce.deep_compression.published import (
    PAPER_NETWORKS,
    PaperNetwork,
    published_entries_pct,
    published_layers,
    published_networks,
    size_bytes,
)
from accelsim.study.reproduce.deep_compression.sizes import beside_published, drawn, layer_sizes

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = Path(os.environ.get("ACCELSIM_DATA") or ROOT.parent / "shared" / "data")
FOLDER = HERE / "deep_compression"
K_MEANS_STEPS = (10, 30, 100, 300, 1000, 3000)
SEED = 0
MEGABYTE_BITS = 8e6  # the paper's MB: its dense networks are 4 bytes a weight
# The paper's networks whose weights are drawn.
NETWORKS = tuple(network for network in PAPER_NETWORKS if not network.is_trained)
Made = Mapping[PaperNetwork, CompressedNetwork]


def compressed(network: PaperNetwork, **fields: Any) -> CompressedNetwork:
    """The network, drawn from a seed, with the paper's widths of codes and runs."""
    return drawn(network, SEED, **fields)


def _shapes(network: PaperNetwork) -> Network:
    loaded = accelsim.load(network.name)
    assert isinstance(loaded, Network)
    return loaded


def layer_table(network: PaperNetwork, made: CompressedNetwork) -> pd.DataFrame:
    """Our sizes of every layer and of all together beside the published ones."""
    table = beside_published(network, layer_sizes(accelsim.inspect(made)))
    places = dict.fromkeys(table.select_dtypes("number").columns, 2) | {"difference_pct": 1}
    rounded = table.round(places)
    return rounded.assign(difference_pct=rounded["difference_pct"] + 0.0)  # no -0.0


def total_table(made: Made) -> pd.DataFrame:
    """Sizes of the whole networks.

    paper_mb: weights, runs and codebooks, which the paper counts; everything_mb: all that is stored,
    biases among it; fit_mb: the same with runs of the width that suits each layer.
    """
    rows = []
    theirs = published_networks()
    for network, ours in made.items():
        row = theirs.loc[network.title]
        sizes, fit = (NetworkSizes.of(x) for x in (ours, compressed(network, index_bits="fit")))
        rows.append(
            {
                "network": network.name,
                "published_dense_mb": size_bytes(row["size_reference"]) / 1e6,
                "dense_mb": _mb(sizes.total("dense_weight_bits")),
                "published_mb": size_bytes(row["size_compressed"]) / 1e6,
                "paper_mb": _mb(sizes.total("paper_bits")),
                "everything_mb": _mb(sizes.total("total_bits")),
                "fit_mb": _mb(fit.total("total_bits")),
                "published_ratio": row["compression_ratio"],
                "paper_ratio": round(sizes.paper_compression_ratio, 1),
                "everything_ratio": round(sizes.compression_ratio, 1),
                "fit_ratio": round(fit.compression_ratio, 1),
            }
        )
    return pd.DataFrame(rows)


def _mb(bits: int) -> float:
    return round(bits / MEGABYTE_BITS, 2)


def distribution_table(made: Made) -> pd.DataFrame:
    """What the networks' sizes would be, as the paper counts, had another distribution been taken.

    Positions stay, and with them runs and padding; only the codes' bits change.
    """
    bits = {name: dict.fromkeys(made, 0) for name in drawn_weights.TAILS}
    for network, ours in made.items():
        for layer in ours.layers:
            others = layer.sizes.paper_bits - layer.sizes.weight_bits_huffman
            count, density = layer.sparse.codes.size, layer.n_kept / layer.n_weights
            for name, values in drawn_weights.drawn(count, density, SEED):
                bits[name][network] += others + _code_bits(layer, values)
    return pd.DataFrame(
        [
            {"distribution": name} | {f"{network.name}_mb": _mb(each[network]) for network in made}
            for name, each in bits.items()
        ]
    )


def _code_bits(layer: CompressedLayer, values: "np.ndarray[Any, np.dtype[np.float32]]") -> int:
    """Huffman-coded bits of the codes of other values in the places of the layer's own."""
    counts = drawn_weights.code_counts(values, layer.code_bits)
    counts[0] = layer.sizes.n_padding
    return build_table(counts, layer.max_code_length).coded_bits(counts)


def steps_table() -> pd.DataFrame:
    """Sizes and errors, if k-means stops after some steps; the paper's sizes in the first row."""
    rows = []
    for network in NETWORKS:
        rows.append(published_steps_row(network))
        rows += [steps_row(network, steps) for steps in K_MEANS_STEPS]
    return pd.DataFrame(rows)


def published_steps_row(network: PaperNetwork) -> dict[str, Any]:
    """The bits of the paper's codes, as `steps_row` has ours."""
    weights = pd.Series({layer.name: layer.n_weights for layer in _shapes(network).layers})
    theirs = published_layers(network.title)
    entries = published_entries_pct(theirs, weights) * weights
    bits = _by_kind(theirs["weight_bits_pqh"] * entries, entries)
    return {"network": network.name, "steps": "paper"} | bits


def steps_row(network: PaperNetwork, steps: int) -> dict[str, Any]:
    """What stopping k-means early makes of a network.

    *_bits: of a code, Huffman-coded, mean over entries; paper_mb: as the paper counts; error_pct: root
    mean square of (weight − shared value) over that of the weights.
    """
    made = compressed(network, max_iterations=steps)
    sizes = {layer.name: layer.sizes for layer in made.layers}
    bits = pd.Series({name: size.weight_bits_huffman for name, size in sizes.items()})
    entries = pd.Series({name: size.n_entries for name, size in sizes.items()})
    return {
        "network": network.name,
        "steps": str(steps),
        **_by_kind(bits, entries),
        "paper_mb": _mb(NetworkSizes.of(made).total("paper_bits")),
        "error_pct": round(100 * _error(_shapes(network), made), 1),
    }


def _by_kind(bits: pd.Series, entries: pd.Series) -> dict[str, float]:
    """Mean bits per entry of convolutions and of fully connected layers. Both: by layer name."""
    means = {}
    for kind, prefix in (("convolution_bits", "conv"), ("fully_connected_bits", "fc")):
        of_kind = bits.index.str.startswith(prefix)
        means[kind] = round(bits[of_kind].sum() / entries[of_kind].sum(), 2)
    return means


def _error(shapes: Network, made: CompressedNetwork) -> float:
    squares, errors = 0.0, 0.0
    for shape, layer in zip(shapes.layers, made.layers, strict=True):
        values = draw_sparse_weights(shape, SEED).values.astype(np.float64)
        shared = layer.codebook[layer.sparse.codes[: layer.n_kept]]
        # Each kept weight counts alike, whatever the scale of its layer.
        squares += values.size
        errors += values.size * ((values - shared) ** 2).mean() / (values**2).mean()
    return float((errors / squares) ** 0.5)


def tables(data: Path = DATA) -> dict[str, pd.DataFrame]:
    """Every table by the name of its CSV file."""
    made = {network: compressed(network) for network in NETWORKS}
    return {
        "large_layers": pd.concat([layer_table(*each) for each in made.items()]),
        "large_totals": total_table(made),
        "large_distributions": distribution_table(made),
        "large_steps": steps_table(),
        "drawn_values": drawn_weights.value_table(drawn_weights.real_cases(data)),
        "drawn_positions": drawn_weights.position_table(data),
    }


def main() -> None:
    """Write the CSV files and the page."""
    frames = tables()
    for name, frame in frames.items():
        frame.to_csv(FOLDER / f"{name}.csv", index=False)
    page.write(frames)


if __name__ == "__main__":
    main()
