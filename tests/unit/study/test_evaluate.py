import numpy as np
import pytest
from exact.layers import data_dir

import accelsim
from accelsim.datasets.labelled import Dataset, load_dataset
from accelsim.errors import InputError, NetworkError
from accelsim.network.layers import Layer, Network
from accelsim.study.evaluate import evaluate

RNG = np.random.default_rng(0)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "drawn.npz"
    np.savez(path, inputs=RNG.uniform(0, 1, (7, 3, 2)), labels=RNG.integers(0, 4, 7))
    return path


@pytest.fixture
def network():
    """Exact in a codebook: three values; 6 inputs, 4 classes."""
    first = RNG.choice([-0.5, 0, 0.5, 1], (5, 6)).astype(np.float32)
    last = RNG.choice([-1, 0, 0.25], (4, 5)).astype(np.float32)
    return Network("small", (Layer("a", first, activation="relu"), Layer("b", last)))


def plain(network, inputs):
    """Classes by matrix products in double precision."""
    a, b = (layer.weights.astype(float) for layer in network.layers)
    return np.maximum(inputs @ a.T, 0) @ b.T


def test_error_is_that_of_a_plain_classifier(network, file):
    data = load_dataset(file)
    wrong = plain(network, data.inputs.reshape(7, 6)).argmax(axis=1) != data.labels
    frame = evaluate(network, file)
    assert frame["arithmetic"].tolist() == ["float32", "int32", "int16", "int8"]
    assert frame["error_pct"][0] == pytest.approx(100 * wrong.mean())
    assert (frame["same_as_float32_pct"][:2] == 100).all()
    assert frame["top5_error_pct"].isna().all()  # four classes


def test_each_arithmetic_gives_the_simulators_own_outputs(network):
    """On so few examples all are calibration, so formats are those that `simulate` chooses."""
    inputs = RNG.standard_normal((50, 6)).astype(np.float32)
    labels = RNG.integers(0, 4, 50)
    frame = evaluate(network, Dataset("drawn", inputs, labels), arithmetic=[8, 16])
    for bits, row in zip((8, 16), frame.to_dict("records"), strict=True):
        result = accelsim.simulate(network, activations=inputs, arithmetic_bits=bits)
        assert row["correct"] == (result.outputs_fixed.raw.argmax(axis=1) == labels).sum()


def test_formats_come_from_the_first_examples_only(network):
    """Inputs fifty times larger than all that was seen are cut to one and the same vector of 8 bits."""
    rng = np.random.default_rng(3)
    small = rng.uniform(0.5, 1, (10, 6)).astype(np.float32)
    large = rng.choice([-1, 1], (10, 6)) * rng.uniform(20, 50, (10, 6))
    inputs = np.concatenate([small, large]).astype(np.float32)
    data = Dataset("drawn", inputs, plain(network, inputs).argmax(axis=1))
    narrow = evaluate(network, data, arithmetic=[8], calibration=10)
    wide = evaluate(network, data, arithmetic=[8], calibration=20)
    assert narrow["correct"][0] != wide["correct"][0]
    signs = np.concatenate([small, 1.99 * np.sign(large)]).astype(np.float32)
    cut = evaluate(network, data._replace(inputs=signs), arithmetic=[8], calibration=10)
    assert narrow["correct"][0] == cut["correct"][0]


def test_progress_and_limit(network, file):
    seen = []
    frame = evaluate(network, file, limit=3, arithmetic=[16], progress=lambda *x: seen.append(x))
    assert frame["examples"].tolist() == [3]
    assert seen[-1] == (3, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"arithmetic": [12]}, "arithmetic '12': use float32, 8, 16 or 32"),
        ({"arithmetic": []}, "give one or more"),
        ({"arithmetic": [8, 8]}, "each once"),
        ({"limit": 0}, "limit=0"),
    ],
)
def test_wrong_arguments_are_refused(network, file, fields, message):
    with pytest.raises(InputError, match=message):
        evaluate(network, file, **fields)


def test_data_that_does_not_fit_is_refused(network):
    with pytest.raises(NetworkError, match=r"shape \[5\], network 'small' takes \[6\]"):
        evaluate(network, Dataset("d", np.ones((2, 5), np.float32), np.array([0, 1])))
    with pytest.raises(NetworkError, match="has 4 classes"):
        evaluate(network, Dataset("d", np.ones((2, 6), np.float32), np.array([0, 4])))


def test_lenet_loses_nothing_in_sixteen_bits():
    """The paper's experiment: 16-bit integers cost next to nothing (EIE, Figure 10: half a point)."""
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no MNIST")
    frame = evaluate("lenet-300-100", folder / "mnist", limit=2000).set_index("arithmetic")
    assert frame.loc["float32", "error_pct"] < 3
    assert abs(frame.loc["int16", "error_pct"] - frame.loc["float32", "error_pct"]) < 0.5
    assert frame.loc["int32", "same_as_float32_pct"] > 99.9
