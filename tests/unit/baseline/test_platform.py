import csv
import re
from pathlib import Path

import pytest

from accelsim.baseline import published
from accelsim.baseline.platform import TABLES, platform, platform_names
from accelsim.errors import InputError, TechnologyError

CALIBRATED = {"i7-5930k": "i7-5930K", "titan-x": "TitanX", "tegra-k1": "TegraK1"}
ESTIMATED = ("epyc-9755", "h200-sxm", "jetson-agx-orin")


def table(name="titan-x"):
    return (TABLES / f"{name}.toml").read_text(encoding="utf-8")


def test_what_comes_with_accelsim():
    assert platform_names() == sorted([*CALIBRATED, *ESTIMATED])
    labels = [platform(name).label for name in platform_names()]
    assert len(set(labels)) == len(labels)


def test_a_platform_stays_what_it_is():
    machine = platform("titan-x")
    assert platform(machine) is machine


@pytest.mark.parametrize(("name", "in_table_v"), CALIBRATED.items())
def test_year_and_node_are_those_of_table_v(name, in_table_v):
    path = Path(published.__file__).parent / "published/eie_platforms.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row["platform"]: row for row in csv.DictReader(file)}
    chip = platform(name).chip
    assert chip.year == int(rows[in_table_v]["year"])
    assert chip.node_nm == float(rows[in_table_v]["node_nm"])


@pytest.mark.parametrize(
    ("name", "gop_per_s"),
    [
        ("i7-5930k", 6 * 3.5 * 2 * 8 * 2),  # cores, GHz, units, lanes, operations
        ("titan-x", 3072 * 1.075 * 2),
        ("tegra-k1", 192 * 0.852 * 2),
        ("epyc-9755", 128 * 2.7 * 2 * 16 * 2),
        ("h200-sxm", 16896 * 1.98 * 2),  # the boost clock behind the data sheet's 67 TFLOPS
        ("jetson-agx-orin", 2048 * 1.3 * 2),
    ],
)
def test_peaks_are_units_times_clock(name, gop_per_s):
    assert platform(name).peak.fp32_gop_per_s == pytest.approx(gop_per_s, rel=0.01)


@pytest.mark.parametrize(
    ("name", "gbyte_per_s"),
    [
        ("i7-5930k", 4 * 8 * 2.133),  # channels, bytes, GT/s
        ("titan-x", 384 / 8 * 7.01),
        ("tegra-k1", 8 * 2 * 0.933),
        ("epyc-9755", 12 * 8 * 6.0),
        ("jetson-agx-orin", 256 / 8 * 6.4),
    ],
)
def test_peak_bandwidth_is_width_times_rate(name, gbyte_per_s):
    assert platform(name).memory.bandwidth_gbyte_per_s == pytest.approx(gbyte_per_s, rel=0.01)


@pytest.mark.parametrize("name", ESTIMATED)
def test_what_no_paper_measured_is_marked_as_an_estimate(name):
    machine = platform(name)
    for kernel in (machine.dense, machine.sparse):
        assert (kernel.status, kernel.power.status, kernel.error) == ("estimate", "estimate", None)
        assert kernel.power.batch_1_w == kernel.power.batch_64_w == machine.tdp.power_w


def share(name, kernel):
    """Of the calibrated platform's peaks: bandwidth, rate."""
    machine = platform(name)
    way = machine.kernel(kernel)
    bandwidth = way.bandwidth_gbyte_per_s / machine.memory.bandwidth_gbyte_per_s
    return bandwidth, way.gop_per_s / machine.peak.fp32_gop_per_s


@pytest.mark.parametrize(
    ("name", "bandwidth_of", "dense_share", "rate_of"),
    [
        ("epyc-9755", "i7-5930k", 378 / 460.8, "i7-5930k"),
        ("h200-sxm", "titan-x", share("titan-x", "dense")[0], "titan-x"),
        ("jetson-agx-orin", "tegra-k1", share("tegra-k1", "dense")[0], "titan-x"),
    ],
)
def test_estimates_follow_the_rules_in_their_sources(name, bandwidth_of, dense_share, rate_of):
    sparse_over_dense = share(bandwidth_of, "sparse")[0] / share(bandwidth_of, "dense")[0]
    expected = {"dense": dense_share, "sparse": dense_share * sparse_over_dense}
    for kernel, bandwidth in expected.items():
        rate = share(rate_of, kernel)[1]
        assert share(name, kernel) == pytest.approx((bandwidth, rate), rel=0.01)


def test_power_and_error_are_those_of_the_nearer_batch():
    power = platform("titan-x").dense.power
    assert [power.of(vectors) for vectors in (1, 8, 9, 4096)] == [158.3, 158.3, 169.0, 169.0]
    error = platform("titan-x").dense.error
    assert error.of(1) == error.batch_1_factor != error.of(64) == error.batch_64_factor


def test_unknown_names_come_with_the_closest():
    with pytest.raises(InputError, match=r"platform 'titanx': .*did you mean 'titan-x'\?"):
        platform("titanx")
    with pytest.raises(InputError, match=r"kernel 'csr': use dense or sparse"):
        platform("titan-x").kernel("csr")


def test_a_users_own_file(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(table().replace('label = "Titan X"', 'label = "Mine"'), encoding="utf-8")
    assert platform(own).label == "Mine"
    assert platform(str(own)) is platform(own)


WRONGS = {
    "no unit": ("power_w = 250.0", "power = 250.0", "tdp", "power_w"),
    "no source": (
        'source = "NVIDIA specification: 3 MB L2"\n',
        "",
        "cache",
        "field 'cache.source' is missing",
    ),
    "empty source": ('source = "NVIDIA specification: 3 MB L2"', 'source = ""', "cache", "source"),
    "unknown status": ('status = "derived"', 'status = "guess"', "peak", "peak.status='guess'"),
    "negative": ("capacity_gbyte = 12.0", "capacity_gbyte = -12.0", "memory", "greater than 0"),
    "infinite": ("capacity_gbyte = 12.0", "capacity_gbyte = inf", "memory", "finite"),
    "unknown field": ("year = 2015", "year = 2015\ncores = 3072", "chip", "chip.cores"),
    "no kernel": ("[sparse]", "[spars]", "", "spars"),
    "more bandwidth than there is": (
        "bandwidth_gbyte_per_s = 306.9",
        "bandwidth_gbyte_per_s = 400.0",
        "",
        "dense.bandwidth_gbyte_per_s=400 is more than the 336.5 of [memory]",
    ),
    "faster than the peak": (
        "gop_per_s = 2704.0",
        "gop_per_s = 7000.0",
        "",
        "dense.gop_per_s=7000 is more than the 6605 of [peak]",
    ),
    "gain as an error": ("batch_1_factor = 1.146", "batch_1_factor = 0.9", "dense.error", "0.9"),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_bad_tables_are_refused_in_one_line(wrong, tmp_path):
    good, bad, where, message = WRONGS[wrong]
    assert good in table()
    path = tmp_path / "bad.toml"
    path.write_text(table().replace(good, bad, 1), encoding="utf-8")
    with pytest.raises(TechnologyError) as refused:
        platform(path)
    text = str(refused.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert message in text
    if where:  # a line within the table that is wrong
        line = int(re.search(r", line (\d+): ", text)[1])
        heading = [
            i for i, row in enumerate(path.read_text().splitlines(), 1) if row == f"[{where}]"
        ]
        assert heading[0] <= line <= heading[0] + 6


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(TechnologyError, match="cannot be read"):
        platform(tmp_path / "none.toml")
