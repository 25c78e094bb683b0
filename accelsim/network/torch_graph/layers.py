"""Layers with weights, normalisation, pooling and padding."""

from typing import Any

import numpy as np

from accelsim.network.graph import (
    Affine,
    Convolution,
    Edges,
    FullyConnected,
    Pad,
    Pair,
    Pool,
    Reduce,
    Shape,
)
from accelsim.network.layers import Layer
from accelsim.network.torch_graph.context import (
    Context,
    Module,
    Node,
    Tensor,
    UnsupportedError,
    Value,
    array,
)


def linear(ctx: Context, node: Node, name: str, weight: Tensor, bias: Tensor | None) -> Value:
    """A matrix on the last axis."""
    value = ctx.value(ctx.source(node))
    value.dims.axis(-1)
    layer = Layer(name, array(weight), array(bias))
    step = ctx.weighted(name, FullyConnected(layer=name), layer, value.name)
    return Value(step, ctx.dims(node))


def convolution(
    ctx: Context, node: Node, name: str, weight: Tensor, bias: Tensor | None, given: dict[str, Any]
) -> Value:
    """Convolution in one or two dimensions.

    given: stride, padding, dilation, groups, padding_mode as torch takes them
    """
    axes = weight.ndim - 2
    value = ctx.image(ctx.source(node), weight.ndim)
    kernel, dilation = tuple(weight.shape[2:]), _sizes(given["dilation"], axes)
    before, after = _conv_padding(given["padding"], kernel, dilation)
    tensor = value.name
    if given["padding_mode"] == "reflect":
        tensor = _padded(ctx, node, value, before, after, "reflect")
        before = after = (0,) * axes
    elif given["padding_mode"] != "zeros":
        raise UnsupportedError(f"pads with '{given['padding_mode']}'")
    op = Convolution(
        layer=name,
        kernel=_pair(kernel),
        stride=_pair(_sizes(given["stride"], axes)),
        padding=_edges(before, after),
        dilation=_pair(dilation),
        groups=given["groups"],
    )
    matrix = weight.reshape(weight.shape[0], -1)
    layer = Layer(name, array(matrix), array(bias))
    return Value(ctx.weighted(name, op, layer, tensor), ctx.dims(node))


