"""Table files: every complaint names the file and the line, and a missing unit its remedy."""

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

import accelsim
from accelsim.errors import TechnologyError
from accelsim.hardware.dram import dram, link
from accelsim.hardware.sram import sram
from accelsim.hardware.table_files import read_csv, read_toml, table_error, validated
from accelsim.hardware.technology import TABLES, technology
from accelsim.hardware.toml_lines import key_lines, line_of

PACKAGE = Path(accelsim.__file__).parent
BUNDLED = sorted(PACKAGE.rglob("*.toml"))

ALL_KINDS = '''# comment = 1
top = 1  # [not.a.header]

[a] # header
x = "[b]"
"quoted key" = 'x = 1'
'single' = 1
dotted . "k.ey" = 2
text = """
[no.header]
no = 1 ""\\"
"""
raw = \'\'\'
[no.header] ''
no = 1\'\'\'
list = [ # ]
    "]",
    {inner = "}"},
]
after = 1

[a.b."c d"]
y = {z = 1, w = [1, 2]}

[[rows]]
v = 1
[rows.sub]
s = 1
[[rows]]
v = 2
[[rows.deep]]
d = 1
[[rows.deep]]
d = 2'''
LINES_OF_ALL_KINDS = {
    ("top",): 2,
    ("a",): 4,
    ("a", "x"): 5,
    ("a", "quoted key"): 6,
    ("a", "single"): 7,
    ("a", "dotted"): 8,
    ("a", "dotted", "k.ey"): 8,
    ("a", "text"): 9,
    ("a", "raw"): 13,
    ("a", "list"): 16,
    ("a", "after"): 20,
    ("a", "b"): 22,
    ("a", "b", "c d"): 22,
    ("a", "b", "c d", "y"): 23,
    ("rows",): 25,
    ("rows", 0): 25,
    ("rows", 0, "v"): 26,
    ("rows", 0, "sub"): 27,
    ("rows", 0, "sub", "s"): 28,
    ("rows", 1): 29,
    ("rows", 1, "v"): 30,
    ("rows", 1, "deep"): 31,
    ("rows", 1, "deep", 0): 31,
    ("rows", 1, "deep", 0, "d"): 32,
    ("rows", 1, "deep", 1): 33,
    ("rows", 1, "deep", 1, "d"): 34,
}


# --- where a key stands ---


def test_every_form_of_key_and_header_is_found():
    tomllib.loads(ALL_KINDS)
    assert key_lines(ALL_KINDS) == LINES_OF_ALL_KINDS


def leaves(value, path=()):
    """Paths of all values that are no tables."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        if isinstance(child, dict) or (
            child and isinstance(child, list) and isinstance(child[0], dict)
        ):
            yield from leaves(child, (*path, key))
        else:
            yield (*path, key)


def has(tables, path):
    for key in path:
        try:
            tables = tables[key]
        except (KeyError, IndexError):
            return False
    return True


def beginning(lines, n):
    """What is in the first n lines; nothing if they end within a value."""
    try:
        return tomllib.loads("\n".join(lines[:n]))
    except tomllib.TOMLDecodeError:
        return {}


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_keys_of_the_tables_that_come_with_accelsim_are_found(path):
    """The parser of the standard library says of each beginning of the file what is in it."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    beginnings = [beginning(lines, n) for n in range(1, len(lines) + 1)]
    keys = [
        key for key in leaves(beginnings[-1]) if not lines[line_of(text, key) - 1].endswith("[")
    ]
    assert keys
    for key in keys:
        assert line_of(text, key) == 1 + [has(tables, key) for tables in beginnings].index(True)


def test_what_is_not_there_is_where_it_would_be():
    assert line_of(ALL_KINDS, ("a", "missing")) == 4
    assert line_of(ALL_KINDS, ("rows", 1, "deep", 1, "missing")) == 33
    assert line_of(ALL_KINDS, ("a", "list", 1, "inner")) == 16
    assert line_of(ALL_KINDS, ("missing",)) == line_of("", ("x",)) == line_of(ALL_KINDS, ()) == 1


def test_windows_line_ends_count_once():
    lines = key_lines(ALL_KINDS.replace("\n", "\r\n"))
    assert lines == LINES_OF_ALL_KINDS


# --- what is wrong with it ---


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    energy_pj: float = Field(ge=0, allow_inf_nan=False)
    source: str = Field(min_length=1)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    delay_ns: float | None = None
    actions: dict[str, Inner] = {}


