"""Real data that reproductions run on, where they are at hand (CONTRIBUTING.md says what and where from)."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[3]
# Beside the repository that accelsim lies in, or that one stands in.
USUAL = (ROOT.parent / "shared" / "data", Path("..") / "shared" / "data")


def real_data() -> Path | None:
    """The folder that ACCELSIM_DATA names, else ../shared/data; None where there is none."""
    named = os.environ.get("ACCELSIM_DATA")
    folders = (Path(named),) if named else USUAL
    return next((folder for folder in folders if folder.is_dir()), None)


def real_file(name: str) -> Path | None:
    """A file or folder of the real data, or None where it is not there."""
    folder = real_data()
    path = folder / name if folder else None
    return path if path and path.exists() else None
