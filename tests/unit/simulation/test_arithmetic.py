"""Fixed point against Python integers, at the ends of every range."""

import numpy as np
import pytest
from network_model import most_frac_bits
from network_model.words import cut, highest, lowest, nearest_even
from network_model.words import shifted as shifted_word
from numpy.testing import assert_array_equal

from accelsim.errors import NetworkError
from accelsim.simulation.arithmetic import (
    Fixed,
    Formats,
    frac_bits_for,
    limits,
    magnitude,
    quantize,
    saturate,
    shifted,
)

RAW = np.array(
    [0, 1, -1, 2, -2, 3, -3, 2**30, -(2**30), 2**31 - 1, -(2**31), 2**62, -(2**62), 2**61 + 1]
)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_the_most_fraction_bits_that_leave_room(bits):
    rng = np.random.default_rng(bits)
    sizes = np.exp2(rng.uniform(-40, 40, 300))
    powers = 2.0 ** np.arange(-35, 40)
    for largest in [0.0, *sizes, *powers, *powers * (1 - 2**-24), *powers * (1 - 2.0**-bits)]:
        assert frac_bits_for(float(largest), bits) == most_frac_bits(largest, bits), largest


def test_fraction_bits_by_hand():
    # 1.0 needs a bit before the point; the largest word of 16 bits is 1.99994 with 14 behind it.
    assert [frac_bits_for(x, 16) for x in (0.99997, 0.99999, 1.0, 1.99996, 1.99998)] == [
        15,
        14,
        14,
        14,
        13,
    ]
    assert frac_bits_for(127, 8) == 0
    assert frac_bits_for(128, 8) == -1
    assert frac_bits_for(1e-9, 32) == 30
    assert [frac_bits_for(0.0, bits) for bits in (8, 16, 32)] == [7, 15, 31]


@pytest.mark.parametrize("places", [*range(-70, 71, 7), -1, 0, 1, 61, 62, 63, 64, -61, -62, -63])
def test_shifting_rounds_half_up_and_is_exact_to_the_left(places):
    for raw, found in zip(RAW, shifted(RAW, places), strict=True):
        exact = shifted_word(int(raw), 0, -places)
        # Beyond what a word can hold only the sign matters: it saturates.
        assert cut(int(found), 32) == cut(exact, 32), (raw, places)
        assert found == exact or abs(exact) > 2**60


def test_two_shifted_operands_can_be_added_without_overflow():
    for places in range(-64, 1):
        for raw in (2**31 - 1, -(2**31)):
            total = shifted(np.array([raw]), places) * 2
            assert np.sign(total[0]) == np.sign(raw)


def test_halves_go_up():
    assert_array_equal(shifted(np.array([-3, -2, -1, 1, 2, 3]), 1), [-1, -1, 0, 1, 1, 2])


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("frac", [-5, 0, 7, 15, 30])
def test_quantizing_rounds_half_to_even_and_saturates(bits, frac):
    rng = np.random.default_rng(frac + 5)
    halves = (rng.integers(-(2**7), 2**7, 50) + 0.5) * 2.0**-frac
    values = np.concatenate([halves, rng.standard_normal(50), [0.0, 1e30, -1e30]])
    values = values.astype(np.float32)
    expected = [nearest_even(value, frac, bits) for value in values]
    assert quantize(values, frac, bits).tolist() == expected


def test_saturation_is_counted():
    fixed = saturate(np.array([[127, 128], [-128, -129]]), 3, 8)
    assert fixed.raw.tolist() == [[127, 127], [-128, -128]]
    assert fixed[1:] == (3, 2)
    assert limits(8) == (lowest(8), highest(8)) == (-128, 127)


def test_words_as_floats():
    assert Fixed(np.array([3, -8]), 2).to_float().tolist() == [0.75, -2.0]
    assert Fixed(np.array([3]), -2).to_float().dtype == np.float32
    assert magnitude(np.array([-3.0, 2.0])) == 3.0
    assert magnitude(np.zeros(0)) == 0.0


def test_formats_are_pinned_or_known_or_as_large_as_can_be():
    free = Formats(16)
    assert (free.of("a", 1.0), free.of_input("x", 3.0)) == (14, 13)
    assert free.chosen == {"a": 14, "x": 13}
    assert free.peaks == {"a": 1.0, "x": 3.0}
    pinned = Formats(16, pinned=5)
    assert (pinned.of("a", 1.0), pinned.of_input("x", 3.0)) == (5, 13)  # what comes from outside
    known = Formats(16, pinned=5, known={"a": 2, "x": 3})
    assert (known.of("a", 1.0), known.of_input("x", 3.0), known.of("b", 1.0)) == (2, 3, 5)


@pytest.mark.parametrize("peak", [float("inf"), float("nan")])
def test_values_beyond_float32_have_no_format(peak):
    with pytest.raises(NetworkError, match="'square': values go beyond float32"):
        Formats(16).of("square", peak)