def _conv_padding(
    padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Zeros before and after each axis; 'same' puts the odd one after, as torch does."""
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    sizes = (0,) * len(kernel) if padding == "valid" else _sizes(padding, len(kernel))
    return sizes, sizes


def convolution_module(ctx: Context, node: Node, module: Module) -> Value:
    """Conv1d, Conv2d."""
    names = ("stride", "padding", "dilation", "groups", "padding_mode")
    given = {name: getattr(module, name) for name in names}
    return convolution(ctx, node, node.target, module.weight, module.bias, given)


def convolution_function(ctx: Context, node: Node) -> Value:
    """conv1d, conv2d with weights that do not depend on the input."""
    weight = ctx.weight(ctx.argument(node, 1, "weight"))
    bias = ctx.weight(ctx.argument(node, 2, "bias"))
    defaults = (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1))
    given = {
        name: ctx.plain(ctx.argument(node, 3 + at, name, default))
        for at, (name, default) in enumerate(defaults)
    }
    return convolution(ctx, node, node.name, weight, bias, {**given, "padding_mode": "zeros"})


def linear_module(ctx: Context, node: Node, module: Module) -> Value:
    """Linear."""
    return linear(ctx, node, node.target, module.weight, module.bias)


def linear_function(ctx: Context, node: Node) -> Value:
    """Linear with weights that do not depend on the input."""
    weight = ctx.weight(ctx.argument(node, 1, "weight"))
    bias = ctx.weight(ctx.argument(node, 2, "bias"))
    return linear(ctx, node, node.name, weight, bias)


def batch_norm(ctx: Context, node: Node, module: Module) -> Value:
    """BatchNorm1d, BatchNorm2d as scale and shift of the channels, from the running statistics."""
    value = ctx.value(ctx.source(node))
    if module.running_mean is None:
        raise UnsupportedError("has no running statistics: it depends on the batch")
    if value.dims.axis(1) != 0:
        raise UnsupportedError("normalises another axis than the first of an example")
    mean, variance = (np.float64(array(t)) for t in (module.running_mean, module.running_var))
    scale = 1.0 / np.sqrt(variance + module.eps)
    if module.weight is not None:
        scale *= array(module.weight)
    shift = -mean * scale
    if module.bias is not None:
        shift += array(module.bias)
    return scaled(ctx, node, value, scale, shift)


def scaled(ctx: Context, node: Node, value: Value, scale: Any, shift: Any) -> Value:
    """``value * scale + shift``: numbers, or one per place of an example's first axis."""
    size = ctx.builder.shapes[value.name][0]
    name = ctx.builder.unique(node.name)
    op = Affine(
        scale=ctx.constant(f"{name}.scale", np.broadcast_to(scale, size)),
        shift=ctx.constant(f"{name}.shift", np.broadcast_to(shift, size)),
    )
    return ctx.step(node, op, value.name)


def pool(ctx: Context, node: Node, axes: int, given: dict[str, Any]) -> Value:
    """Maximum or mean under a window.

    given: mode, kernel_size, stride, padding, ceil_mode; count_include_pad of a mean
    """
    value = ctx.image(ctx.source(node), axes + 2)
    kernel = _sizes(given["kernel_size"], axes)
    padding = _sizes(given["padding"], axes)
    op = Pool(
        mode=given["mode"],
        kernel=_pair(kernel),
        # An empty stride stands for the kernel.
        stride=_pair(_sizes(given["stride"], axes) if given["stride"] else kernel),
        padding=_edges(padding, padding),
        ceil=given["ceil_mode"],
        count_padding=given.get("count_include_pad", False),
    )
    return ctx.step(node, op, value.name)


def max_pool_module(ctx: Context, node: Node, module: Module) -> Value:
    """MaxPool1d, MaxPool2d."""
    if set(_sizes(module.dilation, 2)) != {1} or module.return_indices:
        raise UnsupportedError("has dilation or returns indices")
    return pool(ctx, node, _axes(module), {"mode": "max", **vars(module)})


def average_pool_module(ctx: Context, node: Node, module: Module) -> Value:
    """AvgPool1d, AvgPool2d."""
    if getattr(module, "divisor_override", None) is not None:
        raise UnsupportedError("has a divisor of its own")
    return pool(ctx, node, _axes(module), {"mode": "average", **vars(module)})


def max_pool_function(ctx: Context, node: Node) -> Value:
    """max_pool1d, max_pool2d."""
    names = (("kernel_size", None), ("stride", None), ("padding", 0), ("dilation", 1))
    given = {
        name: ctx.plain(ctx.argument(node, 1 + at, name, default))
        for at, (name, default) in enumerate(names)
    }
    given["ceil_mode"] = ctx.argument(node, 5, "ceil_mode", default=False)
    if set(_sizes(given["dilation"], 2)) != {1} or ctx.argument(node, 6, "return_indices"):
        raise UnsupportedError("has dilation or returns indices")
    return pool(ctx, node, _axes_of(node), {"mode": "max", **given})


def average_pool_function(ctx: Context, node: Node) -> Value:
    """avg_pool1d, avg_pool2d."""
    names: tuple[tuple[str, Any], ...] = (
        ("kernel_size", None),
        ("stride", None),
        ("padding", 0),
        ("ceil_mode", False),
        ("count_include_pad", True),
    )
    given = {
        name: ctx.plain(ctx.argument(node, 1 + at, name, default))
        for at, (name, default) in enumerate(names)
    }
    if ctx.argument(node, 6, "divisor_override") is not None:
        raise UnsupportedError("has a divisor of its own")
    return pool(ctx, node, _axes_of(node), {"mode": "average", **given})


def adaptive_pool_module(ctx: Context, node: Node, module: Module) -> Value:
    """AdaptiveAvgPool1d, ..., AdaptiveMaxPool2d."""
    if getattr(module, "return_indices", False):
        raise UnsupportedError("returns indices")
    return _adaptive_pool(ctx, node, type(module).__name__.startswith("AdaptiveMax"))


def adaptive_pool_function(ctx: Context, node: Node) -> Value:
    """adaptive_avg_pool1d, ..., adaptive_max_pool2d."""
    return _adaptive_pool(ctx, node, node.target.__name__.startswith("adaptive_max"))


def _adaptive_pool(ctx: Context, node: Node, is_max: bool) -> Value:
    """Pool to a size that divides the input's, so that all windows are alike."""
    dims = ctx.dims(node)
    value = ctx.image(ctx.source(node), len(dims.sizes))
    before, after = value.dims.sizes[2:], dims.sizes[2:]
    if set(after) == {1}:
        axes = tuple(range(1, len(before) + 1))
        return ctx.step(node, Reduce(function="max" if is_max else "mean", axes=axes), value.name)
    if any(one % other for one, other in zip(before, after, strict=True)):
        raise UnsupportedError(
            f"pools {list(before)} to {list(after)} with windows of different sizes"
        )
    kernel = _pair(tuple(one // other for one, other in zip(before, after, strict=True)))
    op = Pool(mode="max" if is_max else "average", kernel=kernel, stride=kernel)
    return value if before == after else ctx.step(node, op, value.name)


def pad_module(ctx: Context, node: Node, module: Module) -> Value:
    """ZeroPad1d, ZeroPad2d, ConstantPad1d, ConstantPad2d, ReflectionPad1d, ReflectionPad2d."""
    mode = "reflect" if type(module).__name__.startswith("Reflection") else "constant"
    return pad(ctx, node, module.padding, mode, getattr(module, "value", 0))


def pad_function(ctx: Context, node: Node) -> Value:
    """Pad, with zeros or by reflection."""
    mode = ctx.argument(node, 2, "mode", "constant")
    given = ctx.plain(ctx.argument(node, 1, "pad"))
    return pad(ctx, node, given, mode, ctx.argument(node, 3, "value"))


def pad(ctx: Context, node: Node, given: Any, mode: str, filling: Any) -> Value:
    """given: sizes before and after the last axis, then those of the axis before it, and so on."""
    value = ctx.value(ctx.source(node))
    if mode not in ("constant", "reflect") or filling or min(given) < 0:
        raise UnsupportedError(
            "pads with something else than zeros or the reflected edge, or cuts off"
        )
    rank = len(value.dims.sizes)
    before, after = [0] * rank, [0] * rank
    for at in range(len(given) // 2):
        before[rank - 1 - at], after[rank - 1 - at] = given[2 * at], given[2 * at + 1]
    if before[value.dims.batch] or after[value.dims.batch] or value.dims.parts != 1:
        raise UnsupportedError("pads the batch")
    del before[value.dims.batch], after[value.dims.batch]
    op = Pad(
        before=tuple(before), after=tuple(after), mode="reflect" if mode == "reflect" else "zero"
    )
    return ctx.step(node, op, value.name)


def _padded(ctx: Context, node: Node, value: Value, before: Shape, after: Shape, mode: Any) -> str:
    op = Pad(before=(0, *before), after=(0, *after), mode=mode)
    return ctx.builder.add(ctx.builder.unique(f"{node.name}.pad"), op, value.name)


def _sizes(given: Any, axes: int) -> tuple[int, ...]:
    """A size for each axis, from one number or from one per axis."""
    if isinstance(given, int):
        return (given,) * axes
    sizes = tuple(given)
    return sizes * axes if len(sizes) == 1 else sizes


def _pair(sizes: tuple[int, ...]) -> Pair:
    """Vertical and horizontal size; a signal in one dimension has height 1."""
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def _edges(before: tuple[int, ...], after: tuple[int, ...]) -> Edges:
    """Top, left, bottom, right."""
    if len(before) == 1:
        return (0, before[0], 0, after[0])
    return (before[0], before[1], after[0], after[1])


def _axes(module: Module) -> int:
    return 1 if type(module).__name__.endswith("1d") else 2


def _axes_of(node: Node) -> int:
    return 1 if node.target.__name__.endswith("1d") else 2
