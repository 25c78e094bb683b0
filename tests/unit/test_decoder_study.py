"""docs/decoders.md: its rows are what the code computes now, and its tables are excerpts of them."""

import importlib
import re
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from exact.layers import data_dir

import accelsim

REFERENCE = Path(__file__).parents[2] / "reports" / "reference"
PAGE = Path(__file__).parents[2] / "docs" / "decoders.md"
FC8, LENET, SQUEEZENET = "AlexNet FC8", "LeNet-300-100", "SqueezeNet"
PAIR = {"part": "placement", "placement": "inline", "design": "pair", "alignment": "bit"}
PAIR_BYTE = PAIR | {"alignment": "byte"}
SHARED_PAIR = PAIR | {"placement": "shared"}
JOINT = {"part": "variant", "alphabet": "joint", "design": "two_level"}
LOAD = {"part": "streaming", "placement": "load", "design": "pair", "shared_by": 4.0}
LOAD_ONE = LOAD | {"shared_by": 64.0}
TWO = {"part": "variant", "decoder": "fixed", "multipliers": 2}
FOUR = TWO | {"multipliers": 4}
BIT_SERIAL = PAIR | {"design": "bit_serial"}
# In the order of the page's last table.
SOURCES = [
    {"part": "sources", "technology": name} for name in ("45nm", "45nm-cacti", "45nm-horowitz")
]
PAIRS = [where | {"design": "pair", "placement": "inline", "alignment": "bit"} for where in SOURCES]
LOADS = [where | {"placement": "load"} for where in SOURCES]
JOINTS = [where | {"design": "two_level"} for where in SOURCES]
BY_ROW = [where | {"decoder": "fixed"} for where in SOURCES]
# Sentences of the page, and what each of their numbers is: network, machine, column. Of a ratio, the
# distance from 1 in per cent, or where the sentence says times, the ratio itself.
SENTENCES = {
    r"needs (\d+) to (\d+) % less weight SRAM": [
        (SQUEEZENET, PAIR, "saved_pct"),
        (LENET, PAIR, "saved_pct"),
    ],
    r"every design tried: (\d+) % \(LeNet-300-100\), (\d+) % \(AlexNet FC8\) and (\d+) % \(Squeeze": [
        (name, PAIR, "energy_ratio") for name in (LENET, FC8, SQUEEZENET)
    ],
    r"keeps the array's pace, and (\d+) % on FC8 with the thriftiest": [
        (FC8, JOINT, "energy_ratio"),
    ],
    r"one believes \((\d+), (\d+) and (\d+) % with CACTI's\)": [
        (name, PAIRS[1], "energy_ratio") for name in (LENET, FC8, SQUEEZENET)
    ],
    r"joint alphabet: (\d+) % less SRAM for (\d+) % more energy and (\d+) % more cycles": [
        (FC8, JOINT, "saved_pct"),
        (FC8, JOINT, "energy_ratio"),
        (FC8, JOINT, "cycles_ratio"),
    ],
    r"one for 4 PEs: (\d+) % faster, (\d+) % less energy": [
        (FC8, LOAD, "cycles_ratio"),
        (FC8, LOAD, "energy_ratio"),
    ],
    r"columns from any byte: (\d+) % less energy": [(LENET, PAIR_BYTE, "energy_ratio")],
    r"`pair`: (\d+) % less for (\d+) % more energy, no cycle": [
        (LENET, PAIR, "saved_pct"),
        (LENET, PAIR, "energy_ratio"),
    ],
    r"`pair`: (\d+) % less, no cycle lost, but (\d+) % more energy": [
        (SQUEEZENET, PAIR, "saved_pct"),
        (SQUEEZENET, PAIR, "energy_ratio"),
    ],
    r"one `pair` for 64 PEs costs ([\d.]+) % of the time": [(SQUEEZENET, LOAD_ONE, "cycles_ratio")],
    r"one `pair` costs ([\d.]+) % of the time": [(SQUEEZENET, LOAD_ONE, "cycles_ratio")],
    r"takes (\d+) % of FC8's energy for decoding": [(FC8, BIT_SERIAL, "decoding_pct")],
    r"for decoding, but ([\d.]+) times the energy": [(FC8, BIT_SERIAL, "energy_ratio")],
    r"sharing costs less \(([\d.]+) times the cycles": [(LENET, SHARED_PAIR, "cycles_ratio")],
    r"a table of ([\d,]+) bits, is small": [(LENET, SHARED_PAIR, "table_bits")],
    r"From any bit, (\d+) % are saved on FC8": [(FC8, PAIR, "saved_pct")],
    r"`pair` from any byte is (\d+) % below fixed": [(LENET, PAIR_BYTE, "energy_ratio")],
    r"in a small table, (\d+) % more cycles, (\d+) % more energy": [
        (FC8, JOINT, "cycles_ratio"),
        (FC8, JOINT, "energy_ratio"),
    ],
    r"save (\d+) % \(two\) or (\d+) % \(four\) of the cycles": [
        (FC8, TWO, "cycles_ratio"),
        (FC8, FOUR, "cycles_ratio"),
    ],
    r"and (\d+) or (\d+) % of the energy, for (\d+) or (\d+) % more area": [
        (FC8, TWO, "energy_ratio"),
        (FC8, FOUR, "energy_ratio"),
        (FC8, TWO, "area_ratio"),
        (FC8, FOUR, "area_ratio"),
    ],
    r"`pair` on FC8 (\d+), (\d+) and (\d+) % more": [(FC8, pair, "energy_ratio") for pair in PAIRS],
    r"streams save (\d+), (\d+) and (\d+) % there": [(FC8, load, "energy_ratio") for load in LOADS],
    r"`45nm` \((\d+) % against (\d+) %\), and": [
        (SQUEEZENET, PAIRS[0], "energy_ratio"),
        (SQUEEZENET, JOINTS[0], "energy_ratio"),
    ],
    r"others \((\d+) % against (\d+) %, (\d+) % against (\d+) %\), for (\d+) % more cycles": [
        (SQUEEZENET, JOINTS[1], "energy_ratio"),
        (SQUEEZENET, PAIRS[1], "energy_ratio"),
        (SQUEEZENET, JOINTS[2], "energy_ratio"),
        (SQUEEZENET, PAIRS[2], "energy_ratio"),
        (SQUEEZENET, JOINTS[2], "cycles_ratio"),
    ],
    r"from any row take (\d+) % more energy than from any bit .*? but (\d+) % less": [
        (LENET, BY_ROW[0], "energy_ratio"),
        (LENET, BY_ROW[1], "energy_ratio"),
    ],
    r"price grows, from (\d+) % over fixed": [(FC8, PAIR, "energy_ratio")],
    r"layer takes (\d+) % less time and (\d+) % less energy": [
        (FC8, LOAD, "cycles_ratio"),
        (FC8, LOAD, "energy_ratio"),
    ],
}
# Of networks that take long, a machine of each kind.
FEW = {
    ("placement", "fixed", "", "", "bit"),
    ("placement", "huffman", "inline", "two_level", "byte"),
    ("placement", "huffman", "shared", "multi_symbol", "row"),
    ("variant", "huffman", "inline", "two_level", "bit"),
    ("streaming", "huffman", "load", "bit_serial", "bit"),
    ("sources", "huffman", "inline", "two_level", "bit"),
}


