"""Operations of the vector unit where random networks seldom go: by hand, and at the ends of ranges."""

import math

import numpy as np
import pytest
from network_model.words import cut, nearest_even
from network_model.words import shifted as shifted_word

from accelsim.errors import NetworkError
from accelsim.network.graph import (
    Activate,
    Affine,
    Concatenate,
    Elementwise,
    Pad,
    Pool,
    Reduce,
)
from accelsim.simulation import vector_unit
from accelsim.simulation.arithmetic import Fixed, Formats, Value


def value(raw, frac, saturated=0):
    """One example of words, with the floats that they stand for."""
    raw = np.array([raw], dtype=np.int64)
    return Value((raw * 2.0**-frac).astype(np.float32), Fixed(raw, frac, saturated))


EXTREME = [0, 1, -1, 2**31 - 1, -(2**31), 2**30]


@pytest.mark.parametrize("function", ["add", "subtract", "multiply"])
@pytest.mark.parametrize(
    ("a", "b", "to"),
    [(0, 0, 30), (-2, -2, 30), (-2, -1, 30), (30, -2, 30), (30, 0, 15), (30, 30, 30), (30, 28, 2)],
)
def test_elementwise_at_the_ends_of_32_bits(function, a, b, to):
    one, other = (np.repeat(EXTREME, 6), a), (np.tile(EXTREME, 6), b)
    result = vector_unit.elementwise(
        Elementwise(function=function), [value(*one), value(*other)], "x", Formats(32, pinned=to)
    )
    expected = []
    for left, right in zip(one[0].tolist(), other[0].tolist(), strict=True):
        if function == "multiply":
            expected.append(shifted_word(left * right, a + b, to))
        else:
            sign = 1 if function == "add" else -1
            expected.append(shifted_word(left, a, to) + sign * shifted_word(right, b, to))
    assert result.fixed.raw[0].tolist() == [cut(number, 32) for number in expected]
    assert result.fixed.saturated == sum(cut(number, 32) != number for number in expected)


@pytest.mark.parametrize("to", [0, 30])
def test_scale_and_shift_at_the_ends_of_32_bits(to):
    constants = {
        "scale": np.array([1.99, -1.99, 3e5], np.float32),
        "shift": np.array([2e9, -2e9, 1], np.float32),
    }
    x = value([EXTREME] * 3, -1)
    op = Affine(scale="scale", shift="shift")
    result = vector_unit.affine(op, x, constants, "x", Formats(32, pinned=to))
    scale_frac = 31 - 19  # 3e5 < 2**19
    for channel in range(3):
        scale = nearest_even(constants["scale"][channel], scale_frac, 32)
        shift = nearest_even(constants["shift"][channel], to, 32)
        expected = [cut(shifted_word(x * scale, scale_frac - 1, to) + shift, 32) for x in EXTREME]
        assert result.fixed.raw[0, channel].tolist() == expected


def test_a_scale_may_be_wider_than_what_it_scales():
    """0.75 of 3 halves with one fraction bit: 1.125, which is 2 halves and a quarter: half up, 2."""
    constants = {"scale": np.array([0.75], np.float32), "shift": np.array([0], np.float32)}
    x = value([[3, -3]], 1)
    result = vector_unit.affine(
        Affine(scale="scale", shift="shift"), x, constants, "x", Formats(8, pinned=1)
    )
    assert result.fixed.raw.tolist() == [[[2, -2]]]


def test_means_round_half_up_below_zero_too():
    x = value([[1, 2, 0, -1, -2, 0, -3, 0]], 3)
    pooled = vector_unit.pool(Pool(mode="average", kernel=(1, 2), stride=(1, 2)), x)
    assert pooled.fixed.raw.tolist() == [[[2, 0, -1, -1]]]
    assert pooled.fixed.frac_bits == 3
    mean = vector_unit.reduce(
        Reduce(function="mean", axes=(1,)), value([[-1, 0], [1, 0]], 3), "x", Formats(16)
    )
    assert mean.fixed.raw.tolist() == [[[0], [1]]]


@pytest.mark.parametrize(("count_padding", "counts"), [(True, (2, 2, 1)), (False, (1, 2, 1))])
def test_a_window_that_sticks_out_counts_no_more_than_is_asked_for(count_padding, counts):
    """[8, 8, 8, 8] with one zero in front: windows (0 8), (8 8) and (8 beyond), by twos."""
    op = Pool(
        mode="average",
        kernel=(1, 2),
        stride=(1, 2),
        padding=(0, 1, 0, 0),
        ceil=True,
        count_padding=count_padding,
    )
    pooled = vector_unit.pool(op, value([[8, 8, 8, 8]], 0))
    sums = (8, 16, 8)
    expected = [total / n for total, n in zip(sums, counts, strict=True)]
    assert pooled.values[0, 0].tolist() == expected
    assert pooled.fixed.raw[0, 0].tolist() == expected


