"""Where tensors live: in the activation SRAMs while something still reads them, or in DRAM."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from accelsim.network.flow import Flow
from accelsim.network.graph import (
    Concatenate,
    Convolution,
    Pad,
    Pool,
    Reshape,
    Shape,
    Slice,
    Softmax,
    Step,
    Transpose,
)
from accelsim.network.shapes import image_shape, window_places

# Done by addressing: the output is the input's own memory.
FREE = (Reshape, Transpose, Slice, Pad, Concatenate, Softmax)
DOUBLE = 2  # what comes from DRAM fills one half of a buffer while the other half is used


class Held(NamedTuple):
    """What a step holds in the activation SRAMs, in words per PE, tensor by tensor, and extra words."""

    tensors: dict[str, int]
    extra: int

    @property
    def words(self) -> int:
        """All of it."""
        return sum(self.tensors.values()) + self.extra


@dataclass(frozen=True)
class Tensors:
    """A network's tensors on a machine.

    held: per step name, what is alive while it runs
    memory: per tensor, the tensors in whose memory it lies (itself, unless addressing made it)
    in_dram: tensors that do not stay on chip
    tiles: vertical strips into which a step's images are cut so that its line buffers fit
    """

    held: Mapping[str, Held]
    memory: Mapping[str, frozenset[str]]
    in_dram: frozenset[str] = frozenset()
    tiles: Mapping[str, int] = field(default_factory=dict)


def hold_tensors(flow: Flow, bias_words: Mapping[str, int], pes: int) -> Tensors:
    """What has to be held at each step: its inputs, its output, and what later steps still read.

    bias_words: extra words per PE of a step (the line of a bias).
    """
    memory: dict[str, frozenset[str]] = {name: frozenset([name]) for name in flow.graph.inputs}
    first: dict[str, int] = {}  # an input waits outside until something reads it
    last: dict[str, int] = {}
    for index, step in enumerate(flow.steps):
        read = frozenset().union(*(memory[name] for name in step.inputs))
        memory[step.name] = read if isinstance(step.op, FREE) else frozenset([step.name])
        for name in read | memory[step.name]:
            first.setdefault(name, index)
            last[name] = index
    # In the network's order: of tensors of one size, the first goes to DRAM first.
    words = {name: -(-math.prod(flow.shapes[name]) // pes) for name in flow.shapes if name in last}
    held = {}
    for index, step in enumerate(flow.steps):
        alive = {name: n for name, n in words.items() if first[name] <= index <= last[name]}
        held[step.name] = Held(alive, bias_words.get(step.name, 0))
    return Tensors(held, memory)


def spill(flow: Flow, tensors: Tensors, pes: int, capacity_words: int) -> Tensors:
    """Move tensors to DRAM, the largest of a step first, until every step fits `capacity_words` per PE.

    A tensor that is in DRAM passes through line buffers. Where these do not fit, the image is cut into
    vertical strips. A step that does not fit even so keeps its need; the caller reports it.
    """
    in_dram: set[str] = set()
    tiles: dict[str, int] = {}
    while True:
        changed = False
        for step in flow.steps:
            count = 1
            while _words(flow, tensors, step, in_dram, pes, count) > capacity_words:
                on_chip = [n for n in tensors.held[step.name].tensors if n not in in_dram]
                if on_chip:
                    in_dram.add(max(on_chip, key=lambda n: tensors.held[step.name].tensors[n]))
                    changed = True
                elif count < _most_strips(flow, step):
                    count += 1
                else:
                    break
            tiles[step.name] = count
        if not changed:
            return Tensors(tensors.held, tensors.memory, frozenset(in_dram), tiles)


def words_held(flow: Flow, tensors: Tensors, step: Step, pes: int) -> int:
    """Words per PE that a step needs, with what is in DRAM reduced to its buffers."""
    tiles = tensors.tiles.get(step.name, 1)
    return _words(flow, tensors, step, set(tensors.in_dram), pes, tiles)


def _words(
    flow: Flow, tensors: Tensors, step: Step, in_dram: set[str], pes: int, tiles: int
) -> int:
    held = tensors.held[step.name]
    resident = sum(words for name, words in held.tensors.items() if name not in in_dram)
    return resident + held.extra + -(-_buffers(flow, tensors, step, in_dram, pes, tiles) // pes)


def _buffers(
    flow: Flow, tensors: Tensors, step: Step, in_dram: set[str], pes: int, tiles: int
) -> int:
    """Words, in all PEs, of the line buffers of a step; what is done by addressing needs none."""
    if isinstance(step.op, FREE):
        return 0
    coming = [name for name in dict.fromkeys(step.inputs) if tensors.memory[name] & in_dram]
    if not isinstance(step.op, Convolution | Pool):
        return DOUBLE * pes * (len(coming) + (step.name in in_dram))
    buffers = 0
    channels, _, width = image_shape(flow.shapes[step.name])
    if step.name in in_dram:
        buffers = channels * -(-width // tiles)
    for name in coming:
        channels = image_shape(flow.shapes[name])[0]
        lines = _reach(step.op, 0) + step.op.stride[0]
        widest = max(len(strip) for strip in _strips(flow, step, tiles))
        buffers += channels * lines * widest
    return buffers


def _most_strips(flow: Flow, step: Step) -> int:
    """The width of a step's output image."""
    if not isinstance(step.op, Convolution | Pool):
        return 1
    return image_shape(flow.shapes[step.name])[2]


