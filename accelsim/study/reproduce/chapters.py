"""What a reproduction is made of: a chapter per table or figure of the paper."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("table", "row", "column", "published", "ours", "difference_pct", "note")


class Compared(NamedTuple):
    """One number of a paper beside ours.

    table: as the paper names it ("Table IV"); row, column: where it stands there, the column with its unit
    published, ours: None where the paper prints none, or where we compute none
    note: where ours comes from, and why it misses if it does
    """

    table: str
    row: str
    column: str
    published: float | None
    ours: float | None
    note: str = ""

    @property
    def difference_pct(self) -> float | None:
        """Ours over published, less one; None where one is missing or the published number is 0."""
        if self.published is None or self.ours is None or self.published == 0:
            return None
        return 100.0 * (self.ours / self.published - 1.0)


@dataclass(frozen=True, eq=False)
class Chapter:
    """A table or figure of the paper.

    name: of its CSV file and picture, such as `table_iv`
    compared: numbers that the paper prints, beside ours
    data: everything that was computed for it, columns with units; what its picture draws
    text: what there is to see, where we miss and why; paragraphs parted by blank lines
    """

    name: str
    title: str
    compared: tuple[Compared, ...]
    data: "pd.DataFrame"
    text: str = ""


@dataclass(frozen=True, eq=False)
class Reproduction:
    """A whole paper: its chapters in order, and what made the numbers."""

    paper: str
    title: str
    source: str
    chapters: tuple[Chapter, ...]
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def comparison(self) -> "pd.DataFrame":
        """A row per number that the paper prints; columns as in COLUMNS."""
        import pandas as pd

        rows = [
            (*number[:5], number.difference_pct, number.note)
            for chapter in self.chapters
            for number in chapter.compared
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS))
