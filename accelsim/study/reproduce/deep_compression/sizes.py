"""Sizes of Deep Compression's networks: trained ones as they are bundled, large ones by their statistics."""

from typing import TYPE_CHECKING, Any, NamedTuple

from accelsim.compression.compressor import compress
from accelsim.compression.describe import Inspection, inspect
from accelsim.compression.layer import CompressedNetwork
from accelsim.compression.loading import load
from accelsim.compression.sizes import NetworkSizes
from accelsim.study.reproduce.deep_compression.published import (
    PER_ENTRY,
    PER_WEIGHT,
    TOTAL,
    PaperNetwork,
    published_entries_pct,
    published_layers,
)

if TYPE_CHECKING:
    import pandas as pd

# What both have of each layer: what the tables print, and the entries that follow from it.
COMPARED = (*PER_WEIGHT[:1], *PER_ENTRY, "entries_pct", *PER_WEIGHT[1:])


class OurNetwork(NamedTuple):
    """A network of the paper as accelsim has it. layers: rows of `layer_sizes`."""

    paper: PaperNetwork
    network: CompressedNetwork
    layers: "pd.DataFrame"

    @property
    def weights(self) -> str:
        """Where the weights come from."""
        return "trained" if self.paper.is_trained else "drawn"

    @property
    def sizes(self) -> NetworkSizes:
        """The sums over the layers."""
        return NetworkSizes.of(self.network)


def our_network(paper: PaperNetwork, seed: int = 0) -> OurNetwork:
    """The bundled artifact, or else the network that `drawn` makes."""
    network = load(paper.name) if paper.is_trained else drawn(paper, seed)
    assert isinstance(network, CompressedNetwork)
    return OurNetwork(paper, network, layer_sizes(inspect(network)))


def drawn(paper: PaperNetwork, seed: int = 0, **recipe: Any) -> CompressedNetwork:
    """The network's shapes with weights drawn from a seed, in codes and runs of the paper's widths."""
    table = published_layers(paper.title)
    widths = {
        "code_bits": {name: int(bits) for name, bits in _by_layer(table, "weight_bits_pq")},
        "index_bits": {name: int(bits) for name, bits in _by_layer(table, "index_bits_pq")},
    }
    return compress(paper.name, **(widths | {"seed": seed} | recipe))


def _by_layer(table: "pd.DataFrame", measure: str) -> list[tuple[str, float]]:
    return [(str(name), float(bits)) for name, bits in table.drop(TOTAL)[measure].items()]


def layer_sizes(found: Inspection) -> "pd.DataFrame":
    """`LayerSizes.as_row` of every layer by name, with entries_pct, and the row `Total`.

    entries_pct: stored entries per 100 weights: kept weights, coded biases and padding
    """
    import pandas as pd

    layers = pd.DataFrame(found.layers).set_index("layer")
    layers["entries_pct"] = 100 * layers["n_entries"] / layers["n_weights"]
    columns = ["n_weights", "n_entries", *COMPARED]
    layers = layers[columns]
    layers.loc[TOTAL] = total(layers)
    return layers.astype({"n_weights": int, "n_entries": int})


def total(layers: "pd.DataFrame") -> "pd.Series":
    """All layers as one: means over weights, and of bits over kept weights.

    The paper does not say what its Totals are means over; those of Table 5 are of kept weights (6.4 bits a
    code; over stored entries they would be 6.2).
    """
    import pandas as pd

    weights, kept = layers["n_weights"], layers["n_weights"] * layers["kept_pct"]
    row = {"n_weights": weights.sum(), "n_entries": layers["n_entries"].sum()}
    for name in COMPARED:
        of = kept if name in PER_ENTRY else weights
        row[name] = (layers[name] * of).sum() / of.sum()
    return pd.Series(row)


def beside_published(paper: PaperNetwork, layers: "pd.DataFrame") -> "pd.DataFrame":
    """Published and our sizes of every layer and of all together.

    Columns network, layer, n_weights, then a measure of COMPARED after the other as published_* and ours,
    and difference_pct of the rates with Huffman coding.
    """
    import pandas as pd

    theirs = published_layers(paper.title)
    entries_pct = published_entries_pct(theirs, layers["n_weights"].drop(TOTAL))
    theirs = theirs.assign(entries_pct=entries_pct)
    columns: dict[str, Any] = {"network": paper.name, "layer": layers.index}
    columns["n_weights"] = layers["n_weights"]
    for name in COMPARED:
        columns |= {f"published_{name}": theirs[name], name: layers[name]}
    difference = 100 * (layers["rate_pqh_pct"] / theirs["rate_pqh_pct"] - 1)
    table = pd.DataFrame(columns | {"difference_pct": difference})
    return table.reset_index(drop=True)
