"""Writing files so that nothing is ever half-written."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelsim.errors import InputError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it into place.

    A file that stands at `path` already is lost only once its successor is complete on disk; its
    rights stay. A link keeps pointing to its target, and a device is written to, not replaced.
    Raises InputError if the folder is missing or not writable or the disk is full.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        _write_to_device(path, write)
        return
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise InputError(
            f"{path}: cannot write there: {error.strerror}: choose another folder"
        ) from None
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        _sync(temporary)
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot write: {error.strerror}: free space or rights are missing"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def _write_to_device(path: Path, write: Callable[[Path], None]) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder: give the name of a file")
    try:
        write(path)
    except OSError as error:
        raise InputError(f"{path}: cannot write: {error.strerror}: choose a file") from None


def make_folder(path: Path) -> None:
    """Make a folder and its parents. Raises InputError if that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot make this folder: {error.strerror}") from None


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, complete or not at all. Raises InputError."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def write_csv(frame: Any, path: Path) -> None:
    """Write a DataFrame as CSV, complete or not at all. Raises InputError."""
    write_atomically(path, lambda temporary: frame.to_csv(temporary, index=False))


def _sync(path: Path) -> None:
    """Make sure that the content is on disk before the name points to it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
