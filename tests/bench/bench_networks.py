"""Whole networks, exact: every layer's values, cycles and counters, one process, kernels compiled."""

import tracemalloc

import numpy as np
import pytest
from exact.layers import data_dir
from numpy.lib.stride_tricks import sliding_window_view

import accelsim
from accelsim.hardware.accelerator import accelerator
from accelsim.network.graph import Convolution
from accelsim.simulation.network import open_session
from bench.harness import compare

MACHINE = accelerator("eie-64", overflow="stream")
EXTRA_MEMORY = 2**30


def forward_pass(network):
    """The convolutions and products alone, dense, as patches times a matrix in BLAS."""
    work = []
    rng = np.random.default_rng(0)
    for layer in network.layers:
        step = network.flow.graph.step_of(layer.name)
        shape = network.flow.input_shape(step)
        weights, tensor = layer.dense_weights(), rng.random(shape, dtype=np.float32)
        work.append((weights, tensor, step.op if isinstance(step.op, Convolution) else None))
    return lambda: [product(*part) for part in work]


def product(weights, tensor, op):
    if op is None:
        return weights @ tensor
    top, left, bottom, right = op.padding
    padded = np.pad(tensor, [(0, 0), (top, bottom), (left, right)])
    windows = sliding_window_view(padded, op.kernel, axis=(1, 2))[
        :, :: op.stride[0], :: op.stride[1]
    ]
    channels = tensor.shape[0] // op.groups
    rows = weights.shape[0] // op.groups
    return [
        weights[g * rows : (g + 1) * rows]
        @ windows[g * channels : (g + 1) * channels]
        .transpose(0, 3, 4, 1, 2)
        .reshape(weights.shape[1], -1)
        for g in range(op.groups)
    ]


def run_whole(network, inputs):
    """From the network to the result, nothing kept from one run to the next."""
    return open_session(network, inputs, MACHINE).run(MACHINE)


def measured(name, network, inputs, least_ratio, rounds):
    ratio = compare(
        f"{name}, 64 PEs, all layers, exact",
        lambda: run_whole(network, inputs),
        forward_pass(network),
        baseline_name="dense float32 products of the same layers in BLAS",
        rounds=rounds,
    )
    assert ratio > least_ratio


def test_squeezenet_with_real_weights():
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA is not set and ../shared/data is absent: SqueezeNet is needed")
    network = accelsim.load(folder / "squeezenet" / "compressed_SqueezeNet.net")
    image = np.random.default_rng(0).normal(0, 60, (3, 227, 227)).astype(np.float32)
    measured("SqueezeNet, 227x227", network, image, 0.05, rounds=5)


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_shape_only_networks(name):
    measured(name, accelsim.compress(name), None, 0.05, rounds=3)


def test_memory_beside_the_network():
    network = accelsim.compress("vgg16")
    run_whole(accelsim.compress("alexnet"), None)  # compiles
    tracemalloc.start()
    run_whole(network, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"\nvgg16: extra memory at its peak {peak / 2**20:.0f} MiB")
    assert peak < EXTRA_MEMORY
