import pytest

from accelsim.errors import NetworkError
from accelsim.network.builder import GraphBuilder
from accelsim.network.graph import Activate, Concatenate, FullyConnected, Reshape
from accelsim.network.shapes import Matrix

RELU = Activate(function="relu")


def test_shapes_are_known_as_steps_are_added():
    builder = GraphBuilder({"x": (2, 3)})
    flat = builder.add("flat", Reshape(shape=(6,)), "x")
    fc = builder.add("fc", FullyConnected(layer="fc"), flat, matrices={"fc": Matrix(4, 6)})
    both = builder.add("both", Concatenate(), fc, fc)
    assert builder.shapes == {"x": (2, 3), "flat": (6,), "fc": (4,), "both": (8,)}
    graph = builder.graph()
    assert (graph.inputs, graph.outputs) == ({"x": (2, 3)}, ("both",))
    assert builder.graph([fc, both]).outputs == ("fc", "both")


def test_free_names():
    builder = GraphBuilder({"x": (2,)})
    assert builder.unique("y") == "y"
    builder.add("x.2", RELU, "x")
    assert builder.unique("x") == "x.3"


def test_what_does_not_fit_is_named():
    builder = GraphBuilder({"x": (2,)})
    with pytest.raises(NetworkError, match="step 'x': the name is taken"):
        builder.add("x", RELU, "x")
    with pytest.raises(NetworkError, match="step 'y': no input 'z' before it"):
        builder.add("y", RELU, "z")
    with pytest.raises(NetworkError, match="step 'y': 2 values do not fill"):
        builder.add("y", Reshape(shape=(3,)), "x")
    assert builder.shapes == {"x": (2,)}
