"""The command line: one thin command per public name."""

import io
import os
import sys
from typing import Any, NoReturn

import typer

from accelsim.cli import (  # noqa: F401 (they join the app)
    analysis,
    comparing,
    compressing,
    looking,
    machines,
    measuring,
    networks,
    reproducing,
    roofline,
)
from accelsim.cli.app import app
from accelsim.errors import AccelsimError

__all__ = ["app", "main"]

# In the order in which `--help` lists them: as one usually asks.
COMMANDS = (
    "compress",
    "inspect",
    "analyse",
    "simulate",
    "evaluate",
    "compare",
    "roofline",
    "sweep",
    "trace",
    "serve",
    "measure",
    "reproduce",
    "demo",
)
app.registered_commands.sort(
    key=lambda command: COMMANDS.index(getattr(command.callback, "__name__", ""))
)

UsageError: Any = typer.BadParameter.__base__  # Typer exports only this kind of it
INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended


def main() -> NoReturn:
    """Run the command line; a user's error is one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character gets a '?'
            stream.reconfigure(errors="replace")
    try:
        code = app(standalone_mode=False)
    except AccelsimError as error:
        _fail(str(error))
    except UsageError as error:
        _fail(f"{' '.join(error.format_message().split()).rstrip('.')}: see accelsim --help")
    except MemoryError:
        _fail("not enough memory for this network on this machine: use fewer pes or smaller layers")
    except OSError as error:
        # What could not be written may still be in the buffer: let Python drop it, not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"cannot write the output: {error.strerror}: make room or write elsewhere")
    if code == INTERRUPTED:
        typer.echo("accelsim: interrupted", err=True)
    sys.exit(code or 0)


def _fail(message: str) -> NoReturn:
    typer.echo(f"accelsim: {message}", err=True)
    sys.exit(2)
