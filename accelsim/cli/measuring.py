"""A network timed on real hardware."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.app import app
from accelsim.cli.options import JsonOption, NetworkArgument
from accelsim.cli.output import console, print_json, progress
from accelsim.errors import InputError


class Target(StrEnum):
    """What `measure` can measure."""

    cpu = "cpu"
    gpu = "gpu"


@app.command()
def measure(
    target: Annotated[Target, typer.Argument(help="What to measure.")],
    network: NetworkArgument,
    batch: Annotated[
        str, typer.Option(metavar="SIZES", help="Inferences per product: one size or several.")
    ] = "1,64",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Record to write (.json).")
    ] = None,
    repetitions: Annotated[int, typer.Option(help="Samples per kernel.", min=3)] = 30,
    as_json: JsonOption = False,
) -> None:
    """Time a network on this computer, dense and sparse, with cold and with warm caches.

    cpu: BLAS, SciPy CSR, a kernel on the compressed form, and torch if it is installed. gpu: torch.

    Example: `accelsim measure cpu alexnet_fc --out cpu.json`
    """
    from accelsim.baseline.measured.cpu import save_measurement
    from accelsim.report.measuring import print_measurement
    from accelsim.study.measure import measure as run

    batches = _batches(batch)
    with progress() as tell:
        measurement = run(
            network, target.value, batches=batches, repetitions=repetitions, progress=tell
        )
    if out:
        save_measurement(measurement, out)
    if as_json:
        print_json(measurement.model_dump(mode="json"))
    else:
        print_measurement(measurement, console())


def _batches(text: str) -> tuple[int, ...]:
    """Read `1,64`; whether the numbers make sense is checked where they are used."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"--batch {text}: write sizes as in --batch 1,64")
    return tuple(map(int, parts))
