"""Nodes whose inputs are all known at import: shape arithmetic, and weights put together.

A shape that depends on the data is an array of objects: int, Samples (the number of samples, which
counts as 1) and None (an axis without a fixed size). Nodes that only rearrange keep all of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from accelsim.errors import NetworkError
from accelsim.network.files import first_line
from accelsim.network.onnx.constants import MAX_RANK, Array, Constant
from accelsim.network.onnx.nodes import has_attribute, integer, integers, where
from accelsim.network.onnx.sample_shape import SampleShape, Size

if TYPE_CHECKING:
    from onnx import NodeProto

# Values that one node may give: beyond this a file is damaged, or not meant to be folded.
MAX_FOLDED = 2**28
Operands: TypeAlias = Sequence[Constant | None]
Fold: TypeAlias = Callable[["NodeProto", Operands], Array]


def fold(node: "NodeProto", operands: Operands) -> Constant:
    """Return what a node of FOLDS makes of known tensors; None stands for an input left out.

    Raises NetworkError naming the node for values that do not fit, and ValueError for others.
    """
    try:
        array = np.asarray(FOLDS[node.op_type](node, operands))
    except (IndexError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise NetworkError(
            f"{where(node)}: cannot be computed at import ({first_line(error)}): "
            "export the model with fixed shapes"
        ) from error
    if array.size > MAX_FOLDED or array.ndim > MAX_RANK:
        raise _too_large(node)
    named = operands[0] if operands and array.dtype.kind == "f" else None
    return Constant(node.output[0] if named is None else named.name, folded=array)


def shape_of(node: "NodeProto", shape: SampleShape) -> Constant:
    """Return what a Shape node gives for data."""
    sizes = shape.sizes[integer(node, "start", 0) :]
    if has_attribute(node, "end"):
        sizes = shape.sizes[integer(node, "start", 0) : integer(node, "end", 0)]
    return Constant(node.output[0], folded=_objects(sizes))


def slice_bounds(
    node: "NodeProto", operands: Operands, rank: int
) -> list[tuple[int, int, int, int]]:
    """Return (axis, start, end, step) of each axis that a Slice cuts.

    They are inputs since opset 10, and were attributes before.
    """
    given = {name: integers(node, name) for name in ("starts", "ends", "axes")}
    for name, operand in zip(("starts", "ends", "axes", "steps"), operands[1:], strict=False):
        given[name] = None if operand is None else operand.numbers()
    starts, ends = given["starts"] or [], given["ends"] or []
    axes = given["axes"] or list(range(len(starts)))
    steps = given.get("steps") or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ValueError("starts, ends, axes and steps do not fit each other")
    if not all(-rank <= axis < rank for axis in axes):
        raise ValueError(f"cuts axes {axes} of {rank}")
    return [(axis % rank, *bounds) for axis, *bounds in zip(axes, starts, ends, steps, strict=True)]  # type: ignore[misc]


def _operand(node: "NodeProto", operands: Operands, index: int) -> Constant:
    found = operands[index] if len(operands) > index else None
    if found is None:
        raise NetworkError(f"{where(node)}: input '' is no constant: export its values")
    return found


def _array(node: "NodeProto", operands: Operands, index: int = 0) -> Array:
    return _operand(node, operands, index).array


def _too_large(node: "NodeProto") -> NetworkError:
    return NetworkError(f"{where(node)}: gives more than {MAX_FOLDED} values at import")


def _check_size(node: "NodeProto", count: int) -> None:
    if count > MAX_FOLDED:
        raise _too_large(node)


def _objects(sizes: Sequence[Size]) -> Array:
    array = np.empty(len(sizes), object)
    array[:] = sizes
    return array


# ---- nodes that rearrange


def _same(node: "NodeProto", operands: Operands) -> Array:
    return _array(node, operands)


def _cast(node: "NodeProto", operands: Operands) -> Array:
    from onnx import TensorProto as Tensor

    array, target = _array(node, operands), integer(node, "to", 0)
    if target in (Tensor.INT64, Tensor.INT32):
        return array if array.dtype.kind == "O" else array.astype(np.int64)
    if target == Tensor.BOOL:
        return _known(array).astype(bool)
    if target == Tensor.DOUBLE or (target == Tensor.FLOAT and array.dtype == np.float64):
        return _known(array).astype(np.float64 if target == Tensor.DOUBLE else np.float32)
    if target == Tensor.FLOAT:
        return array if array.dtype.kind == "f" else _known(array).astype(np.float32)
    raise ValueError(f"casts a constant to ONNX type {target}: cast to float, int64 or bool")


def _gather(node: "NodeProto", operands: Operands) -> Array:
    array, places = _array(node, operands), _operand(node, operands, 1)
    axis = SampleShape(array.shape, None).axis(integer(node, "axis", 0))
    _check_size(node, places.size * array.size // max(1, array.shape[axis]))
    indices = _known(places.array)
    try:
        taken = np.take(array, indices, axis=axis)
    except IndexError as error:
        shown = np.ravel(indices)[:8].tolist()
        raise NetworkError(
            f"{where(node)}: gathers {shown} of {array.shape[axis]} sizes"
        ) from error
    if array.dtype.kind != "O" or indices.ndim:
        return taken
    one = np.empty((), object)  # np.asarray would make a plain number of Samples
    one[()] = taken
    return one


def _slice(node: "NodeProto", operands: Operands) -> Array:
    array = _array(node, operands)
    for axis, start, end, step in slice_bounds(node, operands, array.ndim):
        cut = slice(*slice(start, end, step).indices(array.shape[axis]))
        if step < 0 and cut.stop < 0:
            cut = slice(cut.start, None, step)
        array = array[(slice(None),) * axis + (cut,)]
    return array


def _concat(node: "NodeProto", operands: Operands) -> Array:
    arrays = [_array(node, operands, index) for index in range(len(operands))]
    _check_size(node, sum(array.size for array in arrays))
    return np.concatenate(arrays, axis=integer(node, "axis", 0))


def _axes(node: "NodeProto", operands: Operands) -> list[int] | None:
    given = operands[1] if len(operands) > 1 else None
    return integers(node, "axes") if given is None else given.numbers()


def _squeeze(node: "NodeProto", operands: Operands) -> Array:
    array = _array(node, operands)
    shape = SampleShape(array.shape, None).squeezed(_axes(node, operands))
    return array.reshape([int(size or 0) for size in shape.dims])


def _unsqueeze(node: "NodeProto", operands: Operands) -> Array:
    array = _array(node, operands)
    shape = SampleShape(array.shape, None).unsqueezed(_axes(node, operands) or [])
    return array.reshape([int(size or 0) for size in shape.dims])


def _reshape(node: "NodeProto", operands: Operands) -> Array:
    array, target = _array(node, operands), _operand(node, operands, 1).numbers()
    shape = SampleShape(array.shape, None).reshaped(target)
    return array.reshape([int(size or 0) for size in shape.dims])


def _transpose(node: "NodeProto", operands: Operands) -> Array:
    return np.transpose(_array(node, operands), integers(node, "perm"))


def _expand(node: "NodeProto", operands: Operands) -> Array:
    array, target = _array(node, operands), _operand(node, operands, 1).numbers()
    shape = np.broadcast_shapes(array.shape, tuple(target))
    _check_size(node, math.prod(shape))
    return np.broadcast_to(array, shape)


def _filled(node: "NodeProto", operands: Operands) -> Array:
    """Return what ConstantOfShape gives."""
    shape = _operand(node, operands, 0).numbers()
    if min(shape, default=0) < 0:
        raise ValueError(f"has shape {shape}")
    _check_size(node, math.prod(shape))
    value = next((item.t for item in node.attribute if item.name == "value"), None)
    one = np.zeros(1, np.float32) if value is None else Constant(node.output[0], value).array
    if one.size != 1:
        raise ValueError(f"fills with {one.size} values: give one")
    return np.broadcast_to(one.reshape(()), shape)


# ---- nodes that compute


def _known(array: Array) -> Array:
    """Return plain numbers of what may hold Samples; TypeError for an axis without a fixed size."""
    if array.dtype.kind != "O":
        return array
    if any(value is None for value in array.flat):
        raise TypeError("it depends on an axis without a fixed size")
    return array.astype(np.int64)


def _computed(function: Callable[..., Array], arity: int = 2) -> Fold:
    """Return the fold of an elementwise function."""

    def folded(node: "NodeProto", operands: Operands) -> Array:
        arrays = [_known(_array(node, operands, index)) for index in range(arity)]
        _check_size(node, math.prod(np.broadcast_shapes(*(array.shape for array in arrays))))
        return function(*arrays)

    return folded


def _matmul(node: "NodeProto", operands: Operands) -> Array:
    one, other = _known(_array(node, operands)), _known(_array(node, operands, 1))
    inner = max(1, one.shape[-1]) if one.ndim else 1
    _check_size(node, (one.size // inner) * (other.size // inner))
    return np.asarray(np.matmul(one, other))


def _divide(one: Array, other: Array) -> Array:
    """Division as ONNX has it: of integers towards zero."""
    if one.dtype.kind == "f":
        return one / other
    if not np.all(other):
        raise ZeroDivisionError("division by zero")
    return np.abs(one) // np.abs(other) * np.sign(one) * np.sign(other)


def _size(node: "NodeProto", operands: Operands) -> Array:
    return np.array(_array(node, operands).size, np.int64)


def _shape(node: "NodeProto", operands: Operands) -> Array:
    shape = SampleShape(_array(node, operands).shape, None)
    return np.array(_known(shape_of(node, shape).array), np.int64)


FOLDS: Mapping[str, Fold] = {
    "Add": _computed(np.add),
    "And": _computed(np.logical_and),
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _filled,
    "Div": _computed(_divide),
    "Equal": _computed(np.equal),
    "Expand": _expand,
    "Gather": _gather,
    "Greater": _computed(np.greater),
    "Identity": _same,
    "MatMul": _matmul,
    "Less": _computed(np.less),
    "Mul": _computed(np.multiply),
    "Not": _computed(np.logical_not, 1),
    "Or": _computed(np.logical_or),
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _computed(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _computed(np.where, 3),
}
