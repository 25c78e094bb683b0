"""A network beside other systems: comparison and demonstration."""

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.app import app
from accelsim.cli.options import (
    HardwareOption,
    InputOption,
    JsonOption,
    NetworkArgument,
    SeedOption,
    SetOption,
    machine_fields,
)
from accelsim.cli.output import (
    console,
    print_json,
    print_notes,
    progress,
)


@app.command()
def compare(
    network: NetworkArgument,
    hardware: HardwareOption = "eie-64",
    overrides: SetOption = None,
    inputs: InputOption = None,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Time this computer's CPU as well.")
    ] = True,
    record: Annotated[
        list[Path] | None,
        typer.Option(
            "--with", metavar="RECORD", help="Add a measurement made by `accelsim measure`."
        ),
    ] = None,
    drams: Annotated[
        list[str] | None,
        typer.Option(
            "--dram",
            metavar="KIND",
            help="A DRAM kind to put the machine on, or a .toml file; may be repeated. Default: all.",
        ),
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option(
            "--platform",
            "-p",
            metavar="NAME",
            help="A CPU or GPU to estimate, or a .toml file; may be repeated. Default: all.",
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Show this layer instead of the whole network.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Also write CSV, figures and a page."),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Put the machine with weights in SRAM beside DRAM, a CPU measured now, and other systems.

    Example: `accelsim compare alexnet_fc --no-measure --out reports/alexnet`
    """
    from accelsim.baseline.measured.cpu import load_measurement
    from accelsim.report.comparison import comparison_dict, print_comparison, write_comparison
    from accelsim.study.compare import compare as run

    with progress() as tell:
        comparison = run(
            network,
            hardware,
            inputs,
            measure=measure,
            records=[load_measurement(path) for path in record or []],
            drams=drams,
            platforms=platforms,
            seed=seed,
            progress=tell,
            **machine_fields(overrides),
        )
    if out:
        write_comparison(comparison, out, layer)
    if as_json:
        print_json(comparison_dict(comparison, layer))
    else:
        print_comparison(comparison, console(), layer)
        print_notes(comparison.notes)


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the report goes.")
    ] = Path("reports/demo"),
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Time this computer's CPU as well.")
    ] = True,
) -> None:
    """Run the whole job on LeNet-300-100, which comes with accelsim, and write a report.

    Example: `accelsim demo --no-measure --out reports/demo`
    """
    from accelsim.report.demo import demo as run

    run(out, measure=measure, console=console())
