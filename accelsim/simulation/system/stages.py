"""Which layers run on which chip, and what a chip does with a batch, step by step."""

from itertools import accumulate, pairwise
from typing import Literal, NamedTuple, TypeAlias

from accelsim.errors import InputError
from accelsim.hardware.dram import Dram, Link
from accelsim.simulation.system.work import LayerWork, NetworkWork

Arrangement: TypeAlias = Literal["replicated", "pipelined"]


class Step(NamedTuple):
    """A layer that moves something from DRAM, or several in a row that do not.

    layers: names, and each one's time on the array per input
    array_ps: their sum; fetch_ps: weights, once per batch, 0 if they are in SRAM
    input_bytes: per input, moved while the array computes
    """

    layers: tuple[tuple[str, int], ...]
    array_ps: int
    fetch_ps: int = 0
    input_bytes: int = 0


class Stage(NamedTuple):
    """What one chip does: its layers, and the bytes per input that it hands on."""

    layers: tuple[LayerWork, ...]
    steps: tuple[Step, ...]
    output_bytes: int


class System(NamedTuple):
    """Chips and how they are used.

    stages: one for all chips if replicated; one per chip, in order, if pipelined
    """

    work: NetworkWork
    dram: Dram
    link: Link
    arrangement: Arrangement
    chips: int
    stages: tuple[Stage, ...]
    batch: int
    batch_timeout_ps: int


def build_system(
    work: NetworkWork,
    link: Link,
    *,
    arrangement: Arrangement,
    chips: int,
    batch: int,
    batch_timeout_ps: int,
) -> System:
    """Lay the network out over the chips. Raises InputError where it has fewer layers than chips."""
    dram = work.dram
    groups = [work.layers]
    if arrangement == "pipelined":
        if chips > len(work.layers):
            raise InputError(
                f"chips={chips}: network '{work.network}' has {len(work.layers)} layers: "
                f"pipelined, it runs on at most {len(work.layers)}"
            )
        cuts = balance([layer_time_ps(layer, dram, batch) for layer in work.layers], chips)
        groups = [work.layers[start:end] for start, end in cuts]
    stages = tuple(Stage(group, steps_of(group, dram), group[-1].output_bytes) for group in groups)
    return System(work, dram, link, arrangement, chips, stages, batch, batch_timeout_ps)


def layer_time_ps(layer: LayerWork, dram: Dram, batch: int) -> int:
    """Pace of a layer for a batch: the slower of array and DRAM."""
    moved_ps = dram.transfer_ps(layer.input_bytes * batch)
    return max(layer.array_ps * batch, fetch_ps(layer, dram) + moved_ps)


def fetch_ps(layer: LayerWork, dram: Dram) -> int:
    """Time that a layer's weights take from DRAM into the buffer."""
    return max(dram.transfer_ps(layer.weight_bytes), layer.load_ps)


def steps_of(layers: tuple[LayerWork, ...], dram: Dram) -> tuple[Step, ...]:
    """Steps of a chip. Layers in a row that stay on the chip are one step: nothing happens between."""
    steps: list[Step] = []
    for layer in layers:
        step = Step(
            layers=((layer.name, layer.array_ps),),
            array_ps=layer.array_ps,
            fetch_ps=fetch_ps(layer, dram),
            input_bytes=layer.input_bytes,
        )
        before = steps[-1] if steps else None
        if before and not (_moves(before) or _moves(step)):
            steps[-1] = Step(before.layers + step.layers, before.array_ps + step.array_ps)
        else:
            steps.append(step)
    return tuple(steps)


def _moves(step: Step) -> bool:
    return bool(step.fetch_ps or step.input_bytes)


def balance(times: list[int], groups: int) -> list[tuple[int, int]]:
    """Cut a list into that many contiguous groups so that the largest sum is as small as possible.

    Dynamic programming over all cuts: the least possible maximum of the first i entries in g groups is
    the minimum over j of max(that of the first j in g - 1 groups, the sum of the rest). Returns
    (start, end) of each group; none is empty.
    """
    sums = [0, *accumulate(times)]
    n = len(times)
    least = [sums]  # least[g - 1][i]: largest group when the first i entries are in g groups
    cut: list[list[int]] = []
    for group in range(1, groups):
        row, cuts = [0] * (n + 1), [0] * (n + 1)
        for i in range(group + 1, n + 1):
            row[i], cuts[i] = min(
                (max(least[-1][j], sums[i] - sums[j]), j) for j in range(group, i)
            )
        least.append(row)
        cut.append(cuts)
    ends = [n]
    for cuts in reversed(cut):
        ends.append(cuts[ends[-1]])
    bounds = [0, *reversed(ends)]
    return list(pairwise(bounds))