@pytest.fixture(scope="module")
def study():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REFERENCE)
        yield importlib.import_module("decoders")


@pytest.fixture(scope="module")
def page(study):
    return study.decoders_page


@pytest.fixture(scope="module")
def committed():
    return pd.read_csv(REFERENCE / "decoders.csv")


def as_read(frame):
    return pd.read_csv(StringIO(frame.to_csv(index=False)))


def check(committed, computed):
    pd.testing.assert_frame_equal(
        committed.reset_index(drop=True),
        as_read(computed)[committed.columns],
        check_dtype=False,  # a column that is empty here may not be empty there
        obj="decoders.csv (`make reference`)",
    )


def test_rows_of_the_bundled_network_are_what_is_computed_now(study, committed):
    (case,) = [case for case in study.NETWORKS if case.name == "LeNet-300-100"]
    rows = committed[committed.network == case.name]
    check(rows, study.runs(case, study.machines(case)))


@pytest.mark.parametrize("name", ["AlexNet FC8", "SqueezeNet"])
def test_rows_of_real_data_are_what_is_computed_now(study, page, committed, name):
    if data_dir() is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no real networks")
    (case,) = [case for case in study.NETWORKS if case.name == name]
    rows = committed[committed.network == case.name].reset_index(drop=True)
    few = [i for i, row in enumerate(page.filled(rows).itertuples()) if kind(row) in FEW]
    assert len(few) >= len(FEW)
    machines = study.machines(case)
    check(rows.iloc[few], study.runs(case, [machines[i] for i in few]))


def kind(row):
    return row.part, row.decoder, row.placement, row.design, row.alignment


def test_every_machine_of_every_network_has_a_row(study, page, committed):
    assert list(dict.fromkeys(committed.network)) == [case.name for case in study.NETWORKS]
    for case in study.NETWORKS:
        rows = page.filled(committed[committed.network == case.name])
        wanted = [
            (
                part,
                fields["decoder"],
                fields.get("decoder_placement", "inline" if "decoder_design" in fields else ""),
                fields.get("decoder_design", ""),
                fields.get("column_alignment", "bit"),
            )
            for part, fields in study.machines(case)
        ]
        assert [kind(row) for row in rows.itertuples()] == wanted


def test_the_page_shows_what_the_rows_say(study, page, committed):
    text = PAGE.read_text(encoding="utf-8")
    tables = page.tables(committed)
    assert len(tables) == text.count("<!-- end -->") == 6
    for name, rows in tables.items():
        assert f"<!-- {name} -->\n{rows}\n<!-- end -->" in text, name
    assert (PAGE.parent / "images" / "decoders.png").exists()
    assert PAGE.parent / "images" / "decoders.png" == study.PICTURE


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_sentences_of_the_page_say_what_the_rows_say(committed, sentence):
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    (found,) = re.finditer(sentence, text)
    for written, (name, machine, column) in zip(found.groups(), SENTENCES[sentence], strict=True):
        value = only_row(committed, name, machine)[column]
        if column.endswith("_ratio") and "times" not in sentence:
            value = 100 * abs(value - 1)
        decimals = len(written.partition(".")[2])
        assert written == f"{value:,.{decimals}f}", (name, column)


