"""Real data that reproductions run on, where they are at hand (CONTRIBUTING.md says what and where from)."""

import os
from pathlib import Path

USUAL = Path("..") / "shared" / "data"


def real_data() -> Path | None:
    """The folder that ACCELSIM_DATA names, else ../shared/data; None where there is none."""
    named = os.environ.get("ACCELSIM_DATA")
    folder = Path(named) if named else USUAL
    return folder if folder.is_dir() else None


def real_file(name: str) -> Path | None:
    """A file or folder of the real data, or None where it is not there."""
    folder = real_data()
    path = folder / name if folder else None
    return path if path and path.exists() else None
