from statistics import geometric_mean

import pandas as pd
import pytest

from accelsim.compression.describe import inspect
from accelsim.study.reproduce.deep_compression.checks import all_checks, inconsistencies
from accelsim.study.reproduce.deep_compression.published import PAPER_NETWORKS
from accelsim.study.reproduce.deep_compression.times import times
from accelsim.study.reproduce.rounding import Check, Known


@pytest.fixture(scope="module")
def weights():
    return {
        paper.name: pd.Series({x["layer"]: x["n_weights"] for x in inspect(paper.name).layers})
        for paper in PAPER_NETWORKS
    }


@pytest.fixture(scope="module")
def checks(weights):
    return all_checks(weights, times())


def found(checks, table, row, column):
    (check,) = (x for x in checks if (x.table, x.row, x.column) == (table, row, column))
    return check


def wrong(checks, kind):
    return {
        (check.table, check.row.removesuffix(", Total"), check.column)
        for check in checks
        if check.kind == kind and not check.agrees
    }


CODE, RUN = "code (bits, P+Q+H)", "run (bits, P+Q)"
RATE, RATE_BEFORE = "rate (%, P+Q+H)", "rate (%, P+Q)"


def test_totals_that_do_not_add_up(checks):
    """Found by hand with the paper on the table: the rest of the 28 agree within rounding."""
    assert wrong(checks, "total") == {
        ("Table 2", "LeNet-300-100", CODE),  # 5.1, and no layer above 4.4
        ("Table 2", "LeNet-300-100", RATE_BEFORE),
        ("Table 2", "LeNet-300-100", RATE),
        ("Table 3", "LeNet-5", CODE),  # 4.1, and no layer below 4.5
        ("Table 3", "LeNet-5", RATE),
        ("Table 4", "AlexNet", RATE),
        ("Table 5", "VGG-16", RATE_BEFORE),
        ("Table 5", "VGG-16", RATE),
    }
    assert sum(check.kind == "total" for check in checks) == 4 * 7


def test_a_total_by_hand(checks):
    check = found(checks, "Table 2", "LeNet-300-100, Total", RATE)
    by_hand = (235_200 * 2.32 + 30_000 * 3.04 + 1_000 * 12.7) / 266_200
    assert check.printed == pytest.approx((2.49, 2.485, 2.495))
    assert check.recomputed == pytest.approx((by_hand, by_hand - 0.005, by_hand + 0.005))


def test_a_mean_over_kept_weights_by_hand(checks):
    check = found(checks, "Table 4", "AlexNet, Total", "code (bits, P+Q)")
    kept = {
        8: 34_848 * 84 + 307_200 * 38 + 884_736 * 35 + (663_552 + 442_368) * 37,
        5: (37_748_736 + 16_777_216) * 9 + 4_096_000 * 25,
    }
    by_hand = (8 * kept[8] + 5 * kept[5]) / (kept[8] + kept[5])
    assert check.recomputed.value == pytest.approx(by_hand)
    assert check.recomputed.least < by_hand < check.recomputed.most  # densities are rounded
    assert check.agrees


def test_a_rate_by_hand(checks):
    """AlexNet's fc8: 7.3 % of 32 bits hold entries of 5 + 4 bits, which shrink to 4 + 3.2."""
    check = found(checks, "Table 4", "AlexNet, fc8", RATE)
    codebook = 32 * 32 / 4_096_000
    by_hand = (0.073 * 32 - codebook) * 7.2 / 9 + codebook
    assert check.recomputed.value == pytest.approx(100 * by_hand / 32)


def test_other_places_where_the_paper_contradicts_itself(checks):
    assert wrong(checks, "rate") == {
        ("Table 3", "LeNet-5, conv1", RATE),
        ("Table 5", "VGG-16, conv1_1", RATE),
    }
    assert wrong(checks, "code") == {("Table 3", "LeNet-5, ip2", CODE)}  # 5 bits become 5.2
    assert wrong(checks, "width") == {  # 8 and 5 in the text
        ("Section 2", "LeNet-5, convolutions", RUN),
        ("Section 2", "AlexNet, convolutions", RUN),
        ("Section 2", "AlexNet, fully connected", RUN),
        ("Section 2", "VGG-16, convolutions", RUN),
    }
    assert not wrong(checks, "whole")
    assert {(table, row) for table, row, _ in wrong(checks, "range")} == {
        ("Figure 1", "all networks, most"),  # 31x after sharing; LeNet-5 has 33x
        ("Section 4", "all networks, least"),  # Huffman coding saves 20 to 30 %; LeNet-5: 16 %
        ("Section 4", "all networks, most"),  # VGG-16: 36 %
    }
    assert {row for _, row, _ in wrong(checks, "text")} == {"VGG-16, fc6", "VGG-16, fc7"}
    assert {(table, row) for table, row, _ in wrong(checks, "mean")} == {
        ("Figure 9", "mGPU, mean"),
        ("Section 6.3", "all platforms, most"),
    }
    assert {(row, column) for _, row, column in wrong(checks, "time")} == {
        ("CPU, VGG-16 fc7", "dense, batch 1: time (µs)"),
        ("CPU, VGG-16 fc8", "dense, batch 1: time (µs)"),
        ("mGPU, VGG-16 fc8", "dense, batch 64: time (µs)"),
    }


def test_the_mobile_gpus_speed_up_from_table_8(checks):
    """Dense and sparse times of Tegra K1 at batch 1, as printed."""
    dense = (12437.2, 5765.0, 2252.1, 35427.0, 5544.3, 2243.1)
    sparse = (2879.3, 1256.5, 837.0, 4377.2, 626.3, 745.1)
    check = found(checks, "Figure 9", "mGPU, mean", "speed-up by pruning (×)")
    by_hand = geometric_mean(a / b for a, b in zip(dense, sparse, strict=True))
    assert check.recomputed.value == pytest.approx(by_hand)


def test_what_the_text_says_of_alexnet(checks):
    assert found(checks, "Table 7", "AlexNet", "size, pruned (MB)").recomputed == pytest.approx(
        (240 * 0.11, 235 * 0.105, 245 * 0.115)
    )
    check = found(checks, "Section 5.2", "AlexNet", "saved by Huffman coding (%)")
    assert check.recomputed == pytest.approx(
        (100 * (1 - 2.88 / 3.7), 100 * (1 - 2.885 / 3.65), 100 * (1 - 2.875 / 3.75))
    )


def test_a_check_can_fail():
    def check(recomputed):
        return Check("total", "Table 2", "ip1", "x", Known.printed("3.1"), recomputed, "by hand")

    assert check(Known(3.2, 3.14, 3.26)).compared.note == "agrees; ours: by hand (3.14 to 3.26)"
    assert check(Known.exactly(3.2)).compared.note == "DISAGREES; ours: by hand"


def test_the_chapter_lists_every_check_and_names_what_disagrees(weights, checks):
    chapter = inconsistencies(weights, times())
    assert len(chapter.compared) == len(chapter.data) == len(checks)
    assert (~chapter.data["agrees"]).sum() == sum("DISAGREES" in x.note for x in chapter.compared)
    assert chapter.data["agrees"].is_monotonic_increasing
    assert f"{(~chapter.data['agrees']).sum()} of them differ" in chapter.text
    assert "Table 3, LeNet-5, ip2, code (bits, P+Q+H): 5.2, from the rest 5" in chapter.text