GOOD = """# line 1
delay_ns = 1.0

[actions.add]
energy_pj = 1.0
source = "x"

[actions.multiply]
energy_pj = 2.0
source = "y"
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("energy_pj = 2.0", "energy = 2.0", "line 9: actions.multiply.energy: has no unit: write energy_pj"),
        ("delay_ns = 1.0", "delay = 1.0", "line 2: delay: has no unit: write delay_ns"),
        ('source = "y"', "", "line 8: field 'actions.multiply.source' is missing: add it"),
        ('source = "y"', 'source = ""', "line 10: actions.multiply.source=''"),
        ("energy_pj = 2.0", "energy_pj = -2.0", "line 9: actions.multiply.energy_pj=-2.0"),
        ("energy_pj = 2.0", "energy_pj = nan", "line 9: actions.multiply.energy_pj=nan"),
        ("energy_pj = 2.0", 'energy_pj = "2 pJ"', "line 9: actions.multiply.energy_pj='2 pJ'"),
        ('source = "x"', 'source = "x"\nwidth = 3', "line 7: unknown field 'actions.add.width'"),
        ("delay_ns", "delay_us", "line 2: unknown field 'delay_us'; did you mean 'delay_ns'"),
        ("[actions.add]", "[[actions.add]]", "line 4: actions.add="),
    ],
)  # fmt: skip
def test_a_complaint_names_file_and_line(tmp_path, old, new, expected):
    path = tmp_path / "own.toml"
    assert GOOD.count(old) == 1
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(TechnologyError) as error:
        validated(Outer, read_toml(path), path)
    assert str(error.value).startswith(f"{path}, {expected}")
    assert "\n" not in str(error.value)


def test_a_value_where_a_table_belongs_is_named_by_its_line(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text("\n\nactions = 3", encoding="utf-8")
    with pytest.raises(
        TechnologyError, match=r"own\.toml, line 3: holds a value outside any table"
    ):
        validated(Inner, 3, path, ("actions",))
    assert str(table_error(path, ("other",), "text")) == f"{path}, line 1: text"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\n\nb = = 2\n", ", line 3: not valid TOML: Invalid value"),
        ("a = 1\n[a.b]\n", ", line 2: not valid TOML: "),
        ("a = [1,\n", ": not valid TOML: Invalid value (at end of document)"),
    ],
)
def test_what_is_no_toml_is_named_by_its_line(tmp_path, text, expected):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TechnologyError) as error:
        read_toml(path)
    assert str(error.value).startswith(f"{path}{expected}")
    assert "at line" not in str(error.value)


@pytest.mark.parametrize(
    ("load", "bundled", "old", "new", "expected"),
    [
        (technology, "45nm.toml", "energy_pj =", "energy =", "energy: has no unit: write energy_pj"),
        (technology, "45nm.toml", "power_mw =", "power =", "power: has no unit: write power_mw"),
        (technology, "45nm.toml", "area_um2 =", "area =", "area: has no unit: write area_um2"),
        (dram, "dram/ddr4.toml", "energy_pj_per_bit", "energy", "write energy_pj_per_bit"),
        (dram, "dram/ddr4.toml", "tck_ns", "tck", "tck: has no unit: write tck_ns"),
        (dram, "dram/ddr4.toml", "idd0_ma = 48.0", "idd0 = 48.0", "power.supplies.0.idd0: has no unit"),
        (dram, "dram/ddr4.toml", "t_ras_ns = 32.0", "t_ras_ns = -32.0", "power.t_ras_ns=-32.0"),
        (dram, "dram/hbm2.toml", "activate_pj = 909.0", "activate = 909.0", "write activate_pj"),
        (link, "link/grs.toml", "latency_ns = 20.0", "latency_ns = -20.0", "latency_ns=-20.0"),
    ],
)  # fmt: skip
def test_tables_of_all_kinds_name_the_line(tmp_path, load, bundled, old, new, expected):
    text = (TABLES / bundled).read_text(encoding="utf-8")
    assert text.count(old) >= 1
    path = tmp_path / "own.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    line = 1 + text[: text.index(old)].count("\n")
    with pytest.raises(TechnologyError) as error:
        load(str(path))
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert expected in str(error.value)


# --- CSV ---


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "own.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_rows_come_with_their_lines(table):
    path = table('\ufeffb,a,c\n1,2,3\n\n"x\ny",5,6\n')
    rows = read_csv(path, ["a", "b"], ("c", "d"))
    assert [(row.line, row.cells) for row in rows] == [
        (2, {"b": "1", "a": "2", "c": "3"}),
        (5, {"b": "x\ny", "a": "5", "c": "6"}),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: column 'a_pj' is missing: add it"),
        ("1,2\n", "line 1: unknown column '1'; the columns are a_pj, b, c"),
        ("a_pj\n1\n", "line 1: column 'b' is missing: add it"),
        ("a,b\n1,2\n", "line 1: unknown column 'a' has no unit: write a_pj"),
        ("a_pj,b,b\n1,2,3\n", "line 1: column 'b' stands there twice: remove one"),
        ("a_pj,b,apj\n1,2,3\n", "line 1: unknown column 'apj'; did you mean 'a_pj'?"),
        ("a_pj,b\n1,2\n3\n", "line 3: has 1 cells, the header 2: give one each"),
        ("a_pj,b\n1,2,3\n", "line 2: has 3 cells, the header 2: give one each"),
        ('a_pj,b\n1,2\n3,"4\n', "line 3: not valid CSV: unexpected end of data"),
    ],
)
def test_a_bad_csv_is_refused_with_file_and_line(table, text, expected):
    path = table(text)
    with pytest.raises(TechnologyError) as error:
        read_csv(path, ["a_pj", "b"], ("c",))
    assert str(error.value) == f"{path}, {expected}"


def test_an_sram_grid_that_holds_a_macro_twice_names_both_lines(table):
    text = (TABLES / "sram_cacti.csv").read_text(encoding="utf-8")
    path = table(text + text.splitlines()[1] + "\n")
    with pytest.raises(TechnologyError, match=r"own\.csv, line 398: the SRAM of line 2 again"):
        sram(path, 45, 512, 8)
