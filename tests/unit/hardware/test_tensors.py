"""What a step holds, what goes to DRAM, and what moves: by brute force on random graphs, and by hand."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from network_model import KINDS, draw_network
from network_model.windows import windows_of

from accelsim.hardware.tensors import (
    DramTraffic,
    dram_traffic,
    hold_tensors,
    spill,
    words_held,
    words_under_windows,
)
from accelsim.network.flow import Flow
from accelsim.network.graph import (
    Activate,
    Concatenate,
    Convolution,
    Elementwise,
    FullyConnected,
    Graph,
    Pad,
    Pool,
    Reshape,
    Slice,
    Step,
)
from accelsim.network.shapes import Matrix, tensor_shapes

BY_ADDRESSING = ("reshape", "transpose", "slice", "pad", "concatenate", "softmax")
CASES = [(kind, seed) for kind in KINDS for seed in (11, 12)]


def sources(graph):
    """The stored tensors of which each tensor is made: itself, unless addressing made it."""
    found = {name: {name} for name in graph.inputs}
    for step in graph.steps:
        by_addressing = step.op.kind in BY_ADDRESSING
        found[step.name] = (
            set().union(*(found[name] for name in step.inputs)) if by_addressing else {step.name}
        )
    return found


def alive_at(graph):
    """Per step, the tensors that exist and are still needed: everything between two uses."""
    made_of = sources(graph)
    used = [
        made_of[step.name].union(*(made_of[name] for name in step.inputs)) for step in graph.steps
    ]
    every = set().union(*used)
    return [
        {
            name
            for name in every
            if any(name in before for before in used[: i + 1])
            and any(name in after for after in used[i:])
        }
        for i in range(len(used))
    ]


def lines(words, pes):
    return math.ceil(words / pes)


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_a_step_holds_everything_that_it_and_later_steps_read(kind, seed):
    flow = draw_network(seed, kind, steps=8).network.flow
    pes = 1 + seed % 7
    bias = {step.name: i % 2 for i, step in enumerate(flow.steps)}
    tensors = hold_tensors(flow, bias, pes)
    for step, alive in zip(flow.steps, alive_at(flow.graph), strict=True):
        expected = {name: lines(math.prod(flow.shapes[name]), pes) for name in alive}
        assert tensors.held[step.name].tensors == expected
        assert words_held(flow, tensors, step, pes) == sum(expected.values()) + bias[step.name]


# --- what goes to DRAM ---


def strips(op, shape, count):
    """Columns of the image from the first to the last under each strip of output columns."""
    axis = windows_of(op, shape).horizontal
    if count == 1:
        return [set(range(axis.size))]
    out = len(axis.starts)
    ends = [out * i // count for i in range(count + 1)]
    found = []
    for first, end in pairwise(ends):
        under = [place for start in axis.starts[first:end] for place in axis.places(start)]
        found.append({x for x in range(min(under), max(under) + 1) if 0 <= x < axis.size})
    return found


def needed(flow, step, alive, bias, in_dram, pes, count):
    """Words per PE: what is on chip, a bias, and buffers of what is not."""
    made_of = sources(flow.graph)
    words = bias + sum(lines(math.prod(flow.shapes[n]), pes) for n in alive - in_dram)
    if step.op.kind in BY_ADDRESSING:
        return words
    buffers = 0
    windowed = step.op.kind in ("convolution", "pool")
    for name in set(step.inputs):
        if made_of[name] & in_dram:
            if windowed:
                vertical = windows_of(step.op, flow.shapes[name]).vertical
                under = vertical.places(0)
                n_lines = under[-1] - under[0] + 1 + step.op.stride[0]
                widest = max(map(len, strips(step.op, flow.shapes[name], count)))
                buffers += flow.shapes[name][0] * n_lines * widest
            else:
                buffers += 2 * pes
    if step.name in in_dram:
        shape = flow.shapes[step.name]
        buffers += shape[0] * math.ceil(shape[-1] / count) if windowed else 2 * pes
    return words + lines(buffers, pes)


def slow_spill(flow, bias, pes, capacity):
    """The largest tensors of steps that do not fit, one after the other, until nothing changes."""
    in_dram, counts = set(), {}
    alive = dict(zip((step.name for step in flow.steps), alive_at(flow.graph), strict=True))
    before = None
    while before != in_dram:
        before = set(in_dram)
        for step in flow.steps:
            counts[step.name] = 1
            here = alive[step.name]

            def is_too_much(step=step, here=here):
                extra, count = bias[step.name], counts[step.name]
                return needed(flow, step, here, extra, in_dram, pes, count) > capacity

            while is_too_much() and here - in_dram:
                in_dram.add(largest(flow, here - in_dram, pes))
            if step.op.kind in ("convolution", "pool"):
                while is_too_much() and counts[step.name] < flow.shapes[step.name][-1]:
                    counts[step.name] += 1
    return in_dram, counts


def largest(flow, names, pes):
    """Of those with as many lines, the first in the network."""
    in_order = [
        name for name in [*flow.graph.inputs, *(s.name for s in flow.steps)] if name in names
    ]
    return max(in_order, key=lambda name: lines(math.prod(flow.shapes[name]), pes))


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_the_largest_tensors_go_to_dram_until_every_step_fits(kind, seed):
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    flow = draw_network(seed, kind, steps=8).network.flow
    pes = int(rng.integers(1, 8))
    bias = {step.name: int(rng.integers(0, 2)) for step in flow.steps}
    tensors = hold_tensors(flow, bias, pes)
    most = max(held.words for held in tensors.held.values())
    for capacity in (most, most - 1, int(rng.integers(1, most + 1)), 2):
        spilled = spill(flow, tensors, pes, capacity)
        in_dram, counts = slow_spill(flow, bias, pes, capacity)
        assert spilled.in_dram == in_dram
        assert spilled.tiles == counts
        for step, alive in zip(flow.steps, alive_at(flow.graph), strict=True):
            need = needed(flow, step, alive, bias[step.name], in_dram, pes, counts[step.name])
            assert words_held(flow, spilled, step, pes) == need
            cut_as_far_as_it_goes = (
                step.op.kind not in ("convolution", "pool")
                or counts[step.name] == flow.shapes[step.name][-1]
            )
            assert need <= capacity or (alive <= in_dram and cut_as_far_as_it_goes)
        assert capacity < most or not in_dram


def words_read(flow, step, in_dram, count):
    """Words that a step reads from DRAM: each stored word of an input once, seams again."""
    made_of = sources(flow.graph)
    total = 0
    for name in set(step.inputs):
        if not made_of[name] & in_dram:
            continue
        words = min(
            math.prod(flow.shapes[name]), sum(math.prod(flow.shapes[n]) for n in made_of[name])
        )
        if step.op.kind in ("convolution", "pool"):
            parts = strips(step.op, flow.shapes[name], count)
            again = sum(map(len, parts)) - len(set().union(*parts))
            words += words * again // flow.shapes[name][-1]
        total += words
    return total


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_what_is_in_dram_is_written_once_and_read_once_by_each_reader(kind, seed):
    flow = draw_network(seed, kind, steps=8).network.flow
    tensors = hold_tensors(flow, {}, pes=3)
    most = max(held.words for held in tensors.held.values())
    seen = Counter()
    for capacity in range(2, most, 1 + most // 8):
        spilled = spill(flow, tensors, 3, capacity)
        made_of = sources(flow.graph)
        for step in flow.steps:
            if any(
                made_of[name] & spilled.in_dram and made_of[name] - spilled.in_dram
                for name in step.inputs
            ):
                continue  # a tensor of which a part is in DRAM: see below
            traffic = dram_traffic(flow, spilled, step)
            if step.op.kind in BY_ADDRESSING:
                assert traffic == (0, 0)
                continue
            count = spilled.tiles[step.name]
            assert traffic.read == words_read(flow, step, spilled.in_dram, count)
            written = step.name in spilled.in_dram
            assert traffic.written == written * math.prod(flow.shapes[step.name])
            seen["reads"] += traffic.read > 0
    assert seen["reads"] or most <= 2


# --- by hand ---


def flow_of(*steps, **inputs):
    """Steps on inputs of these shapes, with the matrices that `SIZES` names."""
    graph = Graph(inputs=inputs, steps=steps, outputs=(steps[-1].name,))
    matrices = {name: SIZES[name] for step in steps for name in step.op.layers}
    return Flow(graph, tensor_shapes(graph, matrices, {}))


SIZES = {"conv": Matrix(8, 36), "wide": Matrix(8, 60), "fc": Matrix(10, 40)}


def conv(kernel=(3, 3), layer="conv", **fields):
    return Convolution(layer=layer, kernel=kernel, **fields)


def image_flow(op, height=16, width=20):
    return flow_of(Step(name="conv", op=op, inputs=("x",)), x=(4, height, width))


def test_line_buffers_of_a_convolution_by_hand():
    """4 x 16 x 20 in, 8 x 14 x 18 out: 1280 and 2016 words over 4 PEs.

    Buffers: 4 channels of 3 lines and one to come, 8 channels of one line of outputs.
    """
    flow = image_flow(conv())
    tensors = hold_tensors(flow, {"conv": 1}, pes=4)
    assert words_held(flow, tensors, flow.steps[0], 4) == 320 + 504 + 1
    for capacity, in_dram, need, traffic in (
        (825, set(), 825, (0, 0)),
        (824, {"conv"}, 320 + 1 + 8 * 18 // 4, (0, 2016)),
        (357, {"conv"}, 357, (0, 2016)),
        (356, {"conv", "x"}, 1 + (8 * 18 + 4 * 4 * 20) // 4, (1280, 2016)),
        (117, {"conv", "x"}, 117, (1280, 2016)),
    ):
        spilled = spill(flow, tensors, 4, capacity)
        assert spilled.in_dram == in_dram
        assert words_held(flow, spilled, flow.steps[0], 4) == need
        assert dram_traffic(flow, spilled, flow.steps[0]) == traffic


def test_strips_by_hand():
    """The same image in two strips of 9 output columns: 11 columns of inputs each, 2 of them shared."""
    flow = image_flow(conv())
    tensors = hold_tensors(flow, {}, pes=4)
    spilled = spill(flow, tensors, 4, 115)
    assert spilled.tiles["conv"] == 2
    assert words_held(flow, spilled, flow.steps[0], 4) == (8 * 9 + 4 * 4 * 11) // 4
    assert dram_traffic(flow, spilled, flow.steps[0]).read == 4 * 16 * (20 + 2)
    # As narrow as it gets: one column of outputs, three of inputs, two of them also the neighbour's.
    narrow = spill(flow, tensors, 4, 14)
    assert narrow.tiles["conv"] == 18
    assert words_held(flow, narrow, flow.steps[0], 4) == (8 + 4 * 4 * 3) // 4
    assert dram_traffic(flow, narrow, flow.steps[0]).read == 4 * 16 * (20 + 17 * 2)
    too_narrow = spill(flow, tensors, 4, 13)
    assert words_held(flow, too_narrow, flow.steps[0], 4) == 14  # the caller reports it


def test_strips_of_strided_and_padded_convolutions_by_hand():
    """5 columns wide, stride 2, 2 zeros on the left: 10 outputs over 20 columns see 5 each.

    Two strips of 5 outputs: columns 0 .. 10 (the first two are zeros) and 8 .. 19.
    """
    flow = image_flow(conv((3, 5), "wide", stride=(2, 2), padding=(1, 2, 1, 1)))
    spilled = spill(flow, hold_tensors(flow, {}, pes=1), 1, 8 * 10 + 4 * 5 * 20 - 1)
    assert flow.shapes["conv"] == (8, 8, 10)
    assert spilled.tiles["conv"] == 2
    assert words_held(flow, spilled, flow.steps[0], 1) == 8 * 5 + 4 * (3 + 2) * 12
    assert dram_traffic(flow, spilled, flow.steps[0]).read == 4 * 16 * (11 + 12)


def test_other_steps_have_two_lines_per_tensor():
    flow = flow_of(
        Step(name="a", op=Activate(function="tanh"), inputs=("x",)),
        Step(name="b", op=Elementwise(function="add"), inputs=("a", "y")),
        Step(name="c", op=Elementwise(function="multiply"), inputs=("b", "b")),
        x=(100,),
        y=(100,),
    )
    spilled = spill(flow, hold_tensors(flow, {}, pes=10), 10, 2)
    assert spilled.in_dram == {"x", "y", "a", "b", "c"}
    assert [words_held(flow, spilled, step, 10) for step in flow.steps] == [4, 6, 4]
    assert [dram_traffic(flow, spilled, step) for step in flow.steps] == [
        DramTraffic(100, 100),
        DramTraffic(200, 100),
        DramTraffic(100, 100),  # b is read once, though it is multiplied with itself
    ]


def test_of_tensors_of_one_size_the_first_of_the_network_goes_first():
    add = Step(name="sum", op=Elementwise(function="add"), inputs=("y", "x"))
    flow = flow_of(add, x=(40,), y=(40,))
    tensors = hold_tensors(flow, {}, pes=10)
    assert spill(flow, tensors, 10, 11).in_dram == {"x"}
    assert spill(flow, tensors, 10, 9).in_dram == {"x", "y"}


def test_a_tensor_that_is_still_needed_is_held_and_may_go_first():
    """x waits outside, is read, and stays for the sum at the end."""
    flow = flow_of(
        Step(name="a", op=Slice(axis=0, start=0, stop=40), inputs=("x",)),
        Step(name="fc", op=FullyConnected(layer="fc"), inputs=("a",)),
        Step(name="b", op=Activate(function="tanh"), inputs=("fc",)),
        Step(name="c", op=Elementwise(function="add"), inputs=("b", "y")),
        Step(name="d", op=Concatenate(), inputs=("c", "x")),
        x=(50,),
        y=(10,),
    )
    tensors = hold_tensors(flow, {}, pes=10)
    held = {step.name: set(tensors.held[step.name].tensors) for step in flow.steps}
    assert held == {
        "a": {"x"},
        "fc": {"x", "fc"},
        "b": {"x", "fc", "b"},
        "c": {"x", "b", "y", "c"},
        "d": {"x", "c"},
    }
    spilled = spill(flow, tensors, 10, 4)
    assert spilled.in_dram == {"x"}
    # A slice is read as far as it goes; what no step reads is not read again.
    assert [dram_traffic(flow, spilled, step).read for step in flow.steps] == [0, 40, 0, 0, 0]


def test_a_part_in_dram_is_read_in_proportion_and_zeros_are_not():
    flow = flow_of(
        Step(name="both", op=Concatenate(), inputs=("x", "y")),
        Step(name="wide", op=Pad(before=(5,), after=(5,)), inputs=("both",)),
        Step(name="square", op=Reshape(shape=(4, 20)), inputs=("wide",)),
        Step(name="out", op=Activate(function="tanh"), inputs=("square",)),
        x=(60,),
        y=(10,),
    )
    spilled = spill(flow, hold_tensors(flow, {}, pes=10), 10, 11)
    assert spilled.in_dram == {"out"}
    spilled = spill(flow, hold_tensors(flow, {}, pes=10), 10, 6)
    assert spilled.in_dram == {"x", "out"}
    assert dram_traffic(flow, spilled, flow.steps[3]) == (60, 80)


def test_words_under_windows_by_hand():
    """3 x 3 on 4 x 4 with a zero around: 9 places inside less an edge, 6 in corners... 10 per axis."""
    op = conv(padding=(1, 1, 1, 1))
    assert words_under_windows(op, (2, 4, 4)) == 2 * (2 + 3 + 3 + 2) ** 2
    pool = Pool(mode="max", kernel=(2, 2), stride=(2, 2), ceil=True)
    assert words_under_windows(pool, (1, 5, 5)) == 5 * 5
    assert words_under_windows(Pool(mode="max", kernel=(1, 3)), (3, 7)) == 3 * 5 * 3


@pytest.mark.parametrize("seed", range(40))
def test_words_under_windows_by_counting(seed):
    kind = ["convolution", "convolution_1d", "max_pool", "average_pool"][seed % 4]
    drawn = draw_network(seed, kind, steps=1)
    step, flow = drawn.network.graph.steps[-1], drawn.network.flow
    shape = flow.shapes[step.inputs[0]]
    windows = windows_of(step.op, shape)
    inside = sum(windows.covers(y, x) for under in windows.under() for y, x in under)
    assert words_under_windows(step.op, shape) == shape[0] * inside
