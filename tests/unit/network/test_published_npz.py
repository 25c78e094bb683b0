"""Published networks in .npz layouts of their own, against the architecture in TensorFlow's terms.

What a network should give is computed here from the arrays, with channels last and one place at a
time; each layout is tried with small random arrays and, where there are data, with the real ones.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
from exact.layers import data_dir
from unit.network.graph_interpreter import outputs

from accelsim.errors import FileFormatError, NetworkError
from accelsim.network.importers import load_network
from accelsim.network.macs import dense_macs
from accelsim.network.tensorflow_npz import same_padding

RNG = np.random.default_rng(3)


def random(*shape):
    return (RNG.standard_normal(shape) / 2).astype(np.float32)


# --- small networks of each layout ---


def normalisation(name, size, gamma):
    names = {"beta": random(size), gamma: random(size), "moving_mean": random(size)}
    names["moving_variance"] = np.abs(random(size)) + np.float32(0.5)
    return {f"{name}.{field}": values for field, values in names.items()}


def small_dnn():
    sizes = [6, 5, 4]
    arrays = {}
    for at, (one, other) in enumerate(pairwise(sizes), start=1):
        arrays |= {f"fc{at}.W": random(one, other), f"fc{at}.b": random(other)}
    return arrays | {"final_fc": random(4, 3), "Variable": random(3)}


def small_lstm(cells=6, projected=4):
    cell = "lstm.rnn.lstm_cell"
    diagonals = {f"{cell}.w_{gate}_diag": random(cells) for gate in "fio"}
    return diagonals | {
        f"{cell}.kernel": random(10 + projected, 4 * cells),
        f"{cell}.bias": random(4 * cells),
        f"{cell}.projection.kernel": random(cells, projected),
        "W_o": random(projected, 3),
        "b_o": random(3),
    }


def small_ds_cnn(channels=3):
    arrays = {"conv_1.weights": random(10, 4, 1, channels), "conv_1.biases": random(channels)}
    arrays |= normalisation("conv_1.batch_norm", channels, "Const")
    for at in (1, 2):
        scope = f"conv_ds_{at}"
        arrays |= {
            f"{scope}.depthwise_conv.depthwise_weights": random(3, 3, channels, 1),
            f"{scope}.depthwise_conv.biases": random(channels),
            **normalisation(f"{scope}.dw_batch_norm", channels, "Const"),
            f"{scope}.pointwise_conv.weights": random(1, 1, channels, channels),
            f"{scope}.pointwise_conv.biases": random(channels),
            **normalisation(f"{scope}.pw_batch_norm", channels, "Const"),
        }
    arrays |= {"fc1.weights": random(channels, 4), "fc1.biases": random(4)}
    return {f"MobileNet.{name}": values for name, values in arrays.items()}


def keras(name, at):
    return f"{name}_{at}" if at else name


def small_autoencoder():
    sizes, arrays = [7, 5, 5, 5, 5, 2, 5, 5, 5, 5, 7], {}
    for at, (one, other) in enumerate(pairwise(sizes)):
        name = keras("dense", at)
        arrays |= {f"{name}.kernel": random(one, other), f"{name}.bias": random(other)}
        if at < 9:
            arrays |= normalisation(keras("batch_normalization", at), other, "gamma")
    return arrays


def small_resnet():
    first, second, third = 2, 3, 4
    kernels = [(3, 3, first), (3, first, first), (3, first, first)]
    kernels += [(3, first, second), (3, second, second), (1, first, second)]
    kernels += [(3, second, third), (3, third, third), (1, second, third)]
    arrays = {"dense.kernel": random(third, 10), "dense.bias": random(10)}
    for at, (kernel, one, other) in enumerate(kernels):
        name = keras("conv2d", at)
        arrays |= {
            f"{name}.kernel": random(kernel, kernel, one, other),
            f"{name}.bias": random(other),
        }
    for at, size in enumerate([first, first, first, second, second, third, third]):
        arrays |= normalisation(keras("batch_normalization", at), size, "gamma")
    return arrays


# --- what TensorFlow makes of the arrays ---


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def normalised(a, name, x, gamma="gamma"):
    deviation = np.sqrt(a[f"{name}.moving_variance"].astype(np.float64) + 1e-3)
    scaled = (x - a[f"{name}.moving_mean"]) / deviation * a[f"{name}.{gamma}"]
    return scaled + a[f"{name}.beta"]


def convolved(x, kernel, bias, strides=(1, 1), *, depthwise=False):
    """Padding SAME: ceil(size / stride) places, and the zeros as evenly around as they go."""
    sizes = [math.ceil(size / stride) for size, stride in zip(x.shape[:2], strides, strict=True)]
    pads = []
    for axis in (0, 1):
        needed = (sizes[axis] - 1) * strides[axis] + kernel.shape[axis] - x.shape[axis]
        pads.append((max(needed, 0) // 2, max(needed, 0) - max(needed, 0) // 2))
    x = np.pad(x.astype(np.float64), (*pads, (0, 0)))
    y = np.empty((*sizes, kernel.shape[2] if depthwise else kernel.shape[3]))
    for row, column in np.ndindex(*sizes):
        top, left = row * strides[0], column * strides[1]
        patch = x[top : top + kernel.shape[0], left : left + kernel.shape[1]]
        if depthwise:
            y[row, column] = (patch * kernel[:, :, :, 0]).sum((0, 1))
        else:
            y[row, column] = np.tensordot(patch, kernel, 3)
    return y + bias


def dnn(a, x):
    at = 1
    while f"fc{at}.W" in a:
        x = relu(x @ a[f"fc{at}.W"] + a[f"fc{at}.b"])
        at += 1
    return x @ a["final_fc"] + a["Variable"]


def lstm(a, x):
    """tf.contrib.rnn.LSTMCell with peepholes, projection, and its forget bias of 1."""
    cell = "lstm.rnn.lstm_cell"
    diagonal = {gate: a[f"{cell}.w_{gate}_diag"] for gate in "fio"}
    m, c = np.zeros(a[f"{cell}.projection.kernel"].shape[1]), 0.0
    for frame in x:
        joined = np.concatenate([frame, m]).astype(np.float64)
        i, j, f, o = np.split(joined @ a[f"{cell}.kernel"] + a[f"{cell}.bias"], 4)
        kept = sigmoid(f + 1.0 + diagonal["f"] * c) * c
        c = kept + sigmoid(i + diagonal["i"] * c) * np.tanh(j)
        m = (sigmoid(o + diagonal["o"] * c) * np.tanh(c)) @ a[f"{cell}.projection.kernel"]
    return m @ a["W_o"] + a["b_o"]


def ds_cnn(a, x):
    a = {name.removeprefix("MobileNet."): values for name, values in a.items()}
    x = convolved(x.transpose(1, 2, 0), a["conv_1.weights"], a["conv_1.biases"], (2, 1))
    x = relu(normalised(a, "conv_1.batch_norm", x, "Const"))
    at = 1
    while f"conv_ds_{at}.pointwise_conv.weights" in a:
        scope = f"conv_ds_{at}"
        kernel, bias = (a[f"{scope}.depthwise_conv.{n}"] for n in ("depthwise_weights", "biases"))
        x = convolved(x, kernel, bias, (2, 2) if at == 1 else (1, 1), depthwise=True)
        x = relu(normalised(a, f"{scope}.dw_batch_norm", x, "Const"))
        kernel, bias = (a[f"{scope}.pointwise_conv.{n}"] for n in ("weights", "biases"))
        x = relu(normalised(a, f"{scope}.pw_batch_norm", convolved(x, kernel, bias), "Const"))
        at += 1
    return x.mean((0, 1)) @ a["fc1.weights"] + a["fc1.biases"]


def autoencoder(a, x):
    for at in range(9):
        name = keras("dense", at)
        x = x @ a[f"{name}.kernel"].astype(np.float64) + a[f"{name}.bias"]
        x = relu(normalised(a, keras("batch_normalization", at), x))
    return x @ a["dense_9.kernel"] + a["dense_9.bias"]


def resnet(a, x):
    def conv(x, at, stride=1):
        name = keras("conv2d", at)
        return convolved(x, a[f"{name}.kernel"], a[f"{name}.bias"], (stride, stride))

    def norm(x, at):
        return normalised(a, keras("batch_normalization", at), x)

    x = relu(norm(conv(x.transpose(1, 2, 0), 0), 0))
    y = relu(norm(conv(x, 1), 1))
    x = relu(x + norm(conv(y, 2), 2))
    for at, number in ((3, 3), (6, 5)):
        y = relu(norm(conv(x, at, 2), number))
        x = relu(conv(x, at + 2, 2) + norm(conv(y, at + 1), number + 1))
    scores = x.mean((0, 1)) @ a["dense.kernel"] + a["dense.bias"]
    grown = np.exp(scores - scores.max())
    return grown / grown.sum()


LAYOUTS = {
    "kws_dnn_l": (small_dnn, dnn),
    "kws_lstm_l": (small_lstm, lstm),
    "kws_ds_cnn_l": (small_ds_cnn, ds_cnn),
    "mlperftiny_ad01": (small_autoencoder, autoencoder),
    "mlperftiny_pretrainedResnet": (small_resnet, resnet),
}


def written(tmp_path, name, arrays):
    path = tmp_path / f"{name}.npz"
    np.savez(path, **arrays)
    return path


def published(name):
    folder = data_dir()
    if folder is None:
        pytest.skip(f"ACCELSIM_DATA not set and ../shared/data absent: no {name}")
    return folder / name


def check(path, forward, x=None):
    network = load_network(path)
    (shape,) = network.graph.inputs.values()
    x = random(*shape) if x is None else x
    with np.load(path) as arrays:
        wanted = forward(dict(arrays), x)
    (found,) = outputs(network, {"input": x})
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5 * np.abs(wanted).max())
    assert not any(step.op.kind == "affine" for step in network.graph.steps)
    return network


@pytest.mark.parametrize("name", LAYOUTS)
def test_small_networks_of_each_layout(tmp_path, name):
    make, forward = LAYOUTS[name]
    assert check(written(tmp_path, name, make()), forward).name == name


# Multiplications of one inference. Of the keyword spotters Zhang et al., "Hello Edge",
# arXiv:1711.07128, state the operations, two for each, in the table of their best large networks:
# 1.0 M, 48.4 M, 56.9 M. Of the others by hand: weights × places.
MACS = {
    "kws_dnn_l": 1.0e6 / 2,
    "kws_lstm_l": 48.4e6 / 2,
    "kws_ds_cnn_l": 56.9e6 / 2,
    "mlperftiny_ad01": 2 * 640 * 128 + 6 * 128 * 128 + 2 * 8 * 128,
    "mlperftiny_pretrainedResnet": 32 * 32 * (27 * 16 + 2 * 144 * 16)
    + 16 * 16 * (144 * 32 + 288 * 32 + 16 * 32)
    + 8 * 8 * (288 * 64 + 576 * 64 + 32 * 64)
    + 64 * 10,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_published_networks(name):
    path = published(f"{name}.npz")
    network = check(path, LAYOUTS[name][1])
    assert network.source == path.name
    assert sum(dense_macs(network).values()) == pytest.approx(MACS[name], rel=0.02)


def test_the_autoencoder_reads_its_real_input():
    """It was trained to reproduce what it reads: better than the mean of the frames does."""
    x = np.load(published("ad01_input_40x640.npy"))
    network = check(published("mlperftiny_ad01.npz"), autoencoder, x[0])
    errors = [np.mean((outputs(network, {"input": frame})[0] - frame) ** 2) for frame in x]
    assert np.mean(errors) < np.mean((x - x.mean(0)) ** 2)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(32, 3, 2), (49, 10, 2), (10, 4, 1), (5, 1, 2)]
)
def test_padding_gives_as_many_places_as_strides_fit(size, kernel, stride):
    before, after = same_padding(size, kernel, stride)
    assert 0 <= after - before <= 1
    assert (size + before + after - kernel) // stride + 1 == math.ceil(size / stride)
    # One zero less would be a place less.
    assert before + after == 0 or (size + before + after - 1 - kernel) // stride + 1 < math.ceil(
        size / stride
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_array_that_is_missing_or_odd_is_named(tmp_path, name):
    arrays = LAYOUTS[name][0]()
    for missing in arrays:
        rest = {key: values for key, values in arrays.items() if key != missing}
        with pytest.raises((FileFormatError, NetworkError)) as caught:
            load_network(written(tmp_path, name, rest))
        assert str(caught.value).startswith(str(tmp_path))
        assert "\n" not in str(caught.value)
    for odd in arrays:
        with pytest.raises((FileFormatError, NetworkError)) as caught:
            load_network(written(tmp_path, name, arrays | {odd: arrays[odd][..., None]}))
        assert f"'{odd}': has shape" in str(caught.value)


def test_matrices_that_do_not_fit(tmp_path):
    arrays = small_lstm() | {"lstm.rnn.lstm_cell.kernel": random(8, 24)}
    with pytest.raises(FileFormatError, match=r"lstm_cell.kernel': has shape \(8, 24\)"):
        load_network(written(tmp_path, "kws", arrays))
    arrays = small_dnn() | {"final_fc": random(9, 3)}
    with pytest.raises(NetworkError, match="step 'final_fc'"):
        load_network(written(tmp_path, "kws", arrays))
    arrays = small_ds_cnn() | {
        "MobileNet.conv_ds_1.depthwise_conv.depthwise_weights": random(3, 3, 3, 2)
    }
    with pytest.raises(FileFormatError, match=r"depthwise_weights': has shape \(3, 3, 3, 2\)"):
        load_network(written(tmp_path, "kws", arrays))


def test_other_archives_are_read_as_before(tmp_path):
    network = load_network(written(tmp_path, "net", {"weights": random(2, 3), "b_o": random(3)}))
    assert network.layers[0].weights.shape == (2, 3)
