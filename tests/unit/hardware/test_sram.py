import csv
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from accelsim.errors import TechnologyError
from accelsim.hardware.sram import FIELDS, least_capacity, sram
from accelsim.hardware.technology import TABLES

GRID = TABLES / "sram_cacti.csv"
HEADER = ",".join(["node_nm", "capacity_bytes", "width_bits", *FIELDS])


@cache
def rows_of(node):
    with GRID.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["node_nm"] == str(node)]
    return {
        (int(row["capacity_bytes"]), int(row["width_bits"])): [float(row[f]) for f in FIELDS]
        for row in rows
    }


def values_of(macro):
    return [getattr(macro, field) for field in FIELDS]


def write_grid(path, rows, node=45):
    lines = [f"{node},{c},{w},{','.join(map(repr, values))}" for (c, w), values in rows.items()]
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("node", [22, 32, 45, 65])
def test_grid_points_come_out_as_they_stand(node):
    for (capacity, width), values in rows_of(node).items():
        macro = sram(GRID, node, capacity, width)
        assert values_of(macro) == pytest.approx(values, rel=1e-12)
        assert (macro.capacity_bytes, macro.width_bits) == (capacity, width)
        assert macro.source.startswith(f"CACTI, {node} nm, {capacity} bytes x {width} bits")


def test_between_grid_points_logarithms_are_linear(tmp_path):
    grid = rows_of(45)
    middle = sram(GRID, 45, 2**16 + 2**15, 64)
    part = np.log2(1.5)
    expected = np.exp(
        (1 - part) * np.log(grid[2**16, 64]) + part * np.log(grid[2**17, 64])
    ).tolist()
    assert values_of(middle) == pytest.approx(expected)
    assert "interpolated" in middle.source
    # In both directions at once: at the geometric middle of four points, their geometric mean.
    corners = [(4, 4), (4, 16), (16, 4), (16, 16)]
    square = {c: [float(n)] * 5 for n, c in enumerate(corners, start=1)}
    assert values_of(sram(write_grid(tmp_path / "square.csv", square), 45, 8, 8)) == pytest.approx(
        [24**0.25] * 5
    )


# --- how far off interpolation is: each inner grid point, guessed from its two neighbours ---


def leave_one_out(tmp_path, axis):
    """float64[n_points, n_fields]: relative errors along capacity (axis 0) or width (axis 1)."""
    grid = rows_of(45)
    errors = []
    for key, values in grid.items():
        line = {k: v for k, v in grid.items() if k[1 - axis] == key[1 - axis]}
        if key in (min(line), max(line)):
            continue
        del line[key]
        path = write_grid(tmp_path / f"{axis}-{key[0]}-{key[1]}.csv", line)
        guess = values_of(sram(path, 45, *key))
        errors.append(np.abs(np.array(guess) / values - 1))
    return np.array(errors)


@pytest.mark.parametrize(
    ("axis", "medians", "largest"),
    [
        (0, [0.05, 0.06, 0.03, 0.05, 0.06], [0.29, 0.19, 0.16, 0.23, 0.58]),
        (1, [0.07, 0.07, 0.02, 0.04, 0.04], [0.39, 0.34, 0.17, 0.22, 0.60]),
    ],
    ids=["capacity", "width"],
)
def test_leave_one_out_errors_are_as_documented(tmp_path, axis, medians, largest):
    """docs/energy.md states these; in use, a gap is half as wide as the one bridged here."""
    errors = leave_one_out(tmp_path, axis)
    assert len(errors) > 60
    assert np.all(np.median(errors, axis=0) <= medians)
    assert np.all(errors.max(axis=0) <= largest)


# --- between nodes ---


def test_between_nodes_logarithms_are_linear_in_log_node():
    part = np.log(28 / 22) / np.log(32 / 22)
    for capacity, width in ((131_072, 64), (512, 8), (2**23, 512)):
        low, high = (np.log(rows_of(node)[capacity, width]) for node in (22, 32))
        expected = np.exp((1 - part) * low + part * high).tolist()
        macro = sram(GRID, 28, capacity, width)
        assert values_of(macro) == pytest.approx(expected)
        assert macro.source.startswith("CACTI, interpolated to 28 nm from 22 and 32 nm; ")
    assert least_capacity(GRID, 28, 256) == least_capacity(GRID, 22, 256)


@pytest.mark.parametrize(("node", "low", "high"), [(32, 22, 45), (45, 32, 65)])
def test_leave_one_out_errors_of_nodes_are_those_of_the_document(tmp_path, node, low, high):
    """Leakage per cell is a choice of each node's process, and does not follow its neighbours."""
    lines = [
        f"{other},{c},{w},{','.join(map(repr, values))}"
        for other in (low, high)
        for (c, w), values in rows_of(other).items()
    ]
    path = tmp_path / "without.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    guessed = np.array([values_of(sram(path, node, *key)) for key in rows_of(node)])
    errors = 100 * np.abs(guessed / np.array(list(rows_of(node).values())) - 1)
    assert errors.shape == (99, 5)
    pairs = zip(np.median(errors, axis=0), errors.max(axis=0), strict=True)
    cells = [f"{middle:.1f} %, {worst:.1f} %" for middle, worst in pairs]
    page = Path(__file__).parents[3] / "docs" / "energy-nodes.md"
    row = " | ".join([f"| {node} nm from {low} and {high} nm", *cells])
    assert f"{row} |" in page.read_text(encoding="utf-8")


