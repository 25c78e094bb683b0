"""A matrix times vectors: many side by side or few, the words and sums are those of plain loops."""

import numpy as np
import pytest
from network_model import most_frac_bits
from network_model.matrix import Matrix, codes_of
from network_model.words import cut
from numpy.testing import assert_array_equal

from accelsim.compression.layer import CompressedLayer
from accelsim.compression.sparse import append_column, sparse_codes
from accelsim.errors import NetworkError
from accelsim.simulation.multiply import LEAST_BLOCK, fixed_product, float_product
from accelsim.simulation.vectors import Rows


def make_layer(n_out, n_in, *, bias="none", scale=1.0, seed=0, density=0.5):
    rng = np.random.default_rng(seed)
    codes = rng.integers(1, 8, (n_out, n_in)) * (rng.random((n_out, n_in)) < density)
    sparse = sparse_codes(codes.astype(np.uint8))
    if bias == "coded":
        sparse = append_column(sparse, rng.integers(0, 8, n_out).astype(np.uint8))
    return CompressedLayer(
        name="fc",
        n_out=n_out,
        n_in=n_in,
        activation="none",
        codebook=np.append(0, rng.standard_normal(7) * scale).astype(np.float32),
        sparse=sparse,
        bias_coded=bias == "coded",
        bias=(rng.standard_normal(n_out) * scale).astype(np.float32) if bias == "exact" else None,
        code_bits=3,
        index_bits=4,
        max_code_length=11,
    )


def slow_fixed(layer, vectors, frac, to, bits):
    """Products [vectors, n_out] and saturated additions, in Python integers."""
    matrix, saturated = Matrix(layer, to, bits), 0

    def keep(value):
        nonlocal saturated
        saturated += cut(value, bits) != value
        return cut(value, bits)

    return [matrix.times(vector, frac, keep) for vector in vectors.tolist()], saturated


def slow_float(layer, vectors):
    """float32[vectors, n_out] and the largest partial sum: each product and each sum rounded."""
    rows, outputs, peak = codes_of(layer), [], np.float32(0)
    for vector in vectors:
        activations = [*vector, np.float32(1)] if layer.bias_coded else list(vector)
        sums = []
        for row, by_column in enumerate(rows):
            total = np.float32(0)
            for column in sorted(by_column):
                if activations[column] != 0:
                    total = total + layer.codebook[by_column[column]] * activations[column]
                    peak = max(peak, abs(total))
            if layer.bias is not None:
                total = total + layer.bias[row]
                peak = max(peak, abs(total))
            sums.append(total)
        outputs.append(sums)
    return outputs, peak


@pytest.mark.parametrize("bias", ["none", "coded", "exact"])
@pytest.mark.parametrize("n", [1, LEAST_BLOCK - 1, LEAST_BLOCK, 37])
def test_float_sums_are_rounded_one_by_one(bias, n):
    layer = make_layer(7, 13, bias=bias, seed=n)
    rng = np.random.default_rng(n)
    vectors = rng.standard_normal((n, 13)) * (rng.random((n, 13)) < 0.7)
    vectors = vectors.astype(np.float32)
    product = float_product(layer, Rows(vectors[None]), (n, 7))
    expected, peak = slow_float(layer, vectors)
    assert product.values.dtype == np.float32
    assert_array_equal(product.values[0], np.array(expected))
    assert product.peak == peak


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("bias", ["none", "coded", "exact"])
@pytest.mark.parametrize("n", [1, LEAST_BLOCK - 1, LEAST_BLOCK, 37])
def test_words_are_those_of_python_integers(bits, bias, n):
    """Shifts to the left and up to 30 places to the right; sums that saturate."""
    rng = np.random.default_rng([bits, n])
    largest = 2 ** (bits - 1)
    for seed, to in enumerate([0, 3, bits - 4, bits - 1, bits + 3, 30]):
        layer = make_layer(5, 11, bias=bias, seed=seed, scale=2.0 ** int(rng.integers(-3, 4)))
        frac = int(rng.integers(0, bits))
        vectors = rng.integers(-largest, largest, (n, 11)) * (rng.random((n, 11)) < 0.8)
        found = fixed_product(layer, Rows(vectors[None]), (n, 5), frac, to, bits)
        expected, saturated = slow_fixed(layer, vectors, frac, to, bits)
        assert found.raw[0].tolist() == expected, (frac, to)
        assert found[1:] == (to, saturated)


def test_the_largest_words_of_all():
    """Every product at its extreme, at the widest shifts that the fast loop takes."""
    for bits, frac in ((16, 15), (16, 16), (32, 30)):
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        layer = make_layer(3, 4, density=1.0, bias="coded" if frac < bits else "none")
        layer.codebook[1:] = np.where(np.arange(7) % 2, 1.0, -1.0) * 2.0**-4
        weight_frac = most_frac_bits(2.0**-4, bits)
        vectors = np.array([[low, high, low, high], [low] * 4, [high] * 4] * 4)
        for places in (0, 1, 29, 30, 31):
            to = frac + weight_frac - places
            found = fixed_product(layer, Rows(vectors[None]), (12, 3), frac, to, bits)
            expected, saturated = slow_fixed(layer, vectors, frac, to, bits)
            assert found.raw[0].tolist() == expected, (bits, places)
            assert found.saturated == saturated


def test_more_vectors_than_a_piece():
    layer = make_layer(4, 3, bias="coded")
    vectors = np.random.default_rng(3).integers(-99, 99, (1300, 3))
    found = fixed_product(layer, Rows(vectors.reshape(2, 650, 3)), (650, 4), 4, 6, 16)
    expected, saturated = slow_fixed(layer, vectors, 4, 6, 16)
    assert found.raw.reshape(1300, 4).tolist() == expected
    assert found.saturated == saturated
    floats = vectors.astype(np.float32) / 8
    product = float_product(layer, Rows(floats[None]), (1300, 4))
    assert_array_equal(product.values[0], np.array(slow_float(layer, floats)[0]))


def test_sums_beyond_float32_are_an_error():
    layer = make_layer(3, 4, density=1.0, scale=1e38)
    for n in (1, 20):
        with pytest.raises(NetworkError, match="layer 'fc': sums go beyond float32"):
            float_product(layer, Rows(np.full((1, n, 4), 100, np.float32)), (n, 3))


def test_formats_that_do_not_reach_each_other_are_an_error():
    layer = make_layer(3, 4, scale=2.0**40)
    with pytest.raises(NetworkError, match=r"layer 'fc': .*too far apart for 16-bit"):
        fixed_product(layer, Rows(np.ones((1, 1, 4), np.int64)), (1, 3), -15, 30, 16)


def test_inputs_without_room_for_one_are_an_error_for_a_coded_bias_only():
    vectors = Rows(np.ones((1, 1, 4), np.int64))
    with pytest.raises(NetworkError, match=r"layer 'fc': .*the bias's 1\.0"):
        fixed_product(make_layer(3, 4, bias="coded"), vectors, (1, 3), -1, 0, 16)
    fixed_product(make_layer(3, 4, bias="exact"), vectors, (1, 3), -1, 0, 16)
