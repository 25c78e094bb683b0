from itertools import product

import numpy as np
import pytest

from accelsim.study.reproduce.rounding import Known, half_unit, mean_bounds


@pytest.mark.parametrize(
    ("texts", "half"),
    [
        (("4.4",), 0.05),
        (("12.70",), 0.005),
        (("8", "12.7"), 0.05),  # a column: the most places that are shown
        (("8",), 0.5),
        (("240",), 5),
        (("1070",), 5),
        (("240", "552"), 0.5),
        (("1200",), 50),
    ],
)
def test_half_of_the_last_place_that_is_shown(texts, half):
    assert half_unit(*texts) == pytest.approx(half)


def test_printed_numbers_reach_half_a_unit_to_either_side():
    assert Known.printed("3.1") == pytest.approx((3.1, 3.05, 3.15))
    assert Known.printed("8", "3.1") == pytest.approx((8, 7.95, 8.05))


def test_products_and_quotients_reach_as_far_as_their_corners():
    a, b = Known.printed("240"), Known.printed("6.9")
    corners = [x / y for x, y in product((235, 245), (6.85, 6.95))]
    assert a.over(b) == pytest.approx((240 / 6.9, min(corners), max(corners)))
    corners = [x * y for x, y in product((235, 245), (6.85, 6.95))]
    assert a.times(b) == pytest.approx((240 * 6.9, min(corners), max(corners)))


def test_numbers_agree_if_they_can_be_the_same():
    assert Known.printed("3.1").agrees(Known.printed("3.2"))  # both 3.15
    assert not Known.printed("3.1").agrees(Known.printed("3.3"))
    assert not Known.printed("3.3").agrees(Known.printed("3.1"))
    assert Known.exactly(4).agrees(Known(5, 0, 5))


def test_bounds_of_a_mean_are_the_extremes_over_all_corners():
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 7):
        values, least = rng.normal(size=n), rng.random(n) + 0.01
        most = least + rng.random(n)
        corners = [
            np.average(values, weights=np.where(np.array(of) == 1, most, least))
            for of in product((0, 1), repeat=n)
        ]
        assert mean_bounds(values, least, most) == pytest.approx((min(corners), max(corners)))
