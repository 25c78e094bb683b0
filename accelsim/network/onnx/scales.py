"""Constants that data is multiplied with or that are added to it."""

import math
from typing import TYPE_CHECKING

import numpy as np

from accelsim.errors import NetworkError
from accelsim.network.graph import Shape
from accelsim.network.onnx.constants import Array
from accelsim.network.onnx.context import Context, name_of
from accelsim.network.onnx.drafts import Data, Scale
from accelsim.network.onnx.folding import MAX_FOLDED
from accelsim.network.onnx.nodes import where
from accelsim.network.onnx.sample_shape import SampleShape

if TYPE_CHECKING:
    from onnx import NodeProto


def scaled(
    context: Context, node: "NodeProto", data: Data, scale: Array, shift: Array, what: str
) -> Data:
    """Draft ``data * scale + shift``, both broadcast as ONNX does; `what` names them in errors.

    Raises NetworkError for constants that differ from sample to sample, or that stretch the data.
    """
    shape = data.shape.padded(max(scale.ndim, shift.ndim))
    data = Data(data.source, shape, data.node)
    if scale.size == shift.size == 1:
        before = context.drafts.source(data)
        ones = (1,) * len(context.drafts.shapes[before])
        parts = scale.reshape(ones), shift.reshape(ones)
    else:
        example = context.drafts.example(data)
        _check_fits(node, shape, scale, shift, what)
        parts = _per_example(shape, scale), _per_example(shape, shift)
        before = context.drafts.source(data)
        actual = context.drafts.shapes[before]
        if actual != example:
            parts = (
                _compact(spread(name_of(node), parts[0], example).reshape(actual)),
                _compact(spread(name_of(node), parts[1], example).reshape(actual)),
            )
    after = context.drafts.add_scale(
        name_of(node), Scale(parts[0].astype(np.float64), parts[1].astype(np.float64)), before
    )
    return Data(after, shape, data.node)


def _check_fits(
    node: "NodeProto", shape: SampleShape, scale: Array, shift: Array, what: str
) -> None:
    """Constants must have size 1 along the samples' axis, and the data's size or 1 along others."""
    sizes = shape.dims
    for constant in (scale, shift):
        aligned = (1,) * (len(sizes) - constant.ndim) + constant.shape
        for axis, size in enumerate(aligned):
            if size != 1 and (axis == shape.batch or size != sizes[axis]):
                shown = ", ".join("?" if size is None else str(size) for size in sizes)
                raise NetworkError(
                    f"{where(node)}: the {what} has shape {constant.shape}, which does not fit "
                    f"data of shape [{shown}]: give one value for all samples, or one per channel"
                )


def _per_example(shape: SampleShape, constant: Array) -> Array:
    """Return the constant with an axis for each of one example."""
    aligned = constant.reshape((1,) * (len(shape.dims) - constant.ndim) + constant.shape)
    return aligned if shape.batch is None else aligned.squeeze(axis=shape.batch)


def spread(name: str, values: Array, shape: Shape) -> Array:
    """Return the values for each place of `shape`; NetworkError if they are too many."""
    if math.prod(shape) > MAX_FOLDED:
        raise NetworkError(
            f"step {name!r}: needs more than {MAX_FOLDED} constants: give one value per channel"
        )
    return np.broadcast_to(values, shape)


def _compact(values: Array) -> Array:
    """Return the values without repetition: axes along which they are all equal get size 1."""
    for axis in range(values.ndim):
        first = values.take([0], axis=axis)
        if values.shape[axis] > 1 and np.array_equal(values, np.broadcast_to(first, values.shape)):
            values = first
    return values
