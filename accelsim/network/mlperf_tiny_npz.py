"""Reference networks of MLPerf Tiny (Banbury et al., arXiv:2106.07597) from the arrays of Keras.

How the arrays are put together is what ``keras_model.py`` of each benchmark in mlcommons/tiny says.
"""

from pathlib import Path

from accelsim.network.files import StrPath, naming_file
from accelsim.network.graph import Elementwise, Reduce, Softmax
from accelsim.network.layers import Network
from accelsim.network.npz import read_arrays
from accelsim.network.tensorflow_npz import TensorFlowNetwork

AUTOENCODER_ARRAYS = frozenset({"dense_9.kernel", "batch_normalization_8.gamma"})
RESNET_ARRAYS = frozenset({"conv2d_8.kernel", "batch_normalization_6.gamma", "dense.kernel"})
IMAGE = (3, 32, 32)
_HIDDEN = 9  # layers of the auto-encoder before its output


def load_autoencoder(path: StrPath) -> Network:
    """The anomaly detection auto-encoder: nine layers with batch normalisation and ReLU, one without.

    Raises FileFormatError for missing arrays, NetworkError for layers that do not fit.
    """
    path = Path(path)
    with naming_file(path):
        arrays = read_arrays(path)
        n_in = TensorFlowNetwork(arrays, {}).array("dense.kernel", 2).shape[0]
        net = TensorFlowNetwork(arrays, {"input": (n_in,)})
        tensor = "input"
        for at in range(_HIDDEN):
            name = _numbered("dense", at)
            tensor = net.dense(name, tensor, (f"{name}.kernel", f"{name}.bias"))
            tensor = net.batch_norm(_numbered("batch_normalization", at), tensor, "gamma")
            tensor = net.relu(tensor)
        name = _numbered("dense", _HIDDEN)
        net.dense(name, tensor, (f"{name}.kernel", f"{name}.bias"))
        return net.network(path)


def load_resnet(path: StrPath) -> Network:
    """The image classification network: three residual stacks, over [3, 32, 32].

    Raises FileFormatError for missing arrays, NetworkError for layers that do not fit.
    """
    path = Path(path)
    with naming_file(path):
        net = TensorFlowNetwork(read_arrays(path), {"input": IMAGE})
        tensor = net.relu(_normalised(net, "input", conv=0, norm=0))
        tensor = _stack(net, tensor, conv=1, norm=1, stride=1)
        tensor = _stack(net, tensor, conv=3, norm=3, stride=2)
        tensor = _stack(net, tensor, conv=6, norm=5, stride=2)
        pooled = net.builder.add(
            "average_pooling2d", Reduce(function="mean", axes=(1, 2), keep=False), tensor
        )
        scores = net.dense("dense", pooled, ("dense.kernel", "dense.bias"))
        net.builder.add("softmax", Softmax(), scores)
        return net.network(path)


def _stack(net: TensorFlowNetwork, given: str, *, conv: int, norm: int, stride: int) -> str:
    """Two convolutions beside the identity, or beside a third one where the size changes."""
    tensor = net.relu(_normalised(net, given, conv=conv, norm=norm, stride=stride))
    tensor = _normalised(net, tensor, conv=conv + 1, norm=norm + 1)
    beside = given if stride == 1 else _convolution(net, given, conv + 2, stride)
    total = net.builder.add(f"add_{conv}", Elementwise(function="add"), beside, tensor)
    return net.relu(total)


def _normalised(
    net: TensorFlowNetwork, given: str, *, conv: int, norm: int, stride: int = 1
) -> str:
    tensor = _convolution(net, given, conv, stride)
    return net.batch_norm(_numbered("batch_normalization", norm), tensor, "gamma")


def _convolution(net: TensorFlowNetwork, given: str, at: int, stride: int) -> str:
    name = _numbered("conv2d", at)
    return net.convolution(name, given, (f"{name}.kernel", f"{name}.bias"), stride)


def _numbered(name: str, at: int) -> str:
    """Keras' name of the layer with that number: the first has none."""
    return f"{name}_{at}" if at else name
