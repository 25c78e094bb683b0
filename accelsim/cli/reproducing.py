"""A paper's numbers beside ours."""

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.app import app
from accelsim.cli.options import JsonOption, SeedOption
from accelsim.cli.output import console, print_json, print_notes, progress


@app.command()
def reproduce(
    paper: Annotated[
        str, typer.Argument(metavar="PAPER", help="Which one: eie or deep-compression.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Where it goes; default: reports/PAPER."
        ),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Compute a paper's tables and figures, and set what it prints beside ours.

    Example: `accelsim reproduce eie --out reports/eie`
    """
    from accelsim.report.reproduction import print_reproduction, reproduction_dict
    from accelsim.report.reproduction import reproduce as run

    folder = out or Path("reports") / paper
    with progress() as tell:
        reproduction = run(paper, folder, seed=seed, progress=tell)
    if as_json:
        print_json(reproduction_dict(reproduction))
    else:
        print_reproduction(reproduction, folder, console())
        print_notes(reproduction.notes)
