"""Which weights stay when a layer is pruned: single ones, n of m, or whole groups.

Masks are bool[n_out, n_in], True where a weight may stay. What is zero already, a weight or a whole
group, is never chosen to stay. Of equals the first in row-major order is chosen. A fully connected
layer counts as a convolution whose kernel is 1 x 1.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from accelsim.compression.sparse import Float32, Threshold, magnitude_threshold
from accelsim.errors import InputError
from accelsim.network.graph import Convolution

Mask: TypeAlias = NDArray[np.bool_]
Count: TypeAlias = Annotated[int, Field(ge=1)]
# Values that are worked on at once: large matrices are gone through without copies of their size.
STRIP_VALUES = 2**20
NAMES = ("element", "row", "filter", "column", "kernel", "channel")


class _Pattern(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Named(_Pattern):
    """Groups that follow from the layer's shape.

    element: each weight by itself; row or filter: all weights of one output; column: all of one input;
    kernel: those from one input channel to one output channel; channel: those of one input channel (in
    a convolution of several groups, of the channels at one place in all groups)
    """

    kind: Literal["element", "row", "filter", "column", "kernel", "channel"]

    def tile(self, n_out: int, n_in: int, kernel: int) -> tuple[int, int]:
        """Rows and columns of one group; `kernel`: places under the kernel."""
        return {
            "element": (1, 1),
            "row": (1, n_in),
            "filter": (1, n_in),
            "column": (n_out, 1),
            "kernel": (1, kernel),
            "channel": (n_out, kernel),
        }[self.kind]


class Block(_Pattern):
    """Rectangles of the matrix; those at its lower and right edge may be smaller."""

    kind: Literal["block"]
    rows: Count
    columns: Count

    def tile(self, n_out: int, n_in: int, kernel: int) -> tuple[int, int]:
        """Rows and columns of one group."""
        del n_out, n_in, kernel
        return self.rows, self.columns


class NOfM(_Pattern):
    """At most `n` of any `m` consecutive weights of a row; written `"n:m"`, as in "2:4".

    A last group of fewer than `m` weights keeps as many as any other, as if zeros filled it up. The
    density is n / m.
    """

    kind: Literal["n_of_m"]
    n: Count
    m: Count

    @model_validator(mode="after")
    def _n_up_to_m(self) -> Self:
        if self.n > self.m:
            raise ValueError(f"n={self.n} of m={self.m} cannot stay: give n up to m")
        return self


def _from_text(given: Any) -> Any:
    """What stands for a pattern, as the fields of one."""
    if not isinstance(given, str):
        return given
    if given in NAMES:
        return {"kind": given}
    if match := re.fullmatch(r"(\d{1,6}):(\d{1,6})", given):
        return {"kind": "n_of_m", "n": int(match[1]), "m": int(match[2])}
    raise ValueError(
        f"'{given}' is no pattern: give one of {', '.join(NAMES)}, an 'n:m' such as '2:4', or "
        '{kind = "block", rows = 4, columns = 4}'
    )


# As a person writes it: a name, "n:m", or a table with `kind`.
Pattern: TypeAlias = Annotated[
    Annotated[Named | Block | NOfM, Field(discriminator="kind")], BeforeValidator(_from_text)
]


def keep_mask(
    weights: Float32,
    density: float,
    pattern: Named | Block | NOfM,
    geometry: Convolution | None = None,
) -> Mask:
    """The weights float32[n_out, n_in] that stay, as bool[n_out, n_in].

    Of groups, the round(density * groups) with the largest root mean square stay, at least one, and no
    more than are not all zero. So a smaller block at the edge is compared fairly; Narang et al. (2017,
    arXiv:1711.02782) compare blocks by their largest weight.

    density: above 0 and up to 1; an n:m pattern has its own and does not read it
    geometry: of the convolution that the matrix belongs to; None for any other layer
    Raises InputError for a density out of range.
    """
    weights = np.ascontiguousarray(weights)
    if isinstance(pattern, NOfM):
        return _n_of_m(weights, pattern.n, pattern.m)
    kernel = 1 if geometry is None else math.prod(geometry.kernel)
    n_out, n_in = weights.shape
    tile = pattern.tile(n_out, n_in, kernel)
    scores = weights if tile == (1, 1) else _root_mean_squares(weights, *tile)
    kept = global_masks([scores], density)[0]
    if tile == (1, 1):
        return kept
    return kept.repeat(tile[0], axis=0)[:n_out].repeat(tile[1], axis=1)[:, :n_in]


def global_masks(matrices: Sequence[Float32], density: float) -> list[Mask]:
    """For each matrix the weights that are among the largest of all matrices together.

    round(density * weights) stay, at least one, and no more than are not zero; of equals those of the
    first matrix. Raises InputError for a density out of range.
    """
    if not 0.0 < density <= 1.0:
        raise InputError(f"density={density}: give a fraction above 0 and up to 1")
    keep = max(1, round(density * sum(matrix.size for matrix in matrices)))
    threshold = magnitude_threshold(list(matrices), keep)
    masks = []
    for matrix in matrices:
        mask, ties = _above(matrix, threshold)
        threshold = threshold._replace(ties=ties)
        masks.append(mask)
    return masks


def threshold_mask(weights: Float32, quality: float) -> Mask:
    """Weights whose magnitude is above `quality` times the standard deviation of the layer's weights.

    The rule of Han et al. (2015, arXiv:1506.02626, section 3). Zeros count in the deviation, which is
    that of the whole matrix. Raises InputError for a negative quality.
    """
    if not 0.0 <= quality < math.inf:
        raise InputError(f"quality={quality}: give 0 or more standard deviations")
    limit = quality * _standard_deviation(weights)
    mask = np.empty(weights.shape, dtype=np.bool_)
    for rows in strips(weights.shape):
        mask[rows] = np.abs(weights[rows]) > limit
    return mask


def _standard_deviation(weights: Float32) -> float:
    mean = weights.mean(dtype=np.float64)
    squares = (np.square(weights[rows] - mean).sum() for rows in strips(weights.shape))
    return math.sqrt(sum(float(total) for total in squares) / weights.size)


def strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """All rows of a matrix, as many at a time as have about STRIP_VALUES weights."""
    step = max(1, STRIP_VALUES // shape[1])
    return (slice(start, start + step) for start in range(0, shape[0], step))


def _above(weights: Float32, threshold: Threshold) -> tuple[Mask, int]:
    """Weights that a threshold keeps, and how many ties it has left."""
    bits = np.ascontiguousarray(weights).view(np.uint32)
    mask = np.empty(weights.shape, dtype=np.bool_)
    ties = threshold.ties
    for rows in strips(weights.shape):
        magnitudes = bits[rows] & np.uint32(0x7FFFFFFF)
        mask[rows] = magnitudes > np.uint32(threshold.bits)
        if ties:
            equal = np.flatnonzero(magnitudes == np.uint32(threshold.bits))[:ties]
            mask[rows].reshape(-1)[equal] = True
            ties -= equal.size
    return mask, ties


def _root_mean_squares(weights: Float32, rows: int, columns: int) -> Float32:
    """Of each tile of rows x columns: float32[tiles down, tiles across]."""
    n_out, n_in = weights.shape
    lefts = np.arange(0, n_in, columns)
    widths = np.minimum(columns, n_in - lefts)
    means = np.empty((-(-n_out // rows), len(lefts)), dtype=np.float32)
    for mean, top in zip(means, range(0, n_out, rows), strict=True):
        strip = weights[top : top + rows]
        per_column = np.einsum("rc,rc->c", strip, strip, dtype=np.float64)
        mean[:] = np.sqrt(np.add.reduceat(per_column, lefts) / (len(strip) * widths))
    return means


def _n_of_m(weights: Float32, n: int, m: int) -> Mask:
    """The `n` largest magnitudes of any `m` consecutive weights of a row, zeros excepted."""
    n_in = weights.shape[1]
    m = min(m, n_in)
    mask = np.empty(weights.shape, dtype=np.bool_)
    missing = -n_in % m
    for rows in strips(weights.shape):
        magnitudes = np.abs(weights[rows])
        groups = np.pad(magnitudes, ((0, 0), (0, missing))).reshape(-1, m)
        largest = np.argsort(-groups, axis=1, kind="stable")[:, :n]
        kept = np.zeros(groups.shape, dtype=np.bool_)
        np.put_along_axis(kept, largest, True, axis=1)
        mask[rows] = kept.reshape(-1, n_in + missing)[:, :n_in] & (magnitudes > 0)
    return mask
