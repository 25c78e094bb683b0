"""Scaling of logic between nodes: by hand, and against published uses of the same method."""

import math
import re
import tomllib
from pathlib import Path

import pytest

from accelsim.errors import TechnologyError
from accelsim.hardware import scaling
from accelsim.hardware.interpolation import neighbours
from accelsim.hardware.scaling import scale_factors

NODES = (180, 130, 90, 65, 45, 32, 20, 16, 14, 10, 7)


def test_energy_and_delay_by_hand():
    """Stillmaker and Baas's polynomials at 1.0 V in 45 nm and at 0.7 V in 7 nm."""
    energy_45 = 1.018 - 0.3107 + 0.1539
    energy_7 = 0.1776 * 0.49 - 0.09097 * 0.7 + 0.02447
    delay_45 = -501.6 + 1567 - 1619 + 566.1
    delay_7 = -28.58 * 0.343 + 76.6 * 0.49 - 70.26 * 0.7 + 24.69
    factors = scale_factors(45, 7)
    assert factors.energy == pytest.approx(energy_7 / energy_45)
    assert factors.delay == pytest.approx(delay_7 / delay_45)
    assert factors.area == pytest.approx(0.059)
    assert "Stillmaker" in factors.source


def test_factors_are_those_that_others_took_from_the_paper():
    """65 to 45 nm: energy 0.52, area 0.66.

    Given by the public release of an accelerator's energy model, with this paper as its source; its
    supply voltages are not stated.
    """
    factors = scale_factors(65, 45)
    assert factors.energy == pytest.approx(0.52, rel=0.02)
    assert factors.area == pytest.approx(0.66)


@pytest.mark.parametrize(
    ("start", "end", "area"),
    [
        (180, 130, 0.34),
        (90, 45, 0.35),
        (45, 32, 0.46),
        (45, 16, 0.19),
        (32, 7, 0.13),
        (7, 180, 320),
    ],
)
def test_areas_are_as_printed(start, end, area):
    assert scale_factors(start, end).area == pytest.approx(area)


@pytest.mark.parametrize("node", NODES)
def test_a_node_is_itself(node):
    assert scale_factors(node, node)[:3] == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("start", NODES)
@pytest.mark.parametrize("end", NODES)
def test_there_and_back_is_where_it_began(start, end):
    there, back = scale_factors(start, end), scale_factors(end, start)
    assert there.energy * back.energy == pytest.approx(1)
    assert there.delay * back.delay == pytest.approx(1)
    assert there.area * back.area == pytest.approx(1, rel=0.06)  # printed with two digits


def test_smaller_nodes_take_less_energy_and_area():
    """Delay is not among them: multi-gate 20 nm at 0.9 V is slower than bulk 32 nm at 0.9 V."""
    energies = [scale_factors(45, node).energy for node in NODES]
    areas = [scale_factors(45, node).area for node in NODES]
    assert energies == sorted(energies, reverse=True)
    assert areas == sorted(areas, reverse=True)
    assert scale_factors(32, 20).delay > 1


def test_between_nodes_logarithms_are_linear():
    middle = math.sqrt(45 * 32)
    half = scale_factors(45, middle)
    whole = scale_factors(45, 32)
    assert half[:3] == pytest.approx([math.sqrt(factor) for factor in whole[:3]])
    assert scale_factors(middle, middle).energy == pytest.approx(1)
    both = scale_factors(math.sqrt(65 * 45), middle).area
    corners = [scale_factors(start, end).area for start in (65, 45) for end in (45, 32)]
    assert both == pytest.approx(math.prod(corners) ** 0.25)


@pytest.mark.parametrize(("start", "end"), [(181, 45), (45, 6.9), (250, 5), (0, 45), (45, -1)])
def test_other_nodes_are_refused(start, end):
    with pytest.raises(TechnologyError, match=r"nm is outside 180 to 7 nm: give a table") as error:
        scale_factors(start, end)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("vdd_v = 1.0", "vdd = 1.0", r"nodes\.45\.vdd: has no unit: write vdd_v"),
        ("vdd_v = 1.0", "vdd_v = nan", r"nodes\.45\.vdd_v=nan"),
        ("energy = [1.018, ", "energy = [", r"field 'nodes\.45\.energy\.2' is missing"),
    ],
)
def test_a_damaged_table_is_refused_with_its_line(tmp_path, monkeypatch, old, new, message):
    text = scaling.TABLE.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "scaling.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    monkeypatch.setattr(scaling, "TABLE", path)
    line = 1 + text[: text.index(old)].count("\n")
    with pytest.raises(TechnologyError, match=rf"scaling\.toml, line {line}: {message}"):
        scale_factors(45, 32)


def test_the_document_shows_what_the_code_computes():
    page = (Path(__file__).parents[3] / "docs" / "energy-nodes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) nm \| (\S+) \| (\S+) \| (\S+) \|$", page, re.MULTILINE)
    assert [int(row[0]) for row in rows] == [180, 65, 32, 28, 16, 7]
    for node, *cells in rows:
        factors = scale_factors(45, int(node))
        assert cells == [f"{factors.energy:.3g}", f"{factors.delay:.3g}", f"{factors.area:.2g}"]


def test_supplies_scale_as_the_table_has_them():
    """Nominal supplies; between two nodes their logarithms are interpolated."""
    nodes = tomllib.loads(scaling.TABLE.read_text(encoding="utf-8"))["nodes"]
    assert scale_factors(45, 32).supply == pytest.approx(
        nodes["32"]["vdd_v"] / nodes["45"]["vdd_v"]
    )
    assert scale_factors(45, 45).supply == 1.0


def test_neighbours_of_points_between_and_outside():
    assert neighbours([1, 4, 16], 4) == [(4, 1.0)]
    assert neighbours([1, 4, 16], 8) == [(4, pytest.approx(0.5)), (16, pytest.approx(0.5))]
    for outside in (0.5, 17):
        with pytest.raises(ValueError, match="is not within 1 to 16"):
            neighbours([1, 4, 16], outside)
