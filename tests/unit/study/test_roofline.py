import numpy as np
import pytest

import accelsim
from accelsim.baseline.platform import TABLES, platform_names
from accelsim.baseline.roofline import estimated_times
from accelsim.errors import HardwareError, InputError
from accelsim.network.layers import Layer, Network
from accelsim.study.roofline import SRAM, roofline

SYSTEM = "eie-64, weights in SRAM"


@pytest.fixture(scope="module")
def plain():
    """60 -> 40 without biases; a third of the weights, half of the inputs."""
    rng = np.random.default_rng(1)
    kept = rng.random((40, 60)) < 0.33
    weights = np.where(kept, rng.integers(1, 8, kept.shape), 0).astype(np.float32)
    inputs = np.where(rng.random(60) < 0.5, rng.random(60) + 0.1, 0).astype(np.float32)
    return Network("plain", (Layer("fc", weights),), {"fc": inputs})


def test_a_point_per_layer_and_system_and_a_roof_per_system(network):
    drawn = roofline(network)
    assert (drawn.network, drawn.batch) == ("tiny", 1)
    systems = len(platform_names())
    assert len(drawn.points) == 2 * (2 * systems + 1)
    assert len(drawn.roofs) == 2 * systems + 1
    assert set(drawn.points["layer"]) == {"one", "two"}
    assert set(drawn.points["kernel"]) == {"dense", "sparse", SRAM}
    assert not drawn.points.isna().any().any()
    assert not drawn.roofs.isna().any().any()


@pytest.mark.parametrize("batch", [1, 64])
def test_no_point_is_above_its_roof(network, batch):
    drawn = roofline(network, batch=batch)
    roofs = drawn.roofs.set_index(["system", "kernel"])
    for point in drawn.points.to_dict("records"):
        roof = roofs.loc[(point["system"], point["kernel"])]
        highest = min(roof["gop_per_s"], roof["bandwidth_gbyte_per_s"] * point["ops_per_byte"])
        assert 0 < point["gop_per_s"] <= highest * (1 + 1e-9)


def test_the_machines_roof_by_hand(network):
    roofs = roofline(network, [], pes=16, clock_mhz=500, row_bits=128).roofs
    assert roofs["gop_per_s"].tolist() == [16 * 0.5 * 2]
    assert roofs["bandwidth_gbyte_per_s"].tolist() == [16 * 0.5 * 128 / 8]


def test_the_machines_point_by_hand(plain):
    [point] = roofline(plain, [], pes=4).points.to_dict("records")
    weights, inputs = plain.layers[0].weights, plain.activations["fc"]
    done = np.count_nonzero(weights[:, inputs != 0])  # what EIE multiplies: no zero of either kind
    result = accelsim.simulate(plain, pes=4).layers.iloc[0]
    assert point["gop_per_s"] == pytest.approx(2 * done / (1e3 * result["latency_us"]))
    n_bytes = 8 * result["sram_row_reads"]
    assert point["ops_per_byte"] == pytest.approx(2 * done / n_bytes)
    assert point["system"] == SYSTEM


def test_points_of_platforms_are_the_estimates(plain):
    drawn = roofline(plain, ["titan-x"], None, batch=64)
    for kernel in ("dense", "sparse"):
        [row] = estimated_times(plain, "titan-x", 64, kernel)
        [point] = drawn.points[drawn.points["kernel"] == kernel].to_dict("records")
        assert point["latency_us"] == pytest.approx(row.latency_us)
        assert point["system"] == "Titan X"


def test_platforms_alone_need_no_weights():
    drawn = roofline("alexnet_fc", hardware=None)
    assert set(drawn.points["kernel"]) == {"dense", "sparse"}
    assert set(drawn.points["layer"]) == {"Alex-6", "Alex-7", "Alex-8"}


def test_a_layer_without_anything_to_do_has_no_point(plain):
    idle = Network("idle", plain.layers, {"fc": np.zeros(60, dtype=np.float32)})
    drawn = roofline(idle, ["titan-x"])
    assert SYSTEM not in set(drawn.points["system"])


def test_what_is_refused(plain, tmp_path):
    with pytest.raises(InputError, match="no such platform"):
        roofline(plain, ["titan-y.tom"])
    with pytest.raises(InputError, match="pes: is a field of a machine"):
        roofline(plain, hardware=None, pes=3)
    with pytest.raises(HardwareError, match="pes"):
        roofline(plain, pes=0)
    with pytest.raises(InputError, match="no machine to draw"):
        roofline(plain, [], None)
    twin = tmp_path / "twin.toml"
    twin.write_text((TABLES / "titan-x.toml").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(InputError, match="two are called 'Titan X'"):
        roofline(plain, ["titan-x", twin])
