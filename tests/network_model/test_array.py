"""What the array does for a convolution, a sequence or a cell is what it does for each vector alone.

The vectors come from the slow model of values, their runs from the cycle-stepped machine.
"""

from collections import Counter

import numpy as np
import pytest
from exact.stepped import Layer, Machine, lay_out, simulate_stepped
from numpy.testing import assert_array_equal

from accelsim.hardware.accelerator import accelerator
from accelsim.network.graph import Convolution
from accelsim.simulation.session import Session
from network_model import all_tensors, draw_network, run_fixed
from network_model.matrix import codes_of

KINDS = (
    "convolution",
    "grouped",
    "depthwise",
    "pointwise",
    "convolution_1d",
    "lstm",
    "lstm_projection",
    "gru_before",
    "rnn_relu",
)
SUMS = {
    "cycles": lambda run: run.cycles,
    "array_cycles": lambda run: run.cycles,
    "broadcasts": lambda run: run.broadcasts,
    "stall_cycles": lambda run: run.stall_cycles,
    "pointer_reads": lambda run: run.pointer_reads,
    "sram_row_reads": lambda run: run.sram_row_reads,
    "entries": lambda run: run.entries.sum(),
    "padding_entries": lambda run: run.padding.sum(),
    "row_wait_cycles": lambda run: run.row_wait_cycles.sum(),
    "arbitration_cycles": lambda run: run.arbitration_cycles.sum(),
}
PER_PE = ("entries", "busy_cycles", "starved_cycles", "row_wait_cycles", "arbitration_cycles")


def dense_layer(layer, groups):
    """The layer as a dense matrix of codes, block-diagonal if it has groups."""
    codes = np.zeros((layer.n_out, layer.n_in * groups), dtype=np.uint8)
    bias = np.zeros(layer.n_out, dtype=np.uint8)
    rows_of_group = layer.n_out // groups
    for row, by_column in enumerate(codes_of(layer)):
        for column, code in by_column.items():
            if column == layer.n_in:
                bias[row] = code
            else:
                codes[row, row // rows_of_group * layer.n_in + column] = code
    return Layer(codes, layer.codebook, bias if layer.bias_coded else None, layer.bias)


def draw_machine(rng, code_bits):
    decoder = str(rng.choice(["fixed", "huffman", "dense"]))
    shared = decoder == "huffman" and rng.random() < 0.5
    return accelerator(
        "eie-64",
        pes=int(rng.integers(1, 9)),
        queue_depth=int(rng.integers(2, 6)),
        code_bits=code_bits,
        run_bits=int(rng.integers(1, 5)),
        row_bits=int(rng.choice([8, 11, 16, 64])),
        decoder=decoder,
        decoder_placement="shared" if shared else "inline",
        shared_by=int(rng.integers(1, 4)),
        row_buffer_rows=int(rng.integers(1, 3)),
        sram_latency_cycles=int(rng.choice([0, 0, 2])),
        overflow="grow",
    )


def twin_of(machine):
    fields = {
        name: getattr(machine, name) for name in Machine.__dataclass_fields__ if name != "word_bits"
    }
    return Machine(**fields, word_bits=machine.arithmetic_bits)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_the_sum_of_its_vectors_alone(kind, seed):
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    drawn = draw_network(seed + 50, kind, steps=2)
    network = drawn.network
    machine = draw_machine(rng, max(layer.code_bits for layer in network.layers))
    result = Session(network, drawn.inputs).run(machine)
    _, _, formats = all_tensors(network, drawn.inputs, 16, None)
    examples = len(next(iter(drawn.inputs.values())))
    runs = [
        run_fixed(network, {name: x[i] for name, x in drawn.inputs.items()}, formats, 16)
        for i in range(examples)
    ]
    twin = twin_of(machine)
    for layer, row, found in zip(network.layers, result.rows, result.layer_results, strict=True):
        op = network.graph.step_of(layer.name).op
        groups = op.groups if isinstance(op, Convolution) else 1
        dense = dense_layer(layer, groups)
        layout = lay_out(dense, twin)
        vectors = [vector for run in runs for vector in run.vectors[layer.name]]
        steps = [
            simulate_stepped(dense, np.array(vector, dtype=np.float32), twin, layout)
            for vector in vectors
        ]
        for count, of_run in SUMS.items():
            assert row[count] == sum(int(of_run(run)) for run in steps), count
        for count in PER_PE:
            assert_array_equal(found.pes[count], sum(getattr(run, count) for run in steps))
        assert row["vectors"] == len(vectors)
        assert row["activation_reads"] == sum(run.words_read[layer.name] for run in runs)
        assert row["activation_writes"] == layer.n_out * len(vectors)


def test_the_cases_have_edges_and_many_vectors():
    """Patches that reach beyond the image, several groups, several vectors per example."""
    seen = Counter()
    for kind in KINDS:
        for seed in range(3):
            drawn = draw_network(seed + 50, kind, steps=2)
            _, _, formats = all_tensors(drawn.network, drawn.inputs, 16, None)
            one = {name: x[0] for name, x in drawn.inputs.items()}
            run = run_fixed(drawn.network, one, formats, 16)
            for layer, vectors in run.vectors.items():
                op = drawn.network.graph.step_of(layer).op
                seen["edges"] += run.words_read[layer] < sum(map(len, vectors))
                seen["many"] += len(vectors) > 3
                seen["groups"] += getattr(op, "groups", 1) > 1
    assert min(seen.values()) >= 3
