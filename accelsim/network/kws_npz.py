"""Keyword-spotting networks of Zhang et al., "Hello Edge" (arXiv:1711.07128), from their checkpoints.

The checkpoints are those of ARM-software/ML-KWS-for-MCU, one array per variable. What the arrays do
not say (frames per example, strides) is what its training commands say for the large models: 1 s of
sound, 10 coefficients per frame; 25 frames of the fully connected network, else 49.
"""

from pathlib import Path

import numpy as np

from accelsim.errors import FileFormatError
from accelsim.network.files import StrPath, naming_file
from accelsim.network.graph import FullyConnected, Recurrent, Reduce, Reshape, Slice
from accelsim.network.layers import Network
from accelsim.network.npz import read_arrays
from accelsim.network.tensorflow_npz import TensorFlowNetwork

FRAMES, COEFFICIENTS = 49, 10
FORGET_BIAS = 1.0  # TensorFlow's LSTMCell adds it to the forget gate, beside the stored bias

DNN_ARRAYS = frozenset({"fc1.W", "fc1.b", "final_fc", "Variable"})
LSTM_ARRAYS = frozenset({"lstm.rnn.lstm_cell.kernel", "lstm.rnn.lstm_cell.w_i_diag", "W_o", "b_o"})
DS_CNN_ARRAYS = frozenset({"MobileNet.conv_1.weights", "MobileNet.fc1.weights"})

_CELL = "lstm.rnn.lstm_cell"
_GATES = (0, 2, 1, 3)  # TensorFlow's order is i, g, f, o; a Recurrent step's is i, f, g, o


def load_kws_dnn(path: StrPath) -> Network:
    """Fully connected layers ``fcN.W``, ``fcN.b`` with ReLU, then ``final_fc`` with bias ``Variable``.

    Raises FileFormatError for missing arrays, NetworkError for layers that do not fit.
    """
    path = Path(path)
    with naming_file(path):
        arrays = read_arrays(path)
        n_in = TensorFlowNetwork(arrays, {}).array("fc1.W", 2).shape[0]
        net = TensorFlowNetwork(arrays, {"input": (n_in,)})
        tensor, at = "input", 1
        while f"fc{at}.W" in arrays:
            tensor = net.relu(net.dense(f"fc{at}", tensor, (f"fc{at}.W", f"fc{at}.b")))
            at += 1
        net.dense("final_fc", tensor, ("final_fc", "Variable"))
        return net.network(path)


def load_kws_lstm(path: StrPath) -> Network:
    """An LSTM with peepholes and projection over [time, features]; its last output is classified.

    The kernel [features + projected, 4 * cells] is split into the matrix on the input and that on the
    state; the forget bias goes into the bias.

    Raises FileFormatError for missing arrays, NetworkError for layers that do not fit.
    """
    path = Path(path)
    with naming_file(path):
        net = TensorFlowNetwork(read_arrays(path), {"input": (FRAMES, COEFFICIENTS)})
        kernel, bias = net.array(f"{_CELL}.kernel", 2), net.array(f"{_CELL}.bias", 1)
        cells = bias.size // 4
        if (
            kernel.shape[1] != 4 * cells
            or bias.size != 4 * cells
            or kernel.shape[0] <= COEFFICIENTS
        ):
            raise FileFormatError(
                f"field '{_CELL}.kernel': has shape {kernel.shape}, its bias {bias.shape}: "
                "get the file again"
            )
        matrix = kernel.T.reshape(4, cells, -1)[list(_GATES)].reshape(4 * cells, -1)
        gates = bias.reshape(4, cells)[list(_GATES)]
        gates[1] += np.float32(FORGET_BIAS)
        on_input = net.layer("lstm.input", matrix[:, :COEFFICIENTS], gates.reshape(-1))
        on_state = net.layer("lstm.state", matrix[:, COEFFICIENTS:], None)
        projection = net.layer(
            "lstm.projection", net.array(f"{_CELL}.projection.kernel", 2).T, None
        )
        peepholes = tuple(f"{_CELL}.w_{gate}_diag" for gate in "ifo")
        for name in peepholes:
            net.builder.constants[name] = net.array(name, 1)
        tensor = net.apply("lstm.gates", FullyConnected(layer=on_input.name), "input", on_input)
        op = Recurrent(
            cell="lstm",
            hidden=cells,
            matrices=(on_state.name, projection.name),
            peepholes=(peepholes[0], peepholes[1], peepholes[2]),
        )
        tensor = net.apply("lstm", op, tensor, on_state, projection)
        last = net.builder.add("last", Slice(axis=0, start=FRAMES - 1, stop=FRAMES), tensor)
        flat = net.builder.add("flat", Reshape(shape=(projection.n_out,)), last)
        net.dense("output", flat, ("W_o", "b_o"))
        return net.network(path)


def load_kws_ds_cnn(path: StrPath) -> Network:
    """A depthwise-separable network over [1, time, features], its batch normalisation folded in.

    Raises FileFormatError for missing arrays, NetworkError for layers that do not fit.
    """
    path = Path(path)
    with naming_file(path):
        arrays = read_arrays(path)
        net = TensorFlowNetwork(arrays, {"input": (1, FRAMES, COEFFICIENTS)})
        scope = "MobileNet.conv_1"
        tensor = net.convolution(
            "conv_1", "input", (f"{scope}.weights", f"{scope}.biases"), stride=(2, 1)
        )
        # Where TensorFlow has no gamma, it stores a constant of ones.
        tensor = net.relu(net.batch_norm(f"{scope}.batch_norm", tensor, "Const"))
        at = 1
        while f"MobileNet.conv_ds_{at}.depthwise_conv.depthwise_weights" in arrays:
            tensor = _separable(net, at, tensor)
            at += 1
        pooled = net.builder.add(
            "avg_pool", Reduce(function="mean", axes=(1, 2), keep=False), tensor
        )
        net.dense("fc1", pooled, ("MobileNet.fc1.weights", "MobileNet.fc1.biases"))
        return net.network(path)


def _separable(net: TensorFlowNetwork, at: int, given: str) -> str:
    """One depthwise and one pointwise convolution, each with normalisation and ReLU."""
    scope, stride = f"MobileNet.conv_ds_{at}", 2 if at == 1 else 1
    names = (f"{scope}.depthwise_conv.depthwise_weights", f"{scope}.depthwise_conv.biases")
    tensor = net.depthwise(f"conv_ds_{at}/dw", given, names, stride)
    tensor = net.relu(net.batch_norm(f"{scope}.dw_batch_norm", tensor, "Const"))
    names = (f"{scope}.pointwise_conv.weights", f"{scope}.pointwise_conv.biases")
    tensor = net.convolution(f"conv_ds_{at}/pw", tensor, names)
    return net.relu(net.batch_norm(f"{scope}.pw_batch_norm", tensor, "Const"))
