"""What commands print: tables for people, JSON for programs, progress and notes on stderr."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def console() -> "Console":
    """The terminal, for tables."""
    from rich.console import Console

    return Console()


@contextmanager
def progress() -> Iterator[Any]:
    """What is being done, on stderr, with a bar where the fraction done is told, too.

    Nothing when stderr is not a terminal.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _what, _done=None: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def tell(what: str, done: float | None = None) -> None:
            bar.update(
                task, description=what, completed=done or 0, total=None if done is None else 1
            )

        yield tell


@contextmanager
def progress_bar(what: str = "sweeping") -> Iterator[Any]:
    """A bar on stderr; nothing when stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def print_json(content: dict[str, Any]) -> None:
    """One JSON object on stdout; NaN is refused."""
    typer.echo(json.dumps(content, default=_plain, allow_nan=False))


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as JSON."""
    return value.tolist()


def print_notes(notes: tuple[str, ...]) -> None:
    """Notes on stderr, where they do not disturb what a program reads."""
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def print_inspection(inspection: Any, as_json: bool) -> None:
    """What is in a network file."""
    if as_json:
        print_json(inspection.as_dict())
        return
    from accelsim.report.tables import inspection_table

    console().print(inspection_table(inspection))
