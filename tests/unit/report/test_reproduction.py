"""A reproduction as a folder: files, columns, rounding, the page; on a paper that is made up."""

import sys

import pandas as pd
import pytest

import accelsim
from accelsim import cli
from accelsim.errors import InputError
from accelsim.report.reproduction import rounded, summary_table, write_reproduction
from accelsim.study.reproduce.chapters import Chapter, Compared, Reproduction

COLUMNS = "table,row,column,published,ours,difference_pct,note"


@pytest.fixture
def paper():
    grid = tuple(
        Compared("Table 1", row, column, 10.0, ours, "measured")
        for row, ours in (("a", 10.0), ("b", 12.0))
        for column in ("x", "y", "z")
    )
    alone = tuple(Compared("Figure 3", "a", column, None, 0.5) for column in "xy")
    listed = (
        Compared("Table 2", "a", "x", 200.0, 199.98, "one note"),
        Compared("Table 2", "b|c", "x", None, 1 / 3, "another"),
        Compared("Table 2", "d", "x", 5.0, None, "no data"),
    )
    frame = pd.DataFrame({"layer": ["a", "b"], "time_us": [1 / 3, 2.0]})
    chapters = (
        Chapter("table_1", "First", grid, frame, "One paragraph.\n\nTwo."),
        Chapter("table_2", "Second", listed, frame),
        Chapter("figure_3", "Third", alone, frame),
        Chapter("own", "Ours alone", (), frame),
    )
    return Reproduction("eie", "A paper", "Somebody, 2016", chapters, ("drawn from a seed",))


def test_the_folder_holds_what_scripts_and_people_read(paper, tmp_path):
    page = write_reproduction(paper, tmp_path / "new" / "folder")
    assert {path.name for path in page.parent.iterdir()} == {
        "comparison.csv", "table_1.csv", "table_2.csv", "figure_3.csv", "own.csv", "README.md", "index.html",
    }  # fmt: skip
    assert (page.parent / "comparison.csv").read_text().splitlines()[0] == COLUMNS
    frame = pd.read_csv(page.parent / "comparison.csv")
    assert frame.difference_pct.iloc[3] == 20
    assert frame.difference_pct.isna().sum() == 4


def test_the_page_sets_numbers_side_by_side(paper, tmp_path):
    text = write_reproduction(paper, tmp_path).read_text()
    assert "| b | 10 / 12 (+20.0 %) | 10 / 12 (+20.0 %) | 10 / 12 (+20.0 %) |" in text
    assert "| a | 10 | 10 | 10 |" in text, "equal numbers stand once"
    assert "All rows: measured." in text
    assert "| a | x | 200 | 200 | 0.0 % | one note |" in text, "no -0.0 %"
    assert "| b\\|c | x |  | 0.3333 |  | another |" in text
    assert "| d | x | 5 |  |  | no data |" in text
    assert "| layer | time (µs) |" in text, "a chapter that compares nothing shows its own numbers"
    assert "Ours:\n\n|  | x | y |\n| --- | ---: | ---: |\n| a | 0.5 | 0.5 |" in text
    assert "Two." in text.splitlines()


def test_numbers_in_files_have_six_digits():
    frame = pd.DataFrame({"x": [123456789.0, -0.0, float("nan")], "n": [1, 2, 3], "s": list("abc")})
    shown = rounded(frame).to_csv(index=False).splitlines()[1:]
    assert shown == ["123457000.0,1,a", "0.0,2,b", ",3,c"]
    assert frame.x[0] == 123456789.0


def test_the_summary_counts_what_is_within_six_per_cent(paper):
    table = summary_table(paper)
    cells = [list(column.cells) for column in table.columns[1:]]
    assert cells[0] == ["6", "1", "—", "—"]
    assert cells[1] == ["3", "1", "—", "—"]
    assert cells[2] == ["10.0 %", "0.0 %", "—", "—"]


def test_an_unknown_paper_is_refused():
    with pytest.raises(
        InputError, match=r"paper 'eei': cannot be reproduced; did you mean 'eie'\?"
    ):
        accelsim.reproduce("eei")


@pytest.mark.parametrize("arguments", [["eie", "--out", "{file}/below"], ["nothing"]])
def test_what_is_wrong_is_one_line_before_any_work(arguments, tmp_path, monkeypatch, capsys):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.chdir(tmp_path)
    given = [argument.format(file=file) for argument in arguments]
    monkeypatch.setattr(sys, "argv", ["accelsim", "reproduce", *given])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "reports").exists()


def test_the_command_writes_and_prints_a_summary(paper, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "accelsim.report.reproduction.compute", lambda *_arguments, **_options: paper
    )
    monkeypatch.setattr(sys, "argv", ["accelsim", "reproduce", "eie", "--out", str(tmp_path / "o")])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 0
    printed = capsys.readouterr()
    assert "Median off" in printed.out
    assert printed.err == "note: drawn from a seed\n"
    assert (tmp_path / "o" / "comparison.csv").exists()
