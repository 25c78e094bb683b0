import io
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from accelsim.compression.compressor import compress
from accelsim.compression.describe import inspect
from accelsim.network.npz import load_npz
from accelsim.report.tables import (
    Footnotes,
    comparison_table,
    energy_table,
    inspection_table,
    layers_table,
    sizes_table,
    sweep_table,
    table_iv_table,
)
from accelsim.report.units import bytes_text


def shown(table, width=100, styles=False):
    console = Console(width=width, record=True, force_terminal=True, file=io.StringIO())
    console.print(table)
    plain = console.export_text(clear=False, styles=False)
    assert all(len(line) <= width for line in plain.splitlines())
    assert "…" not in plain
    return console.export_text(styles=styles)


def one_line(text):
    return " ".join(text.split())


def test_layers(result):
    text = shown(layers_table(result))
    assert "first[bold]" in text
    assert "100 × 200" in text
    assert f"{result.total['cycles']:,}" in text
    assert "mean power" in text
    assert "total" in text
    assert result.notes
    assert not any(note in one_line(text) for note in result.notes)  # the command line prints them


def test_energy_adds_layers_and_numbers_sources(result):
    text = shown(energy_table(result))
    assert text.count("weight SRAM") == 1
    assert "100.0%" not in text
    for source in result.energy["source"].unique():
        assert source in one_line(text)


def test_footnotes_number_a_text_once():
    notes = Footnotes()
    assert [notes.mark(text) for text in ("a", "b", "a", "")] == ["1", "2", "1", ""]
    assert notes.marks("b", None, math.nan, "a") == "2,1"
    assert one_line(shown(notes.render())) == "1 a 2 b"


@pytest.fixture
def small(tmp_path):
    rng = np.random.default_rng(0)
    layers = {f"layer{i}/weights": rng.normal(size=(64, 64)).astype(np.float32) for i in (0, 1)}
    np.savez(tmp_path / "small.npz", **layers)
    return load_npz(tmp_path / "small.npz")


def test_sizes(small):
    network = compress(small, density=0.25)
    text = shown(sizes_table(inspect(replace(network, name="small [net]"))))
    assert "small [net], compressed" in text
    assert "25.0%" in text
    assert "8,192" in text  # weights of both layers
    assert "32.0 KB" in text
    assert shown(inspection_table(inspect(network))) != ""


def test_the_total_counts_what_stands_in_no_row_against_the_network_that_was_given(small):
    factorised = compress(small, steps=[{"kind": "factorise", "method": "svd", "rank": 4}])
    scales = {"kind": "quantise", "scheme": "uniform", "bits": 4, "per": "channel"}
    for network in (factorised, compress(small, code_bits="fit", steps=[scales])):
        found = inspect(network)
        assert found.dense_bytes == 2 * 64 * 64 * 4
        assert found.compression_ratio == found.dense_bytes / found.size_bytes
        assert found.paper_compression_ratio == pytest.approx(
            32 * 2 * 64 * 64 / sum(layer.sizes.paper_bits for layer in network.layers)
        )
        text = one_line(shown(inspection_table(found)))
        total = re.search(r" total .*?([\d.]+)×", text)
        assert float(total.group(1)) == pytest.approx(found.compression_ratio, rel=0.01)
    beside = sum(values.size for values in network.flow.constants.values()) * 4
    assert beside == 2 * 2 * 64 * 4
    assert f"The total holds {bytes_text(beside)} beside the layers" in text


def test_inspection_of_a_dense_network(small):
    text = shown(inspection_table(inspect(small)))
    assert "(dense)" in text
    assert "Dense, in float32: 32.0 KB" in text


@pytest.mark.parametrize("n", [1, 12])
def test_comparison(systems, n):
    text = shown(comparison_table(systems(n)))
    assert "9.90 µs" in text
    assert "1.0×" in text
    if n == 12:
        assert "1,734×" in text
        assert "1 simulated" in text
        assert "2 Han et al., EIE, ISCA 2016, Table IV" in text
        assert "3 memory bandwidth only" in text
        assert " 2,3 " in text


def test_comparison_marks_what_is_missing(systems):
    row = next(
        line for line in shown(comparison_table(systems(10))).splitlines() if "310 µs" in line
    )
    assert row.split()[-3:] == ["—", "—", "2"]


def test_ratios_are_bold(systems):
    assert "\x1b[1m 1.0×\x1b[0m" in shown(comparison_table(systems(2)), styles=True)


def test_names_are_not_markup(systems):
    table = systems(1).assign(system="[red]x[/red]", source="[link=http://a]b[/link]")
    text = shown(comparison_table(table))
    assert "[red]x[/red]" in text
    assert "[link=http://a]b[/link]" in text


def test_table_iv():
    frame = pd.DataFrame(
        {
            "layer": ["Alex-6", "Alex-8"],
            "published_us": [30.3, 9.9],
            "ours_us": [29.3, 9.9075],
            "difference_pct": [-3.3, 0.0758],
            "note": ["synthetic weights", "real weights"],
        }
    )
    text = shown(table_iv_table(frame))
    assert "-3.3%" in text
    assert "+0.1%" in text
    assert "2 real weights" in text


def test_sweep_shows_what_varies_and_marks_the_best(points):
    text = shown(sweep_table(points), styles=True)
    assert "PEs" in text
    assert "queue depth" in text
    single = points[points["queue_depth"] == 8].assign(decoder="fixed", area_mm2=4.5)
    text = shown(sweep_table(single), styles=True)
    assert "9 points, queue depth 8, decoder fixed" in text
    assert "\x1b[1m 4.5" not in text  # all the same: none is best
    best = next(line for line in text.splitlines() if "\x1b[1m  2,562\x1b" in line)
    assert " 256 " in best


def test_sweep_with_missing_values_and_other_columns(points):
    points["area_mm2"] = np.nan
    points["grown"] = ["[x]", None] * 9
    text = shown(sweep_table(points.head(4)))
    assert "—" in text
    assert "[x]" in text


WIDTHS = pytest.mark.parametrize("width", [100, 80, 60])


@WIDTHS
def test_no_width_breaks_a_short_word_or_hides_a_number(systems, width):
    text = shown(comparison_table(systems(12)), width)
    for word in ("simulated", "published", "measured", "estimate"):
        assert word in text
    for number in ("9.90 µs", "82.8 mJ", "11,226×", "1,734×"):
        assert number in text


@WIDTHS
def test_layers_and_sizes_at_any_width(result, small, width):
    text = shown(layers_table(result), width)
    for row in result.rows:
        assert f"{row['n_out']} × {row['n_in']}" in text
        assert f"{row['cycles']:,}" in text
    assert "total" in text
    text = shown(inspection_table(inspect(compress(small, density=0.25))), width)
    for words in ("total", "25.0%", "8,192", "32.0 KB"):
        assert words in text


@WIDTHS
def test_dense_sizes_and_sweeps_at_any_width(small, points, width):
    assert "4,096" in shown(inspection_table(inspect(small)), width)
    text = shown(sweep_table(points), width)
    assert ("PEs 256" if width == 60 else " 256 ") in text
