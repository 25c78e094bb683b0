"""Constants of an ONNX graph: weights, biases, and the numbers from which shapes are made."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import FileFormatError, NetworkError
from accelsim.network.files import first_line
from accelsim.network.layers import MAX_DIMENSION

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

Array: TypeAlias = NDArray[Any]

# Sizes of a shape; NumPy and ONNX Runtime know no tensors of more axes.
MAX_RANK = 64


def where(node: "NodeProto") -> str:
    """How messages name a node: operator, its own name, and its output."""
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    output = node.output[0] if node.output else ""
    return f"operator {operator!r}, node {node.name!r}, output {output!r}"


@dataclass(frozen=True)
class Constant:
    """A tensor of the file, not yet read, the name it was first given, and whether it is turned."""

    name: str
    tensor: "TensorProto"
    is_transposed: bool = False

    @property
    def is_float(self) -> bool:
        """Whether it may be a weight or a bias, by its type."""
        from onnx import TensorProto as Tensor

        floats = (Tensor.FLOAT, Tensor.FLOAT16, Tensor.BFLOAT16, Tensor.DOUBLE)
        return self.tensor.data_type in floats

    def floats(self) -> Array:
        """Return the values of a weight or bias tensor: float32, float16, bfloat16 or float64."""
        if not self.is_float:
            raise NetworkError(
                f"tensor {self.name!r}: has ONNX type {self.tensor.data_type}: "
                "give weights of type float, float16, bfloat16 or double"
            )
        array = _read_tensor(self.tensor, self.name)
        # Older onnx reads bfloat16 as float32, newer as a type that NumPy does not compute with.
        array = array if array.dtype.kind == "f" else array.astype(np.float32)
        return array.T if self.is_transposed else array

    def integers(self) -> list[int]:
        """Return the values of a shape, of axes or of indices into a shape."""
        from onnx import TensorProto as Tensor

        if self.tensor.data_type not in (Tensor.INT64, Tensor.INT32):
            raise NetworkError(f"tensor {self.name!r}: is a shape, give it type int64")
        if math.prod(self.tensor.dims) > MAX_RANK:
            raise NetworkError(f"tensor {self.name!r}: is a shape of more than {MAX_RANK} sizes")
        return [int(value) for value in _read_tensor(self.tensor, self.name).flat]

    def is_true(self) -> bool:
        """Whether a flag is set."""
        return bool(_read_tensor(self.tensor, self.name).any())


def constants_of(graph: "GraphProto") -> dict[str, Constant]:
    """Initializers and outputs of Constant nodes, also under the names that other nodes give them.

    Such nodes are Identity, a Cast that loses nothing, and the Transpose of a matrix.
    """
    if graph.sparse_initializer:
        raise NetworkError(
            f"tensor {graph.sparse_initializer[0].values.name!r}: is a sparse initializer: "
            "export the model with dense weights"
        )
    constants = {tensor.name: Constant(tensor.name, tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = Constant(node.output[0], _constant_tensor(node))
        elif node.input and node.input[0] in constants:
            folded = _folded(node, constants[node.input[0]])
            if folded is not None:
                constants[node.output[0]] = folded
    return constants


def _folded(node: "NodeProto", constant: Constant) -> Constant | None:
    """Return what `node` makes of a constant; None if it is not folded."""
    is_float_cast = node.op_type == "Cast" and constant.is_float and casts_to_float(node)
    if node.op_type == "Identity" or is_float_cast:
        return constant
    if node.op_type != "Transpose":
        return None
    axes = list(range(len(constant.tensor.dims)))
    order = next((list(item.ints) for item in node.attribute if item.name == "perm"), axes[::-1])
    if order == axes:
        return constant
    if order != axes[::-1] or len(axes) != 2:
        raise NetworkError(f"{where(node)}: turns tensor {constant.name!r}: give it as a matrix")
    return replace(constant, is_transposed=not constant.is_transposed)


def casts_to_float(node: "NodeProto") -> bool:
    """Whether a Cast keeps every float32 value: to float or double."""
    from onnx import TensorProto as Tensor

    return integer(node, "to", 0) in (Tensor.FLOAT, Tensor.DOUBLE)


def integer(node: "NodeProto", name: str, default: int) -> int:
    """Return an attribute of the node."""
    return next((item.i for item in node.attribute if item.name == name), default)


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
    raise NetworkError(f"{where(node)}: holds no plain tensor: use an initializer")


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
            Tensor.INT32: 4,
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
