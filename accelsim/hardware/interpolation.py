"""Between the points of a table: weights that are linear in the logarithm."""

import math
from bisect import bisect_left
from collections.abc import Sequence


def neighbours(points: Sequence[int], x: float) -> list[tuple[int, float]]:
    """The points on both sides of x, which are ascending, and their weights; x alone if it is one.

    Raises ValueError outside the points.
    """
    above = bisect_left(points, x)
    if above < len(points) and points[above] == x:
        return [(points[above], 1.0)]
    if above in (0, len(points)):
        raise ValueError(f"{x} is not within {points[0]} to {points[-1]}")
    low, high = points[above - 1], points[above]
    part = math.log(x / low) / math.log(high / low)
    return [(low, 1.0 - part), (high, part)]
