"""One HTML file that holds a whole report: text, tables and pictures, nothing from elsewhere."""

import base64
import math
import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from accelsim.errors import InputError
from accelsim.files import write_text
from accelsim.report.units import MISSING, label, number

if TYPE_CHECKING:
    import pandas as pd

MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
LONG_TABLE = 20  # rows
LONG_TEXT = 40  # characters
CSS = Path(__file__).with_name("page.css")


class Section(NamedTuple):
    """A part of the page: paragraphs (parted by blank lines), then pictures, then tables."""

    heading: str
    text: str = ""
    tables: Sequence[tuple[str, "pd.DataFrame"]] = ()
    figures: Sequence[tuple[str, Path]] = ()


def write_page(
    path: str | Path,
    title: str,
    lead: str,
    sections: Iterable[Section],
    *,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write a self-contained page: pictures are embedded, all text is escaped, nothing is loaded.

    lead: what the page shows, in a sentence or two, below the title
    provenance: which software and settings made the numbers; nested mappings are laid out flat
    Returns `path`. Raises InputError for a picture that cannot be read or a page that cannot be
    written.
    """
    path = Path(path)
    write_text(path, "\n".join(_page(title, lead, sections, provenance or {})))
    return path


def _page(
    title: str, lead: str, sections: Iterable[Section], provenance: Mapping[str, Any]
) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>"
    yield f"<style>\n{CSS.read_text(encoding='utf-8')}</style></head>"
    yield f"<body><main><h1>{escape(title)}</h1>"
    yield from (f'<p class="lead">{escape(part)}</p>' for part in _paragraphs(lead))
    for section in sections:
        yield from _section(section)
    if provenance:
        yield from _footer(provenance)
    yield "</main></body></html>\n"


def _section(section: Section) -> Iterator[str]:
    yield f"<section><h2>{escape(section.heading)}</h2>"
    yield from (f"<p>{escape(part)}</p>" for part in _paragraphs(section.text))
    for caption, path in section.figures:
        yield _figure(caption, Path(path))
    for caption, frame in section.tables:
        yield from _table(caption, frame)
    yield "</section>"


def _table(caption: str, frame: "pd.DataFrame") -> Iterator[str]:
    """Lay out a table that scrolls by itself if it is wide, and opens at a click if it is long."""
    columns = [(str(name), _is_number(frame[name])) for name in frame.columns]
    state = "" if len(frame) > LONG_TABLE else " open"
    yield f"<details{state}><summary>{escape(caption)}</summary>"
    yield '<div class="scroll"><table><thead><tr>'
    yield "".join(_cell("th", label(name), right=right) for name, right in columns)
    yield "</tr></thead><tbody>"
    for row in frame.itertuples(index=False, name=None):
        cells = zip(row, columns, strict=True)
        yield "<tr>" + "".join(_cell("td", _value(v), right=right) for v, (_, right) in cells)
        yield "</tr>"
    yield "</tbody></table></div></details>"


def _cell(tag: str, text: str, *, right: bool) -> str:
    style = ' class="number"' if right else ' class="long"' if len(text) > LONG_TEXT else ""
    return f"<{tag}{style}>{escape(text)}</{tag}>"


def _figure(caption: str, path: Path) -> str:
    try:
        media_type = MEDIA_TYPES[path.suffix.lower()]
        data = base64.b64encode(path.read_bytes()).decode("ascii")
    except KeyError:
        raise InputError(f"{path}: a page holds {' and '.join(MEDIA_TYPES)} pictures") from None
    except OSError as error:
        raise InputError(f"{path}: picture cannot be read: {error.strerror}") from None
    text = escape(caption)
    return (
        f'<figure><img src="data:{media_type};base64,{data}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _footer(provenance: Mapping[str, Any]) -> Iterator[str]:
    yield "<footer><details><summary>What made these numbers</summary><dl>"
    for name, value in _flat(provenance):
        yield f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
    yield "</dl></details></footer>"


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]


def _is_number(values: "pd.Series[Any]") -> bool:
    return values.dtype.kind in "iuf"


def _value(value: Any) -> str:
    """Whole numbers in full, others with four significant digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return str(value)
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    return number(float(value), 4)
