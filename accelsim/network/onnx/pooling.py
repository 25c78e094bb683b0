"""Poolings and reductions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from accelsim.errors import NetworkError
from accelsim.network.graph import Pool, Reduce
from accelsim.network.onnx.context import Context, Reader
from accelsim.network.onnx.drafts import Data
from accelsim.network.onnx.nodes import integer, integers, where
from accelsim.network.onnx.sample_shape import SampleShape
from accelsim.network.onnx.windows import window_of

if TYPE_CHECKING:
    from onnx import NodeProto


def _pool(mode: Literal["max", "average"]) -> Reader:
    def read(context: Context, node: "NodeProto") -> Data:
        if len(node.output) > 1 and node.output[1] in context.used:
            raise NetworkError(f"{where(node)}: gives places, which are not supported")
        data, example = _channels_first(context, node)
        window = window_of(node, integers(node, "kernel_shape") or [], example)
        if window.dilation != (1, 1):
            raise NetworkError(f"{where(node)}: has dilations, which are not supported here")
        op = Pool(
            mode=mode,
            kernel=window.kernel,
            stride=window.stride,
            padding=window.padding,
            ceil=bool(integer(node, "ceil_mode", 0)),
            count_padding=bool(integer(node, "count_include_pad", 0)),
        )
        return _per_image(context, node, op, data)

    return read


def _global_pool(function: Literal["mean", "max"]) -> Reader:
    def read(context: Context, node: "NodeProto") -> Data:
        data, example = _channels_first(context, node)
        if len(example) < 2:
            raise NetworkError(f"{where(node)}: has shape {list(example)}: nothing to pool over")
        op = Reduce(function=function, axes=tuple(range(1, len(example))))
        return _per_image(context, node, op, data)

    return read


def _channels_first(context: Context, node: "NodeProto") -> tuple[Data, tuple[int, ...]]:
    """Return data with samples along its first axis, and the shape of one example."""
    data = context.data(node)
    data = Data(data.source, data.shape.with_batch(0), data.node)
    return data, context.drafts.example(data)


def _per_image(context: Context, node: "NodeProto", op: Pool | Reduce, data: Data) -> Data:
    after = context.add(node, op, context.drafts.shaped(data))
    return Data(after, SampleShape((data.shape.dims[0], *context.drafts.shapes[after]), 0))


def _reduce(function: Literal["mean", "sum", "max"]) -> Reader:
    def read(context: Context, node: "NodeProto") -> Data:
        """Reduce over axes, which are an input since opset 13 or 18, and an attribute before."""
        data, shape = context.data(node), context.data(node).shape
        given = context.axes(node)
        if not given and integer(node, "noop_with_empty_axes", 0):
            return data
        axes = {shape.axis(axis) for axis in given or range(len(shape.dims))}
        if shape.batch in axes and not shape.is_single:
            raise ValueError(f"works across samples, which are counted along axis {shape.batch}")
        keep = bool(integer(node, "keepdims", 1))
        after = shape
        for axis in axes:
            after = after.resized(axis, 1)
        after = after if keep else after.without(axes)
        places = tuple(shape.example_axis(axis) for axis in sorted(axes - {shape.batch}))
        if not places:
            return context.seen_as(node, data, after)
        op = Reduce(function=function, axes=places, keep=keep)
        return context.step(node, op, after, context.drafts.shaped(data))

    return read


OPERATORS: Mapping[str, Reader] = {
    "AveragePool": _pool("average"),
    "GlobalAveragePool": _global_pool("mean"),
    "GlobalMaxPool": _global_pool("max"),
    "MaxPool": _pool("max"),
    "ReduceMax": _reduce("max"),
    "ReduceMean": _reduce("mean"),
    "ReduceSum": _reduce("sum"),
}
