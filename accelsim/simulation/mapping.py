"""How a layer's matrix lies on the array: that of a grouped convolution as a block-diagonal one."""

from dataclasses import replace

import numpy as np

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import SparseCodes, column_pointers
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders import DecodedLayer
from accelsim.network.graph import Convolution, Step
from accelsim.simulation.pe_array import Rules


def layers_on_array(network: CompressedNetwork) -> dict[str, CompressedLayer]:
    """All layers by name, as the array computes them."""
    graph = network.flow.graph
    return {
        layer.name: layer_on_array(layer, graph.step_of(layer.name)) for layer in network.layers
    }


def layer_on_array(layer: CompressedLayer, step: Step) -> CompressedLayer:
    """The layer as the array computes it: a column for each value of a patch of all channels.

    Each group of a grouped convolution has rows and columns of its own; everything else is zero, and
    costs nothing but padding entries where a PE's first row of a group is far down.
    """
    op = step.op
    if not isinstance(op, Convolution) or op.groups == 1:
        return layer
    sparse, n_in = layer.sparse, layer.n_in
    n_cols = n_in * op.groups
    column = np.repeat(np.arange(sparse.col_ptr.size - 1), np.diff(sparse.col_ptr))
    group = sparse.rows // (layer.n_out // op.groups)
    spread = np.where(column < n_in, group * n_in + column, n_cols)  # a coded bias stays the last
    order = np.argsort(spread, kind="stable")
    counts = np.bincount(spread, minlength=n_cols + int(layer.bias_coded))
    wide = SparseCodes(column_pointers(counts), sparse.rows[order], sparse.codes[order])
    return replace(layer, n_in=n_cols, sparse=wide)


def array_rules(machine: Accelerator, layer: CompressedLayer, decoded: DecodedLayer) -> Rules:
    """What the machine adds to the layer's plan: queues, row buffer, shared decoders."""
    shared = machine.decoder == "huffman" and machine.decoder_placement == "shared"
    exact_bias = layer.bias is not None
    return Rules(
        queue_depth=machine.queue_depth,
        row_buffer_rows=machine.row_buffer_rows,
        sram_latency=machine.sram_latency_cycles,
        shared_by=machine.shared_by if shared else 0,
        n_coded=len(decoded.plan.entries) - int(exact_bias),
    )
