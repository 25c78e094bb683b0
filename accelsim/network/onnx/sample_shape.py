"""Shapes as ONNX has them, with the axis that counts samples: what one example is, and stays."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias


class Samples(int):
    """The number of samples where it stands among sizes: 1 if the model leaves it open."""


# None where an axis that does not count samples has no fixed size.
Size: TypeAlias = int | None


@dataclass(frozen=True)
class SampleShape:
    """Sizes of a tensor, one of whose axes may count samples.

    dims: a size per axis, None where it is not fixed
    batch: the axis that counts samples; None for a single sample

    The methods that give another shape raise ValueError if values of several samples would mix.
    """

    dims: tuple[Size, ...]
    batch: int | None

    @property
    def example(self) -> tuple[Size, ...]:
        """Sizes of one sample; never empty."""
        return tuple(self.dims[axis] for axis in self.example_axes) or (1,)

    @property
    def example_axes(self) -> list[int]:
        """All axes but the one that counts samples."""
        return [axis for axis in range(len(self.dims)) if axis != self.batch]

    @property
    def width(self) -> Size:
        """Values of one sample, or None where that is unknown."""
        return product(self.example)

    @property
    def is_single(self) -> bool:
        """Whether the model says that there is one sample only."""
        return self.batch is None or self.dims[self.batch] == 1

    @property
    def sizes(self) -> list[Size]:
        """Sizes as a computation takes them, with Samples for the number of samples."""
        return [
            Samples(1 if size is None else size) if axis == self.batch else size
            for axis, size in enumerate(self.dims)
        ]

    def axis(self, axis: int, *, end: bool = False) -> int:
        """Return an axis counted from 0, of one that may be counted from the end.

        end: whether the place after the last axis is one, too.
        """
        rank = len(self.dims)
        if not -rank <= axis < rank + end:
            raise ValueError(f"has no axis {axis} in {rank} dimensions")
        return axis + rank if axis < 0 else axis

    def example_axis(self, axis: int) -> int:
        """Return where an axis of the tensor is among those of one sample."""
        axis = self.axis(axis)
        if axis == self.batch:
            raise ValueError(f"works across samples, which are counted along axis {axis}")
        return self.example_axes.index(axis)

    def with_batch(self, batch: int) -> "SampleShape":
        """Return the shape with its samples counted along axis `batch`.

        That may be another axis than before if either has one place only.
        """
        if self.batch == batch:
            return self
        if not (batch < len(self.dims) and self.dims[batch] == 1 and self.is_single):
            raise ValueError(
                f"takes samples along axis {batch}, but gets {self._described()}: "
                "export the model with its batch axis there, of size 1 or dynamic"
            )
        return SampleShape(self.dims, batch)

    def resized(self, axis: int, size: Size) -> "SampleShape":
        """Return the shape with another size of an axis (counted from 0)."""
        return SampleShape((*self.dims[:axis], size, *self.dims[axis + 1 :]), self.batch)

    def without(self, axes: Iterable[int]) -> "SampleShape":
        """Return the shape without some axes (counted from 0)."""
        dropped = set(axes)
        dims = tuple(size for axis, size in enumerate(self.dims) if axis not in dropped)
        if self.batch is None or self.batch in dropped:
            return SampleShape(dims, None)
        return SampleShape(dims, self.batch - sum(axis < self.batch for axis in dropped))

    def padded(self, rank: int) -> "SampleShape":
        """Return the shape with ones before it, up to `rank` axes, as broadcasting adds them."""
        more = max(0, rank - len(self.dims))
        batch = None if self.batch is None else self.batch + more
        return SampleShape((1,) * more + self.dims, batch)

    def transposed(self, order: Sequence[int]) -> "SampleShape":
        """Return the shape with its axes in another order."""
        if sorted(order) != list(range(len(self.dims))):
            raise ValueError(f"order {list(order)} does not fit {len(self.dims)} dimensions")
        batch = None if self.batch is None else order.index(self.batch)
        return SampleShape(tuple(self.dims[axis] for axis in order), batch)

    def flattened(self, axis: int) -> "SampleShape":
        """Return the matrix that has the sizes up to `axis` as rows."""
        axis = self.axis(axis, end=True)
        rows = product(self.dims[at] for at in self.example_axes if at < axis)
        columns = product(self.dims[at] for at in self.example_axes if at >= axis)
        if self.batch is not None and self.batch < axis and rows == 1:
            return SampleShape((self.dims[self.batch], columns), 0)
        if not self.is_single:
            raise ValueError("mixes samples: give axis=1")
        return SampleShape((rows, columns), 0 if rows == 1 else None)

    def reshaped(self, target: Sequence[Size]) -> "SampleShape":
        """Return the shape of `target`, where 0 copies a size and -1 takes what is left."""
        entries = self._copied(target)
        for place in [] if self.batch is None else self._places_of_samples(entries):
            dims = self._kept_apart(entries, place)
            if dims is not None:
                return SampleShape(dims, place)
        dims = _filled(entries, self.width) if self.is_single else None
        if dims is None:
            raise ValueError(self._mixes())
        return SampleShape(dims, None)

    def squeezed(self, axes: Sequence[int] | None) -> "SampleShape":
        """Return the shape without `axes` of size 1, or without all such if it is None."""
        if axes is None:
            if None in self.dims:
                raise ValueError("drops axes of unknown size: give its axes")
            axes = [axis for axis, size in enumerate(self.dims) if size == 1]
        dropped = {self.axis(axis) for axis in axes}
        if not all(
            self.dims[axis] == 1 or (self.dims[axis] is None and axis != self.batch)
            for axis in dropped
        ):
            raise ValueError(f"drops axes {sorted(dropped)}, of which one is not of size 1")
        return self.without(dropped)

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
        numbers = [size for size in target if size is not None]
        if numbers.count(-1) > 1 or min(numbers, default=0) < -1 or 0 in target[len(self.dims) :]:
            raise ValueError(f"to {list(target)} is not supported: reshape to [0, -1]")
        return [self.sizes[axis] if size == 0 else size for axis, size in enumerate(target)]

    def _places_of_samples(self, entries: Sequence[Size]) -> list[int]:
        """Where in a new shape samples may be counted, the most likely place first."""
        marked = [axis for axis, size in enumerate(entries) if isinstance(size, Samples)]
        if marked:
            return marked
        assert self.batch is not None
        samples = self.dims[self.batch]
        places = [
            axis
            for axis, size in enumerate(entries)
            if size == -1 or (samples is not None and size == samples)
        ]
        # An exporter writes the one sample of its example as a constant.
        return [*places, 0] if samples is None and len(entries) == 2 and entries[0] == 1 else places

    def _kept_apart(self, entries: Sequence[Size], place: int) -> tuple[Size, ...] | None:
        """Return the new sizes if what stands before and after the samples' axis stays there."""
        assert self.batch is not None
        before = _filled(entries[:place], product(self.dims[: self.batch]))
        after = _filled(entries[place + 1 :], product(self.dims[self.batch + 1 :]))
        if before is None or after is None:
            return None
        return (*before, self.dims[self.batch], *after)

    def _mixes(self) -> str:
        held = "unknown length" if self.width is None else f"{self.width} values"
        return f"mixes samples of {held}: reshape to [0, -1]"

    def _described(self) -> str:
        shape = ", ".join("?" if size is None else str(size) for size in self.dims)
        return f"[{shape}]" + ("" if self.batch is None else f" with them along axis {self.batch}")


def _filled(sizes: Sequence[Size], count: Size) -> tuple[Size, ...] | None:
    """Return the sizes with -1 replaced, so that they hold `count` values; None if they cannot."""
    known = product(size for size in sizes if size != -1)
    if count is None or known is None:
        return tuple(None if size == -1 else size for size in sizes)
    left = count // known if known else 0
    if left * known != count or (left != 1 and -1 not in sizes):
        return None
    return tuple(left if size == -1 else size for size in sizes)


def product(sizes: Iterable[Size]) -> Size:
    """Return the product, or None where a size is unknown."""
    known = list(sizes)
    return None if None in known else math.prod(size for size in known if size is not None)
