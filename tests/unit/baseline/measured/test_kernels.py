import numpy as np
import pytest

from accelsim.baseline.measured.kernels import (
    TILE,
    Weights,
    codebook,
    dense_blas,
    one_element,
    sparse_csr,
)

MAKERS = pytest.mark.parametrize("maker", [dense_blas, sparse_csr, codebook])


def slow_product(layer, inputs):
    """Entry by entry, from the compressed form as documented."""
    result = np.zeros((layer.n_out, *inputs.shape[1:]))
    for column in range(layer.n_in):
        for i in range(layer.sparse.col_ptr[column], layer.sparse.col_ptr[column + 1]):
            weight = float(layer.codebook[layer.sparse.codes[i]])
            result[layer.sparse.rows[i]] += weight * inputs[column].astype(float)
    return result


@MAKERS
@pytest.mark.parametrize("columns", [1, 2, 64, 65, 150])
def test_products(maker, columns, make_layer):
    layer = make_layer("fc", 2 * TILE + 7, 30)
    rng = np.random.default_rng(1)
    shape = layer.n_in if columns == 1 else (layer.n_in, columns)
    inputs = np.maximum(rng.normal(size=shape), 0).astype(np.float32)
    kernel = maker(Weights(layer), inputs)
    for _ in range(2):  # nothing is left over from the run before
        result = kernel.read(kernel.run())
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, slow_product(layer, inputs), rtol=1e-4, atol=1e-4)


def test_sizes_in_memory(make_layer):
    layer = make_layer("fc", 300, 200)
    one, many = np.ones(300, np.float32), np.ones((300, 2), np.float32)
    weights, kept = Weights(layer), layer.n_kept
    assert dense_blas(weights, one).weight_bytes == 4 * 300 * 200
    assert sparse_csr(weights, one).weight_bytes == 8 * kept + 4 * 201
    # Entries of two bytes, pointers and 16 shared values of four.
    assert codebook(weights, one).weight_bytes == 2 * kept + 4 * 301 + 4 * 16
    assert codebook(weights, many).weight_bytes == 2 * kept + 2 * 4 * 201 + 4 * 16


@pytest.mark.parametrize(("n_out", "width"), [(4096, 2), (4097, 4)])
def test_an_entry_has_two_bytes_where_row_and_code_fit(n_out, width, make_layer):
    """Of 16 bits, 4 hold the code: the others count 4096 rows."""
    layer = make_layer("fc", 5, n_out)
    weights = Weights(layer)
    assert weights.columns.entries.itemsize == width
    assert weights.tiles.entries.itemsize == 2
    inputs = np.arange(5, dtype=np.float32)
    kernel = codebook(weights, inputs)
    np.testing.assert_allclose(kernel.run(), slow_product(layer, inputs), rtol=1e-5, atol=1e-5)


def test_columns_of_zero_activations_are_not_read(make_layer):
    """0 times infinity would be no number."""
    layer = make_layer("fc", 6, 30, density=1.0)
    layer.codebook[1:] = np.inf
    inputs = np.zeros(6, np.float32)
    assert (codebook(Weights(layer), inputs).run() == 0).all()
    inputs[3] = 1
    assert np.isposinf(codebook(Weights(layer), inputs).run()).all()


def test_a_coded_bias_is_no_weight(make_layer):
    from dataclasses import replace

    from accelsim.compression.sparse import append_column

    layer = make_layer("fc", 20, 10)
    sparse = append_column(layer.sparse, np.ones(10, np.uint8))
    with_bias = replace(layer, sparse=sparse, bias_coded=True)
    for inputs in (np.ones(20, np.float32), np.ones((20, 3), np.float32)):
        for maker in (dense_blas, sparse_csr, codebook):
            result = maker(Weights(with_bias), inputs).run()
            np.testing.assert_allclose(result, slow_product(layer, inputs), rtol=1e-5, atol=1e-5)


@MAKERS
def test_one_element(maker):
    assert maker(one_element(), np.full(1, 3, np.float32)).run().tolist() == [3.0]
