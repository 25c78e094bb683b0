import numpy as np
import pandas as pd
import pytest

from accelsim.baseline.published import TABLES
from accelsim.compression.describe import inspect
from accelsim.study.reproduce.deep_compression.layers import layer_chapter, padded_pct, stages
from accelsim.study.reproduce.deep_compression.published import (
    PAPER_NETWORKS,
    TOTAL,
    published_entries_pct,
    published_layers,
    published_networks,
    size_bytes,
    stated,
)
from accelsim.study.reproduce.deep_compression.sizes import (
    beside_published,
    drawn,
    layer_sizes,
    our_network,
    total,
)

SMALL = PAPER_NETWORKS[0]


@pytest.fixture(scope="module")
def lenet():
    return our_network(SMALL)


# --- what is published ---


@pytest.mark.parametrize("paper", PAPER_NETWORKS)
def test_every_network_stands_in_all_tables(paper):
    names = [layer["layer"] for layer in inspect(paper.name).layers]
    assert published_layers(paper.title).index.tolist() == [*names, TOTAL]
    ratio = published_networks()["compression_ratio"][paper.title]
    assert stated(paper.table, paper.title, "coded_ratio") == ratio


def test_every_statement_names_its_place_in_the_paper():
    table = pd.read_csv(TABLES / "deep_compression_statements.csv")
    for row in table.to_dict("records"):
        assert row["source"].endswith(f"arXiv:1510.00149 {row['place']}")
    assert not table.duplicated(["place", "subject", "quantity"]).any()


def test_an_unknown_statement_is_an_error():
    with pytest.raises(ValueError, match="can only convert"):
        stated("Figure 9", "TPU", "speedup")


def test_sizes_of_table_1():
    assert size_bytes("1070 KB") == 1.07e6
    assert size_bytes("6.9 MB") == pytest.approx(6.9e6)


def test_published_entries_by_hand():
    """fc8 of AlexNet: 7.3 % of 32 bits are 2.336 bits a weight; an entry has 5 + 4."""
    weights = pd.Series({layer["layer"]: layer["n_weights"] for layer in inspect("alexnet").layers})
    entries = published_entries_pct(published_layers("AlexNet"), weights)
    codebook = 32 * 32 / 4_096_000
    assert entries["fc8"] == pytest.approx(100 * (2.336 - codebook) / 9)


# --- ours ---


def test_sizes_are_those_of_the_decoded_weights(lenet):
    for layer in lenet.network.layers:
        row, weights = lenet.layers.loc[layer.name], layer.dense_weights()
        assert row["n_weights"] == weights.size
        assert row["kept_pct"] == pytest.approx(100 * np.count_nonzero(weights) / weights.size)
        # The codebook is stored at the width that the layer's values need.
        assert 2 ** row["weight_bits_pq"] >= 1 + np.unique(weights[weights != 0]).size
    whole = sum(np.count_nonzero(layer.dense_weights()) for layer in lenet.network.layers)
    assert lenet.layers["kept_pct"][TOTAL] == pytest.approx(100 * whole / 266_200)


def test_a_total_by_hand():
    layers = pd.DataFrame(
        {
            "n_weights": [1000, 100],
            "n_entries": [120, 50],
            "kept_pct": [10.0, 50.0],  # 100 and 50 weights
            "weight_bits_pq": [5.0, 8.0],
            "weight_bits_pqh": [4.0, 7.0],
            "index_bits_pq": [4.0, 4.0],
            "index_bits_pqh": [3.0, 1.5],
            "entries_pct": [12.0, 50.0],
            "rate_pq_pct": [3.3, 22.0],
            "rate_pqh_pct": [2.2, 11.0],
        }
    )
    row = total(layers)
    assert row["kept_pct"] == pytest.approx(100 * 150 / 1100)
    assert row["weight_bits_pq"] == pytest.approx((100 * 5 + 50 * 8) / 150)
    assert row["index_bits_pqh"] == pytest.approx((100 * 3 + 50 * 1.5) / 150)
    assert row["rate_pqh_pct"] == pytest.approx((1000 * 2.2 + 100 * 11) / 1100)


def test_drawn_networks_have_the_papers_widths():
    network = drawn(PAPER_NETWORKS[2], index_bits="fit")
    table = published_layers("AlexNet")
    assert [layer.code_bits for layer in network.layers] == table["weight_bits_pq"].drop(
        TOTAL
    ).tolist()
    assert {layer.index_bits for layer in network.layers} != {4}  # as the keyword says
    assert layer_sizes(inspect(network))["weight_bits_pq"][["conv1", "fc8"]].tolist() == [8, 5]


def test_published_and_ours_stand_side_by_side(lenet):
    table = beside_published(SMALL, lenet.layers).set_index("layer")
    assert table.index.tolist() == ["ip1", "ip2", "ip3", "Total"]
    assert table["published_rate_pqh_pct"]["ip1"] == 2.32
    ours = lenet.network.layers[0].sizes.as_row()["rate_pqh_pct"]
    assert table["rate_pqh_pct"]["ip1"] == ours
    assert table["difference_pct"]["ip1"] == pytest.approx(100 * (ours / 2.32 - 1))


def test_a_chapter_has_every_number_of_the_table(lenet):
    chapter = layer_chapter(lenet)
    assert (chapter.name, len(chapter.compared)) == ("table_2", 4 * 7)
    by_place = {(number.row, number.column): number for number in chapter.compared}
    number = by_place["ip3", "code (bits, P+Q+H)"]
    assert number.published == 4.3
    assert number.ours == lenet.layers["weight_bits_pqh"]["ip3"]


def test_stages_by_hand(lenet):
    """Sizes of what pruning, sharing and Huffman coding leave, from the artifact's own sums."""
    sizes = [layer.sizes for layer in lenet.network.layers]
    codebooks = sum(size.codebook_bits for size in sizes)
    left = [
        32 * sum(size.n_kept for size in sizes),
        codebooks
        + sum(size.n_entries * layer.code_bits for size, layer in _both(lenet))
        + sum(size.n_entries * layer.index_bits for size, layer in _both(lenet)),
        codebooks + sum(size.weight_bits_huffman + size.index_bits_huffman for size in sizes),
    ]
    numbers = stages([lenet]).compared
    assert [number.ours for number in numbers] == pytest.approx([32 * 266_200 / x for x in left])
    assert [number.published for number in numbers] == [12, 32, 40]


def _both(ours):
    return [(layer.sizes, layer) for layer in ours.network.layers]


def test_padding_of_independent_weights():
    """The renewal argument that the formula stands for, against a long run of coin tosses."""
    kept = np.flatnonzero(np.random.default_rng(0).random(2_000_000) < 0.09)
    gaps = np.diff(kept) - 1
    entries = kept.size + (gaps // 16).sum()
    assert padded_pct(0.09, 4) == pytest.approx(100 * entries / 2_000_000, rel=0.005)
