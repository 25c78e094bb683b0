"""Times on platforms, against arithmetic by hand."""

import numpy as np
import pytest

from accelsim.baseline.platform import platform
from accelsim.baseline.roofline import estimated_times, matrix_product, nonzeros, products
from accelsim.compression.compressor import compress
from accelsim.compression.loading import load
from accelsim.errors import CapacityError, InputError
from accelsim.network.layers import Layer, Network
from accelsim.network.macs import dense_macs

PLAIN = """
label = "Plain"
type = "CPU"
[chip]
year = 2026
node_nm = 5
source = "made up"
status = "estimate"
[peak]
fp32_gop_per_s = 1000
source = "made up"
status = "estimate"
[memory]
capacity_gbyte = 1
bandwidth_gbyte_per_s = 100
source = "made up"
status = "estimate"
[cache]
capacity_mbyte = 1
source = "made up"
status = "estimate"
"""
KERNEL = """
[{name}]
overhead_us = {overhead_us}
bandwidth_gbyte_per_s = {bandwidth}
gop_per_s = {rate}
source = "made up"
status = "estimate"
[{name}.power]
batch_1_w = 10
batch_64_w = 20
source = "made up, too"
status = "estimate"
"""


@pytest.fixture
def plain(tmp_path):
    """50 GB/s and 100 Gop/s; CSR 20 GB/s and 10 Gop/s; 2 µs a call."""
    path = tmp_path / "plain.toml"
    dense = KERNEL.format(name="dense", overhead_us=2, bandwidth=50, rate=100)
    sparse = KERNEL.format(name="sparse", overhead_us=2, bandwidth=20, rate=10)
    path.write_text(PLAIN + dense + sparse, encoding="utf-8")
    return platform(path)


def one_layer(density=0.25, n_in=1000, n_out=500):
    layer = Layer("fc", n_out=n_out, n_in=n_in, weight_density=density, activation_density=1.0)
    return Network("net", (layer,))


def test_a_dense_product_by_hand():
    product = matrix_product("fc", 4, 3, None, 2)
    assert product.weight_bytes == 4 * 12
    assert product.activation_bytes == 4 * 2 * (4 + 3)
    assert product.n_ops == 2 * 12 * 2
    assert product.ops_per_byte == 48 / 104


def test_a_product_in_csr_by_hand():
    product = matrix_product("fc", 4, 3, 5, 2)
    assert product.weight_bytes == 5 * 4 + 5 * 4 + 4 * 4  # values, columns, row pointers
    assert product.n_ops == 2 * 5 * 2


def test_the_bytes_of_csr_are_scipys():
    from scipy.sparse import csr_array

    weights = np.zeros((30, 40), dtype=np.float32)
    weights[::3, ::5] = 1.0
    arrays = csr_array(weights)
    stored = arrays.data.nbytes + arrays.indices.nbytes + arrays.indptr.nbytes
    assert matrix_product("fc", 40, 30, int((weights != 0).sum()), 1).weight_bytes == stored


def test_one_layer_by_hand(plain):
    [dense] = estimated_times(one_layer(), plain)
    n_bytes = 4 * (500_000 + 1500)
    assert dense.latency_us == pytest.approx(2 + n_bytes / 50e3)
    assert dense.energy_uj == pytest.approx(10 * dense.latency_us)
    assert dense.system == "Plain, dense (model)"
    assert dense.kind == "estimate"

    [sparse] = estimated_times(one_layer(), plain, 1, "sparse")
    n_bytes = 8 * 125_000 + 4 * 501 + 4 * 1500
    assert sparse.latency_us == pytest.approx(2 + n_bytes / 20e3)


def test_a_batch_by_hand(plain):
    [row] = estimated_times(one_layer(), plain, 64)
    # 64 vectors are bound by arithmetic; what is told is one inference's part
    assert row.latency_us == pytest.approx((2 + 64 * 1_000_000 / 100e3) / 64)
    assert row.energy_uj == pytest.approx(20 * row.latency_us)


def test_what_binds_is_what_takes_longest(plain):
    assert matrix_product("fc", 1, 1, None, 1).bound(plain.dense) == "overhead"
    assert matrix_product("fc", 1000, 500, None, 1).bound(plain.dense) == "memory"
    assert matrix_product("fc", 1000, 500, None, 64).bound(plain.dense) == "arithmetic"


