"""Steps that a layer takes in: the same values, by the slow meaning of the graph."""

import numpy as np
import pytest
from unit.network.graph_interpreter import outputs

from accelsim.errors import NetworkError
from accelsim.network.fold import folded, fuse_relu
from accelsim.network.graph import (
    Activate,
    Affine,
    Convolution,
    Elementwise,
    FullyConnected,
    Graph,
    Step,
)
from accelsim.network.layers import Layer, Network

RNG = np.random.default_rng(1)
RELU = Activate(function="relu")
CONV = Convolution(layer="c", kernel=(2, 2))
AFFINE = Affine(scale="s", shift="t")


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def network(steps, ends, layers=None, shape=(2, 4, 4), constants=None):
    """Steps (name, op, *inputs) from the input x."""
    layers = layers or (Layer("c", floats(3, 8), floats(3)),)
    graph = Graph(
        inputs={"x": shape},
        steps=tuple(Step(name=name, op=op, inputs=inputs) for name, op, *inputs in steps),
        outputs=ends,
    )
    constants = {"s": floats(3), "t": floats(3)} if constants is None else constants
    return Network("net", layers, graph=graph, constants=constants)


def check(net, kinds):
    """The folded network, which gives the same with steps of these kinds."""
    found = folded(net)
    assert [step.op.kind for step in found.graph.steps] == kinds
    x = {"x": floats(*net.graph.inputs["x"])}
    for one, other in zip(outputs(net, x), outputs(found, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    return found


def test_normalisation_and_relu_after_a_convolution():
    steps = [("c", CONV, "x"), ("n", AFFINE, "c"), ("r", RELU, "n"), ("e", RELU, "r")]
    found = check(network(steps, ("e",)), ["convolution", "activation"])
    assert found.layers[0].activation == "relu"
    assert not found.constants


def test_two_normalisations_and_a_layer_without_bias():
    steps = [("c", CONV, "x"), ("n", AFFINE, "c"), ("m", AFFINE, "n")]
    found = check(network(steps, ("m",), (Layer("c", floats(3, 8)),)), ["convolution"])
    assert found.graph.outputs == ("c",)
    assert found.layers[0].has_bias


def test_a_fully_connected_layer_on_a_vector_and_on_a_sequence():
    steps = [("f", FullyConnected(layer="f"), "x"), ("n", AFFINE, "f"), ("r", RELU, "n")]
    layers = (Layer("f", floats(3, 5)),)
    check(network(steps, ("r",), layers, shape=(5,)), ["fully_connected"])
    # Of a sequence, an affine step scales time steps, not the layer's rows.
    sequence = network(steps, ("r",), layers, shape=(3, 5))
    check(sequence, ["fully_connected", "affine", "activation"])


@pytest.mark.parametrize("op", [AFFINE, RELU])
def test_what_others_read_too_stays(op):
    steps = [("c", CONV, "x"), ("n", op, "c"), ("e", Elementwise(function="add"), "c", "n")]
    check(network(steps, ("e",)), ["convolution", op.kind, "elementwise"])
    check(network(steps[:2], ("c", "n")), ["convolution", op.kind])


def test_nothing_goes_past_a_relu():
    layers = (Layer("c", floats(3, 8), activation="relu"),)
    steps = [("c", CONV, "x"), ("n", AFFINE, "c")]
    check(network(steps, ("n",), layers), ["convolution", "affine"])
    steps = [("c", CONV, "x"), ("r", RELU, "c"), ("n", AFFINE, "r")]
    check(network(steps, ("n",)), ["convolution", "affine"])


def test_shared_constants_stay_for_those_who_read_them():
    layers = (Layer("c", floats(2, 8)),)
    constants = {"s": floats(2), "t": floats(2)}
    steps = [("a", AFFINE, "x"), ("c", CONV, "a"), ("n", AFFINE, "c")]
    found = check(network(steps, ("n",), layers, constants=constants), ["affine", "convolution"])
    assert set(found.constants) == {"s", "t"}


def test_scales_that_make_weights_infinite_are_refused():
    constants = {"s": np.full(3, 3e38, np.float32), "t": floats(3)}
    steps = [("c", CONV, "x"), ("n", AFFINE, "c")]
    layers = (Layer("c", np.full((3, 8), 3e38, np.float32)),)
    with pytest.raises(NetworkError, match=r"layer 'c': weights: .* infinite"):
        folded(network(steps, ("n",), layers, constants=constants))


def test_a_graph_alone():
    graph = network([("c", CONV, "x"), ("r", RELU, "c")], ("r",)).graph
    found, rectified = fuse_relu(graph)
    assert ([step.name for step in found.steps], found.outputs) == (["c"], ("c",))
    assert rectified == {"c"}
