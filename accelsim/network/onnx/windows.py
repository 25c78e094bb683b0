"""Windows that move over images and signals: the attributes of convolutions and poolings."""

from typing import TYPE_CHECKING, NamedTuple

from accelsim.errors import NetworkError
from accelsim.network.graph import Edges, Pair, Shape
from accelsim.network.onnx.nodes import integers, text, where

if TYPE_CHECKING:
    from onnx import NodeProto


class Window(NamedTuple):
    """Vertical and horizontal sizes; padding at top, left, bottom, right."""

    kernel: Pair
    stride: Pair
    padding: Edges
    dilation: Pair


def window_of(node: "NodeProto", kernel: list[int], example: Shape) -> Window:
    """Return how a kernel moves over one example, [channels, time] or [channels, height, width].

    A window over time is one over a height of 1. Raises NetworkError for other numbers of axes.
    """
    axes = len(example) - 1
    if axes not in (1, 2) or len(kernel) != axes:
        raise NetworkError(
            f"{where(node)}: has a kernel of {len(kernel)} axes on data of shape {list(example)}: "
            "[channels, time] and [channels, height, width] are supported"
        )
    stride = integers(node, "strides") or [1] * axes
    dilation = integers(node, "dilations") or [1] * axes
    padding = integers(node, "pads") or [0] * (2 * axes)
    if not (len(stride) == len(dilation) == axes and len(padding) == 2 * axes):
        raise NetworkError(f"{where(node)}: strides, dilations and pads do not fit its kernel")
    if min(*kernel, *stride, *dilation) < 1 or min(padding) < 0:
        raise NetworkError(f"{where(node)}: kernel, strides, dilations or pads are too small")
    mode = text(node, "auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        padding = _same_padding(mode, example[1:], kernel, stride, dilation)
    elif mode == "VALID":
        padding = [0] * (2 * axes)
    elif mode not in ("NOTSET", ""):
        raise NetworkError(f"{where(node)}: auto_pad {mode!r} is not known")
    before, after = padding[:axes], padding[axes:]
    return Window(
        _pair(kernel, 1),
        _pair(stride, 1),
        (*_pair(before, 0), *_pair(after, 0)),
        _pair(dilation, 1),
    )


def _same_padding(
    mode: str, sizes: Shape, kernel: list[int], stride: list[int], dilation: list[int]
) -> list[int]:
    """Padding with which there are ceil(size / stride) places; the odd one last for SAME_UPPER."""
    before, after = [], []
    for axis, size in enumerate(sizes):
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        total = (-(-size // stride[axis]) - 1) * stride[axis] + reach - size
        # TensorFlow starts at the first value, ONNX Runtime in the middle of what is left out.
        if total < -1:
            raise ValueError("auto_pad with a stride far beyond the kernel: export explicit pads")
        total = max(0, total)
        small, large = total // 2, total - total // 2
        before.append(small if mode == "SAME_UPPER" else large)
        after.append(large if mode == "SAME_UPPER" else small)
    return before + after


def _pair(values: list[int], fill: int) -> Pair:
    return (fill, values[0]) if len(values) == 1 else (values[0], values[1])
