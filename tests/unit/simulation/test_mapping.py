"""Groups on the array: a dense matrix that is block-diagonal, built by hand."""

from itertools import pairwise

import numpy as np
import pytest
from network_model import draw_network
from network_model.matrix import codes_of
from numpy.testing import assert_array_equal

from accelsim.compression.layer import CompressedLayer
from accelsim.compression.sparse import append_column, sparse_codes
from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.decoders import decoder_of
from accelsim.hardware.interleave import interleave
from accelsim.network.graph import Convolution, FullyConnected, Step
from accelsim.simulation.mapping import array_rules, layer_on_array, layers_on_array


def layer_of(codes, bias_codes=None):
    sparse = sparse_codes(codes)
    if bias_codes is not None:
        sparse = append_column(sparse, bias_codes)
    return CompressedLayer(
        name="conv",
        n_out=codes.shape[0],
        n_in=codes.shape[1],
        activation="none",
        codebook=np.arange(8, dtype=np.float32),
        sparse=sparse,
        bias_coded=bias_codes is not None,
        bias=None,
        code_bits=3,
        index_bits=4,
        max_code_length=11,
    )


def step(**fields):
    return Step(name="s", op=Convolution(layer="conv", **fields), inputs=("x",))


def test_groups_make_a_block_diagonal_matrix():
    codes = np.array([[1, 2], [3, 0], [0, 4], [5, 6]], np.uint8)
    bias = np.array([7, 0, 1, 2], np.uint8)
    wide = layer_on_array(layer_of(codes, bias), step(kernel=(1, 2), groups=2))
    assert (wide.n_out, wide.n_in) == (4, 4)
    assert wide.dense_weights().tolist() == [
        [1, 2, 0, 0],
        [3, 0, 0, 0],
        [0, 0, 0, 4],
        [0, 0, 5, 6],
    ]
    assert wide.bias_values().tolist() == [7, 0, 1, 2]
    assert wide.n_kept == 6


def test_other_layers_stay_as_they_are():
    layer = layer_of(np.ones((2, 3), np.uint8))
    assert layer_on_array(layer, step(kernel=(1, 3))) is layer
    fc = Step(name="s", op=FullyConnected(layer="conv"), inputs=("x",))
    assert layer_on_array(layer, fc) is layer


@pytest.mark.parametrize("kind", ["grouped", "depthwise"])
@pytest.mark.parametrize("seed", range(12))
def test_random_groups(kind, seed):
    network = draw_network(seed, kind).network
    for layer in network.layers:
        op = network.graph.step_of(layer.name).op
        groups = getattr(op, "groups", 1)
        expected = np.zeros((layer.n_out, layer.n_in * groups + 1), np.float32)
        for row, by_column in enumerate(codes_of(layer)):
            first = row // (layer.n_out // groups) * layer.n_in
            for column, code in by_column.items():
                place = -1 if column == layer.n_in else first + column
                expected[row, place] = layer.codebook[code]
        wide = layers_on_array(network)[layer.name]
        assert_array_equal(wide.dense_weights(), expected[:, :-1])
        if layer.bias_coded:
            assert_array_equal(wide.bias_values(), expected[:, -1])
        pointers = wide.sparse.col_ptr
        for start, end in pairwise(pointers):
            assert (np.diff(wide.sparse.rows[start:end]) > 0).all()


def test_rules_of_the_array():
    layer = layer_of(np.ones((4, 3), np.uint8))
    machine = accelerator(
        "eie-64", pes=2, queue_depth=5, row_buffer_rows=3, sram_latency_cycles=2, shared_by=4
    )

    def rules(machine, layer):
        decoded = decoder_of(machine).decode(interleave(layer, 2, 4), machine)
        return array_rules(machine, layer, decoded)

    assert rules(machine, layer) == (5, 3, 2, 0, 3)  # only Huffman decoders are shared
    huffman = machine.replace(decoder="huffman", decoder_placement="shared")
    assert rules(huffman, layer).shared_by == 4
    coded = layer_of(np.ones((4, 3), np.uint8), np.ones(4, np.uint8))
    assert rules(huffman, coded).n_coded == 4
