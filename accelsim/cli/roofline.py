"""Layers under the roofs of machines."""

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.app import app
from accelsim.cli.options import (
    HardwareOption,
    JsonOption,
    NetworkArgument,
    SeedOption,
    SetOption,
    machine_fields,
)
from accelsim.cli.output import console, print_json, print_notes, progress


@app.command()
def roofline(
    network: NetworkArgument,
    platform: Annotated[
        list[str] | None,
        typer.Option(
            "--platform",
            "-p",
            metavar="NAME",
            help="A platform, or its .toml file; may be repeated. Default: all that come with accelsim.",
        ),
    ] = None,
    hardware: HardwareOption = "eie-64",
    overrides: SetOption = None,
    simulate: Annotated[
        bool, typer.Option("--simulate/--no-simulate", help="Add the SRAM machine.")
    ] = True,
    batch: Annotated[int, typer.Option(help="Inferences at once on a platform.", min=1)] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="PATH", help="A picture (.png, .svg), a .csv file, or a folder."
        ),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Draw each layer under the roofs of CPUs, GPUs and the SRAM machine: bound by memory or not.

    Example: `accelsim roofline alexnet_fc --out reports/roofline.png`
    """
    from accelsim.report.roofline import check_out, print_roofline, roofline_dict, write_roofline
    from accelsim.study.roofline import roofline as run

    if out:
        check_out(out)  # before the work, not after it
    with progress() as tell:
        drawn = run(
            network,
            platform,
            hardware if simulate else None,
            batch=batch,
            seed=seed,
            progress=tell,
            **machine_fields(overrides),
        )
    if out:
        write_roofline(drawn, out)
    if as_json:
        print_json(roofline_dict(drawn))
    else:
        print_roofline(drawn, console())
        print_notes(drawn.notes)
