"""The float32 run against ONNX Runtime, and the formats that are chosen from it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from accelsim.hardware.accelerator import accelerator
from accelsim.simulation.session import Session
from network_model import KINDS, all_tensors, draw_network, expected_formats, run_onnx

ARITHMETICS = [(16, None), (8, None), (32, None), (16, 9)]


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_onnx_runtime_and_formats_follow(kind):
    for seed, (bits, pinned) in enumerate(ARITHMETICS):
        drawn = draw_network(seed, kind, smooth=True)
        values, _, formats = all_tensors(drawn.network, drawn.inputs, bits, pinned)
        reference = run_onnx(drawn.network, drawn.inputs)
        for name, expected in reference.items():
            ours = values[name].values
            assert ours.dtype == np.float32
            assert_allclose(ours, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max() + 1e-6)
        tensors = reference | drawn.inputs
        allowed = expected_formats(drawn.network, tensors, bits, pinned)
        assert formats.keys() == allowed.keys()
        for name, frac_bits in formats.items():
            assert frac_bits in allowed[name], f"{kind}, seed {seed}: {name}"


def test_outputs_of_a_run_are_those_of_its_last_output():
    drawn = draw_network(3, "convolution", smooth=True)
    result = Session(drawn.network, drawn.inputs).run(accelerator("eie-64", overflow="grow"))
    expected = run_onnx(drawn.network, drawn.inputs)[drawn.network.graph.outputs[-1]]
    assert_allclose(result.outputs, expected, rtol=1e-4, atol=1e-5)
