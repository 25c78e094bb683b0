"""Gemm, MatMul, Conv and BatchNormalization: what has weights."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from accelsim.errors import NetworkError
from accelsim.network.graph import Convolution, FullyConnected
from accelsim.network.onnx.constants import Array, Constant
from accelsim.network.onnx.context import Context, Reader
from accelsim.network.onnx.drafts import Data
from accelsim.network.onnx.nodes import integer, integers, real, where
from accelsim.network.onnx.sample_shape import SampleShape, product
from accelsim.network.onnx.scales import scaled
from accelsim.network.onnx.windows import window_of

if TYPE_CHECKING:
    from onnx import NodeProto


def _gemm(context: Context, node: "NodeProto") -> Data:
    if isinstance(context.value(node, 0), Constant) or integer(node, "transA", 0):
        raise NetworkError(f"{where(node)}: give the data as A, with transA=0")
    data = context.data(node)
    if len(data.shape.dims) != 2:
        raise NetworkError(f"{where(node)}: takes a matrix: put a Flatten before it")
    weights = context.constant(node, 1)
    matrix = _times(weights.floats(), real(node, "alpha", 1.0))
    result = _fully_connected(
        context, node, data, weights.name, matrix if integer(node, "transB", 0) else matrix.T
    )
    if not context.has(node, 2):
        return result
    bias = _times(context.constant(node, 2).floats(), real(node, "beta", 1.0))
    return scaled(context, node, result, np.ones(()), bias, "bias")


def _matmul(context: Context, node: "NodeProto") -> Data:
    if isinstance(context.value(node, 0), Constant):
        raise NetworkError(f"{where(node)}: give the data on the left, the weights on the right")
    data = context.data(node)
    if isinstance(context.value(node, 1), Data):
        raise NetworkError(
            f"{where(node)}: multiplies two tensors of data: only matrices of constant weights "
            "are supported"
        )
    weights = context.constant(node, 1)
    return _fully_connected(context, node, data, weights.name, weights.floats().T)


def _fully_connected(
    context: Context, node: "NodeProto", data: Data, weights_name: str, weights: Array
) -> Data:
    """Draft a layer with `weights` [n_out, n_in] on the last axis of the data."""
    if weights.ndim != 2:
        raise NetworkError(
            f"{where(node)}: tensor {weights_name!r} has shape {weights.T.shape}: give a matrix"
        )
    n_out, n_in = weights.shape
    shape, last = data.shape, len(data.shape.dims) - 1
    if last < 0 or last == shape.batch:
        raise NetworkError(
            f"{where(node)}: takes rows of {n_in} values, but gets data without an axis of them: "
            "move the batch axis to the front"
        )
    if shape.dims[last] not in (None, n_in):
        raise NetworkError(
            f"{where(node)}: takes {n_in} values, but gets {shape.dims[last]}: "
            "export the model again"
        )
    drafts = context.drafts
    layer = drafts.add_layer(node.name or weights_name, weights)
    before = _rows(context, data, n_in)
    after = drafts.add(layer, FullyConnected(layer=layer), before)
    return Data(after, shape.resized(last, n_out))


def _rows(context: Context, data: Data, n_in: int) -> str:
    """Return the data with `n_in` values along the last axis."""
    shape = data.shape.resized(len(data.shape.dims) - 1, n_in)
    actual = context.drafts.shapes.get(data.source, ())
    # One row is one row, whatever axes of size 1 stand before it.
    if actual[-1:] == (n_in,) == (product(actual),) and shape.width == n_in:
        return data.source
    return context.drafts.shaped(Data(data.source, shape, data.node))


def _conv(context: Context, node: "NodeProto") -> Data:
    data, constant = context.data(node), context.constant(node, 1)
    weights = constant.floats()
    if weights.ndim != len(data.shape.dims) or weights.ndim < 3:
        raise NetworkError(
            f"{where(node)}: tensor {constant.name!r} has shape {weights.shape} for data of "
            f"{len(data.shape.dims)} axes: give [channels out, channels in / group, *kernel]"
        )
    shape = data.shape.with_batch(0)
    example = context.drafts.example(Data(data.source, shape))
    kernel = list(weights.shape[2:])
    if (integers(node, "kernel_shape") or kernel) != kernel:
        raise NetworkError(f"{where(node)}: kernel_shape differs from its weights' {kernel}")
    window = window_of(node, kernel, example)
    bias = context.constant(node, 2).floats() if context.has(node, 2) else None
    layer = context.drafts.add_layer(
        node.name or constant.name, weights.reshape(weights.shape[0], -1), bias
    )
    op = Convolution(layer=layer, groups=integer(node, "group", 1), **window._asdict())
    before = context.drafts.shaped(Data(data.source, shape, data.node))
    after = context.drafts.add(layer, op, before)
    return Data(after, SampleShape((shape.dims[0], *context.drafts.shapes[after]), 0))


def _batch_normalization(context: Context, node: "NodeProto") -> Data:
    """Normalise per channel (axis 1) with the statistics of training."""
    data = context.data(node)
    if integer(node, "training_mode", 0):
        raise NetworkError(f"{where(node)}: is in training mode: export the model for inference")
    gamma, beta, mean, variance = (
        context.constant(node, index).floats().astype(np.float64).reshape(-1)
        for index in range(1, 5)
    )
    scale = gamma / np.sqrt(variance + real(node, "epsilon", 1e-5))
    shift = beta - mean * scale
    channels = (-1, *(1,) * (len(data.shape.dims) - 2))
    shaped = Data(data.source, data.shape.with_batch(0), data.node)
    return scaled(
        context, node, shaped, scale.reshape(channels), shift.reshape(channels), "normalisation"
    )


def _times(values: Array, factor: float) -> Array:
    """`values` times Gemm's alpha or beta."""
    return values if factor == 1.0 else values.astype(np.float32) * np.float32(factor)


OPERATORS: Mapping[str, Reader] = {
    "BatchNormalization": _batch_normalization,
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
