"""Shapes of a tensor that holds one sample per row, followed through what only reshapes it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

# A size where a shape is computed: a number, the unknown number of samples, or unknown.
BATCH: Final = "batch"
Size: TypeAlias = int | Literal["batch"] | None


@dataclass(frozen=True)
class SampleShape:
    """Sizes of a tensor whose samples' values stand in their first order.

    dims: a size per axis, None where it is unknown
    batch: the axis that counts samples, with nothing but ones before it; None for a single sample

    The methods that give another shape raise ValueError if values of several samples would mix.
    """

    dims: tuple[int | None, ...]
    batch: int | None

    @classmethod
    def of_input(cls, dims: Sequence[int | None]) -> "SampleShape":
        """Return the shape of a model's input; one that is not declared is [batch, values]."""
        dims = tuple(dims) or (None, None)
        return cls(dims, None if len(dims) == 1 or dims[0] == 1 else 0)

    @property
    def width(self) -> int | None:
        """Values of one sample, or None where that is unknown."""
        return _product(size for axis, size in enumerate(self.dims) if axis != self.batch)

    @property
    def is_rows(self) -> bool:
        """Whether all values of a sample stand along the last axis."""
        last = len(self.dims) - 1
        return (
            last >= 0
            and self.batch != last
            and all(size == 1 for axis, size in enumerate(self.dims[:-1]) if axis != self.batch)
        )

    @property
    def sizes(self) -> list[Size]:
        """Sizes as a computation takes them: the number of samples is BATCH if it is unknown."""
        return [
            BATCH if size is None and axis == self.batch else size
            for axis, size in enumerate(self.dims)
        ]

    def axis(self, axis: int) -> int:
        """Return an axis counted from 0, of one that may be counted from the end."""
        if not -len(self.dims) <= axis <= len(self.dims):
            raise ValueError(f"has no axis {axis} in {len(self.dims)} dimensions")
        return axis + len(self.dims) if axis < 0 else axis

    def with_values(self, count: int) -> "SampleShape":
        """Return rows of `count` values in place of the last axis."""
        return SampleShape((*self.dims[:-1], count), self.batch)

    def padded(self, rank: int) -> "SampleShape":
        """Return the shape with ones before it, up to `rank` axes, as broadcasting adds them."""
        more = max(0, rank - len(self.dims))
        batch = None if self.batch is None else self.batch + more
        return SampleShape((1,) * more + self.dims, batch)

    def flattened(self, axis: int) -> "SampleShape":
        """Return the matrix that has the sizes up to `axis` as rows."""
        axis = self.axis(axis)
        others = [size for at, size in enumerate(self.dims[:axis]) if at != self.batch]
        if any(size != 1 for size in others) or (self.batch is not None and self.batch >= axis):
            raise ValueError("mixes samples: give axis=1")
        rows = 1 if self.batch is None else self.dims[self.batch]
        return SampleShape((rows, self.width), None if self.batch is None else 0)

    def reshaped(self, target: Sequence[Size]) -> "SampleShape":
        """Return the shape of `target`, where 0 copies a size and -1 takes what is left."""
        entries = self._copied(target)
        if self.batch is None:
            return SampleShape(self._fitted([1 if e == BATCH else e for e in entries]), None)
        start = next((at for at, size in enumerate(entries) if size != 1), len(entries))
        rows, sample = entries[start : start + 1], entries[start + 1 :]
        if rows == [BATCH] or (rows and rows[0] == self.dims[self.batch] is not None):
            dims = (1,) * start + (self.dims[self.batch],) + self._fitted(sample)
            return SampleShape(dims, start)
        if len(entries) == 2 and entries[0] == 1 and self.dims[self.batch] is None:
            # An exporter writes the one sample of its example as a constant.
            sizes = [size for axis, size in enumerate(self.dims) if axis != self.batch]
            return SampleShape((1, *sizes), None).reshaped(entries)
        if sample and rows == [-1] and None not in sample:
            return SampleShape(
                (1,) * start + (self.dims[self.batch],) + self._fitted(sample), start
            )
        raise ValueError(self._mixes())

    def squeezed(self, axes: Sequence[int] | None) -> "SampleShape":
        """Return the shape without `axes` of size 1, or without all such if it is None."""
        if axes is None:
            if None in self.dims:
                raise ValueError("drops axes of unknown size: give its axes")
            axes = [axis for axis, size in enumerate(self.dims) if size == 1]
        dropped = {self.axis(axis) for axis in axes}
        if not all(
            axis < len(self.dims) and axis != self.batch and self.dims[axis] in (None, 1)
            for axis in dropped
        ):
            raise ValueError(f"drops axes {sorted(dropped)}, of which one is not of size 1")
        dims = tuple(size for axis, size in enumerate(self.dims) if axis not in dropped)
        before = sum(axis < self.batch for axis in dropped) if self.batch is not None else 0
        return SampleShape(dims, None if self.batch is None else self.batch - before)

    def unsqueezed(self, axes: Sequence[int]) -> "SampleShape":
        """Return the shape with new `axes` of size 1, counted in the new shape."""
        rank = len(self.dims) + len(axes)
        added = {axis + rank if axis < 0 else axis for axis in axes}
        if len(added) != len(axes) or not all(0 <= axis < rank for axis in added):
            raise ValueError(f"cannot add axes {list(axes)} to {len(self.dims)} dimensions")
        kept = [axis for axis in range(rank) if axis not in added]
        dims = dict.fromkeys(range(rank), 1) | dict(zip(kept, self.dims, strict=True))
        batch = None if self.batch is None else kept[self.batch]
        return SampleShape(tuple(dims[axis] for axis in range(rank)), batch)

    def _copied(self, target: Sequence[Size]) -> list[Size]:
        """Return the sizes of `target` with this shape's own ones for 0."""
        numbers = [size for size in target if isinstance(size, int)]
        if numbers.count(-1) > 1 or min(numbers, default=0) < -1 or 0 in target[len(self.dims) :]:
            raise ValueError(f"to {list(target)} is not supported: reshape to [0, -1]")
        return [self.sizes[axis] if size == 0 else size for axis, size in enumerate(target)]

    def _fitted(self, sizes: Sequence[Size]) -> tuple[int | None, ...]:
        """Return the sizes of one sample with -1 replaced; they must hold its values."""
        if BATCH in sizes:
            raise ValueError(self._mixes())
        known = [size if isinstance(size, int) else None for size in sizes]
        product = _product(size for size in known if size != -1)
        left = None
        if self.width is not None and product is not None:
            left = self.width // product if product else 0
            if left * product != self.width or (left != 1 and -1 not in known):
                raise ValueError(self._mixes())
        return tuple(left if size == -1 else size for size in known)

    def _mixes(self) -> str:
        held = "unknown length" if self.width is None else f"{self.width} values"
        return f"mixes samples of {held}: reshape to [0, -1]"


def _product(sizes: Iterable[int | None]) -> int | None:
    """Return the product, or None where a size is unknown."""
    known = list(sizes)
    return None if None in known else math.prod(size for size in known if size is not None)
