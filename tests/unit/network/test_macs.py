"""Dense multiplications: by a loop over places, and the totals that papers and tools state."""

import itertools
import math

import numpy as np
import pytest

from accelsim.compression.compressor import compress
from accelsim.network.graph import Convolution, FullyConnected, Graph, Recurrent, Step
from accelsim.network.importers import load_network
from accelsim.network.layers import Layer, Network
from accelsim.network.macs import dense_macs

RNG = np.random.default_rng(0)


def test_a_small_network_by_counting():
    """Each output value of a convolution takes one multiplication per weight of its row."""
    layers = (
        Layer("conv", RNG.standard_normal((4, 2 * 3 * 3)).astype(np.float32)),
        Layer("in", RNG.standard_normal((8, 7)).astype(np.float32)),
        Layer("state", RNG.standard_normal((8, 2)).astype(np.float32)),
    )
    conv = Convolution(layer="conv", kernel=(3, 3), stride=(2, 1), padding=(1, 1, 1, 1), groups=2)
    graph = Graph(
        inputs={"image": (4, 9, 5), "sequence": (6, 7)},
        steps=(
            Step(name="c", op=conv, inputs=("image",)),
            Step(name="g", op=FullyConnected(layer="in"), inputs=("sequence",)),
            Step(
                name="r",
                op=Recurrent(cell="lstm", hidden=2, matrices=("state",)),
                inputs=("g",),
            ),
        ),
        outputs=("c", "r"),
    )
    network = Network("x", layers, graph=graph)
    rows, columns = range(0, 9 + 2 - 2, 2), range(0, 5 + 2 - 2)
    counted = sum(18 for _ in itertools.product(range(4), rows, columns))
    wanted = {"conv": counted, "in": 6 * 8 * 7, "state": 6 * 8 * 2}
    assert dense_macs(network) == wanted
    assert dense_macs(compress(network)) == wanted


def test_fully_connected_layers_multiply_once_per_weight():
    network = load_network("alexnet_fc")
    assert list(dense_macs(network).values()) == [one.n_weights for one in network.layers]


@pytest.mark.parametrize(
    ("name", "macs", "weights", "accuracy"),
    [
        # Krizhevsky et al. state 60 million parameters; with groups, 724 million multiplications
        # (Sze et al., "Efficient Processing of Deep Neural Networks", Proc. IEEE 2017, Table II).
        ("alexnet", 724e6, 61e6, 1e-3),
        # The same table: 15.5 G and 138 M.
        ("vgg16", 15.47e9, 138e6, 3e-3),
        # Howard et al., MobileNets, Table 4: 569 million and 4.2 million.
        ("mobilenet_v1", 569e6, 4.2e6, 3e-3),
    ],
)
def test_the_totals_are_those_that_were_published(name, macs, weights, accuracy):
    network = load_network(name)
    assert sum(dense_macs(network).values()) == pytest.approx(macs, rel=accuracy)
    assert sum(one.n_weights for one in network.layers) == pytest.approx(weights, rel=accuracy)


def test_alexnets_layers_by_their_formula():
    """Channels out × kernel × channels in of a group × places."""
    shapes = {"conv1": (96, 11, 3, 55), "conv2": (256, 5, 48, 27), "conv3": (384, 3, 256, 13)}
    shapes |= {"conv4": (384, 3, 192, 13), "conv5": (256, 3, 192, 13)}
    found = dense_macs(load_network("alexnet"))
    for name, (out, kernel, channels, places) in shapes.items():
        assert found[name] == out * math.prod((kernel, kernel, channels, places, places))
