"""Where a curve of diminishing returns bends."""

import math
from collections.abc import Sequence

import numpy as np

KNEE_DEPTH = 0.03  # least distance from the chord, as a part of the unit square


def knee(x: Sequence[float], cycles: Sequence[float]) -> float | None:
    """Find the x where more of it stops to pay: the point farthest below the chord.

    Logarithms of both axes are scaled to [0, 1] over the points given; the knee is the point with
    the greatest distance to the straight line from the first to the last point (Satopää et al.,
    "Finding a 'Kneedle' in a Haystack", ICDCSW 2011, for a decreasing convex curve, not smoothed).
    So it depends on the range that was swept, and says nothing of what lies beyond it.

    x, cycles: positive numbers, in any order. None where there is no knee: fewer than three points,
    cycles that do not fall by 1%, or a curve that stays within KNEE_DEPTH of its chord.
    """
    order = np.argsort(np.asarray(x, dtype=float), kind="stable")
    ordered = np.asarray(x, dtype=float)[order]
    values = np.asarray(cycles, dtype=float)[order]
    if len(ordered) < 3 or ordered[0] <= 0 or values.min() <= 0 or values[0] < 1.01 * values[-1]:
        return None
    across = np.log(ordered / ordered[0]) / math.log(ordered[-1] / ordered[0])
    down = np.log(values[0] / values) / math.log(values[0] / values[-1])
    depth = down - across
    farthest = int(np.argmax(depth))
    return float(ordered[farthest]) if depth[farthest] > KNEE_DEPTH else None
