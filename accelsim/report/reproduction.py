"""`accelsim.reproduce`: a paper's numbers beside ours, as a folder of tables, pictures and pages."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from accelsim.files import make_folder, write_csv, write_text
from accelsim.report.page import Section, write_page
from accelsim.report.tables import FittedTable
from accelsim.report.units import MISSING, label, number
from accelsim.study.reproduce.chapters import COLUMNS, Chapter, Compared, Reproduction
from accelsim.study.reproduce.papers import check_paper, compute

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

DIGITS = 6  # of numbers in CSV files
# A chapter whose rows all have nearly the same columns, and few notes, is laid out as a grid.
GRID_FILL = 0.8
WIDE = 7  # columns that a page has room for
MOST_NOTES = 3
# Rows of a chapter's own numbers that a Markdown page shows where nothing is compared.
MOST_ROWS = 40


def reproduce(
    paper: str,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Reproduction:
    """Compute a paper's tables and figures, published and ours.

    paper: `eie` or `deep-compression`
    out: a folder that gets comparison.csv, a CSV file and a picture per chapter, README.md and index.html
    seed: of everything that is drawn at random
    progress: called with what is being done, and the fraction that is done

    Raises InputError for an unknown paper, and for a folder that cannot be made or written to.
    """
    check_paper(paper)
    if out is not None:
        make_folder(
            Path(out)
        )  # a folder that cannot be made is an error before the work, not after it
    reproduction = compute(paper, seed, progress)
    if out is not None:
        if progress:
            progress("drawing", 1.0)
        write_reproduction(reproduction, Path(out))
    return reproduction


def write_reproduction(reproduction: Reproduction, folder: Path) -> Path:
    """Write everything into `folder`; returns the page README.md."""
    make_folder(folder)
    write_csv(rounded(reproduction.comparison), folder / "comparison.csv")
    draw = _figures(reproduction.paper)
    pictures: dict[str, Path] = {}
    for chapter in reproduction.chapters:
        write_csv(rounded(chapter.data), folder / f"{chapter.name}.csv")
        if chapter.name in draw:
            path = folder / f"{chapter.name}.png"
            pictures[chapter.name] = draw[chapter.name](chapter.data, path)
    page = folder / "README.md"
    write_text(page, "\n".join(_markdown(reproduction, pictures)) + "\n")
    _write_html(reproduction, pictures, folder / "index.html")
    return page


def print_reproduction(reproduction: Reproduction, folder: Path, console: "Console") -> None:
    """Print how far ours is off by table, and where the files are."""
    console.print(summary_table(reproduction))
    console.print(f"wrote {folder}/README.md, index.html, comparison.csv", soft_wrap=True)


def summary_table(reproduction: Reproduction) -> Table:
    """Lay out, chapter by chapter, how many numbers are compared, and their median difference."""
    table = FittedTable(
        title=Text(f"{reproduction.paper}: published and ours", style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("Chapter", overflow="fold", min_width=20)
    for heading in ("Compared", "Within 6 %", "Median off"):
        table.add_column(heading, justify="right", no_wrap=True)
    for chapter in reproduction.chapters:
        differences = (each.difference_pct for each in chapter.compared)
        off = [abs(value) for value in differences if value is not None]
        middle = f"{median(off):.1f} %" if off else MISSING
        within = str(sum(value <= 6.0 for value in off)) if off else MISSING
        table.add_row(Text(chapter.title), str(len(off)) if off else MISSING, within, middle)
    return table


def reproduction_dict(reproduction: Reproduction) -> dict[str, Any]:
    """The comparison and the notes, for JSON; None where a number is missing."""
    return {
        "paper": reproduction.paper,
        "source": reproduction.source,
        "comparison": [
            dict(zip(COLUMNS, (*each[:5], each.difference_pct, each.note), strict=True))
            for chapter in reproduction.chapters
            for each in chapter.compared
        ],
        "notes": list(reproduction.notes),
    }


def rounded(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Floats to DIGITS significant digits, so that files differ only where numbers do."""
    floats = [str(name) for name in frame if frame[name].dtype.kind == "f"]
    return frame.assign(
        **{name: [float(f"{v:.{DIGITS}g}") + 0.0 for v in frame[name]] for name in floats}
    )


def _figures(paper: str) -> dict[str, Callable[["pd.DataFrame", Path], Path]]:
    """How a paper's chapters are drawn, by their names."""
    from accelsim.report.figures import deep_compression, eie

    return {"eie": eie.FIGURES, "deep-compression": deep_compression.FIGURES}[paper]


def _markdown(reproduction: Reproduction, pictures: dict[str, Path]) -> Iterator[str]:
    yield f"# {reproduction.title}"
    yield ""
    yield (
        f"Numbers of {reproduction.source}, beside ours: `accelsim reproduce {reproduction.paper} --out "
        "FOLDER` writes this page. All of them in one file: [comparison.csv](comparison.csv)."
    )
    yield from _paragraphs(
        "\n\n".join(f"*{note[0].upper()}{note[1:]}.*" for note in reproduction.notes)
    )
    for chapter in reproduction.chapters:
        yield ""
        yield f"## {chapter.title}"
        yield from _paragraphs(chapter.text)
        if chapter.name in pictures:
            yield ""
            yield f"![{chapter.title}]({pictures[chapter.name].name})"
        yield ""
        yield from _compared_lines(chapter) if chapter.compared else _data_lines(chapter)
        yield f"[{chapter.name}.csv]({chapter.name}.csv)"


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in filter(None, text.split("\n\n")):
        yield ""
        yield paragraph


