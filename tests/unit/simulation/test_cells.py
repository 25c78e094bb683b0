"""Recurrent cells where random networks seldom go; the rest is in tests/network_model."""

import numpy as np
import pytest
from network_model import run_fixed
from network_model.drawing import GATES
from numpy.testing import assert_array_equal

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import sparse_codes
from accelsim.errors import NetworkError
from accelsim.network.graph import FullyConnected, Graph, Recurrent, Step
from accelsim.simulation.arithmetic import Formats
from accelsim.simulation.flow import flow_through

HIDDEN = 3
MATRICES = {
    "lstm": ((4 * HIDDEN, HIDDEN),),
    "gru": ((3 * HIDDEN, HIDDEN),),
    "rnn": ((HIDDEN, HIDDEN),),
    "qrnn": (),
}


def dense(name, n_out, n_in, scale=1.0):
    rng = np.random.default_rng([n_out, n_in])
    return CompressedLayer(
        name=name,
        n_out=n_out,
        n_in=n_in,
        activation="none",
        codebook=np.append(0, rng.standard_normal(7) * scale).astype(np.float32),
        sparse=sparse_codes(rng.integers(1, 8, (n_out, n_in)).astype(np.uint8)),
        bias_coded=False,
        bias=None,
        code_bits=3,
        index_bits=4,
        max_code_length=11,
    )


def cell_network(cell, states=(), names=("u",), scale=1.0, **options):
    """A cell on gate inputs that a matrix of 2 x 2 gives nothing to: the layer is there for form."""
    sizes = MATRICES[cell]
    names = names[: len(sizes)]
    gates = GATES[cell] * HIDDEN
    op = Recurrent(cell=cell, hidden=HIDDEN, matrices=names, **options)
    graph = Graph(
        inputs={"x": (5, gates), **dict.fromkeys(states, (HIDDEN,)), "other": (2,)},
        steps=(
            Step(name="aside", op=FullyConnected(layer="aside"), inputs=("other",)),
            Step(name="cell", op=op, inputs=("x", *states)),
        ),
        outputs=("cell",),
    )
    layers = [dense(name, *size, scale) for name, size in zip(names, sizes, strict=True)]
    return CompressedNetwork("net", (*layers, dense("aside", 2, 2)), graph=graph)


def inputs_of(network, scale=1.0, **given):
    rng = np.random.default_rng(7)
    drawn = {
        name: (rng.standard_normal((2, *shape)) * scale).astype(np.float32)
        for name, shape in network.graph.inputs.items()
    }
    return drawn | {name: np.full((2, HIDDEN), x, np.float32) for name, x in given.items()}


def both(network, inputs, bits=16, pinned=None):
    """The simulator's output and saturated results, and the slow model's."""
    formats = Formats(bits, pinned)
    flow = flow_through(network, inputs, formats)
    runs = [
        run_fixed(network, {name: x[i] for name, x in inputs.items()}, formats.chosen, bits)
        for i in range(2)
    ]
    expected = np.array([run.tensors["cell"].raw for run in runs]).astype(np.int64)
    assert_array_equal(flow.output.fixed.raw, expected)
    assert flow.output.fixed.frac_bits == runs[0].tensors["cell"].frac
    assert flow.saturated.get("cell", 0) == sum(run.saturated["cell"] for run in runs)
    return flow, formats


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "qrnn"])
@pytest.mark.parametrize("size", [0.001, 3.0, 100.0])
def test_formats_leave_room_for_states_that_are_given(cell, size):
    """States that no gate ever reaches: 100.0 is far beyond what tanh gives."""
    states = ("h0", "c0") if cell == "lstm" else ("h0",)
    network = cell_network(cell, states)
    flow, formats = both(network, inputs_of(network, **dict.fromkeys(states, size)))
    kinds = {"lstm": ("state", "cell"), "qrnn": ("cell",)}.get(cell, ("state",))
    for kind in kinds:
        assert size * 2.0 ** formats.chosen[f"cell.{kind}"] <= 2**15 - 1
    assert np.abs(flow.output.fixed.raw).max() < 2**15


def test_a_given_state_beyond_a_pinned_format_saturates_and_is_counted():
    network = cell_network("gru", ("h0",))
    flow, _ = both(network, inputs_of(network, h0=100.0), pinned=12)
    assert flow.saturated["cell"] >= 2 * HIDDEN


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "qrnn"])
@pytest.mark.parametrize("reverse", [False, True])
def test_what_saturates_is_counted_in_either_direction(cell, reverse):
    network = cell_network(cell, reverse=reverse, scale=3.0)
    inputs = inputs_of(network, scale=40.0)
    flow, _ = both(network, inputs, bits=8, pinned=7)
    assert flow.saturated.get("cell", 0) > 0 or cell == "qrnn"


def test_reverse_is_the_other_direction_of_the_reversed_input():
    forward, backward = (cell_network("lstm", reverse=reverse) for reverse in (False, True))
    inputs = inputs_of(forward)
    turned = inputs | {"x": inputs["x"][:, ::-1].copy()}
    one = flow_through(forward, inputs, Formats(16)).output
    other = flow_through(backward, turned, Formats(16)).output
    assert_array_equal(one.values, other.values[:, ::-1])
    assert_array_equal(one.fixed.raw, other.fixed.raw[:, ::-1])


def test_the_state_that_a_qrnn_is_given_is_that_of_its_cells():
    """Forget everything new, keep everything old: c stays, h = o * c."""
    network = cell_network("qrnn", ("c0",))
    inputs = inputs_of(network, c0=0.5)
    inputs["x"][:] = np.repeat([0.0, 50.0, 50.0], HIDDEN)  # z, f, o
    flow, _ = both(network, inputs)
    np.testing.assert_allclose(flow.output.values, 0.5)
    np.testing.assert_allclose(flow.output.fixed.to_float(), 0.5, rtol=1e-3)


def test_cell_states_stand_beside_the_states():
    plain, wide = (cell_network("lstm", with_cell=with_cell) for with_cell in (False, True))
    inputs = inputs_of(plain)
    alone = flow_through(plain, inputs, Formats(16)).output
    flow, _ = both(wide, inputs)
    assert flow.output.values.shape == (2, 5, 2 * HIDDEN)
    assert_array_equal(flow.output.values[..., :HIDDEN], alone.values)
    # c, from its last value: h = o * tanh(c) is smaller.
    assert (np.abs(np.tanh(flow.output.values[..., HIDDEN:])) >= np.abs(alone.values)).all()


@pytest.mark.parametrize("name", ["gates", "cell", "state", "gate value", "u"])
def test_a_matrix_may_have_any_name(name):
    """Also one that a cell's own formats have."""
    reference, renamed = (cell_network("gru", names=(n,)) for n in ("plain", name))
    inputs = inputs_of(reference)
    one, formats = both(reference, inputs)
    formats_of = Formats(16)
    other = flow_through(renamed, inputs, formats_of)
    assert_array_equal(one.output.fixed.raw, other.output.fixed.raw)
    assert formats_of.chosen[name] == formats.chosen["plain"]


def test_states_beyond_float32_are_an_error_and_no_warning():
    network = cell_network("rnn", scale=1e30, function="relu")
    inputs = inputs_of(network, scale=1e30)
    with pytest.raises(NetworkError, match="go beyond float32"):
        flow_through(network, inputs, Formats(16))
