"""Inside a run, and a system under load."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from accelsim.cli.app import app
from accelsim.cli.options import (
    HardwareOption,
    InputOption,
    JsonOption,
    NetworkArgument,
    SeedOption,
    SetOption,
    cycle_window,
    machine_fields,
)
from accelsim.cli.output import (
    console,
    print_json,
    print_notes,
    progress,
    progress_bar,
)


@app.command()
def trace(
    network: NetworkArgument,
    hardware: HardwareOption = "eie-64",
    overrides: SetOption = None,
    inputs: InputOption = None,
    layer: Annotated[
        str | None, typer.Option(help="Trace this layer only; default: every layer.")
    ] = None,
    vector: Annotated[
        int | None,
        typer.Option(help="Input vector to trace, from 0; default: each layer's slowest."),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            "-w",
            metavar="FIRST:LAST",
            help="Only these cycles of the layer, and a waveform of them (wave.vcd).",
        ),
    ] = None,
    queues: Annotated[
        int, typer.Option(help="PEs whose queues get a track each: the fullest.", min=0)
    ] = 4,
    ruler: Annotated[
        str, typer.Option(help="Axis of trace.json: time, or cycles (each drawn as 1 µs).")
    ] = "time",
    limit: Annotated[
        float, typer.Option(metavar="MB", help="Largest trace file to write.", min=0)
    ] = 200.0,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the files go.")
    ] = Path("reports/trace"),
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Show what every PE did in every cycle, for Perfetto and waveform viewers; name who stalls whom.

    Example: `accelsim trace lenet-300-100 --layer ip1 --window 100:400 --out reports/trace`
    """  # fmt: skip
    from accelsim.report.trace import print_trace, trace_dict, write_trace
    from accelsim.study.trace import trace as run

    cycles = cycle_window(window)
    with progress() as tell:
        traced = run(
            network,
            hardware,
            inputs,
            layer=layer,
            vector=vector,
            seed=seed,
            progress=tell,
            **machine_fields(overrides),
        )
        tell("writing the files")
        files = write_trace(traced, out, window=cycles, queues=queues, ruler=ruler, limit_mb=limit)
    if as_json:
        print_json(trace_dict(traced, files))
    else:
        print_trace(traced, files, console())
        print_notes(traced.result.notes)


@app.command()
def serve(
    network: NetworkArgument,
    hardware: HardwareOption = "eie-64",
    overrides: SetOption = None,
    inputs: InputOption = None,
    arrivals: Annotated[
        str, typer.Option(help="How requests come: closed, poisson or trace.")
    ] = "closed",
    rate_per_s: Annotated[
        float | None,
        typer.Option("--rate-per-s", "--rate_per_s", help="Requests per second (poisson)."),
    ] = None,
    trace_file: Annotated[
        Path | None,
        typer.Option(
            "--trace",
            metavar="FILE",
            help="Arrival times in µs: .csv (arrival_us) or .npy (trace).",
        ),
    ] = None,
    clients: Annotated[
        int | None, typer.Option(help="Clients that wait for their answers (closed).")
    ] = None,
    requests: Annotated[
        int | None, typer.Option(help="How many requests. Default: 10,000, or the whole trace.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Most requests that run together.")] = 1,
    batch_timeout_us: Annotated[
        float,
        typer.Option(
            "--batch-timeout-us", "--batch_timeout_us", help="Longest wait for a batch to fill."
        ),
    ] = 0.0,
    chips: Annotated[int, typer.Option(help="How many chips.")] = 1,
    arrangement: Annotated[
        str, typer.Option(help="What chips hold: replicated, or pipelined groups of layers.")
    ] = "replicated",
    link: Annotated[
        str | None,
        typer.Option(help="Link between pipelined chips: grs (the default), or a .toml file."),
    ] = None,
    link_gbyte_per_s: Annotated[
        float | None,
        typer.Option(
            "--link-gbyte-per-s", "--link_gbyte_per_s", help="Bandwidth of the link instead."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Also write CSV, pictures (with a curve over the load) and a page.",
        ),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Serve requests over time, on one chip or several: throughput, latency percentiles, energy.

    Example: `accelsim serve lenet-300-100 --arrivals poisson --rate-per-s 500000 --out reports/serve`
    """  # fmt: skip
    from accelsim.report.serving import print_serving, write_serving
    from accelsim.study.serve import load_curve
    from accelsim.study.serve import serve as run

    with progress_bar("serving") as advance:
        served = run(
            network,
            hardware,
            inputs,
            arrivals=cast(Any, arrivals),  # checked there
            rate_per_s=rate_per_s,
            trace=trace_file,
            clients=clients,
            requests=requests,
            batch=batch,
            batch_timeout_us=batch_timeout_us,
            chips=chips,
            arrangement=cast(Any, arrangement),
            link_kind=link,
            link_gbyte_per_s=link_gbyte_per_s,
            seed=seed,
            progress=advance,
            **machine_fields(overrides),
        )
    if out:
        with progress_bar("over the load") as advance:
            curve = load_curve(served, seed=seed, progress=advance)
        write_serving(served, curve, out)
    if as_json:
        print_json(served.as_dict())
    else:
        print_serving(served, console())
        print_notes(served.notes)
