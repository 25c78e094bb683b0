"""What moves values: reshaping, transposing, cutting, joining, padding; and Softmax, at the end."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from accelsim.errors import NetworkError
from accelsim.network.graph import Concatenate, Pad, Slice, Softmax, Transpose
from accelsim.network.layers import MAX_DIMENSION
from accelsim.network.onnx.constants import Constant
from accelsim.network.onnx.context import Context, Reader, name_of
from accelsim.network.onnx.drafts import Data
from accelsim.network.onnx.folding import slice_bounds
from accelsim.network.onnx.nodes import integer, integers, real, text, where
from accelsim.network.onnx.sample_shape import SampleShape, product

if TYPE_CHECKING:
    from onnx import NodeProto

# Since 13, Softmax is along its axis alone, by default the last.
SOFTMAX_ALONG_AXIS = 13


def _flatten(context: Context, node: "NodeProto") -> Data:
    data = context.data(node)
    return context.seen_as(node, data, data.shape.flattened(integer(node, "axis", 1)))


def _reshape(context: Context, node: "NodeProto") -> Data:
    data = context.data(node)
    target = context.constant(node, 1).integers()
    if 0 in target and integer(node, "allowzero", 0):
        raise NetworkError(f"{where(node)}: to {target} is not supported: reshape to [0, -1]")
    return context.seen_as(node, data, data.shape.reshaped(target))


def _squeeze(context: Context, node: "NodeProto") -> Data:
    data = context.data(node)
    return context.seen_as(node, data, data.shape.squeezed(context.axes(node)))


def _unsqueeze(context: Context, node: "NodeProto") -> Data:
    data = context.data(node)
    return context.seen_as(node, data, data.shape.unsqueezed(context.axes(node) or []))


def _transpose(context: Context, node: "NodeProto") -> Data:
    data, shape = context.data(node), context.data(node).shape
    order = integers(node, "perm") or list(range(len(shape.dims)))[::-1]
    after = shape.transposed(order)
    axes = [shape.example_axis(axis) for axis in order if axis != shape.batch]
    moved = [axis for axis in axes if shape.example[axis] != 1]
    if moved == sorted(moved):  # the values stay in their order
        return context.seen_as(node, data, after)
    return context.step(node, Transpose(axes=tuple(axes)), after, context.drafts.shaped(data))


def _slice(context: Context, node: "NodeProto") -> Data:
    data = context.data(node)
    bounds = slice_bounds(node, context.operands(node, first=1), len(data.shape.dims))
    for axis, start, end, step in bounds:
        data = _cut(context, node, data, axis, slice(start, end, step))
    return data


def _cut(
    context: Context, node: "NodeProto", data: Data, axis: int, places: slice, part: str = ""
) -> Data:
    """Draft the values at some places along an axis of the tensor."""
    is_whole = places.step == 1 and places.start == 0 and places.stop >= MAX_DIMENSION
    if axis == data.shape.batch and is_whole:
        return data
    size = _size(context, data, axis)
    start, stop, step = places.indices(size)
    count = len(range(start, stop, step))
    if count == size and (step == 1 or size == 1):
        return data
    if count == 0:
        raise ValueError(f"takes no values of {size} along axis {axis}")
    op = Slice(
        axis=data.shape.example_axis(axis), start=start, stop=stop if stop >= 0 else None, step=step
    )
    after = context.add(node, op, context.drafts.shaped(data), part=part)
    return Data(after, data.shape.resized(axis, count))


def _size(context: Context, data: Data, axis: int) -> int:
    """Return how many places there are along an axis, which must not count samples."""
    size = data.shape.dims[axis]
    if axis == data.shape.batch and not data.shape.is_single:
        raise ValueError(f"chooses among samples, which are counted along axis {axis}")
    if size is None:
        raise context.drafts.not_fixed(data.source)
    return size


def _split(context: Context, node: "NodeProto") -> list[Data | Constant]:
    """Split into parts, whose sizes are an input since opset 13, and an attribute before."""
    data = context.data(node)
    axis = data.shape.axis(integer(node, "axis", 0))
    size, parts = _size(context, data, axis), len(node.output)
    sizes = context.constant(node, 1).numbers() if context.has(node, 1) else integers(node, "split")
    if sizes is None:
        length = -(-size // parts)
        sizes = [length] * (parts - 1) + [size - length * (parts - 1)]
    if len(sizes) != parts or sum(sizes) != size or min(sizes) < 1:
        raise ValueError(f"splits {size} values into {sizes}, for {parts} outputs")
    results: list[Data | Constant] = []
    for index, length in enumerate(sizes):
        start = sum(sizes[:index])
        places = slice(start, start + length, 1)
        results.append(_cut(context, node, data, axis, places, f".{index}"))
    return results


def _gather(context: Context, node: "NodeProto") -> Data:
    """Draft one place along an axis, which then goes, or places that are evenly spaced."""
    data, constant = context.data(node), context.constant(node, 1)
    axis = data.shape.axis(integer(node, "axis", 0))
    size, places = _size(context, data, axis), constant.numbers()
    if not all(-size <= place < size for place in places):
        raise ValueError(f"gathers {places} of {size} values")
    places = [place % size for place in places]
    steps = {after - before for before, after in pairwise(places)}
    if not places or len(steps) > 1 or 0 in steps or constant.array.ndim > 1:
        raise ValueError(f"gathers {places}: only places that are evenly spaced are supported")
    step = steps.pop() if steps else 1
    end = places[-1] + step
    cut = _cut(context, node, data, axis, slice(places[0], end if end >= 0 else None, step))
    if constant.array.ndim == 1:
        return cut
    return context.seen_as(node, cut, cut.shape.without([axis]))


def _concat(context: Context, node: "NodeProto") -> Data:
    if any(isinstance(context.value(node, index), Constant) for index in range(len(node.input))):
        raise NetworkError(f"{where(node)}: joins data with a constant: only data can be joined")
    parts = [context.data(node, index) for index in range(len(node.input))]
    if len(parts) == 1:
        return parts[0]
    shape = _common(parts)
    axis = shape.axis(integer(node, "axis", 0))
    place = shape.example_axis(axis)
    sizes = [part.shape.dims[axis] for part in parts]
    shaped = [
        context.drafts.shaped(
            Data(part.source, SampleShape(part.shape.dims, shape.batch), part.node)
        )
        for part in parts
    ]
    after = context.add(node, Concatenate(axis=place), *shaped)
    joined = sum(size for size in sizes if size is not None)
    return Data(after, shape.resized(axis, joined))


def _common(parts: Sequence[Data]) -> SampleShape:
    """Return the shape of the part that has samples, after a check that all count them alike."""
    shape = next((part.shape for part in parts if not part.shape.is_single), parts[0].shape)
    for part in parts:
        if len(part.shape.dims) != len(shape.dims):
            raise ValueError("joins tensors of different numbers of axes")
        if shape.batch is None:
            continue
        alike = part.shape.batch == shape.batch or part.shape.is_single
        if not alike or part.shape.dims[shape.batch] != shape.dims[shape.batch]:
            raise ValueError("mixes samples: all tensors must count them along the same axis")
    return shape


def _pad(context: Context, node: "NodeProto") -> Data:
    """Pad; amounts and value are inputs since opset 11, and were attributes before."""
    data, shape = context.data(node), context.data(node).shape
    amounts = (
        context.constant(node, 1).numbers() if context.has(node, 1) else integers(node, "pads")
    )
    axes = list(range(len(shape.dims)))
    if context.has(node, 3):
        axes = [shape.axis(axis) for axis in context.constant(node, 3).numbers()]
    if amounts is None or len(amounts) != 2 * len(axes):
        raise ValueError(f"pads {len(axes)} axes by {amounts}")
    mode = text(node, "mode", "constant")
    value = context.constant(node, 2).array if context.has(node, 2) else None
    is_zero = not value.any() if value is not None else real(node, "value", 0.0) == 0.0
    if mode not in ("constant", "reflect") or (mode == "constant" and not is_zero):
        raise ValueError(f"pads with mode {mode!r}: zeros and 'reflect' are supported")
    before, after = [0] * len(shape.dims), [0] * len(shape.dims)
    for index, axis in enumerate(axes):
        before[axis], after[axis] = amounts[index], amounts[index + len(axes)]
    if not any(before) and not any(after):
        return data
    if shape.batch is not None and (before[shape.batch] or after[shape.batch]):
        raise ValueError(f"pads samples, which are counted along axis {shape.batch}")
    padded = shape
    for axis, size in zip(shape.example_axes, context.drafts.example(data), strict=False):
        padded = padded.resized(axis, before[axis] + size + after[axis])
    op = Pad(
        before=tuple(before[axis] for axis in shape.example_axes),
        after=tuple(after[axis] for axis in shape.example_axes),
        mode="zero" if mode == "constant" else "reflect",
    )
    return context.step(node, op, padded, context.drafts.shaped(data))


def _softmax(context: Context, node: "NodeProto") -> Data:
    data, shape = context.data(node), context.data(node).shape
    example = context.drafts.example(data)
    if context.opset >= SOFTMAX_ALONG_AXIS:
        axes = [shape.axis(integer(node, "axis", -1))]
    else:  # along all axes from this one
        axes = list(range(shape.axis(integer(node, "axis", 1)), len(shape.dims)))
    if shape.batch in axes and not shape.is_single:
        raise ValueError("is taken across samples: give axis=-1")
    places = [shape.example_axis(axis) for axis in axes if axis != shape.batch]
    if not places:
        raise ValueError("is taken of single values: give axis=-1")
    long = [place for place in places if example[place] > 1]
    if len(long) > 1:
        merged = (*example[: places[0]], product(example[place] for place in places) or 1)
        source, place = context.drafts.shaped(data, merged), places[0]
    else:
        source, place = _along(context, data, long[0] if long else places[0])
    return Data(context.add(node, Softmax(axis=place), source), shape, name_of(node))


def _along(context: Context, data: Data, axis: int) -> tuple[str, int]:
    """Return what gives the data's values, and which of its axes is `axis` of one example.

    Axes of size 1 make no difference: without another shape, the layer before can take a softmax in.
    """
    source, example = context.drafts.source(data), context.drafts.example(data)
    actual = context.drafts.shapes[source]
    long = [place for place, size in enumerate(actual) if size > 1]
    if example[axis] == 1 or [actual[place] for place in long] != [s for s in example if s > 1]:
        return context.drafts.shaped(data), axis
    return source, long[sum(size > 1 for size in example[:axis])]


OPERATORS: Mapping[str, Reader] = {
    "Concat": _concat,
    "Flatten": _flatten,
    "Gather": _gather,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
