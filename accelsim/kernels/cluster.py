"""One-dimensional k-means on sorted values: a Lloyd step is k binary searches on prefix sums."""

import numpy as np

from accelsim.kernels._jit import jit
from accelsim.kernels.types import Array


@jit
def _upper_bound(values: Array, limit: float) -> int:
    """Number of sorted values that are <= limit."""
    low, high = 0, values.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if values[middle] <= limit:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def lloyd(values: Array, prefix: Array, centroids: Array, max_iterations: int) -> int:
    """Lloyd's algorithm until no value changes its cluster.

    values: float32[n], sorted; prefix: float64[n + 1], prefix[i] = sum of values[:i];
    centroids: float64[k], ascending, updated. A cluster that gets no value keeps its centroid.
    A value midway between two centroids goes to the lower. Returns the number of iterations.
    """
    k = centroids.shape[0]
    ends = np.full(k, -1, dtype=np.int64)
    for iteration in range(max_iterations):
        changed = False
        start = 0
        for i in range(k):
            end = values.shape[0]
            if i + 1 < k:
                end = max(start, _upper_bound(values, 0.5 * (centroids[i] + centroids[i + 1])))
            changed |= end != ends[i]
            ends[i] = end
            start = end
        if not changed:
            return iteration
        start = 0
        for i in range(k):
            if ends[i] > start:
                mean = (prefix[ends[i]] - prefix[start]) / (ends[i] - start)
                # Sums far larger than the cluster's values cancel with an error: stay in its range.
                mean = max(mean, np.float64(values[start]))
                centroids[i] = min(mean, np.float64(values[ends[i] - 1]))
            start = ends[i]
    return max_iterations


@jit
def assign(values: Array, midpoints: Array, codes: Array) -> None:
    """Code of each value: 1 + number of midpoints below it.

    values: float32[n]; midpoints: float64[k - 1], ascending; codes: uint8[n], filled.
    """
    for i in range(values.shape[0]):
        value = np.float64(values[i])
        low, high = 0, midpoints.shape[0]
        while low < high:
            middle = (low + high) >> 1
            if midpoints[middle] < value:
                low = middle + 1
            else:
                high = middle
        codes[i] = np.uint8(low + 1)


@jit
def distinct_sorted(values: Array, distinct: Array) -> int:
    """Distinct values of a sorted array, up to the room in `distinct`.

    values: float32[n]; distinct: float32[m], filled. Returns their number, or m + 1 if more than m.
    """
    count = 0
    for i in range(values.shape[0]):
        if count == 0 or values[i] != distinct[count - 1]:
            if count == distinct.shape[0]:
                return count + 1
            distinct[count] = values[i]
            count += 1
    return count