def test_a_window_that_would_begin_in_the_padding_behind_is_left_out():
    """One value, one zero on either side, windows of two by twos: a second one would see no value."""
    op = Pool(
        mode="average",
        kernel=(1, 2),
        stride=(1, 2),
        padding=(0, 1, 0, 1),
        ceil=True,
        count_padding=True,
    )
    assert vector_unit.pool(op, value([[8]], 0)).fixed.raw.tolist() == [[[4]]]


def test_the_largest_never_is_a_padded_place():
    op = Pool(mode="max", kernel=(2, 2), stride=(2, 2), padding=(1, 1, 1, 1))
    pooled = vector_unit.pool(op, value([[[-5, -7], [-6, -8]]], 2))
    assert pooled.fixed.raw.tolist() == [[[[-5, -7], [-6, -8]]]]
    assert pooled.values.tolist() == [[[[-1.25, -1.75], [-1.5, -2.0]]]]


def test_a_sum_over_an_axis_is_exact_before_it_is_shifted_and_saturates():
    x = value([[1, 1, 1], [127, 127, 127], [-128, -128, -1]], 1)
    summed = vector_unit.reduce(
        Reduce(function="sum", axes=(1,), keep=False), x, "x", Formats(8, pinned=0)
    )
    assert summed.fixed == Fixed(summed.fixed.raw, 0, 1)
    assert summed.fixed.raw.tolist() == [[2, 127, -128]]


def test_roots_below_zero_are_zero():
    x = value([-4, 0, 4, 9], 0)
    root = vector_unit.activate(Activate(function="sqrt"), x, "x", Formats(16, pinned=2))
    assert root.values.tolist() == [[0, 0, 2, 3]]
    assert root.fixed.raw.tolist() == [[0, 0, 8, 12]]


@pytest.mark.parametrize("x", [-1000.0, -40.0, 0.0, 40.0, 1000.0])
def test_sigmoid_far_out(x):
    expected = math.exp(x) if x < -30 else 1 / (1 + math.exp(-x)) if x < 700 else 1.0
    assert vector_unit.sigmoid(np.float64(x)) == pytest.approx(expected, abs=1e-16)


@pytest.mark.parametrize(
    "ran",
    [
        lambda x: vector_unit.activate(Activate(function="relu"), x, "x", Formats(16)),
        lambda x: vector_unit.reduce(Reduce(function="max", axes=(0,)), x, "x", Formats(16)),
        lambda x: vector_unit.reduce(Reduce(function="mean", axes=(0,)), x, "x", Formats(16)),
        lambda x: vector_unit.pool(Pool(mode="max", kernel=(1, 1)), x),
        lambda x: vector_unit.rearrange(Pad(before=(0, 1), after=(0, 0)), x),
        lambda x: vector_unit.concatenate(Concatenate(), [x, x], 16),
    ],
)
def test_what_saturated_before_does_not_count_again(ran):
    assert ran(value([[1, 2], [3, 4]], 2, saturated=7)).fixed.saturated == 0


def test_a_concatenation_takes_the_fewest_fraction_bits():
    joined = vector_unit.concatenate(Concatenate(), [value([3, -3, 5], 3), value([7], 1)], 16)
    assert joined.fixed == Fixed(joined.fixed.raw, 1, 0)
    assert joined.fixed.raw.tolist() == [[1, -1, 1, 7]]  # 0.75 halves up: 1; -0.75: -1
    assert joined.values.tolist() == [[0.375, -0.375, 0.625, 3.5]]


@pytest.mark.parametrize(
    "ran",
    [
        lambda x, formats: vector_unit.activate(Activate(function="square"), x, "s", formats),
        lambda x, formats: vector_unit.elementwise(
            Elementwise(function="multiply"), [x, x], "s", formats
        ),
        lambda x, formats: vector_unit.elementwise(
            Elementwise(function="add"), [x, x], "s", formats
        ),
        lambda x, formats: vector_unit.reduce(Reduce(function="sum", axes=(0,)), x, "s", formats),
        lambda x, formats: vector_unit.affine(
            Affine(scale="c", shift="c"), x, {"c": np.full(4, 1e3, np.float32)}, "s", formats
        ),
    ],
)
def test_values_beyond_float32_are_an_error_and_no_warning(ran):
    x = Value(np.full((1, 4), 3e38, np.float32), Fixed(np.full((1, 4), 2**15 - 1), -113))
    with pytest.raises(NetworkError, match="'s': values go beyond float32"):
        ran(x, Formats(16))


def test_softmax_of_large_values():
    values = np.array([[1e4, 1e4, -1e4], [0, 0, 0]], np.float32)
    found = vector_unit.softmax(values)
    np.testing.assert_allclose(found, [[0.5, 0.5, 0], [1 / 3] * 3], rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(vector_unit.softmax(values.T, 0), found.T, rtol=1e-6)