def _strips(flow: Flow, step: Step, tiles: int) -> list[range]:
    """Columns of the input image under each of so many strips of the output image; all for one."""
    op = step.op
    assert isinstance(op, Convolution | Pool)
    width = image_shape(flow.shapes[step.inputs[0]])[2]
    if tiles == 1:
        return [range(width)]
    out_width = _most_strips(flow, step)
    cuts = [out_width * tile // tiles for tile in range(tiles + 1)]
    left, stride, reach = op.padding[1], op.stride[1], _reach(op, 1)
    return [
        range(max(0, first * stride - left), min(width, (end - 1) * stride - left + reach))
        for first, end in pairwise(cuts)
    ]


def _reach(op: Convolution | Pool, axis: int) -> int:
    """Lines from a window's first to its last."""
    dilation = op.dilation[axis] if isinstance(op, Convolution) else 1
    return dilation * (op.kernel[axis] - 1) + 1


class DramTraffic(NamedTuple):
    """Words of activations that a step moves from and to DRAM, for one example."""

    read: int = 0
    written: int = 0


def dram_traffic(flow: Flow, tensors: Tensors, step: Step) -> DramTraffic:
    """Inputs that live in DRAM are read once (the seams of strips again), outputs written once."""
    if isinstance(step.op, FREE):
        return DramTraffic()
    read = sum(_words_from_dram(flow, tensors, name) for name in dict.fromkeys(step.inputs))
    tiles = tensors.tiles.get(step.name, 1)
    if tiles > 1:
        strips = _strips(flow, step, tiles)
        again = sum(map(len, strips)) - len(set().union(*strips))
        read += read * again // image_shape(flow.shapes[step.inputs[0]])[2]
    written = math.prod(flow.shapes[step.name]) if step.name in tensors.in_dram else 0
    return DramTraffic(read, written)


def _words_from_dram(flow: Flow, tensors: Tensors, name: str) -> int:
    """Words of a tensor that are in DRAM; where addressing made it of several, in proportion.

    Zeros around an image are not stored.
    """
    sizes = {part: math.prod(flow.shapes[part]) for part in tensors.memory[name]}
    outside = sum(sizes[part] for part in sizes.keys() & tensors.in_dram)
    stored = sum(sizes.values())
    return round(outside / stored * min(stored, math.prod(flow.shapes[name])))


def words_under_windows(op: Convolution | Pool, shape: Shape) -> int:
    """Words that a window over a tensor reads at all of its places; none beyond an edge."""
    channels, *sizes = image_shape(shape)
    inside = channels
    for axis, places in enumerate(window_places(op, sizes[0], sizes[1])):
        step = op.dilation[axis] if isinstance(op, Convolution) else 1
        taps = range(0, step * op.kernel[axis], step)
        starts = range(
            -op.padding[axis], places * op.stride[axis] - op.padding[axis], op.stride[axis]
        )
        inside *= sum(0 <= start + tap < sizes[axis] for start in starts for tap in taps)
    return inside
