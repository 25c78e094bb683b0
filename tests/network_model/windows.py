"""Where windows stand: starts along an axis, and the places of an image under each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from accelsim.network.graph import Convolution, Pool


class Axis(NamedTuple):
    """One axis of a window that moves over an image."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    ceil: bool

    @property
    def starts(self) -> list[int]:
        """Where a window begins, place 0 being the image's first; one that sticks out if `ceil`."""
        starts: list[int] = []
        start = -self.before
        edge = self.size + self.after
        while True:
            end = start + self.dilation * (self.kernel - 1) + 1
            if end > edge:
                if self.ceil and start < self.size:
                    starts.append(start)
                return starts
            starts.append(start)
            if end == edge:
                return starts
            start += self.stride

    def places(self, start: int) -> list[int]:
        """Places under the window, some of them beyond the image."""
        return [start + tap * self.dilation for tap in range(self.kernel)]


@dataclass(frozen=True)
class Windows:
    """A window over [channels, height, width], or over [channels, time]."""

    channels: int
    vertical: Axis
    horizontal: Axis
    is_flat: bool

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Places that the window takes."""
        if self.is_flat:
            return (len(self.horizontal.starts),)
        return (len(self.vertical.starts), len(self.horizontal.starts))

    def under(self) -> Iterator[list[tuple[int, int]]]:
        """The (y, x) under the window, for each place that it takes, row by row."""
        for top in self.vertical.starts:
            for left in self.horizontal.starts:
                yield [
                    (y, x) for y in self.vertical.places(top) for x in self.horizontal.places(left)
                ]

    def covers(self, y: int, x: int) -> bool:
        """Whether the image has this place."""
        return 0 <= y < self.vertical.size and 0 <= x < self.horizontal.size

    def pads(self, y: int, x: int) -> bool:
        """Whether the image, or the padding that is asked for around it, has this place."""
        return all(
            -axis.before <= place < axis.size + axis.after
            for axis, place in ((self.vertical, y), (self.horizontal, x))
        )


def windows_of(op: Convolution | Pool, shape: tuple[int, ...]) -> Windows:
    """The windows of an operation on a tensor of that shape."""
    is_flat = len(shape) == 2
    channels, height, width = (shape[0], 1, shape[1]) if is_flat else shape
    top, left, bottom, right = op.padding
    dilation = getattr(op, "dilation", (1, 1))
    ceil = getattr(op, "ceil", False)
    vertical = Axis(height, op.kernel[0], op.stride[0], dilation[0], top, bottom, ceil)
    horizontal = Axis(width, op.kernel[1], op.stride[1], dilation[1], left, right, ceil)
    return Windows(channels, vertical, horizontal, is_flat)


def patch_indices(windows: Windows, under: list[tuple[int, int]]) -> list[tuple[int, ...] | None]:
    """Index into the tensor of each value of a patch, channel by channel; None beyond the edge."""
    found: list[tuple[int, ...] | None] = []
    for channel in range(windows.channels):
        for y, x in under:
            index = (channel, x) if windows.is_flat else (channel, y, x)
            found.append(index if windows.covers(y, x) else None)
    return found
