"""Area of what a machine has beyond EIE's PE: by hand, from the published units."""

import pytest

import accelsim
from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.extra_logic import extra_logic_area
from accelsim.hardware.technology import technology

ARITHMETIC_UM2 = 3110  # EIE Table II, ArithmUnit
QUEUE_UM2 = 758  # EIE Table II, ActQueue of 8 slots
FLIP_FLOP_UM2 = 4.522  # NanGate 45 nm, DFF_X1


def terms(lanes=0, **fields):
    machine = accelerator("eie-64", **fields)
    return {t.component: t.area_mm2 for t in extra_logic_area(machine, lanes, technology("45nm"))}


def test_the_published_machine_has_nothing_extra():
    assert terms() == {}


@pytest.mark.parametrize(
    ("fields", "name", "um2"),
    [
        ({"multipliers": 3}, "further multipliers", 64 * 2 * ARITHMETIC_UM2),
        ({"queue_depth": 32, "pes": 4}, "queues of another depth", 4 * 3 * QUEUE_UM2),
        ({"queue_depth": 4}, "queues of another depth", -64 * QUEUE_UM2 / 2),
        ({"row_buffer_rows": 3, "row_bits": 32}, "further weight rows", 64 * 64 * FLIP_FLOP_UM2),
        ({"lanes": 16}, "vector unit", 16 * ARITHMETIC_UM2),
    ],
)
def test_each_unit_by_hand(fields, name, um2):
    assert terms(**fields) == {name: pytest.approx(um2 / 1e6)}


def test_estimates_say_so_and_join_the_area_of_a_run():
    result = accelsim.simulate("lenet-300-100", multipliers=2)
    (row,) = result.area[result.area["component"] == "further multipliers"].to_dict("records")
    assert row["source"].startswith("estimate")
    plain = accelsim.simulate("lenet-300-100")
    assert result.total["area_mm2"] == pytest.approx(plain.total["area_mm2"] + row["area_mm2"])