def test_remarks_say_what_the_numbers_are_worth(plain):
    [row] = estimated_times(one_layer(), plain)
    assert "error unknown: compared with no measurement" in row.note
    assert "cache" not in row.note  # 2 MB do not fit 1 MB
    [row] = estimated_times(one_layer(n_in=100), plain)
    assert "weights fit the 1 MB cache" in row.note
    [row] = estimated_times(one_layer(), "titan-x", 64)
    assert "fitted to published values" in row.note
    assert "expect a factor of 1.55 either way" in row.note
    assert "Table IV" in row.source
    assert "Table 9" in row.source


@pytest.mark.parametrize("kernel", ["dense", "sparse"])
@pytest.mark.parametrize("batch", [1, 64])
def test_published_layers_are_as_far_off_as_the_table_says(kernel, batch):
    published = {
        ("dense", 1): 541.5,  # Alex-6 on the Titan X, EIE, Table IV
        ("sparse", 1): 134.8,
        ("dense", 64): 19.8,
        ("sparse", 64): 94.6,
    }
    row = estimated_times(load("alexnet_fc"), "titan-x", batch, kernel)[0]
    factor = row.latency_us / published[kernel, batch]
    assert 1 / 1.5 < factor < 1.5


@pytest.mark.parametrize("name", ["squeezenet", "mobilenet_v1", "char-lstm-untrained", "lenet-5"])
def test_dense_operations_are_all_multiplications_of_the_network(name):
    network = load(name)
    macs = dense_macs(network)
    for product in products(network, 3, "dense"):
        assert product.calls * product.n_ops == 2 * 3 * macs[product.layer]


def test_the_patches_of_a_convolution_are_columns_of_one_product():
    network = load("squeezenet")
    first = products(network, 1, "dense")[0]
    step = network.flow.graph.step_of(first.layer)
    _, height, width = network.flow.shapes[step.name]
    layer = network.layers[0]
    assert (first.calls, first.vectors) == (1, height * width)
    assert first.weight_bytes == 4 * layer.n_in * layer.n_out
    assert first.activation_bytes == 4 * height * width * (layer.n_in + layer.n_out)


def test_a_depthwise_convolution_reads_the_patches_of_all_channels():
    network = load("mobilenet_v1")
    by_layer = {product.layer: product for product in products(network, 1, "dense")}
    grouped = [
        layer for layer in network.layers
        if getattr(network.flow.graph.step_of(layer.name).op, "groups", 1) > 1
    ]  # fmt: skip
    assert grouped
    for layer in grouped:
        product = by_layer[layer.name]
        channels = network.flow.graph.step_of(layer.name).op.groups
        numbers = product.vectors * (channels * layer.n_in + layer.n_out)
        assert product.activation_bytes == 4 * numbers


def test_a_cells_state_is_multiplied_step_by_step(plain):
    network = load("char-lstm-untrained")
    work = {product.layer: product for product in products(network, 2, "dense")}
    cells = [
        layer.name for layer in network.layers
        if network.flow.graph.step_of(layer.name).op.kind == "recurrent"
    ]  # fmt: skip
    assert cells
    rows = {row.layer: row for row in estimated_times(network, plain, 2)}
    for name in cells:
        steps = network.flow.shapes[network.flow.graph.step_of(name).name][0]
        assert (work[name].calls, work[name].vectors) == (steps, 2)
        assert rows[name].latency_us > steps * 2.0 / 2  # the overhead of every call
        assert f"of {steps} vectors, one after the other" in rows[name].note


def test_nonzeros_of_all_kinds_of_layers():
    weights = np.zeros((4, 5), dtype=np.float32)
    weights[1, 2] = weights[3, 3] = 2.0
    layer = Layer("fc", weights)
    assert nonzeros(layer) == 2
    assert nonzeros(compress(Network("net", (layer,))).layers[0]) == 2
    assert nonzeros(Layer("fc", n_out=40, n_in=50, weight_density=0.1)) == 200


def test_what_is_refused(plain):
    with pytest.raises(InputError, match="batch=0: give 1 or more"):
        estimated_times(one_layer(), plain, 0)
    with pytest.raises(InputError, match="kernel 'csr': use dense or sparse"):
        estimated_times(one_layer(), plain, 1, "csr")
    with pytest.raises(InputError, match="no such platform"):
        estimated_times(one_layer(), "abacus")
    big = one_layer(n_in=20_000, n_out=20_000)
    with pytest.raises(CapacityError, match=r"'net': 1\.6 GB of weights .* 1 GB of Plain"):
        estimated_times(big, plain)
    assert estimated_times(one_layer(0.1, 20_000, 20_000), plain, 1, "sparse")
