"""Fully connected networks from ONNX files: one path of Gemm, MatMul + Add, Relu, Softmax."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from accelsim.errors import FileFormatError, NetworkError
from accelsim.network.files import StrPath, checked_file, first_line, naming_file
from accelsim.network.layers import Activation, Layer, Network
from accelsim.network.onnx_constants import (
    Array,
    Constant,
    casts_to_float,
    constants_of,
    integer,
    where,
)
from accelsim.network.onnx_shapes import ComputedShapes
from accelsim.network.sample_shape import SampleShape

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

# Since 7, operators broadcast as NumPy does; before, they had attributes for it.
MIN_OPSET = 7
# Protocol buffers hold no more.
MAX_FILE_BYTES = 2**31 - 1
OUR_DOMAINS = ("", "ai.onnx")
# Since 13, Softmax is along its axis alone, by default the last.
SOFTMAX_ALONG_AXIS = 13
CONSTANTS_ONLY = frozenset({"Constant", "Transpose"})


def load_onnx(path: StrPath) -> Network:
    """Read a fully connected network from an ONNX file of opset 7 or later.

    Layers are Gemm (transA=0), or MatMul with constant weights, then optionally an Add of a
    constant; then optionally Relu, and Softmax at the end. Weights and biases are initializers or
    Constant nodes of type float, float16, bfloat16 or double, inside the file; alpha and beta are
    multiplied into them, and Transpose, Cast and Identity of them are followed. Identity, Dropout,
    Cast to float or double, Flatten, Reshape, Squeeze and Unsqueeze are passed where they keep one
    sample per row, its values in order; a Reshape may take a shape computed from Shape by Gather,
    Slice, Squeeze, Unsqueeze, Cast and Concat. A layer is named after its node, or after its
    weights if the node has no name.

    Raises InputError for a file that cannot be read, FileFormatError for a damaged one,
    NetworkError for any other operator (before weights are read), for branches, and for tensors
    that do not fit.
    """
    path = checked_file(path, MAX_FILE_BYTES)
    with naming_file(path):
        model = _parse(path)
        opset = _checked_opset(model)
        _check_operators(model.graph)
        drafts = _PathReader(model.graph, constants_of(model.graph), opset).read()
        return Network(path.stem, _finish(drafts), source=path.name)


def _parse(path: Path) -> "ModelProto":
    from google.protobuf.message import DecodeError
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


def _checked_opset(model: "ModelProto") -> int:
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
    return int(versions[0])


def _check_operators(graph: "GraphProto") -> None:
    """NetworkError for the first operator that is no part of a fully connected network."""
    supported = _PathReader.STEPS.keys() | ComputedShapes.STEPS.keys() | CONSTANTS_ONLY
    for node in graph.node:
        if node.op_type == "LogSoftmax" and node.domain in OUR_DOMAINS:
            raise NetworkError(
                f"{where(node)}: is not supported: export the model without it, "
                "or with Softmax in its place"
            )
        if node.op_type not in supported or node.domain not in OUR_DOMAINS:
            raise NetworkError(
                f"{where(node)}: is not supported; a fully connected network has "
                f"{', '.join(sorted(supported))}: cut the model or replace the operator"
            )
        if not node.output:
            raise FileFormatError(f"{where(node)}: gives nothing: the file is damaged")


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

    def __init__(self, graph: "GraphProto", constants: Mapping[str, Constant], opset: int) -> None:
        self.constants = constants
        self.opset = opset
        self.computed = ComputedShapes(graph, constants)
        self.drafts: list[_Draft] = []
        self.users = _users(graph, self.computed)
        source = _only([info for info in graph.input if info.name not in constants], "input")
        self.tensor = source.name
        self.target = _only(list(graph.output), "output").name
        self.shape = _declared_shape(source)

    def read(self) -> list[_Draft]:
        """Return the layers in order; NetworkError for anything that is not one path."""
        while self.tensor != self.target:
            self.computed.seen[self.tensor] = self.shape
            users = self.users.pop(self.tensor, [])
            if len(users) != 1:
                raise NetworkError(
                    f"tensor {self.tensor!r}: is used {len(users)} times: "
                    "a fully connected network is one path without branches"
                )
            self._step(users[0])
            self.tensor = users[0].output[0]
        if self.users:
            tensor, users = next(iter(self.users.items()))
            raise NetworkError(
                f"{where(users[0])}: takes tensor {tensor!r}, which is not on the one path "
                f"to output {self.target!r}: remove the branch"
            )
        return self.drafts

    def _step(self, node: "NodeProto") -> None:
        """Take one node of the path; what its shapes do not allow is named with the node."""
        step = self.STEPS.get(node.op_type)
        if step is None:
            raise NetworkError(
                f"{where(node)}: takes data, but is supported for constants and shapes only"
            )
        try:
            step(self, node)
        except ValueError as error:
            raise NetworkError(f"{where(node)}: {first_line(error)}") from error

    def _gemm(self, node: "NodeProto") -> None:
        if node.input[0] != self.tensor or integer(node, "transA", 0):
            raise NetworkError(f"{where(node)}: give the data as A, with transA=0")
        if len(self.shape.dims) != 2:
            raise NetworkError(f"{where(node)}: takes a matrix: put a Flatten before it")
        weights = _scaled(self._constant(node, 1).floats(), _float(node, "alpha", 1.0))
        if not integer(node, "transB", 0):
            weights = weights.T
        self._start_layer(node, self.constants[node.input[1]].name, weights)
        if len(node.input) > 2 and node.input[2]:
            bias = _scaled(self._constant(node, 2).floats(), _float(node, "beta", 1.0))
            self._add_bias(node, bias)

    def _matmul(self, node: "NodeProto") -> None:
        if node.input[0] != self.tensor:
            raise NetworkError(
                f"{where(node)}: give the data on the left, the weights on the right"
            )
        weights = self._constant(node, 1)
        self._start_layer(node, weights.name, weights.floats().T)

    def _start_layer(self, node: "NodeProto", tensor_name: str, weights: Array) -> None:
        """Draft a layer with `weights` [n_out, n_in], if they fit what comes before."""
        if weights.ndim != 2:
            raise NetworkError(
                f"{where(node)}: tensor {tensor_name!r} has shape {weights.T.shape}: give a matrix"
            )
        n_out, n_in = weights.shape
        given = self.shape.dims[-1:]
        if not self.shape.is_rows:
            raise NetworkError(
                f"{where(node)}: takes rows of {n_in} values, but gets data of more than two "
                "dimensions: put a Flatten before it"
            )
        if given not in ((None,), (n_in,)):
            raise NetworkError(
                f"{where(node)}: takes {n_in} values, but gets {given[0]}: export the model again"
            )
        self.shape = self.shape.with_values(n_out)
        self.drafts.append(_Draft(node.name, tensor_name, weights))

    def _add(self, node: "NodeProto") -> None:
        other = 1 if node.input[0] == self.tensor else 0
        self._add_bias(node, self._constant(node, other).floats())

    def _add_bias(self, node: "NodeProto", bias: Array) -> None:
        draft = self._last(node)
        if draft.bias is not None or draft.activation != "none":
            raise NetworkError(
                f"{where(node)}: adds to a layer that is complete: fold it into its bias"
            )
        n_out = draft.weights.shape[0]
        if bias.size not in (1, n_out) or (bias.size > 1 and bias.shape[-1] != n_out):
            raise NetworkError(
                f"{where(node)}: the bias has shape {bias.shape}, the layer needs ({n_out},)"
            )
        if bias.size > 1 and self.shape.dims[-1:] != (n_out,):
            raise NetworkError(f"{where(node)}: adds to values that were reshaped: add before")
        self.shape = self.shape.padded(bias.ndim)
        draft.bias = np.broadcast_to(bias.reshape(-1), (n_out,))

    def _relu(self, node: "NodeProto") -> None:
        draft = self._last(node)
        if draft.activation == "softmax":
            raise NetworkError(f"{where(node)}: stands after Softmax: Softmax is for the end only")
        draft.activation = "relu"

    def _softmax(self, node: "NodeProto") -> None:
        draft = self._last(node)
        if draft.activation != "none":
            raise NetworkError(
                f"{where(node)}: its layer has activation '{draft.activation}' already"
            )
        if not self._is_per_sample(node):
            raise NetworkError(f"{where(node)}: is taken across samples: give axis=-1")
        draft.activation = "softmax"

    def _is_per_sample(self, node: "NodeProto") -> bool:
        """Whether a Softmax is along the values of each sample, and all of them."""
        last, batch = len(self.shape.dims) - 1, self.shape.batch
        if self.opset >= SOFTMAX_ALONG_AXIS:
            return self.shape.is_rows and self.shape.axis(integer(node, "axis", -1)) == last
        axis = self.shape.axis(integer(node, "axis", 1))  # along all axes from this one
        return self.shape.is_rows and axis <= last and (batch is None or batch < axis)

    def _flatten(self, node: "NodeProto") -> None:
        self.shape = self.shape.flattened(integer(node, "axis", 1))

    def _reshape(self, node: "NodeProto") -> None:
        if node.input[0] != self.tensor:
            raise NetworkError(f"{where(node)}: give the data as its first input")
        target = self.computed.sizes(node.input[1] if len(node.input) > 1 else "", node)
        if 0 in target and integer(node, "allowzero", 0):
            raise NetworkError(f"{where(node)}: to {target} is not supported: reshape to [0, -1]")
        self.shape = self.shape.reshaped(target)

    def _squeeze(self, node: "NodeProto") -> None:
        self.shape = self.shape.squeezed(self._axes(node))

    def _unsqueeze(self, node: "NodeProto") -> None:
        self.shape = self.shape.unsqueezed(self._axes(node) or [])

    def _axes(self, node: "NodeProto") -> list[int] | None:
        """Axes that a node names, as an input since opset 13, as an attribute before."""
        if node.input[0] != self.tensor:
            raise NetworkError(f"{where(node)}: give the data as its first input")
        if len(node.input) > 1 and node.input[1]:
            return self._constant(node, 1).integers()
        return next((list(item.ints) for item in node.attribute if item.name == "axes"), None)

    def _cast(self, node: "NodeProto") -> None:
        if not casts_to_float(node):
            raise NetworkError(f"{where(node)}: changes the values: cast to float")

    def _dropout(self, node: "NodeProto") -> None:
        if len(node.input) > 2 and node.input[2] and self._constant(node, 2).is_true():
            raise NetworkError(
                f"{where(node)}: is in training mode: export the model for inference"
            )

    def _identity(self, node: "NodeProto") -> None:
        """Nothing to do: the values are the same."""

    def _constant(self, node: "NodeProto", index: int) -> Constant:
        """Return the constant that the node takes as input `index`."""
        name = node.input[index] if len(node.input) > index else ""
        if name not in self.constants:
            raise NetworkError(f"{where(node)}: input {name!r} is no constant: export its values")
        return self.constants[name]

    def _last(self, node: "NodeProto") -> _Draft:
        """Return the layer that the node adds to."""
        if not self.drafts:
            raise NetworkError(
                f"{where(node)}: stands before the first layer: apply it to the input"
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
        "Cast": _cast,
        "Squeeze": _squeeze,
        "Unsqueeze": _unsqueeze,
    }


def _users(graph: "GraphProto", computed: ComputedShapes) -> dict[str, list["NodeProto"]]:
    """Return the nodes that take each tensor of data, one entry for each use."""
    users: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in () if computed.makes(node) else node.input:
            if name and name not in computed:
                users.setdefault(name, []).append(node)
    return users


def _only(infos: "list[ValueInfoProto]", kind: str) -> "ValueInfoProto":
    if len(infos) != 1:
        names = ", ".join(repr(info.name) for info in infos[:8])
        raise NetworkError(f"graph has {len(infos)} {kind}s ({names}): give a model with one")
    return infos[0]


def _declared_shape(source: "ValueInfoProto") -> SampleShape:
    """Return the sizes that the model declares of its input."""
    sizes = (dim.dim_value for dim in source.type.tensor_type.shape.dim)
    return SampleShape.of_input([size if size > 0 else None for size in sizes])


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