def _compared_lines(chapter: Chapter) -> Iterator[str]:
    """The chapter's numbers side by side; a note that all rows share stands below."""
    notes = list(dict.fromkeys(each.note for each in chapter.compared if each.note))
    columns = list(dict.fromkeys(each.column for each in chapter.compared))
    rows = list(dict.fromkeys(each.row for each in chapter.compared))
    is_full = len(chapter.compared) >= GRID_FILL * len(columns) * len(rows)
    are_alike = len(notes) == 1 and all(each.note for each in chapter.compared)
    if len(columns) > 1 and is_full and len(notes) <= MOST_NOTES:
        yield from _grid(chapter.compared, rows, columns)
    else:
        yield from _list(chapter.compared, with_notes=bool(notes) and not are_alike)
        notes = notes if are_alike else []
    yield ""
    if notes:
        yield f"{'All rows: ' if are_alike else 'Notes: '}{'; '.join(notes)}."
        yield ""


def _list(compared: Sequence[Compared], *, with_notes: bool) -> Iterator[str]:
    """A line per number; with the table where there are several."""
    many = len({each.table for each in compared}) > 1
    parts = slice(0 if many else 1, 7 if with_notes else 6)
    headings = ["", "", "", "published", "ours", "difference", "note"]
    rules = ["---", "---", "---", "---:", "---:", "---:", "---"]
    yield from _rows(headings[parts], rules[parts])
    for each in compared:
        numbers = [_number(each.published), _number(each.ours), _difference(each)]
        yield _row([each.table, each.row, each.column, *numbers, each.note][parts])


def _grid(compared: Sequence[Compared], rows: list[str], columns: list[str]) -> Iterator[str]:
    """A line per row, or per column where these are too many; published / ours (difference)."""
    is_ours_alone = all(each.published is None for each in compared)
    found = {
        (each.row, each.column): _number(each.ours) if is_ours_alone else _cell(each)
        for each in compared
    }
    if len(columns) > max(len(rows), WIDE):
        found = {(column, row): text for (row, column), text in found.items()}
        rows, columns = columns, rows
    yield "Ours:" if is_ours_alone else "Published / ours (difference):"
    yield ""
    yield from _rows(["", *columns], ["---", *["---:"] * len(columns)])
    for row in rows:
        yield _row([row, *(found.get((row, column), "") for column in columns)])


def _cell(each: Compared) -> str:
    published, ours = _number(each.published), _number(each.ours)
    if not published or not ours:
        return f"{published or MISSING} / {ours or MISSING}"
    return published if published == ours else f"{published} / {ours} ({_difference(each)})"


def _difference(each: Compared) -> str:
    if each.difference_pct is None:
        return ""
    return f"{each.difference_pct:+.1f} %".replace("-0.0", "0.0").replace("+0.0", "0.0")


def _data_lines(chapter: Chapter) -> Iterator[str]:
    frame = chapter.data
    if len(frame) > MOST_ROWS or frame.empty:
        return
    rules = ["---:" if frame[name].dtype.kind in "if" else "---" for name in frame]
    yield from _rows([label(str(name)) for name in frame], rules)
    for row in frame.itertuples(index=False, name=None):
        yield _row([value if isinstance(value, str) else _number(value) for value in row])
    yield ""


def _rows(headings: list[str], rules: list[str]) -> Iterator[str]:
    yield _row(headings)
    yield _row(rules)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float | None) -> str:
    """Whole numbers in full, others with up to four significant digits; nothing where there is none."""
    if value is None or math.isnan(value):
        return ""
    if value == int(value):
        return f"{value:,.0f}"
    text = number(float(value), 4)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def _write_html(reproduction: Reproduction, pictures: dict[str, Path], path: Path) -> None:
    sections = [
        Section(
            chapter.title,
            chapter.text.replace("**", "").replace("`", ""),
            tables=list(_tables(chapter, reproduction)),
            figures=[(chapter.title, pictures[chapter.name])] if chapter.name in pictures else [],
        )
        for chapter in reproduction.chapters
    ]
    lead = f"Numbers of {reproduction.source}, beside ours."
    notes = "; ".join(reproduction.notes)
    lead += f"\n\n{notes[0].upper()}{notes[1:]}." if notes else ""
    write_page(path, reproduction.title, lead, sections, provenance=reproduction.provenance)


def _tables(chapter: Chapter, reproduction: Reproduction) -> Iterator[tuple[str, "pd.DataFrame"]]:
    if chapter.compared:
        alone = replace(reproduction, chapters=(chapter,))
        yield "Published and ours", alone.comparison
    if chapter.name not in _TOLD_BY_COMPARISON:
        yield "All that was computed", chapter.data


_TOLD_BY_COMPARISON = ("abstract", "inconsistencies")
