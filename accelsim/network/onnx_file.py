"""Fully connected networks from ONNX files: one path of Gemm, MatMul + Add, Relu, Softmax."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import FileFormatError, NetworkError
from accelsim.network.files import StrPath, checked_file, first_line, naming_file
from accelsim.network.layers import MAX_DIMENSION, Activation, Layer, Network

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

Array: TypeAlias = NDArray[Any]

# Since 7, operators broadcast as NumPy does; before, they had attributes for it.
MIN_OPSET = 7
# Protocol buffers hold no more.
MAX_FILE_BYTES = 2**31 - 1
OUR_DOMAINS = ("", "ai.onnx")


def load_onnx(path: StrPath) -> Network:
    """Read a fully connected network from an ONNX file of opset 7 or later.

    Layers are Gemm (transA=0), or MatMul with constant weights, then optionally an Add of a
    constant; then optionally Relu, and Softmax at the end. Weights and biases are initializers or
    Constant nodes of type float, float16, bfloat16 or double, inside the file; alpha and beta are
    multiplied into them. Identity, Flatten, Dropout and Reshape are passed where they leave one
    sample's values in order. A layer is named after its node, or after its weights if the node has
    no name.

    Raises InputError for a file that cannot be read, FileFormatError for a damaged one,
    NetworkError for any other operator (before weights are read), for branches, and for tensors
    that do not fit.
    """
    path = checked_file(path, MAX_FILE_BYTES)
    with naming_file(path):
        model = _parse(path)
        _check_opset(model)
        _check_operators(model.graph)
        drafts = _PathReader(model.graph, _constants(model.graph)).read()
        return Network(path.stem, _finish(drafts), source=path.name)


def _parse(path: Path) -> "ModelProto":
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise FileFormatError(
            f"is no intact ONNX file ({first_line(error)}): export the model again"
        ) from error
    if not model.graph.node:
        raise FileFormatError("field 'graph': has no nodes: the file is damaged or no ONNX model")
    _check_texts(model.graph)
    return model


def _check_texts(graph: "GraphProto") -> None:
    """FileFormatError for a name that is not UTF-8, which protobuf hands out as bytes."""
    named = (*graph.node, *graph.initializer, *graph.input, *graph.output)
    texts = [thing.name for thing in named]
    for node in graph.node:
        texts += [node.op_type, node.domain, *node.input, *node.output]
    for text in texts:
        if not isinstance(text, str):
            raise FileFormatError(f"name {text!r}: is no UTF-8: the file is damaged")


def _check_opset(model: "ModelProto") -> None:
    versions = [opset.version for opset in model.opset_import if opset.domain in OUR_DOMAINS]
    if not versions:
        raise FileFormatError(
            "field 'opset_import': names no version of the ONNX operators: export the model again"
        )
    if versions[0] < MIN_OPSET:
        raise NetworkError(
            f"field 'opset_import': opset {versions[0]} is too old: "
            f"export with opset {MIN_OPSET} or later"
        )


def _check_operators(graph: "GraphProto") -> None:
    """NetworkError for the first operator that is no part of a fully connected network."""
    supported = _PathReader.STEPS.keys() | {"Constant"}
    for node in graph.node:
        if node.op_type not in supported or node.domain not in OUR_DOMAINS:
            raise NetworkError(
                f"{_where(node)}: is not supported; a fully connected network has "
                f"{', '.join(sorted(supported))}: cut the model or replace the operator"
            )
        if not node.output:
            raise FileFormatError(f"{_where(node)}: gives nothing: the file is damaged")


def _where(node: "NodeProto") -> str:
    """How messages name a node: operator, its own name, and its output."""
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    output = node.output[0] if node.output else ""
    return f"operator {operator!r}, node {node.name!r}, output {output!r}"


# ---- constants


@dataclass(frozen=True)
class _Constant:
    """A tensor of the file, not yet read, and the name it was first given."""

    name: str
    tensor: "TensorProto"

    def floats(self) -> Array:
        """Return the values of a weight or bias tensor: float32, float16, bfloat16 or float64."""
        from onnx import TensorProto as Tensor

        floats = (Tensor.FLOAT, Tensor.FLOAT16, Tensor.BFLOAT16, Tensor.DOUBLE)
        if self.tensor.data_type not in floats:
            raise NetworkError(
                f"tensor {self.name!r}: has ONNX type {self.tensor.data_type}: "
                "give weights of type float, float16, bfloat16 or double"
            )
        array = _read_tensor(self.tensor, self.name)
        # Older onnx reads bfloat16 as float32, newer as a type that NumPy does not compute with.
        return array if array.dtype.kind == "f" else array.astype(np.float32)

    def integers(self) -> list[int]:
        """Return the values of a shape."""
        from onnx import TensorProto as Tensor

        if self.tensor.data_type != Tensor.INT64:
            raise NetworkError(f"tensor {self.name!r}: is a shape, give it type int64")
        return [int(value) for value in _read_tensor(self.tensor, self.name).flat]

    def is_true(self) -> bool:
        """Whether a flag is set."""
        return bool(_read_tensor(self.tensor, self.name).any())


def _constants(graph: "GraphProto") -> dict[str, _Constant]:
    """Collect initializers and outputs of Constant nodes, also under their Identity's names."""
    if graph.sparse_initializer:
        raise NetworkError(
            f"tensor {graph.sparse_initializer[0].values.name!r}: is a sparse initializer: "
            "export the model with dense weights"
        )
    constants = {tensor.name: _Constant(tensor.name, tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = _Constant(node.output[0], _constant_tensor(node))
        elif node.op_type == "Identity" and node.input and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    return constants


def _constant_tensor(node: "NodeProto") -> "TensorProto":
    from onnx import TensorProto as Tensor
    from onnx import helper

    for attribute in node.attribute:
        match attribute.name:
            case "value":
                return cast("TensorProto", attribute.t)
            case "value_float":
                return helper.make_tensor("", Tensor.FLOAT, (), [attribute.f])
            case "value_floats":
                count = len(attribute.floats)
                return helper.make_tensor("", Tensor.FLOAT, (count,), attribute.floats)
            case "value_int":
                return helper.make_tensor("", Tensor.INT64, (), [attribute.i])
            case "value_ints":
                count = len(attribute.ints)
                return helper.make_tensor("", Tensor.INT64, (count,), attribute.ints)
    raise NetworkError(f"{_where(node)}: holds no plain tensor: use an initializer")


def _read_tensor(tensor: "TensorProto", name: str) -> Array:
    """Return the tensor's values, after its size is compared with what the file holds."""
    from onnx import numpy_helper

    if tensor.data_location == tensor.EXTERNAL:
        raise NetworkError(
            f"tensor {name!r}: its values are in another file: save the model as one file "
            "(onnx.save_model with save_as_external_data=False)"
        )
    declared, held = math.prod(tensor.dims), _held_values(tensor)
    if not all(0 <= size <= MAX_DIMENSION for size in tensor.dims) or declared != held:
        raise FileFormatError(
            f"tensor {name!r}: shape {list(tensor.dims)} needs {declared} values, the file has "
            f"{held}: it is damaged, export the model again"
        )
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError) as error:
        raise FileFormatError(f"tensor {name!r}: cannot be read ({first_line(error)})") from error


def _held_values(tensor: "TensorProto") -> float:
    """How many values the tensor's bytes or typed list hold; a fraction where bytes are missing."""
    from onnx import TensorProto as Tensor

    if tensor.HasField("raw_data"):
        item_bytes: dict[int, int] = {
            Tensor.DOUBLE: 8,
            Tensor.INT64: 8,
            Tensor.FLOAT: 4,
            Tensor.BOOL: 1,
        }
        return len(tensor.raw_data) / item_bytes.get(tensor.data_type, 2)
    typed: dict[int, Any] = {
        Tensor.DOUBLE: tensor.double_data,
        Tensor.INT64: tensor.int64_data,
        Tensor.FLOAT: tensor.float_data,
    }
    values = typed.get(tensor.data_type, tensor.int32_data)
    return float(len(values))


# ---- the path from input to output


@dataclass
class _Draft:
    """A layer in the making."""

    node_name: str
    tensor_name: str
    weights: Array
    bias: Array | None = None
    activation: Activation = "none"


class _PathReader:
    """Follows the one path from the graph's input to its output, and drafts a layer per matrix."""

    def __init__(self, graph: "GraphProto", constants: Mapping[str, _Constant]) -> None:
        self.graph = graph
        self.constants = constants
        self.drafts: list[_Draft] = []
        self.users = _users(graph, constants)
        source = _only([info for info in graph.input if info.name not in constants], "input")
        self.tensor = source.name
        self.target = _only(list(graph.output), "output").name
        self.batch, self.width, self.is_flat = _declared_size(source)

    def read(self) -> list[_Draft]:
        """Return the layers in order; NetworkError for anything that is not one path."""
        while self.tensor != self.target:
            users = self.users.pop(self.tensor, [])
            if len(users) != 1:
                raise NetworkError(
                    f"tensor {self.tensor!r}: is used {len(users)} times: "
                    "a fully connected network is one path without branches"
                )
            self.STEPS[users[0].op_type](self, users[0])
            self.tensor = users[0].output[0]
        if self.users:
            tensor, users = next(iter(self.users.items()))
            raise NetworkError(
                f"{_where(users[0])}: takes tensor {tensor!r}, which is not on the one path "
                f"to output {self.target!r}: remove the branch"
            )
        return self.drafts

    def _gemm(self, node: "NodeProto") -> None:
        if node.input[0] != self.tensor or _integer(node, "transA", 0):
            raise NetworkError(f"{_where(node)}: give the data as A, with transA=0")
        weights = _scaled(self._constant(node, 1).floats(), _float(node, "alpha", 1.0))
        if not _integer(node, "transB", 0):
            weights = weights.T
        self._start_layer(node, self.constants[node.input[1]].name, weights)
        if len(node.input) > 2 and node.input[2]:
            bias = _scaled(self._constant(node, 2).floats(), _float(node, "beta", 1.0))
            self._add_bias(node, bias)

    def _matmul(self, node: "NodeProto") -> None:
        if node.input[0] != self.tensor:
            raise NetworkError(
                f"{_where(node)}: give the data on the left, the weights on the right"
            )
        weights = self._constant(node, 1)
        self._start_layer(node, weights.name, weights.floats().T)

    def _start_layer(self, node: "NodeProto", tensor_name: str, weights: Array) -> None:
        """Draft a layer with `weights` [n_out, n_in], if they fit what comes before."""
        if weights.ndim != 2:
            raise NetworkError(
                f"{_where(node)}: tensor {tensor_name!r} has shape {weights.T.shape}: give a matrix"
            )
        if not self.is_flat:
            raise NetworkError(
                f"{_where(node)}: the model's input has more than two dimensions: "
                "put a Flatten before the first layer"
            )
        n_out, n_in = weights.shape
        if self.width not in (None, n_in):
            raise NetworkError(
                f"{_where(node)}: takes {n_in} values, but gets {self.width}: "
                "export the model again"
            )
        self.width = n_out
        self.drafts.append(_Draft(node.name, tensor_name, weights))

    def _add(self, node: "NodeProto") -> None:
        other = 1 if node.input[0] == self.tensor else 0
        self._add_bias(node, self._constant(node, other).floats())

    def _add_bias(self, node: "NodeProto", bias: Array) -> None:
        draft = self._last(node)
        if draft.bias is not None or draft.activation != "none":
            raise NetworkError(
                f"{_where(node)}: adds to a layer that is complete: fold it into its bias"
            )
        n_out = draft.weights.shape[0]
        if bias.size not in (1, n_out) or (bias.size > 1 and bias.shape[-1] != n_out):
            raise NetworkError(
                f"{_where(node)}: the bias has shape {bias.shape}, the layer needs ({n_out},)"
            )
        draft.bias = np.broadcast_to(bias.reshape(-1), (n_out,))

    def _relu(self, node: "NodeProto") -> None:
        draft = self._last(node)
        if draft.activation == "softmax":
            raise NetworkError(f"{_where(node)}: stands after Softmax: Softmax is for the end only")
        draft.activation = "relu"

    def _softmax(self, node: "NodeProto") -> None:
        draft = self._last(node)
        if draft.activation != "none":
            raise NetworkError(
                f"{_where(node)}: its layer has activation '{draft.activation}' already"
            )
        if _integer(node, "axis", -1) not in (1, -1):
            raise NetworkError(f"{_where(node)}: is taken across samples: give axis=-1")
        draft.activation = "softmax"

    def _flatten(self, node: "NodeProto") -> None:
        if _integer(node, "axis", 1) != 1:
            raise NetworkError(f"{_where(node)}: mixes samples: give axis=1")
        self.is_flat = True

    def _reshape(self, node: "NodeProto") -> None:
        if node.input[0] != self.tensor:
            raise NetworkError(f"{_where(node)}: give the data as its first input")
        shape = self._constant(node, 1).integers()
        keeps_samples = len(shape) == 2 and shape[0] in (0, 1, -1, self.batch)
        if (
            not keeps_samples
            or shape == [-1, -1]
            or shape[1] == 0
            or _integer(node, "allowzero", 0)
        ):
            raise NetworkError(f"{_where(node)}: to {shape} is not supported: reshape to [0, -1]")
        if shape[1] > 0 and self.width not in (None, shape[1]):
            raise NetworkError(
                f"{_where(node)}: to {shape} mixes samples of {self.width} values: "
                "reshape to [0, -1]"
            )
        self.is_flat = True
        self.width = shape[1] if shape[1] > 0 else self.width

    def _dropout(self, node: "NodeProto") -> None:
        if len(node.input) > 2 and node.input[2] and self._constant(node, 2).is_true():
            raise NetworkError(
                f"{_where(node)}: is in training mode: export the model for inference"
            )

    def _identity(self, node: "NodeProto") -> None:
        """Nothing to do: the values are the same."""

    def _constant(self, node: "NodeProto", index: int) -> _Constant:
        """Return the constant that the node takes as input `index`."""
        name = node.input[index] if len(node.input) > index else ""
        if name not in self.constants:
            raise NetworkError(f"{_where(node)}: input {name!r} is no constant: export its values")
        return self.constants[name]

    def _last(self, node: "NodeProto") -> _Draft:
        """Return the layer that the node adds to."""
        if not self.drafts:
            raise NetworkError(
                f"{_where(node)}: stands before the first layer: apply it to the input"
            )
        return self.drafts[-1]

    STEPS: Mapping[str, Callable[["_PathReader", "NodeProto"], None]] = {
        "Gemm": _gemm,
        "MatMul": _matmul,
        "Add": _add,
        "Relu": _relu,
        "Softmax": _softmax,
        "Flatten": _flatten,
        "Reshape": _reshape,
        "Dropout": _dropout,
        "Identity": _identity,
    }


def _users(graph: "GraphProto", constants: Mapping[str, _Constant]) -> dict[str, list["NodeProto"]]:
    """Return the nodes that take each computed tensor, one entry for each use."""
    users: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            if name and name not in constants:
                users.setdefault(name, []).append(node)
    return users


def _only(infos: "list[ValueInfoProto]", kind: str) -> "ValueInfoProto":
    if len(infos) != 1:
        names = ", ".join(repr(info.name) for info in infos[:8])
        raise NetworkError(f"graph has {len(infos)} {kind}s ({names}): give a model with one")
    return infos[0]


def _declared_size(source: "ValueInfoProto") -> tuple[int | None, int | None, bool]:
    """Batch and values per sample where they are declared, and whether a sample is a vector."""
    sizes = [dim.dim_value or None for dim in source.type.tensor_type.shape.dim]
    batch = sizes[0] if len(sizes) > 1 else None
    sample = sizes[1:] if len(sizes) > 1 else sizes
    known = [size for size in sample if size is not None]
    width = math.prod(known) if sample and len(known) == len(sample) else None
    return batch, width, len(sizes) <= 2


def _integer(node: "NodeProto", name: str, default: int) -> int:
    return next((item.i for item in node.attribute if item.name == name), default)


def _float(node: "NodeProto", name: str, default: float) -> float:
    return next((item.f for item in node.attribute if item.name == name), default)


def _scaled(values: Array, factor: float) -> Array:
    """`values` times Gemm's alpha or beta; Layer reports what overflows."""
    if factor == 1.0:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32) * np.float32(factor)


def _finish(drafts: list[_Draft]) -> tuple[Layer, ...]:
    """Layers with names of their own: a name that was given before gets a number."""
    layers: dict[str, Layer] = {}
    for index, draft in enumerate(drafts):
        wanted = name = draft.node_name or draft.tensor_name or f"layer{index}"
        number = 2
        while name in layers:
            name, number = f"{wanted}_{number}", number + 1
        layers[name] = Layer(name, draft.weights, draft.bias, draft.activation)
    return tuple(layers.values())
