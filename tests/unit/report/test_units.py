import math

import pytest

from accelsim.report.units import (
    bytes_text,
    energy_text,
    label,
    number,
    percent,
    ratio_text,
    setting,
    short,
    time_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (9.9075, "9.91"),
        (9.999, "10.0"),
        (99.96, "100"),
        (0.0288, "0.0288"),
        (1134.9, "1,135"),
        (-2.5, "-2.50"),
        (1e20, "1.00e+20"),
        (1e-9, "1.00e-09"),
        (math.nan, "—"),
        (math.inf, "inf"),
    ],
)
def test_numbers_have_three_significant_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("us", "text"),
    [(0.0488, "48.8 ns"), (0.9999, "1.00 µs"), (9.9075, "9.91 µs"), (1134.9, "1.13 ms"),
     (2.5e6, "2.50 s"), (0.0, "0 ns"), (math.nan, "—")],
)  # fmt: skip
def test_times_choose_their_unit(us, text):
    assert time_text(us) == text


@pytest.mark.parametrize(
    ("pj", "text"),
    [(0.62, "0.620 pJ"), (2260, "2.26 nJ"), (7378072.6, "7.38 µJ"), (8.28e10, "82.8 mJ")],
)
def test_energies_choose_their_unit(pj, text):
    assert energy_text(pj) == text


def test_a_kilobyte_is_1024_bytes():
    assert bytes_text(1024) == "1.00 KB"
    assert bytes_text(1000) == "1,000 B"
    assert bytes_text(240 * 1024**2) == "240 MB"


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(1.0, "1.0×"), (0.999, "1.0×"), (12.6, "12.6×"), (99.96, "100×"), (120.4, "120×"),
     (11229, "11,229×"), (0.054, "0.054×"), (0.94, "0.94×"), (math.nan, "—")],
)  # fmt: skip
def test_ratios(ratio, text):
    assert ratio_text(ratio) == text


def test_axis_numbers_have_no_trailing_zeros():
    assert [short(v) for v in (1.0, 2.5, 100.0, 1000.0, 64)] == ["1", "2.5", "100", "1,000", "64"]


def test_percent():
    assert percent(0.8945) == "89.5%"
    assert percent(math.nan) == "—"


@pytest.mark.parametrize(
    ("column", "text"),
    [("latency_us", "latency (µs)"), ("pes", "PEs"), ("area_mm2", "area (mm²)"),
     ("queue_depth", "queue depth"), ("sram_row_reads", "SRAM row reads"),
     ("weight_sram_bytes", "weight SRAM (bytes)"), ("decoder", "decoder")],
)  # fmt: skip
def test_labels_write_units_out(column, text):
    assert label(column) == text


def test_settings():
    assert setting("pes", 64) == "64 PEs"
    assert setting("pes", 1) == "1 PE"
    assert setting("queue_depth", 8) == "queue depth 8"
