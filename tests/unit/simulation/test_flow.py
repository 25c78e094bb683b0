"""Values through a graph: what is given where, and which formats hold for whom."""

import numpy as np
import pytest
from network_model import KINDS, draw_network, most_frac_bits
from numpy.testing import assert_array_equal

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import sparse_codes
from accelsim.network.graph import Activate, Elementwise, FullyConnected, Graph, Step
from accelsim.simulation.arithmetic import Formats
from accelsim.simulation.flow import flow_through


def identity(name, size):
    """A layer that gives its input."""
    return CompressedLayer(
        name=name,
        n_out=size,
        n_in=size,
        activation="none",
        codebook=np.array([0, 1], dtype=np.float32),
        sparse=sparse_codes(np.eye(size, dtype=np.uint8)),
        bias_coded=False,
        bias=None,
        code_bits=1,
        index_bits=4,
        max_code_length=11,
    )


@pytest.fixture(scope="module")
def network():
    """x through a layer, its square root, and the two added up."""
    steps = (
        Step(name="fc", op=FullyConnected(layer="fc"), inputs=("x",)),
        Step(name="root", op=Activate(function="sqrt"), inputs=("fc",)),
        Step(name="sum", op=Elementwise(function="add"), inputs=("fc", "root")),
    )
    graph = Graph(inputs={"x": (3,)}, steps=steps, outputs=("sum",))
    return CompressedNetwork("net", (identity("fc", 3),), graph=graph)


def rows(*values):
    return np.array(values, dtype=np.float32)


def test_every_step_runs_in_order_and_says_so(network):
    seen = []
    flow = flow_through(
        network, {"x": rows([1, 4, 9])}, Formats(16), lambda *step: seen.append(step)
    )
    assert seen == [("fc", 0), ("root", 1 / 3), ("sum", 2 / 3)]
    assert flow.output.values.tolist() == [[2, 6, 12]]
    assert flow.output.fixed.to_float().tolist() == [[2, 6, 12]]


def test_a_step_that_is_named_runs_on_what_is_given(network):
    """Instead of its first input; the other one still comes from the graph."""
    formats = Formats(16)
    given = {"x": rows([1, 4, 9]), "sum": rows([10, 20, 30])}
    flow = flow_through(network, given, formats)
    assert flow.output.values.tolist() == [[11, 22, 33]]
    assert formats.chosen["sum.input"] == most_frac_bits(30, 16)
    assert formats.chosen["sum"] == most_frac_bits(33, 16)
    root = flow_through(network, {"x": rows([1, 4, 9]), "root": rows([0, 0, 16])}, Formats(16))
    assert root.output.values.tolist() == [[1, 4, 13]]


def test_inputs_that_round_to_zero_are_counted_by_layer(network):
    flow = flow_through(network, {"x": rows([1, 1e-6, 0], [1e-6, -1e-6, 2])}, Formats(16))
    assert flow.layers["fc"].vanished == 3
    assert flow_through(network, {"x": rows([1, 1e-6, 0])}, Formats(32)).layers["fc"].vanished == 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_alone_is_the_same_in_the_formats_of_the_batch(kind):
    drawn = draw_network(21, kind)
    formats = Formats(16)
    together = flow_through(drawn.network, drawn.inputs, formats)
    saturated = dict.fromkeys(together.layers, 0)
    for example in range(len(together.output.values)):
        one = {name: values[example : example + 1] for name, values in drawn.inputs.items()}
        known = Formats(16, known=formats.chosen)
        alone = flow_through(drawn.network, one, known)
        assert known.chosen == formats.chosen
        assert_array_equal(alone.output.values[0], together.output.values[example])
        assert_array_equal(alone.output.fixed.raw[0], together.output.fixed.raw[example])
        for name, layer in alone.layers.items():
            saturated[name] += layer.saturated
    assert saturated == {name: layer.saturated for name, layer in together.layers.items()}


@pytest.mark.parametrize("kind", ["convolution", "lstm", "affine"])
def test_pinned_fraction_bits_hold_for_all_but_inputs(kind):
    drawn = draw_network(22, kind)
    formats = Formats(16, pinned=7)
    flow_through(drawn.network, drawn.inputs, formats)
    inputs = formats.chosen.keys() & drawn.inputs.keys()
    assert {formats.chosen[name] for name in formats.chosen.keys() - inputs} == {7}
    for name in inputs:
        assert formats.chosen[name] == most_frac_bits(np.abs(drawn.inputs[name]).max(), 16)
