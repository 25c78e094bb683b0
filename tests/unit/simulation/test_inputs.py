"""Inputs of a graph: by name of an input, a step or a layer, from arrays and files, or drawn."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import sparse_codes
from accelsim.errors import NetworkError
from accelsim.network.graph import Convolution, Elementwise, FullyConnected, Graph, Reshape, Step
from accelsim.simulation.inputs import DENSE, GIVEN, network_inputs


def ones(name, n_out, n_in):
    return CompressedLayer(
        name=name,
        n_out=n_out,
        n_in=n_in,
        activation="none",
        codebook=np.array([0, 1], dtype=np.float32),
        sparse=sparse_codes(np.ones((n_out, n_in), np.uint8)),
        bias_coded=False,
        bias=None,
        code_bits=1,
        index_bits=4,
        max_code_length=11,
    )


@pytest.fixture(scope="module")
def network():
    """An image [2, 3, 4] through a convolution and a layer, added to a vector of 5."""
    steps = (
        Step(name="see", op=Convolution(layer="conv", kernel=(1, 1)), inputs=("image",)),
        Step(name="flat", op=Reshape(shape=(12,)), inputs=("see",)),
        Step(name="think", op=FullyConnected(layer="fc"), inputs=("flat",)),
        Step(name="sum", op=Elementwise(function="add"), inputs=("think", "vector")),
    )
    graph = Graph(inputs={"image": (2, 3, 4), "vector": (5,)}, steps=steps, outputs=("sum",))
    return CompressedNetwork("net", (ones("conv", 1, 2), ones("fc", 5, 12)), graph=graph)


IMAGE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
VECTOR = np.arange(5, dtype=np.float32)


def given(network, activations):
    return network_inputs(network, activations, seed=0)


def test_inputs_by_name(network):
    inputs = given(network, {"image": IMAGE, "vector": VECTOR})
    assert inputs.single
    assert inputs.given.keys() == {"image", "vector"}
    assert_array_equal(inputs.given["image"], IMAGE[None])
    assert_array_equal(inputs.given["vector"], VECTOR[None])
    assert set(inputs.origin.values()) == {GIVEN}
    assert inputs.notes == ()


def test_an_array_is_the_first_input_and_the_others_are_drawn(network):
    for activations in (IMAGE, {"inputs": IMAGE}, {"image": IMAGE}):
        inputs = given(network, activations)
        assert_array_equal(inputs.given["image"], IMAGE[None])
        assert inputs.origin == {"image": GIVEN, "vector": DENSE}
        assert (inputs.given["vector"] != 0).all()
        assert inputs.notes == ("input 'vector' was not given, so a dense one was drawn (seed 0)",)


def test_what_is_drawn_is_the_same_for_all_examples(network):
    inputs = given(network, np.stack([IMAGE, 2 * IMAGE, 3 * IMAGE]))
    assert not inputs.single
    vector = inputs.given["vector"]
    assert vector.shape == (3, 5)
    assert_array_equal(vector, np.tile(vector[:1], (3, 1)))
    again = network_inputs(network, IMAGE, seed=0).given["vector"]
    assert_array_equal(vector[:1], again)
    assert (network_inputs(network, IMAGE, seed=1).given["vector"] != again).any()


@pytest.mark.parametrize("name", ["think", "fc"])
def test_a_step_is_named_by_itself_or_by_its_layer(network, name):
    """The image is drawn all the same, for the step before it."""
    inputs = given(network, {name: np.ones(12), "vector": VECTOR})
    assert inputs.given["think"].shape == (1, 12)
    assert inputs.origin == {"think": GIVEN, "vector": GIVEN, "image": DENSE}


def test_a_step_that_is_given_needs_no_input(network):
    inputs = given(network, {"see": IMAGE, "vector": VECTOR})
    assert inputs.given.keys() == {"see", "vector"}


def test_a_file_gives_inputs_by_name(network, tmp_path):
    path = tmp_path / "trace.npz"
    np.savez(path, image=IMAGE, vector=VECTOR, remark=np.zeros(1))
    inputs = given(network, path)
    assert_array_equal(inputs.given["image"], IMAGE[None])
    assert_array_equal(inputs.given["vector"], VECTOR[None])
    np.save(tmp_path / "image.npy", IMAGE)
    assert_array_equal(given(network, tmp_path / "image.npy").given["image"], IMAGE[None])


@pytest.mark.parametrize(
    ("activations", "message"),
    [
        ({"picture": IMAGE}, "activations for 'picture': no such layer"),
        (
            IMAGE[0],
            r"activations of input 'image' have shape \(3, 4\): give \[2, 3, 4\] or \[batch",
        ),
        (IMAGE > 0, "^array of activations of input 'image': has type bool: give real numbers$"),
        (IMAGE[None, None], r"have shape \(1, 1, 2, 3, 4\)"),
        (np.full((2, 3, 4), np.nan), "image"),
        ({"image": np.stack([IMAGE] * 2), "vector": np.stack([VECTOR] * 3)}, "batches differ"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(network, activations, message):
    with pytest.raises(NetworkError, match=message) as error:
        given(network, activations)
    assert "\n" not in str(error.value)
