"""What a layer takes in of the steps after it: a batch normalisation, a ReLU."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from accelsim.network.arrays import Float32
from accelsim.network.graph import Activate, Affine, Convolution, FullyConnected, Graph, Step
from accelsim.network.layers import Layer, Network


def folded(network: Network) -> Network:
    """The same function with fewer steps.

    An affine step (a batch normalisation) right after a fully connected layer on a vector, or a
    convolution, goes into its weights and bias; a ReLU then becomes the layer's activation. Both
    only where nothing else reads the layer's own output.
    """
    graph, layers, constants = _fold_affine(network)
    graph, rectified = fuse_relu(graph)
    return replace(
        network,
        layers=tuple(
            replace(layer, activation="relu") if layer.name in rectified else layer
            for layer in layers.values()
        ),
        graph=graph,
        constants=constants,
    )


def fuse_relu(graph: Graph) -> tuple[Graph, frozenset[str]]:
    """The graph without ReLU steps that can be a layer's activation, and the layers that get one."""
    dropped: dict[str, str] = {}
    rectified: set[str] = set()
    for step, before in _after_layer(graph):
        if isinstance(step.op, Activate) and step.op.function == "relu":
            dropped[step.name] = before.name
            rectified.add(before.op.layers[0])
    return _without(graph, dropped), frozenset(rectified)


def _fold_affine(network: Network) -> tuple[Graph, dict[str, Layer], dict[str, Float32]]:
    graph = network.flow.graph
    layers = {layer.name: layer for layer in network.layers}
    constants = dict(network.flow.constants)
    # A normalisation and a scale may follow one after the other.
    while pairs := [
        (step, before)
        for step, before in _after_layer(graph)
        if isinstance(step.op, Affine)
        and _is_per_row(before, network)
        and _can_take(layers[before.op.layers[0]])
    ]:
        for step, before in pairs:
            assert isinstance(step.op, Affine)
            layer = layers[before.op.layers[0]]
            scale, shift = constants[step.op.scale], constants[step.op.shift]
            layers[layer.name] = _scaled(layer, scale, shift)
        graph = _without(graph, {step.name: before.name for step, before in pairs})
    used = {name for step in graph.steps for name in step.op.constants}
    return graph, layers, {name: constants[name] for name in constants if name in used}


def _after_layer(graph: Graph) -> list[tuple[Step, Step]]:
    """Steps, each with the one layer's step before it whose only reader it is."""
    steps = {step.name: step for step in graph.steps}
    reads = Counter([name for step in graph.steps for name in step.inputs] + list(graph.outputs))
    found = []
    for step in graph.steps:
        before = steps.get(step.inputs[0])
        if (
            before is not None
            and len(step.inputs) == 1
            and isinstance(before.op, FullyConnected | Convolution)
            and reads[before.name] == 1
        ):
            found.append((step, before))
    return found


def _is_per_row(step: Step, network: Network) -> bool:
    """Whether the first axis of the step's output counts the rows of its matrix."""
    return isinstance(step.op, Convolution) or len(network.flow.shapes[step.name]) == 1


def _can_take(layer: Layer) -> bool:
    return layer.weights is not None and layer.activation == "none"


def _scaled(layer: Layer, scale: Float32, shift: Float32) -> Layer:
    """The layer followed by ``y * scale + shift``, computed in float64."""
    assert layer.weights is not None
    weights = layer.weights * scale.astype(np.float64)[:, None]
    bias = shift.astype(np.float64)
    if layer.bias is not None:
        bias = bias + layer.bias * scale.astype(np.float64)
    with np.errstate(over="ignore"):  # the layer finds and names what is beyond float32
        return replace(layer, weights=weights.astype(np.float32), bias=bias.astype(np.float32))


def _without(graph: Graph, dropped: Mapping[str, str]) -> Graph:
    """The graph without steps; who read one of them reads the tensor that stands for it."""
    steps = tuple(
        step.model_copy(update={"inputs": tuple(dropped.get(name, name) for name in step.inputs)})
        for step in graph.steps
        if step.name not in dropped
    )
    outputs = tuple(dropped.get(name, name) for name in graph.outputs)
    return Graph(inputs=graph.inputs, steps=steps, outputs=outputs)
