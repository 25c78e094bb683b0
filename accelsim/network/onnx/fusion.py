"""From drafts to a network: what layers take in of the steps after them, and what nothing reads."""

from collections import Counter
from dataclasses import replace

import numpy as np

from accelsim.network.graph import (
    Activate,
    Affine,
    Convolution,
    FullyConnected,
    Graph,
    Reshape,
    Softmax,
    Step,
)
from accelsim.network.layers import Activation, Layer, Network
from accelsim.network.onnx.constants import Array
from accelsim.network.onnx.drafts import Draft, Drafts, LayerDraft, Scale
from accelsim.network.onnx.sample_shape import product
from accelsim.network.onnx.scales import spread


def network_of(drafts: Drafts, outputs: list[str], name: str, source: str) -> Network:
    """Return the network of all steps that lead to `outputs`.

    A scale, a ReLU or a softmax goes into the layer before it where nothing else reads that layer's
    output. Fully connected layers in a row need no graph.
    """
    drafts.steps = _alive(drafts.steps, outputs)
    outputs = _fuse(drafts, outputs)
    steps = [step for draft in drafts.steps for step in _steps(drafts, draft)]
    read = {name for step in steps for name in step.inputs} | set(outputs)
    inputs = {name: drafts.shapes[name] for name in drafts.inputs if name in read}
    used = {name for step in steps for name in step.op.layers}
    layers = tuple(
        Layer(name, layer.weights, layer.bias, layer.activation)
        for name, layer in drafts.layers.items()
        if name in used
    )
    if not layers or _is_chain(drafts, steps, inputs, outputs):
        return Network(name, layers, source=source)
    constants = {name for step in steps for name in step.op.constants}
    return Network(
        name,
        layers,
        source=source,
        graph=Graph(inputs=inputs, steps=tuple(steps), outputs=tuple(dict.fromkeys(outputs))),
        constants={name: drafts.constants[name] for name in drafts.constants if name in constants},
    )


def _alive(steps: list[Draft], outputs: list[str]) -> list[Draft]:
    """Return the steps that lead to the outputs."""
    read, alive = set(outputs), []
    for draft in reversed(steps):
        if draft.name in read:
            read.update(draft.inputs)
            alive.append(draft)
    return alive[::-1]


def _fuse(drafts: Drafts, outputs: list[str]) -> list[str]:
    """Let steps take in the one step that reads them; return the outputs' new names."""
    readers = Counter(name for draft in drafts.steps for name in draft.inputs) + Counter(outputs)
    kept: dict[str, Draft] = {}
    now: dict[str, str] = {}
    for first in drafts.steps:
        draft = replace(first, inputs=tuple(now.get(name, name) for name in first.inputs))
        before = kept.get(draft.inputs[0])
        if before is not None and readers[before.name] == 1:
            fused = _fused(drafts, before, draft)
            if fused is not None:
                kept[before.name], now[draft.name] = fused, before.name
                readers[before.name] = readers[draft.name]
                continue
        if isinstance(draft.op, Scale) and draft.op.changes_nothing:
            now[draft.name] = draft.inputs[0]
            readers[draft.inputs[0]] += readers[draft.name] - 1
            continue
        kept[draft.name] = draft
    drafts.steps = list(kept.values())
    return [now.get(name, name) for name in outputs]


def _fused(drafts: Drafts, before: Draft, draft: Draft) -> Draft | None:
    """Return `before` with what `draft` does to its output; None if it cannot do that, too."""
    match before.op, draft.op:
        case Scale(), Scale():
            return replace(before, op=_both(before.op, draft.op))
        case ((FullyConnected() | Convolution()), Scale()):
            layer = drafts.layers[before.op.layer]
            return before if _scale_layer(layer, before.op, draft.op) else None
        case ((FullyConnected() | Convolution()), Activate(function="relu")):
            return _activated(drafts.layers[before.op.layer], before, "relu")
        case FullyConnected(), Softmax() if _is_row(drafts, before.name, draft.op.axis):
            return _activated(drafts.layers[before.op.layer], before, "softmax")
    return None


def _both(first: Scale, second: Scale) -> Scale:
    return Scale(first.scale * second.scale, first.shift * second.scale + second.shift)


def _scale_layer(layer: LayerDraft, op: FullyConnected | Convolution, scale: Scale) -> bool:
    """Scale the rows of the layer's matrix, if the scale has one value for each, or for all."""
    channel = 0 if isinstance(op, Convolution) else scale.scale.ndim - 1
    if layer.activation != "none" or any(
        size > 1
        for part in (scale.scale, scale.shift)
        for axis, size in enumerate(part.shape)
        if axis != channel
    ):
        return False
    n_out = layer.weights.shape[0]
    factor, shift = (
        np.broadcast_to(part.reshape(-1), (n_out,)) for part in (scale.scale, scale.shift)
    )
    bias = shift if layer.bias is None else layer.bias * factor + shift
    if np.all(factor == 1.0):
        layer.bias = bias
        return True
    layer.weights = (layer.weights * factor[:, None]).astype(np.float32)
    layer.bias = bias if layer.bias is not None or np.any(bias) else None
    return True


def _activated(layer: LayerDraft, before: Draft, activation: Activation) -> Draft | None:
    if layer.activation == "none" or layer.activation == activation == "relu":
        layer.activation = activation
        return before
    return None


def _is_row(drafts: Drafts, name: str, axis: int | None = None) -> bool:
    """Whether all values of a tensor stand along its last axis, which is `axis` if that is given."""
    shape = drafts.shapes[name]
    return product(shape) == shape[-1] and axis in (None, len(shape) - 1)


def _steps(drafts: Drafts, draft: Draft) -> list[Step]:
    """Return the step, or the affine steps for a scale that no layer took in."""
    if not isinstance(draft.op, Scale):
        return [Step(name=draft.name, op=draft.op, inputs=draft.inputs)]
    shape = drafts.shapes[draft.name]
    parts = draft.op.scale, draft.op.shift
    if all(size == 1 for part in parts for size in part.shape[1:]):
        values = [np.broadcast_to(part.reshape(-1), shape[:1]) for part in parts]
        return [_affine(drafts, draft, draft.name, values, *draft.inputs)]
    values = [spread(draft.name, part, shape).reshape(-1) for part in parts]
    flat = drafts.reserve(f"{draft.name}.flat", (values[0].size,))
    scaled = drafts.reserve(f"{draft.name}.scaled", (values[0].size,))
    return [
        Step(name=flat, op=Reshape(shape=(values[0].size,)), inputs=draft.inputs),
        _affine(drafts, draft, scaled, values, flat),
        Step(name=draft.name, op=Reshape(shape=shape), inputs=(scaled,)),
    ]


def _affine(drafts: Drafts, draft: Draft, name: str, values: list[Array], before: str) -> Step:
    scale, shift = (
        drafts.add_constant(f"{draft.name}.{part}", array)
        for part, array in zip(("scale", "shift"), values, strict=True)
    )
    return Step(name=name, op=Affine(scale=scale, shift=shift), inputs=(before,))


def _is_chain(
    drafts: Drafts, steps: list[Step], inputs: dict[str, tuple[int, ...]], outputs: list[str]
) -> bool:
    """Whether the steps are fully connected layers on one row of values, one after the other."""
    before = next(iter(inputs), "")
    for step in steps:
        if step.inputs != (before,) or not (
            isinstance(step.op, Reshape)
            or (isinstance(step.op, FullyConnected) and _is_row(drafts, step.name))
        ):
            return False
        before = step.name
    return len(inputs) == 1 and outputs == [before]
