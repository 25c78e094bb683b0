"""The Typer application that every command joins."""

from typing import Annotated

import typer

from accelsim._version import __version__

app = typer.Typer(
    name="accelsim",
    help=(
        "Compress a network, run it on an on-chip-SRAM accelerator, compare SRAM with DRAM energy.\n\n"
        "Start with `accelsim demo`."
    ),
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def before_commands(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Handle options that stand before a command."""
    if version:
        typer.echo(f"accelsim {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
