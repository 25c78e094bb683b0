"""Constants of an ONNX graph: weights, biases, and the numbers from which shapes are made."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import FileFormatError, NetworkError
from accelsim.network.files import first_line
from accelsim.network.layers import MAX_DIMENSION
from accelsim.network.onnx.nodes import where
from accelsim.network.onnx.sample_shape import Size

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

Array: TypeAlias = NDArray[Any]

# Sizes of a shape; NumPy and ONNX Runtime know no tensors of more axes.
MAX_RANK = 64


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that is known at import, and the name it was first given.

    tensor: as the file has it; it is read when its values are asked for
    folded: its values, where it was computed; sizes may be of type object, with Samples and None
    """

    name: str
    tensor: "TensorProto | None" = None
    folded: Array | None = None

    @cached_property
    def array(self) -> Array:
        """Return the values; bfloat16 becomes float32."""
        if self.tensor is None:
            return cast("Array", self.folded)
        array = _read_tensor(self.tensor, self.name)
        # Older onnx reads bfloat16 as float32, newer as a type that NumPy does not compute with.
        return array if array.dtype.kind in "fib" else array.astype(np.float32)

    def floats(self) -> Array:
        """Return the values of a weight or bias tensor: float32, float16, bfloat16 or float64."""
        if not self._has_type("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", kinds="f"):
            held = "integers" if self.tensor is None else f"ONNX type {self.tensor.data_type}"
            raise NetworkError(
                f"tensor {self.name!r}: has {held}: "
                "give weights of type float, float16, bfloat16 or double"
            )
        return self.array

    def integers(self) -> list[Size]:
        """Return the values of a shape, of axes or of indices, in order.

        They may contain Samples, and None for a size that is not fixed.
        """
        if not self._has_type("INT64", "INT32", kinds="iO"):
            raise NetworkError(f"tensor {self.name!r}: is a shape, give it type int64")
        if self.size > MAX_RANK:
            raise NetworkError(f"tensor {self.name!r}: is a shape of more than {MAX_RANK} sizes")
        flat = self.array.ravel()
        return list(flat) if flat.dtype.kind == "O" else [int(value) for value in flat]

    def numbers(self) -> list[int]:
        """Return axes, places or bounds, none of which may be unknown."""
        known = [int(value) for value in self.integers() if value is not None]
        if len(known) != self.size:
            raise NetworkError(f"tensor {self.name!r}: depends on an axis without a fixed size")
        return known

    def is_true(self) -> bool:
        """Whether a flag is set."""
        return bool(self.array.any())

    @property
    def size(self) -> int:
        """How many values there are, by the tensor's shape."""
        if self.tensor is None:
            return self.array.size
        return _declared_values(self.tensor, self.name)

    def _has_type(self, *types: str, kinds: str) -> bool:
        from onnx import TensorProto as Tensor

        if self.tensor is None:
            return self.array.dtype.kind in kinds
        return self.tensor.data_type in [getattr(Tensor, name) for name in types]


def initializers(graph: "GraphProto") -> dict[str, Constant]:
    """Return the initializers of a graph by name; their values are not read yet."""
    if graph.sparse_initializer:
        raise NetworkError(
            f"tensor {graph.sparse_initializer[0].values.name!r}: is a sparse initializer: "
            "export the model with dense weights"
        )
    return {tensor.name: Constant(tensor.name, tensor) for tensor in graph.initializer}


def constant_of(node: "NodeProto") -> Constant:
    """Return what a Constant node gives."""
    return Constant(node.output[0], _constant_tensor(node))


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
            "(torch.onnx.export with external_data=False, onnx.save_model without external data)"
        )
    declared, held = _declared_values(tensor, name), _held_values(tensor, name)
    if not all(0 <= size <= MAX_DIMENSION for size in tensor.dims) or declared != held:
        raise FileFormatError(
            f"tensor {name!r}: shape {list(tensor.dims)} needs {declared} values, the file has "
            f"{held}: it is damaged, export the model again"
        )
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError) as error:
        raise FileFormatError(f"tensor {name!r}: cannot be read ({first_line(error)})") from error


def _declared_values(tensor: "TensorProto", name: str) -> int:
    if len(tensor.dims) > MAX_RANK:
        raise FileFormatError(f"tensor {name!r}: has more than {MAX_RANK} axes: it is damaged")
    return math.prod(tensor.dims)


def _held_values(tensor: "TensorProto", name: str) -> float:
    """How many values the tensor's bytes or typed list hold; a fraction where bytes are missing."""
    from onnx import TensorProto as Tensor

    # Bytes per value, and the list that holds values of the type where they are not bytes.
    stored: dict[int, tuple[int, Any]] = {
        Tensor.DOUBLE: (8, tensor.double_data),
        Tensor.INT64: (8, tensor.int64_data),
        Tensor.FLOAT: (4, tensor.float_data),
        Tensor.INT32: (4, tensor.int32_data),
        Tensor.FLOAT16: (2, tensor.int32_data),
        Tensor.BFLOAT16: (2, tensor.int32_data),
        Tensor.BOOL: (1, tensor.int32_data),
    }
    if tensor.data_type not in stored:
        raise NetworkError(
            f"tensor {name!r}: has ONNX type {tensor.data_type}: give float, float16, bfloat16, "
            "double, int32, int64 or bool"
        )
    item_bytes, values = stored[tensor.data_type]
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data) / item_bytes
    return float(len(values))
