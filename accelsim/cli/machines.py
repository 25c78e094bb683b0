"""A network on a machine: one run, many machines, and its accuracy."""

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
    varied_fields,
)
from accelsim.cli.output import (
    console,
    print_json,
    print_notes,
    progress,
    progress_bar,
)
from accelsim.errors import InputError


@app.command()
def simulate(
    network: NetworkArgument,
    hardware: HardwareOption = "eie-64",
    overrides: SetOption = None,
    inputs: InputOption = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FOLDER", help="Also write layers, steps, pes, energy, area as CSV."
        ),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Run a network on a machine, cycle for cycle: time, memory accesses, energy, layer by layer.

    Example: `accelsim simulate lenet-300-100 --set pes=32 --set decoder=huffman`
    """
    from accelsim.simulation.network import simulate as run

    with progress() as tell:
        result = run(
            network, hardware, inputs, seed=seed, progress=tell, **machine_fields(overrides)
        )
    if csv:
        from accelsim.files import make_folder, write_csv

        make_folder(csv)
        for table in ("layers", "steps", "pes", "energy", "area"):
            write_csv(getattr(result, table), csv / f"{table}.csv")
    if as_json:
        print_json(result.as_dict())
        return
    from accelsim.report.tables import energy_table, layers_table

    console().print(layers_table(result), energy_table(result))
    print_notes(result.notes)


@app.command()
def sweep(
    network: NetworkArgument,
    hardware: HardwareOption = "eie-64",
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            "-v",
            metavar="FIELD=A,B,C",
            help="A machine field and its values; may be repeated. Default: pes=1,2,4,...,512.",
        ),
    ] = None,
    overrides: SetOption = None,
    inputs: InputOption = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where CSV and picture go.")
    ] = Path("reports/sweep"),
    resume: Annotated[
        bool, typer.Option("--resume/--afresh", help="Go on where an interrupted sweep stopped.")
    ] = True,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Run a network on a grid of machines; write sweep.csv, points.csv and a picture.

    Example: `accelsim sweep lenet-300-100 -v pes=1,2,4,8,16,32,64 -v queue_depth=2,8,32`
    """
    from accelsim.files import make_folder
    from accelsim.report.comparison import json_records
    from accelsim.report.sweeping import print_sweep, write_sweep
    from accelsim.study.sweep import sweep as run

    varied = varied_fields(vary) if vary else {"pes": [2**i for i in range(10)]}
    fixed = machine_fields(overrides)
    for name in fixed.keys() & varied.keys():
        raise InputError(f"--set {name}: varies already (--vary {name}=...): give one of the two")
    make_folder(out)
    store = out / "points.jsonl"
    if not resume and not store.is_dir():  # a folder is refused, not removed
        store.unlink(missing_ok=True)
    with progress_bar() as advance:
        frame = run(
            network,
            hardware,
            inputs,
            seed=seed,
            store=store,
            progress=advance,
            **fixed,
            **varied,
        )
        write_sweep(frame, list(varied), out)
    if as_json:
        print_json({"points": json_records(frame), "about": frame.attrs})
    else:
        print_sweep(frame, list(varied), out, console())
        print_notes(frame.attrs["notes"])


@app.command()
def evaluate(
    network: NetworkArgument,
    data: Annotated[
        str,
        typer.Option("--data", "-d", help="mnist, a folder of IDX files, or .npz: inputs, labels."),
    ],
    arithmetic: Annotated[
        str, typer.Option(metavar="A,B,C", help="Any of float32, 32, 16, 8.")
    ] = "float32,32,16,8",
    limit: Annotated[
        int | None, typer.Option(help="Use the first so many examples only.", min=1)
    ] = None,
    calibration: Annotated[
        int, typer.Option(help="Examples from which number formats are chosen.", min=1)
    ] = 1000,
    as_json: JsonOption = False,
) -> None:
    """Classify a data set in the machine's arithmetic: float32 beside 32, 16 and 8-bit integers.

    Example: `accelsim evaluate lenet-300-100 --data $ACCELSIM_DATA/mnist`
    """
    from accelsim.report.comparison import json_records
    from accelsim.report.tables import evaluation_table
    from accelsim.study.evaluate import evaluate as run

    kinds = [int(kind) if kind.strip().isdecimal() else kind for kind in arithmetic.split(",")]
    with progress_bar("evaluating") as advance:
        frame = run(
            network,
            data,
            arithmetic=kinds,  # type: ignore[arg-type]  # checked by evaluate
            limit=limit,
            calibration=calibration,
            progress=advance,
        )
    if as_json:
        print_json({"results": json_records(frame), "about": frame.attrs})
    else:
        console().print(evaluation_table(frame))
        print_notes(frame.attrs["notes"])
