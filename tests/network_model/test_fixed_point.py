"""The simulator's words against Python integers: every step of random networks, bit for bit."""

from collections import Counter
from itertools import cycle, islice

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from accelsim.hardware.accelerator import accelerator
from accelsim.simulation.session import Session
from network_model import KINDS, all_tensors, draw_network, run_fixed

# Words and, where it is pinned, their fraction bits: pinned ones saturate a lot, or vanish.
ARITHMETICS = [
    (16, None),
    (8, None),
    (32, None),
    (16, 6),
    (16, 12),
    (32, 30),
    (8, 3),
    (16, 0),
    (32, 4),
]
SEEDS = range(9)


def twins(drawn, formats, bits):
    """The slow model's run of each example."""
    examples = len(next(iter(drawn.inputs.values())))
    return [
        run_fixed(
            drawn.network,
            {name: values[example] for name, values in drawn.inputs.items()},
            formats,
            bits,
        )
        for example in range(examples)
    ]


def raw_of(runs, name):
    return np.array([run.tensors[name].raw for run in runs]).astype(np.int64)


def saturated_in(runs):
    total = Counter()
    for run in runs:
        total.update(run.saturated)
    return {name: count for name, count in total.items() if count}


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_is_that_of_python_integers(kind):
    for seed, (bits, pinned) in zip(SEEDS, ARITHMETICS, strict=True):
        drawn = draw_network(seed, kind)
        values, flow, formats = all_tensors(drawn.network, drawn.inputs, bits, pinned)
        runs = twins(drawn, formats, bits)
        for step in drawn.network.graph.steps:
            context = f"{kind}, seed {seed}, {bits} bits, {pinned}: {step}"
            fixed = values[step.name].fixed
            assert fixed.frac_bits == runs[0].tensors[step.name].frac, context
            assert_array_equal(fixed.raw, raw_of(runs, step.name), context)
        found = {name: layer.saturated for name, layer in flow.layers.items() if layer.saturated}
        for step in drawn.network.graph.steps:
            if step.name in flow.saturated and step.op.kind != "softmax":  # that is the host's
                found[step.name] = flow.saturated[step.name]
        assert found == saturated_in(runs), f"{kind}, seed {seed}"


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_those_of_python_integers_on_any_array(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    drawn = draw_network(100, kind)
    bits, pinned = ARITHMETICS[int(rng.integers(len(ARITHMETICS)))]
    machine = accelerator(
        "eie-64",
        pes=int(rng.integers(1, 20)),
        decoder=str(rng.choice(["fixed", "huffman", "dense"])),
        arithmetic_bits=bits,
        activation_frac_bits=pinned,
        overflow="grow",
    )
    result = Session(drawn.network, drawn.inputs).run(machine)
    _, _, formats = all_tensors(drawn.network, drawn.inputs, bits, pinned)
    runs = twins(drawn, formats, bits)
    last = drawn.network.graph.outputs[-1]
    assert_array_equal(result.outputs_fixed.raw, raw_of(runs, last))
    assert result.outputs_fixed.frac_bits == runs[0].tensors[last].frac
    saturated = saturated_in(runs)
    for row in result.rows:
        assert row["saturated_additions"] == saturated.get(row["name"], 0)
        assert row["output_frac_bits"] == formats[row["name"]]


def test_the_networks_cover_every_operation_many_times():
    """Each kind leads as many networks as there are seeds; this counts what else is in them."""
    drawn = [draw_network(seed, kind) for kind in KINDS for seed in SEEDS]
    kinds = Counter(kind for one in drawn for kind in one.kinds)
    assert min(kinds[kind] for kind in KINDS) >= len(SEEDS)
    readers = [
        Counter(name for step in one.network.graph.steps for name in step.inputs) for one in drawn
    ]
    assert sum(max(count.values()) > 1 for count in readers) > len(drawn) // 4  # branches
    assert sum(len(one.network.graph.outputs) > 1 for one in drawn) > len(drawn) // 4


def test_saturation_and_empty_formats_are_among_the_cases():
    networks = islice(cycle(KINDS), 30)
    saturated = vanished = 0
    for seed, kind in enumerate(networks):
        drawn = draw_network(seed, kind)
        _, flow, _ = all_tensors(drawn.network, drawn.inputs, 16, 14)
        cut = any(layer.saturated for layer in flow.layers.values()) or flow.saturated
        saturated += bool(cut)
        _, flow, _ = all_tensors(drawn.network, drawn.inputs, 8, 0)
        vanished += any(layer.vanished for layer in flow.layers.values())
    assert saturated >= 5
    assert vanished >= 5
