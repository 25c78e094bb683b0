from itertools import combinations, pairwise

import numpy as np
import pytest
from unit.simulation.system.systems import US, layer

from accelsim.errors import InputError
from accelsim.simulation.system.stages import balance, layer_time_ps, steps_of


def all_cuts(times, groups):
    """Every way to cut a list into so many groups that are not empty."""
    for inner in combinations(range(1, len(times)), groups - 1):
        yield list(pairwise([0, *inner, len(times)]))


@pytest.mark.parametrize("seed", range(30))
def test_no_cut_is_better_than_the_one_chosen(seed):
    rng = np.random.default_rng(seed)
    times = rng.integers(0, 30, rng.integers(1, 9)).tolist()
    groups = int(rng.integers(1, len(times) + 1))
    chosen = balance(times, groups)
    assert chosen in list(all_cuts(times, groups))
    least = min(max(sum(times[a:b]) for a, b in cuts) for cuts in all_cuts(times, groups))
    assert max(sum(times[a:b]) for a, b in chosen) == least


def test_layers_in_a_row_that_stay_on_the_chip_are_one_step(build):
    system = build(
        layer(1, name="a"), layer(2, name="b"), layer(3, 1, name="c"), layer(4, name="d")
    )
    steps = [[name for name, _ in step.layers] for step in system.stages[0].steps]
    assert steps == [["a", "b"], ["c"], ["d"]]
    assert [step.array_ps for step in system.stages[0].steps] == [3 * US, 3 * US, 4 * US]
    assert [step.fetch_ps for step in system.stages[0].steps] == [0, US, 0]


def test_a_decoder_on_the_way_in_can_be_slower_than_the_dram(build):
    dram = build(layer(1)).dram
    slow, fast = (layer(1, 5)._replace(load_ps=load_ps) for load_ps in (9 * US, 2 * US))
    assert [step.fetch_ps for step in steps_of((slow, fast), dram)] == [9 * US, 5 * US]


def test_a_streamed_layers_pace_is_that_of_the_slower_side(build):
    dram = build(layer(1)).dram
    assert layer_time_ps(layer(4, 9), dram, 1) == 9 * US
    assert layer_time_ps(layer(4, 9), dram, 3) == 12 * US
    assert layer_time_ps(layer(4, 9, activations_us=2), dram, 3) == 15 * US


def test_stages_are_balanced_by_pace_not_by_number_of_layers(build):
    layers = [layer(9, name="a"), layer(1, name="b"), layer(1, 6, name="c"), layer(2, name="d")]
    system = build(*layers, chips=2, arrangement="pipelined")
    names = [[part.name for part in stage.layers] for stage in system.stages]
    assert names == [["a"], ["b", "c", "d"]]


def test_more_chips_than_layers_are_refused(build):
    with pytest.raises(InputError, match="chips=3: network 'made up' has 2 layers: pipelined"):
        build(layer(1), layer(2), chips=3, arrangement="pipelined")