def only_row(rows, name, machine):
    """The one row of a network's machine."""
    found = rows[rows.network == name]
    for column, value in machine.items():
        found = found[found[column] == value]
    assert len(found) == 1, (name, machine)
    row = found.iloc[0]
    return {**row, "decoding_pct": 100 * row.decoding_energy_pj / row.energy_pj}


def test_more_multipliers_raise_the_price_of_streams_as_the_page_says(committed):
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    (found,) = re.finditer(r"to (\d+) and (\d+) % over those with as many multipliers", text)
    for written, multipliers in zip(found.groups(), (2, 4), strict=True):
        fixed = only_row(committed, FC8, TWO | {"multipliers": multipliers})
        machine = {"part": "variant", "design": "pair", "multipliers": multipliers}
        streams = only_row(committed, FC8, machine)
        assert written == f"{100 * (streams['energy_pj'] / fixed['energy_pj'] - 1):.0f}"


def test_nothing_is_saved_or_spent_against_itself(committed):
    """Ratios are to the first machine, fixed entries from any bit."""
    for _, rows in committed[committed.technology == "45nm"].groupby("network"):
        for memory in ("sram", "dram"):
            base = rows[rows.weights_in == memory].iloc[0]
            assert base.decoder == "fixed"
            assert (base.saved_pct, base.cycles_ratio, base.energy_ratio, base.area_ratio) == (
                0, 1, 1, 1,
            )  # fmt: skip
            others = rows[rows.weights_in == memory]
            ratios = others.cycles / base.cycles
            assert (ratios - others.cycles_ratio).abs().max() < 1e-4
            assert (others.energy_pj / base.energy_pj - others.energy_ratio).abs().max() < 1e-3


def test_no_design_takes_less_energy_than_fixed_entries_as_the_page_says(committed):
    """With columns from any bit, in each PE."""
    inline = committed[(committed.placement == "inline") & (committed.weights_in == "sram")]
    any_bit = inline[(inline.alignment == "bit") & (inline.multipliers == 1)]
    assert set(any_bit.technology) == {source["technology"] for source in SOURCES}
    assert any_bit.energy_ratio.min() > 1
    thriftiest = any_bit[any_bit.technology == "45nm"].groupby("network").energy_ratio.idxmin()
    designs = any_bit.loc[thriftiest].set_index("network").design
    assert designs.to_dict() == {FC8: "two_level", LENET: "pair", SQUEEZENET: "pair"}


def components(study, name, **fields):
    """Energy of each component in pJ, of a machine with memories as large as the network needs."""
    (case,) = [case for case in study.NETWORKS if case.name == name]
    needed = {"overflow": "grow", "weight_sram_bytes": 1, "pointer_sram_bytes": 1}
    energy = accelsim.simulate(case.path, **needed, **case.fields, **fields).energy
    return energy.groupby("component")[["count", "energy_pj"]].sum()


def test_what_an_entry_takes_is_what_the_page_says(study):
    if data_dir() is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no real networks")
    fixed = components(study, FC8, decoder="fixed")
    pair = components(study, FC8, **study.huffman("pair"))
    entries = fixed["count"]["add"]
    assert entries == pair["count"]["add"]
    numbers = re.search(
        r"an entry takes ([\d.]+) pJ .*? and ([\d.]+) pJ from the smaller .*? saves ([\d.]+) pJ"
        r".*? spends ([\d.]+) pJ on two .*? and ([\d.]+) pJ on its shifter"
        r".*? An entry takes ([\d.]+) pJ in all",
        " ".join(PAGE.read_text(encoding="utf-8").split()),
    ).groups()
    read, streamed = fixed.energy_pj["weight SRAM"], pair.energy_pj["weight SRAM"]
    tables, shifter = pair.energy_pj["Huffman tables"], pair.energy_pj["decoder shifter"]
    wanted = (read, streamed, read - streamed, tables, shifter, fixed.energy_pj.sum())
    for written, energy_pj in zip(numbers, wanted, strict=True):
        decimals = len(written.partition(".")[2])
        assert written == f"{energy_pj / entries:.{decimals}f}"


def test_what_pointers_take_is_what_the_page_says(study):
    two_banks = components(study, LENET, decoder="fixed").energy_pj
    one_bank = components(study, LENET, **study.huffman("pair", column_alignment="byte")).energy_pj
    pointers = two_banks["pointer SRAM"]
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    (taken,) = re.search(r"the pointer SRAM takes (\d+) % of the energy", text).groups()
    (saved,) = re.search(r"the bank that is not read saves (\d+) %", text).groups()
    assert taken == f"{100 * pointers / two_banks.sum():.0f}"
    assert saved == f"{100 * (pointers - one_bank['pointer SRAM']) / two_banks.sum():.0f}"
