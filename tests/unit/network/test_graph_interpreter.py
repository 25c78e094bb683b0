"""The interpreter where ONNX, against which it is tested otherwise, has nothing of the kind."""

import numpy as np
import pytest
from unit.network.graph_interpreter import evaluate

from accelsim.network.graph import FullyConnected, Graph, Recurrent, Step
from accelsim.network.layers import Layer, Network


def network(time, layers, op, *, n_in=3):
    steps = (
        Step(name="gates", op=FullyConnected(layer=layers[0].name), inputs=("x",)),
        Step(name="cell", op=op, inputs=("gates",)),
    )
    graph = Graph(inputs={"x": (time, n_in)}, steps=steps, outputs=("cell",))
    return Network("n", tuple(layers), graph=graph)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_quasi_recurrent_cell_with_constant_gates(reverse):
    """c = f*c + (1 - f)*z with constant f and z has the closed form z * (1 - f**t)."""
    bias = np.float32([0.7, -1.2, 0.3])
    layer = Layer("on_x", np.zeros((3, 3), np.float32), bias)
    op = Recurrent(cell="qrnn", hidden=1, reverse=reverse)
    x = np.random.default_rng(0).standard_normal((5, 3))
    z, f, o = np.tanh(0.7), 1 / (1 + np.exp(1.2)), 1 / (1 + np.exp(-0.3))
    expected = o * z * (1 - f ** np.arange(1, 6))
    found = evaluate(network(5, [layer], op), {"x": x})["cell"][:, 0]
    np.testing.assert_allclose(found[::-1] if reverse else found, expected, rtol=1e-6)


def test_an_lstm_that_projects_its_state_is_that_of_torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    cell = torch.nn.LSTM(3, 5, proj_size=2).double()
    on_x, on_h, b_x, b_h, project = (part.detach().numpy() for part in cell.parameters())
    layers = [Layer("on_x", on_x, b_x + b_h), Layer("h", on_h), Layer("project", project)]
    op = Recurrent(cell="lstm", hidden=5, matrices=("h", "project"))
    x = np.random.default_rng(0).standard_normal((6, 3))
    expected, _ = cell(torch.from_numpy(x))
    found = evaluate(network(6, layers, op), {"x": x})["cell"]
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