# --- outside the grid ---


def test_below_the_grid_the_smallest_is_built():
    smallest = sram(GRID, 45, 512, 8)
    tiny = sram(GRID, 45, 1, 1)
    assert values_of(tiny) == values_of(smallest)
    assert (tiny.capacity_bytes, tiny.width_bits) == (1, 1)


@pytest.mark.parametrize(
    ("capacity", "width", "limit"),
    [
        (2**23 + 1, 64, "8388608 bytes at this width"),
        (2**40, 64, "8388608 bytes at this width"),
        (131_072, 513, "512 bits"),
    ],
)
def test_above_the_grid_is_an_error_with_its_limits(capacity, width, limit):
    message = rf"SRAM of {capacity} bytes, {width} bits wide, is outside the grid \(up to {limit}\)"
    with pytest.raises(TechnologyError, match=message):
        sram(GRID, 45, capacity, width)


def test_a_wide_sram_below_its_smallest_capacity_is_built_that_large():
    small = sram(GRID, 45, 100, 256)  # the grid has 256 bits from 2,048 bytes on
    assert values_of(small) == pytest.approx(rows_of(45)[2048, 256])
    assert "2048 bytes x 256 bits" in small.source
    between = sram(GRID, 45, 100, 100)  # 64 and 128 bits have 1,024 bytes in common
    assert rows_of(45)[1024, 64][3] < between.area_mm2 < rows_of(45)[1024, 128][3]


def test_widths_without_a_common_capacity_are_an_error(tmp_path):
    apart = {(1024, 8): [1.0] * 5, (2048, 16): [1.0] * 5}
    with pytest.raises(TechnologyError, match="12 bits wide, is outside the grid"):
        sram(write_grid(tmp_path / "apart.csv", apart), 45, 1024, 12)


@pytest.mark.parametrize("node", [7, 21, 66])
def test_a_node_outside_the_grid_is_an_error(node):
    message = rf"sram_cacti\.csv: no SRAM of {node} nm: add rows to those of 22 to 65 nm"
    with pytest.raises(TechnologyError, match=message):
        sram(GRID, node, 1024, 8)
    with pytest.raises(TechnologyError, match=message):
        least_capacity(GRID, node, 8)


# --- damaged tables ---

GOOD_ROW = "45,512,8,1,1,1,1,1"


@pytest.mark.parametrize(
    "row",
    [
        "45,1024,8,1,1,1,1",
        "45,1024,8,1,1,1,,1",
        "45,1024,8,one,1,1,1,1",
        "45,1024.5,8,1,1,1,1,1",
        "45,1024,8,0,1,1,1,1",
        "45,1024,8,1,-1,1,1,1",
        "45,1024,8,1,1,nan,1,1",
        "45,1024,8,1,1,1,inf,1",
        "45,0,8,1,1,1,1,1",
        "45,1024,-8,1,1,1,1,1",
        "x,1024,8,1,1,1,1,1",
    ],
)
def test_a_damaged_row_is_named_by_its_line(tmp_path, row):
    path = tmp_path / "grid.csv"
    path.write_text(f"{HEADER}\n{GOOD_ROW}\n{row}\n", encoding="utf-8")
    with pytest.raises(TechnologyError, match=r"grid\.csv, line 3: "):
        sram(path, 45, 512, 8)


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "grid.csv"
    path.write_text("node_nm,capacity_bytes,width_bits\n45,512,8\n", encoding="utf-8")
    with pytest.raises(TechnologyError, match=r"line 1: column 'read_energy_pj' is missing"):
        sram(path, 45, 512, 8)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\xff", HEADER.encode()])
def test_a_file_without_rows_is_named(tmp_path, content):
    path = tmp_path / "grid.csv"
    path.write_bytes(content)
    with pytest.raises(TechnologyError, match=r"grid\.csv(, line 1)?: "):
        sram(path, 45, 512, 8)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TechnologyError, match=r"none\.csv: cannot be read"):
        sram(tmp_path / "none.csv", 45, 512, 8)


def test_an_edited_grid_is_read_anew(tmp_path, monkeypatch):
    path = write_grid(tmp_path / "grid.csv", {(1024, 8): [1.0] * 5})
    monkeypatch.chdir(tmp_path)
    assert sram(Path("grid.csv"), 45, 1024, 8).read_energy_pj == pytest.approx(1)
    write_grid(path, {(1024, 8): [2.0] * 5})
    os.utime(path, ns=(0, 1))
    assert sram(Path("grid.csv"), 45, 1024, 8).read_energy_pj == pytest.approx(2)


def test_a_relative_path_means_what_it_means_here(tmp_path, monkeypatch):
    for name, value in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        write_grid(tmp_path / name / "grid.csv", {(1024, 8): [value] * 5})
        monkeypatch.chdir(tmp_path / name)
        assert sram(Path("grid.csv"), 45, 1024, 8).area_mm2 == pytest.approx(value)
