"""The published compressed SqueezeNet, whole, on a real image: against ONNX Runtime, and in fixed point."""

import numpy as np
import pytest
from exact.layers import data_dir

import accelsim
from network_model.onnx_twin import run_onnx

BGR_MEAN = np.array([104.0, 117.0, 123.0])
SIDE = 227


@pytest.fixture(scope="module")
def network():
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no SqueezeNet")
    return accelsim.load(folder / "squeezenet" / "compressed_SqueezeNet.net")


@pytest.fixture(scope="module")
def image():
    """float32[3, 227, 227], BGR, mean subtracted, from every second or so pixel of the middle."""
    from matplotlib import cbook
    from matplotlib.image import imread

    rgb = np.asarray(imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))))
    height, width = rgb.shape[:2]
    side = min(height, width)
    rows, columns = (
        (size - side) // 2 + np.arange(SIDE) * side // SIDE for size in (height, width)
    )
    square = rgb[np.ix_(rows, columns)].astype(np.float64)
    return (square[:, :, ::-1] - BGR_MEAN).transpose(2, 0, 1).astype(np.float32)


def test_outputs_agree_with_onnx_runtime(network, image):
    result = accelsim.simulate(network, "eie-64", image, overflow="stream")
    (name,) = network.graph.inputs
    expected = run_onnx(network, {name: image[None]})[network.graph.outputs[-1]][0]
    assert np.abs(result.outputs - expected).max() < 1e-3
    assert int(result.outputs.argmax()) == int(expected.argmax())


def test_one_row_per_convolution_and_totals_of_everything(network, image):
    told = accelsim.simulate(network, "eie-64", image, overflow="stream").as_dict()
    assert [row["name"] for row in told["layers"]] == [layer.name for layer in network.layers]
    assert len(told["layers"]) == 26
    for total in ("cycles", "latency_us", "energy_pj"):
        parts = [row[total] for row in told["layers"] + told["steps"]]
        assert told[total] == pytest.approx(sum(parts))
    assert told["energy_pj"] == pytest.approx(sum(term["energy_pj"] for term in told["energy"]))
    # Entries of 8 + 4 bits: a 64-bit row holds five.
    assert told["machine"]["code_bits"] + told["machine"]["run_bits"] == 12


def test_sixteen_bits_see_the_same_thing(network, image):
    result = accelsim.simulate(network, "eie-64", image, overflow="stream")
    words = result.outputs_fixed.to_float()
    assert int(words.argmax()) == int(result.outputs.argmax())
    assert np.abs(words - result.outputs).max() < 0.01 * np.abs(result.outputs).max()
