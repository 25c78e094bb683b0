"""Masks against loops over single weights, with many equal magnitudes."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from accelsim.compression.steps import patterns
from accelsim.compression.steps.patterns import (
    NAMES,
    Block,
    Named,
    NOfM,
    Pattern,
    global_masks,
    keep_mask,
    threshold_mask,
)
from accelsim.errors import InputError
from accelsim.network.graph import Convolution
from accelsim.validation import first_problem

parse_pattern = TypeAdapter(Pattern).validate_python
DENSITIES = st.sampled_from([0.001, 0.1, 0.25, 0.5, 0.75, 0.99, 1.0])


@st.composite
def matrices(draw, most=9):
    """Small whole numbers: many ties, and sums of squares that float32 tells apart."""
    n_out, n_in = draw(st.integers(1, most)), draw(st.integers(1, most))
    values = draw(st.lists(st.integers(-4, 4), min_size=n_out * n_in, max_size=n_out * n_in))
    return np.array(values, np.float32).reshape(n_out, n_in) / 8


@pytest.fixture(autouse=True, params=[7, 2**20], ids=["strips", "whole"])
def strip_values(request, monkeypatch):
    """Matrices are gone through a few rows at a time, or at once."""
    monkeypatch.setattr(patterns, "STRIP_VALUES", request.param)


def chosen(scores, keep):
    """Places of the `keep` largest scores above 0, the first of equals; scores: in a list."""
    ranked = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
    return {at for at in ranked[:keep] if scores[at] > 0}


def slow_mask(weights, density, rows, columns):
    """Tiles of rows x columns by their mean square, in exact arithmetic."""
    tiles = [
        [
            (r, c)
            for r in range(top, min(top + rows, len(weights)))
            for c in range(left, min(left + columns, weights.shape[1]))
        ]
        for top in range(0, len(weights), rows)
        for left in range(0, weights.shape[1], columns)
    ]
    scores = [sum(Fraction(float(weights[p])) ** 2 for p in tile) / len(tile) for tile in tiles]
    mask = np.zeros(weights.shape, bool)
    for at in chosen(scores, max(1, round(density * len(tiles)))):
        for place in tiles[at]:
            mask[place] = True
    return mask


@settings(deadline=None, max_examples=60)
@given(weights=matrices(), density=DENSITIES)
def test_single_weights(weights, density):
    found = keep_mask(weights, density, parse_pattern("element"))
    flat = [abs(float(value)) for value in weights.reshape(-1)]
    expected = chosen(flat, max(1, round(density * len(flat))))
    assert set(np.flatnonzero(found).tolist()) == expected


@settings(deadline=None, max_examples=60)
@given(weights=matrices(), density=DENSITIES, rows=st.integers(1, 5), columns=st.integers(1, 5))
def test_blocks(weights, density, rows, columns):
    found = keep_mask(weights, density, Block(kind="block", rows=rows, columns=columns))
    np.testing.assert_array_equal(found, slow_mask(weights, density, rows, columns))


@settings(deadline=None, max_examples=60)
@given(weights=matrices(), m=st.integers(1, 12), data=st.data())
def test_n_of_m(weights, m, data):
    n = data.draw(st.integers(1, m))
    found = keep_mask(weights, 1.0, parse_pattern(f"{n}:{m}"))
    for row, kept in zip(np.abs(weights), found, strict=True):
        for start in range(0, len(row), m):
            group = [float(value) for value in row[start : start + m]]
            assert set(np.flatnonzero(kept[start : start + m]).tolist()) == chosen(group, n)


def test_two_of_four_is_half():
    weights = np.random.default_rng(0).standard_normal((6, 32)).astype(np.float32)
    found = keep_mask(weights, 0.01, parse_pattern("2:4"))
    assert (found.reshape(-1, 4).sum(axis=1) == 2).all()


@pytest.mark.parametrize("name", ["row", "filter", "column", "kernel", "channel"])
@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
def test_groups_of_a_convolution(name, density):
    """By the norms of [channels out, channels in, height, width]."""
    weights = np.random.default_rng(1).standard_normal((6, 5, 3, 2)).astype(np.float32)
    axes = {"row": (1, 2, 3), "column": (0,), "kernel": (2, 3), "channel": (0, 2, 3)}
    over = axes["row" if name == "filter" else name]
    norms = np.sqrt((weights.astype(np.float64) ** 2).sum(axis=over, keepdims=True))
    keep = round(density * norms.size)
    expected = np.broadcast_to(norms >= np.sort(norms.reshape(-1))[-keep], weights.shape)
    op = Convolution(layer="c", kernel=(3, 2))
    found = keep_mask(weights.reshape(6, 30), density, Named(kind=name), op)
    np.testing.assert_array_equal(found, expected.reshape(6, 30))


@pytest.mark.parametrize(("name", "same"), [("kernel", "element"), ("channel", "column")])
def test_a_fully_connected_layer_has_kernels_of_one_weight(name, same):
    weights = np.random.default_rng(2).standard_normal((7, 9)).astype(np.float32)
    one, other = (keep_mask(weights, 0.3, Named(kind=kind)) for kind in (name, same))
    np.testing.assert_array_equal(one, other)


def test_at_least_one_group_stays():
    weights = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    assert keep_mask(weights, 0.001, Named(kind="row")).sum(axis=1).tolist() == [0, 0, 4]


@settings(deadline=None, max_examples=40)
@given(layers=st.lists(matrices(5), min_size=1, max_size=4), density=DENSITIES)
def test_the_largest_of_all_layers(layers, density):
    flat = [abs(float(value)) for weights in layers for value in weights.reshape(-1)]
    found = np.concatenate([mask.reshape(-1) for mask in global_masks(layers, density)])
    expected = chosen(flat, max(1, round(density * len(flat))))
    assert set(np.flatnonzero(found).tolist()) == expected


@pytest.mark.parametrize("quality", [0.0, 0.5, 1.0, 2.5])
def test_a_threshold_of_standard_deviations(quality):
    weights = np.random.default_rng(3).laplace(0.01, 0.05, (50, 40)).astype(np.float32)
    weights[:, ::3] = 0
    expected = np.abs(weights) > quality * np.std(weights.astype(np.float64))
    np.testing.assert_array_equal(threshold_mask(weights, quality), expected)


def test_matrices_that_are_not_contiguous():
    weights = np.random.default_rng(4).standard_normal((8, 6)).astype(np.float32).T
    for name in ("element", "2:4", "row"):
        pattern = parse_pattern(name)
        expected = keep_mask(np.ascontiguousarray(weights), 0.5, pattern)
        np.testing.assert_array_equal(keep_mask(weights, 0.5, pattern), expected)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("kernel", Named(kind="kernel")),
        ("2:4", NOfM(kind="n_of_m", n=2, m=4)),
        ({"kind": "n_of_m", "n": 1, "m": 8}, NOfM(kind="n_of_m", n=1, m=8)),
        ({"kind": "block", "rows": 4, "columns": 2}, Block(kind="block", rows=4, columns=2)),
        (Named(kind="row"), Named(kind="row")),
    ],
)
def test_patterns_as_they_are_written(written, meant):
    found = parse_pattern(written)
    assert found == meant
    assert parse_pattern(found.model_dump()) == meant


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("blocks", "'blocks' is no pattern: give one of element, row"),
        ("block", "'block' is no pattern"),
        ("4:2", "n=4 of m=2"),
        ("0:4", "greater than or equal to 1"),
        ({"kind": "block", "rows": 4}, "field 'block.columns' is missing"),
        ({"kind": "squares"}, "squares"),
        (5, "valid dictionary"),
    ],
)
def test_what_is_no_pattern(written, said):
    with pytest.raises(ValidationError) as error:
        parse_pattern(written)
    assert said in first_problem(error.value, list(NAMES))


@pytest.mark.parametrize("density", [0.0, -0.5, 1.5, float("nan")])
def test_densities_out_of_range(density):
    weights = np.ones((2, 2), np.float32)
    with pytest.raises(InputError, match="density="):
        keep_mask(weights, density, Named(kind="row"))
    with pytest.raises(InputError, match="quality="):
        threshold_mask(weights, -density if density > 0 else float("nan"))
