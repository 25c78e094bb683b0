"""What every importer shares: files are checked before they are read, and errors name the file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from accelsim.errors import FileFormatError, InputError, NetworkError

StrPath: TypeAlias = str | os.PathLike[str]

# A size beyond this is a damaged or hostile file: it is refused before any memory is taken.
LIMIT_BYTES = 16 * 2**30


def checked_file(path: StrPath, limit_bytes: int = LIMIT_BYTES) -> Path:
    """`path` as a Path; InputError unless it is a regular file of at most `limit_bytes`."""
    path = Path(path)
    try:
        is_file, is_directory, exists = path.is_file(), path.is_dir(), path.exists()
        size = path.stat().st_size if is_file else 0
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({first_line(error)})") from error
    if is_directory:
        raise InputError(f"{path}: is a directory: give a file in it")
    if not exists:
        raise InputError(f"{path}: no such file: check the path")
    if not is_file:
        raise InputError(f"{path}: is no regular file: copy its content into one")
    if size > limit_bytes:
        raise InputError(f"{path}: has {size} bytes, the limit is {limit_bytes}: split the file")
    return path


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Put `path` in front of errors of the block that lack it; the errors keep their types."""
    try:
        yield
    except (NetworkError, FileFormatError) as error:
        if str(error).startswith(f"{path}: "):  # by a reader that the block has called
            raise
        raise type(error)(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)})") from error
    except MemoryError as error:
        raise InputError(f"{path}: does not fit this machine's memory: split the file") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
