"""What Deep Compression prints: its Tables 1 to 5, and what it states beside its figures."""

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from accelsim.baseline.published import TABLES
from accelsim.compression.sizes import FLOAT_BITS
from accelsim.study.reproduce.rounding import Known

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "Han et al., Deep Compression, ICLR 2016, arXiv:1510.00149"
TOTAL = "Total"
# Columns of Tables 2 to 5; pq: pruned and quantised; pqh: Huffman-coded, too.
PER_ENTRY = ("weight_bits_pq", "weight_bits_pqh", "index_bits_pq", "index_bits_pqh")
# Widths before Huffman coding: whole numbers in every layer.
WIDTHS = ("weight_bits_pq", "index_bits_pq")
CODED = ("weight_bits_pqh", "index_bits_pqh")
PER_WEIGHT = ("kept_pct", "rate_pq_pct", "rate_pqh_pct")
MEASURES = ("kept_pct", *PER_ENTRY, "rate_pq_pct", "rate_pqh_pct")


class PaperNetwork(NamedTuple):
    """A network of the paper: its name here and there, and the table of its layers.

    is_trained: accelsim bundles it trained and compressed; else its weights are drawn
    """

    name: str
    title: str
    table: str
    is_trained: bool


PAPER_NETWORKS = (
    PaperNetwork("lenet-300-100", "LeNet-300-100", "Table 2", is_trained=True),
    PaperNetwork("lenet-5", "LeNet-5", "Table 3", is_trained=True),
    PaperNetwork("alexnet", "AlexNet", "Table 4", is_trained=False),
    PaperNetwork("vgg16", "VGG-16", "Table 5", is_trained=False),
)


def published_layers(title: str) -> "pd.DataFrame":
    """Rows of a network's table (2 to 5) by layer, the row `Total` among them."""
    table = _table("layers")
    return table[table["network"] == title].set_index("layer")


def published_networks() -> "pd.DataFrame":
    """Rows of Table 1 by network."""
    return _table("networks").set_index("network")


def published_entries_pct(published: "pd.DataFrame", n_weights: "pd.Series") -> "pd.Series":
    """Stored entries per 100 weights, by layer and in total.

    The paper does not print these. They follow from the rate before Huffman coding, less the codebook:
    bits per weight over bits per entry. n_weights: by layer, without the total; exact, as the paper prints
    them rounded.
    """
    weights = n_weights.copy()
    weights[TOTAL] = n_weights.sum()
    codebook = FLOAT_BITS * 2 ** published["weight_bits_pq"]
    codebook[TOTAL] = codebook.drop(TOTAL).sum()
    bits = FLOAT_BITS * published["rate_pq_pct"] / 100 * weights - codebook
    entries = bits / (published["weight_bits_pq"] + published["index_bits_pq"])
    return 100 * entries / weights


def stated(place: str, subject: str, quantity: str) -> float:
    """A number of the paper's text or captions (`deep_compression_statements.csv`)."""
    table = _table("statements")
    found = (table["place"] == place) & (table["subject"] == subject)
    return float(table[found & (table["quantity"] == quantity)]["value"].item())


def known_statement(place: str, subject: str, quantity: str) -> Known:
    """A number that `stated` gives, as far as it is known: whole ones are rounded to ones."""
    return Known.printed(f"{stated(place, subject, quantity):g}", "1")


def size_bytes(size: str) -> float:
    """A size of Table 1, as in "6.9 MB", whose MB are 10**6 bytes."""
    value, unit = size.split()
    return float(value) * {"KB": 1e3, "MB": 1e6}[unit]


def printed(name: str) -> "pd.DataFrame":
    """`deep_compression_<name>.csv` in texts, whose digits tell how numbers are rounded."""
    return _table(name, dtype=str)


@cache
def _table(name: str, dtype: type | None = None) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_csv(TABLES / f"deep_compression_{name}.csv", dtype=dtype)
