"""The published simulator's numbers, met through the public way: a file, `load`, `simulate`."""

import numpy as np
import pytest

from accelsim.compression.layer import CompressedNetwork
from accelsim.compression.loading import load
from accelsim.network.layers import Network
from accelsim.simulation.network import simulate
from accelsim.simulation.result import Result
from exact.layers import ReferenceRow, alexnet_fc8, data_dir, layer_of, reference_rows
from exact.stepped import fixed_point_output

ROWS = reference_rows()
SYNTHETIC_ROWS = [row for row in ROWS if row.recipe is not None]
FC8_ROWS = [row for row in ROWS if row.recipe is None]
ENTRY_BITS = 8


@pytest.fixture(scope="module")
def fc8():
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no alexnet_fc8.npz")
    return load(folder / "alexnet_fc8.npz")


def run(network: CompressedNetwork | Network, row: ReferenceRow) -> Result:
    return simulate(
        network,
        "eie-64",
        pes=row.pes,
        queue_depth=row.queue_depth,
        row_bits=ENTRY_BITS * row.row_entries,
        overflow="grow",
    )


def assert_meets(result: Result, row: ReferenceRow) -> None:
    (got,) = result.rows
    assert got["cycles"] == row.cycles
    assert got["pointer_reads"] == row.pointer_reads
    assert got["sram_row_reads"] == row.sram_row_reads
    assert got["utilization_frac"] == pytest.approx(row.utilization_frac, rel=0, abs=1e-6)


def coded_network(row: ReferenceRow, folder) -> CompressedNetwork:
    layer = layer_of(row)
    path = folder / "layer.npz"
    np.savez(
        path,
        codes=layer.codes,
        bias_codes=layer.bias_codes,
        codebook=layer.codebook,
        activations=layer.activations,
    )
    network = load(path)
    assert isinstance(network, CompressedNetwork)
    return network


def dense_network(row: ReferenceRow, folder) -> Network:
    layer = layer_of(row)
    path = folder / "dense.npz"
    np.savez(
        path,
        weights=layer.codebook[layer.codes],
        bias=layer.codebook[layer.bias_codes],
        activations=layer.activations,
    )
    network = load(path)
    assert isinstance(network, Network)
    return network


@pytest.mark.parametrize("row", FC8_ROWS, ids=lambda row: row.name)
def test_alexnet_fc8_meets_published_simulator(fc8, row):
    assert_meets(run(fc8, row), row)


@pytest.mark.parametrize("row", SYNTHETIC_ROWS, ids=lambda row: row.name)
def test_synthetic_layer_meets_published_simulator(tmp_path, row):
    assert_meets(run(coded_network(row, tmp_path), row), row)


@pytest.mark.parametrize("row", SYNTHETIC_ROWS, ids=lambda row: row.name)
def test_dense_file_of_few_values_gives_the_same_counters(tmp_path, row):
    from_codes = run(coded_network(row, tmp_path), row)
    from_dense = run(dense_network(row, tmp_path), row)
    assert_meets(from_dense, row)
    expected = {name: value for name, value in from_codes.rows[0].items() if name != "name"}
    got = {name: value for name, value in from_dense.rows[0].items() if name != "name"}
    assert got == expected
    for name, values in from_codes.layer_results[0].pes.items():
        np.testing.assert_array_equal(from_dense.layer_results[0].pes[name], values)
    np.testing.assert_array_equal(from_dense.outputs, from_codes.outputs)
    np.testing.assert_array_equal(from_dense.outputs_fixed.raw, from_codes.outputs_fixed.raw)


def test_alexnet_fc8_computes_the_published_output(fc8):
    result = simulate(fc8, "eie-64")
    with np.load(data_dir() / "alexnet_fc8.npz") as arrays:
        published = arrays["output"]
    np.testing.assert_allclose(result.outputs, published, rtol=0, atol=1e-4)


def test_alexnet_fc8_in_fixed_point_is_the_stepped_models(fc8):
    result = simulate(fc8, "eie-64")
    layer = alexnet_fc8()
    act_frac, weight_frac = (most_frac_bits(v) for v in (layer.activations, layer.codebook))
    out_frac = result.outputs_fixed.frac_bits
    assert result.outputs_fixed.raw.tolist() == fixed_point_output(
        layer.codes,
        layer.bias_codes,
        None,
        layer.codebook,
        layer.activations,
        act_frac,
        weight_frac,
        out_frac,
    )
    assert result.rows[0]["saturated_additions"] == 0


def most_frac_bits(values):
    """Most fraction bits with which the largest magnitude fits 16 bits."""
    frac = 30
    while np.rint(float(np.abs(values).max()) * 2.0**frac) > 2**15 - 1:
        frac -= 1
    return frac


def test_dense_activations_are_a_free_choice(fc8):
    """With every input active the array broadcasts each column, so only the pointers grow."""
    result = simulate(fc8, "eie-64", np.ones(4096, dtype=np.float32))
    assert result.rows[0]["pointer_reads"] == 64 * 4097
