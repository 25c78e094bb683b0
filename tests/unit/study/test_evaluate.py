import gzip

import numpy as np
import pytest
from exact.layers import data_dir
from numpy.testing import assert_array_equal

import accelsim
from accelsim.errors import AccelsimError, InputError, NetworkError
from accelsim.network.layers import Layer, Network
from accelsim.study.datasets import IMAGES, LABELS, Dataset, load_dataset
from accelsim.study.evaluate import evaluate

RNG = np.random.default_rng(0)


def idx(values: np.ndarray) -> bytes:
    """MNIST's format: a header of big-endian numbers, then bytes."""
    head = bytes([0, 0, 8, values.ndim])
    return head + b"".join(n.to_bytes(4, "big") for n in values.shape) + values.tobytes()


@pytest.fixture
def folder(tmp_path):
    images = RNG.integers(0, 256, (7, 3, 2), dtype=np.uint8)
    labels = RNG.integers(0, 4, 7, dtype=np.uint8)
    (tmp_path / f"{IMAGES}.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / LABELS).write_bytes(idx(labels))
    return tmp_path, images, labels


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


def test_idx_files_are_read_plain_and_packed(folder):
    path, images, labels = folder
    data = load_dataset(path)
    assert data.inputs.dtype == np.float32
    assert_array_equal(data.inputs, images.astype(np.float32) / np.float32(255))
    assert_array_equal(data.labels, labels)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (LABELS, b"", "is no IDX file"),
        (LABELS, idx(np.zeros(7, np.uint8))[:-1], "truncated"),
        (LABELS, bytes([0, 0, 8, 4]) + b"\xff" * 16, "claims sizes"),
        (LABELS, idx(np.zeros(6, np.uint8)), "give a whole number for each example"),
        (f"{IMAGES}.gz", gzip.compress(b"\0\0\x08\x03")[:-9], "is damaged|claims"),
        (f"{IMAGES}.gz", b"no gzip at all", "is damaged"),
        *(
            (f"{IMAGES}.gz", gzip.compress(idx(np.zeros((7, 2), np.uint8)))[:-cut], "is damaged")
            for cut in range(1, 9)  # in the checksum and the length
        ),
        (f"{IMAGES}.gz", gzip.compress(idx(np.zeros((7, 2), np.uint8))) + b"x", "is damaged"),
        (f"{IMAGES}.gz", gzip.compress(idx(np.zeros((7, 2), np.uint8)) + b"x"), "goes on after"),
        (LABELS, idx(np.zeros(7, np.uint8)) + b"\0", r"goes on after its \[7\] bytes"),
    ],
)
def test_damaged_idx_files_are_named(folder, name, content, message):
    path, _, _ = folder
    (path / name).write_bytes(content)
    with pytest.raises(AccelsimError, match=message) as error:
        load_dataset(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_beyond_64_bits_are_told_as_they_are(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, inputs=np.ones((2, 3)), labels=np.array([0, 2**64 - 1], np.uint64))
    with pytest.raises(AccelsimError, match="label 18446744073709551615 is no class"):
        load_dataset(path)


def test_arrays_are_read_and_checked(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, inputs=np.ones((2, 3)), labels=[1, 0])
    assert load_dataset(path).inputs.shape == (2, 3)
    np.savez(path, inputs=np.ones((2, 3)))
    with pytest.raises(AccelsimError, match="'inputs' and 'labels'"):
        load_dataset(path)
    np.savez(path, inputs=[[np.nan]], labels=[0])
    with pytest.raises(AccelsimError, match="NaN"):
        load_dataset(path)


def test_mnist_needs_a_folder(monkeypatch):
    monkeypatch.delenv("ACCELSIM_DATA", raising=False)
    with pytest.raises(InputError, match="set ACCELSIM_DATA"):
        load_dataset("mnist")


def test_error_is_that_of_a_plain_classifier(network, folder):
    path, _, _ = folder
    data = load_dataset(path)
    wrong = plain(network, data.inputs.reshape(7, 6)).argmax(axis=1) != data.labels
    frame = evaluate(network, path)
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
    small = RNG.uniform(0.5, 1, (10, 6)).astype(np.float32)
    large = RNG.choice([-1, 1], (10, 6)) * RNG.uniform(20, 50, (10, 6))
    inputs = np.concatenate([small, large]).astype(np.float32)
    data = Dataset("drawn", inputs, plain(network, inputs).argmax(axis=1))
    narrow = evaluate(network, data, arithmetic=[8], calibration=10)
    wide = evaluate(network, data, arithmetic=[8], calibration=20)
    assert narrow["correct"][0] != wide["correct"][0]
    signs = np.concatenate([small, 1.99 * np.sign(large)]).astype(np.float32)
    cut = evaluate(network, data._replace(inputs=signs), arithmetic=[8], calibration=10)
    assert narrow["correct"][0] == cut["correct"][0]


def test_progress_and_limit(network, folder):
    path, _, _ = folder
    seen = []
    frame = evaluate(network, path, limit=3, arithmetic=[16], progress=lambda *x: seen.append(x))
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
def test_wrong_arguments_are_refused(network, folder, fields, message):
    with pytest.raises(InputError, match=message):
        evaluate(network, folder[0], **fields)


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
