"""From dense codes to entries: relative indexing of one PE's part of a column."""

from collections.abc import Sequence
from typing import NamedTuple


class Entry(NamedTuple):
    """One stored weight: its code, and how many zeros it skips. Code 0 is padding."""

    code: int
    run: int


def encode_column(local_codes: Sequence[int], max_run: int) -> list[Entry]:
    """Relative-index one PE's part of a column; zeros after the last non-zero code cost nothing."""
    entries = []
    gap = 0
    for code in local_codes:
        if code == 0:
            gap += 1
            continue
        while gap > max_run:
            entries.append(Entry(code=0, run=max_run))
            gap -= max_run + 1  # the padding entry itself stands for one more zero
        entries.append(Entry(code=code, run=gap))
        gap = 0
    return entries
