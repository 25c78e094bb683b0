"""Networks of Caffe from their descriptions (``deploy.prototxt``): shapes, but no weights."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from accelsim.errors import FileFormatError, NetworkError
from accelsim.network import caffe_params as params
from accelsim.network.builder import GraphBuilder
from accelsim.network.files import StrPath, checked_file, naming_file
from accelsim.network.fold import fuse_relu
from accelsim.network.graph import (
    Activate,
    Concatenate,
    Convolution,
    Elementwise,
    FullyConnected,
    Graph,
    Pool,
    Reduce,
    Reshape,
    Softmax,
)
from accelsim.network.prototxt import Message, parse_prototxt
from accelsim.network.shapes import Matrix

MAX_PROTOTXT_BYTES = 2**22


class CaffeLayer(NamedTuple):
    """A layer with weights: the sizes of its matrix, whether it has a bias, and whether ReLU follows."""

    matrix: Matrix
    has_bias: bool
    rectified: bool = False


@dataclass(frozen=True)
class CaffeNetwork:
    """A description: its layers with weights by name, in the order of the file, and their graph."""

    name: str
    graph: Graph
    layers: Mapping[str, CaffeLayer]


def read_prototxt(path: StrPath) -> CaffeNetwork:
    """Read a Caffe network's description.

    Layer types: Input (or `input` with `input_dim` or `input_shape` at the top), Convolution,
    InnerProduct, ReLU, Pooling (MAX, AVE, global), Concat, Eltwise, Dropout (left out) and Softmax at
    the end. ReLU after a layer with weights becomes its activation. The graph's outputs are what no
    layer reads.

    Raises InputError for a file that cannot be read, FileFormatError for text that does not parse,
    NetworkError for other types (all of them in one message) and for fields and shapes that do not
    fit.
    """
    path = checked_file(path, MAX_PROTOTXT_BYTES)
    with naming_file(path):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise FileFormatError("is no text in UTF-8: give a Caffe .prototxt") from None
        return _network(parse_prototxt(text), path)


def _network(message: Message, path: Path) -> CaffeNetwork:
    net = params.checked(params.Net, message, "")
    layers = [
        params.checked(params.LayerHead, layer, f"layer {at + 1}: ")
        for at, layer in enumerate(net.layer)
    ]
    _check_types(layers)
    reader = _Reader(net.input_shapes() | _input_layers(layers))
    for layer in layers:
        if layer.type != "Input":
            reader.read(layer)
    if not reader.layers:
        raise NetworkError("has no layer with weights: give a network's deploy.prototxt")
    graph, rectified = fuse_relu(reader.builder.graph())
    weighted = {
        name: layer._replace(rectified=name in rectified) for name, layer in reader.layers.items()
    }
    return CaffeNetwork(net.name or path.stem, graph, weighted)


def _check_types(layers: list[params.LayerHead]) -> None:
    """NetworkError that names all layers of types that are not supported."""
    known = {"Input", *_READERS}
    others: dict[str, list[str]] = {}
    for layer in layers:
        if layer.type not in known:
            others.setdefault(layer.type, []).append(layer.name)
    if others:
        found = "; ".join(f"{kind} ({', '.join(names[:4])})" for kind, names in others.items())
        raise NetworkError(
            f"layer types that are not supported: {found}: "
            f"the supported ones are {', '.join(sorted(known))}"
        )


def _input_layers(layers: list[params.LayerHead]) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for layer in layers:
        if layer.type == "Input":
            place = f"layer '{layer.name}': "
            given = params.checked(params.Input, layer.param("input_param", place), place)
            for top, shape in zip(layer.top, given.shape * len(layer.top), strict=False):
                shapes[top] = params.without_batch(shape.dim, place)
    return shapes


class _Reader:
    """Goes through the layers; `tensors` says which tensor a blob's name means at the moment."""

    def __init__(self, inputs: dict[str, tuple[int, ...]]) -> None:
        if not inputs:
            raise NetworkError(
                "has no input: add 'input' with 'input_dim', or a layer of type Input"
            )
        self.builder = GraphBuilder(inputs)
        self.layers: dict[str, CaffeLayer] = {}
        self.tensors = {name: name for name in inputs}

    def read(self, layer: params.LayerHead) -> None:
        """Add one layer."""
        place = f"layer '{layer.name}': "
        missing = [name for name in layer.bottom if name not in self.tensors]
        if missing or not layer.bottom or len(layer.top) != 1:
            what = (
                f"no layer before it gives '{missing[0]}'" if missing else "needs bottoms and a top"
            )
            raise NetworkError(f"{place}{what}")
        given = [self.tensors[name] for name in layer.bottom]
        if len(given) > 1 and layer.type not in ("Concat", "Eltwise"):
            raise NetworkError(f"{place}takes one bottom, has {len(given)}")
        self.tensors[layer.top[0]] = _READERS[layer.type](self, layer, given)

    def convolution(self, layer: params.LayerHead, given: list[str]) -> str:
        """Convolution: a matrix [num_output, channels / group * kernel height * kernel width]."""
        place = f"layer '{layer.name}': "
        fields = params.checked(params.Convolution, layer.param("convolution_param", place), place)
        op = Convolution(
            layer=layer.name,
            kernel=fields.pair("kernel", place),
            stride=fields.pair("stride", place),
            padding=fields.pair("pad", place) * 2,
            dilation=fields.pair("dilation", place),
            groups=fields.group,
        )
        channels = self.builder.shapes[given[0]][0]
        if channels % fields.group:
            raise NetworkError(f"{place}group={fields.group} does not divide {channels} channels")
        n_in = channels // fields.group * math.prod(op.kernel)
        return self._weighted(layer, op, Matrix(fields.num_output, n_in), given, fields.bias_term)

    def inner_product(self, layer: params.LayerHead, given: list[str]) -> str:
        """InnerProduct: all values of the bottom, channels first, times a matrix."""
        place = f"layer '{layer.name}': "
        fields = params.checked(
            params.InnerProduct, layer.param("inner_product_param", place), place
        )
        flat = self._flat(layer.name, given[0])
        matrix = Matrix(fields.num_output, self.builder.shapes[flat][0])
        op = FullyConnected(layer=layer.name)
        return self._weighted(layer, op, matrix, [flat], fields.bias_term)

    def pooling(self, layer: params.LayerHead, given: list[str]) -> str:
        """Pooling: Caffe rounds the number of windows up, and its mean counts padding."""
        place = f"layer '{layer.name}': "
        fields = params.checked(params.Pooling, layer.param("pooling_param", place), place)
        if fields.global_pooling:
            function = "max" if fields.pool == "MAX" else "mean"
            return self._step(layer, Reduce(function=function, axes=(1, 2)), given)
        op = Pool(
            mode="max" if fields.pool == "MAX" else "average",
            kernel=fields.pair("kernel", place),
            stride=fields.pair("stride", place),
            padding=fields.pair("pad", place) * 2,
            ceil=fields.round_mode == "CEIL",
            count_padding=True,
        )
        return self._step(layer, op, given)

    def relu(self, layer: params.LayerHead, given: list[str]) -> str:
        """ReLU, leaky with a negative_slope."""
        place = f"layer '{layer.name}': "
        fields = params.checked(params.Relu, layer.param("relu_param", place), place)
        slope = fields.negative_slope
        op = Activate(function="leaky_relu", alpha=slope) if slope else Activate(function="relu")
        return self._step(layer, op, given)

    def concat(self, layer: params.LayerHead, given: list[str]) -> str:
        """Concat; Caffe counts the batch as axis 0."""
        place = f"layer '{layer.name}': "
        fields = params.checked(params.Concat, layer.param("concat_param", place), place)
        return self._step(layer, Concatenate(axis=fields.axis - 1), given)

    def eltwise(self, layer: params.LayerHead, given: list[str]) -> str:
        """Eltwise: sum or product of two or more bottoms."""
        place = f"layer '{layer.name}': "
        fields = params.checked(params.Eltwise, layer.param("eltwise_param", place), place)
        function = "add" if fields.operation == "SUM" else "multiply"
        if len(given) < 2:
            raise NetworkError(f"{place}takes two bottoms or more")
        total = given[0]
        for more in given[1:-1]:
            name = self.builder.unique(layer.name + ".part")
            total = self.builder.add(name, Elementwise(function=function), total, more)
        return self._step(layer, Elementwise(function=function), [total, given[-1]])

    def softmax(self, layer: params.LayerHead, given: list[str]) -> str:
        """Softmax; Caffe counts the batch as axis 0."""
        place = f"layer '{layer.name}': "
        fields = params.checked(params.Softmax, layer.param("softmax_param", place), place)
        return self._step(layer, Softmax(axis=fields.axis - 1), given)

    def dropout(self, _: params.LayerHead, given: list[str]) -> str:
        """Nothing is dropped after training."""
        return given[0]

    def _weighted(
        self, layer: params.LayerHead, op: Any, matrix: Matrix, given: list[str], has_bias: bool
    ) -> str:
        self.layers[layer.name] = CaffeLayer(matrix, has_bias)
        return self.builder.add(layer.name, op, *given, matrices={layer.name: matrix})

    def _step(self, layer: params.LayerHead, op: Any, given: list[str]) -> str:
        return self.builder.add(layer.name, op, *given)

    def _flat(self, name: str, tensor: str) -> str:
        shape = self.builder.shapes[tensor]
        if len(shape) == 1:
            return tensor
        op = Reshape(shape=(math.prod(shape),))
        return self.builder.add(self.builder.unique(f"{name}.flat"), op, tensor)


_READERS: dict[str, Callable[[_Reader, params.LayerHead, list[str]], str]] = {
    "Concat": _Reader.concat,
    "Convolution": _Reader.convolution,
    "Dropout": _Reader.dropout,
    "Eltwise": _Reader.eltwise,
    "InnerProduct": _Reader.inner_product,
    "Pooling": _Reader.pooling,
    "ReLU": _Reader.relu,
    "Softmax": _Reader.softmax,
}
