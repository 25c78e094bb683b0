"""The command line: one thin command per public name."""

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from accelsim._version import __version__
from accelsim.errors import AccelsimError, InputError

if TYPE_CHECKING:
    from rich.console import Console

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

NetworkArgument = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        help=(
            "A file (.npz, .safetensors, .onnx, .toml) or a bundled name: lenet-300-100, alexnet_fc, "
            "vgg16_fc, neuraltalk."
        ),
    ),
]
HardwareOption = Annotated[
    str, typer.Option("--hardware", "-m", help="Machine: eie-64, eie-256, or a .toml file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="FIELD=VALUE", help="Change a machine field; may be repeated."
    ),
]
InputOption = Annotated[
    str | None,
    typer.Option("--input", "-i", metavar="FILE", help="Input vectors: .npy, or .npz (a trace)."),
]
SeedOption = Annotated[int, typer.Option(help="Seed of everything that is drawn at random.", min=0)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]


UsageError: Any = typer.BadParameter.__base__  # Typer exports only this kind of it
INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended


class Target(StrEnum):
    """What `measure` can measure."""

    cpu = "cpu"


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


@app.command()
def compress(
    network: NetworkArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Artifact to write (.safetensors).")],
    density: Annotated[
        list[str] | None,
        typer.Option(
            "--density",
            "-d",
            metavar="[LAYER=]FRACTION",
            help="Fraction of weights to keep, of all layers, or of one; may be repeated.",
        ),
    ] = None,
    scope: Annotated[
        str, typer.Option(help="Density of each layer, or global over all of them.")
    ] = "layer",
    code_bits: Annotated[int, typer.Option(help="Bits of a shared-weight code, 1 to 8.")] = 4,
    index_bits: Annotated[int, typer.Option(help="Bits of a stored run of zeros, 1 to 8.")] = 6,
    codebook_init: Annotated[
        str, typer.Option(help="Where k-means starts: linear, density or random.")
    ] = "linear",
    bias: Annotated[
        str, typer.Option(help="auto, codebook (one more column of codes) or exact (float32).")
    ] = "auto",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Prune, share weights through a codebook, Huffman-code; write one artifact.

    Example: `accelsim compress model.onnx --density 0.1 --density fc3=0.25 -o model.safetensors`
    """
    from accelsim.compression.artifact import save
    from accelsim.compression.compressor import compress as run
    from accelsim.compression.describe import inspect as describe
    from accelsim.compression.layer import CompressedNetwork
    from accelsim.compression.loading import load
    from accelsim.compression.recipe import Recipe, make_recipe

    recipe = make_recipe(
        None,
        density=_densities(density),
        scope=scope,
        code_bits=code_bits,
        index_bits=index_bits,
        codebook_init=codebook_init,
        bias=bias,
        seed=seed,
    )
    loaded = load(network)
    if isinstance(loaded, CompressedNetwork):
        if recipe != Recipe():
            raise InputError(
                f"{network}: is compressed already: leave out --density and the like, "
                "or give dense weights"
            )
        compressed = loaded
    else:
        with _progress() as tell:
            compressed = run(loaded, recipe, progress=tell)
    save(compressed, out)
    _print_inspection(describe(out), as_json)


@app.command()
def inspect(network: NetworkArgument, as_json: JsonOption = False) -> None:
    """Say what is in a network file: layers, densities, and for an artifact every bit it stores.

    Example: `accelsim inspect lenet-300-100`
    """
    from accelsim.compression.describe import inspect as run

    _print_inspection(run(network), as_json)


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

    with _progress() as tell:
        result = run(network, hardware, inputs, seed=seed, progress=tell, **_overrides(overrides))
    if csv:
        from accelsim.files import make_folder, write_csv

        make_folder(csv)
        for table in ("layers", "steps", "pes", "energy", "area"):
            write_csv(getattr(result, table), csv / f"{table}.csv")
    if as_json:
        _print_json(result.as_dict())
        return
    from accelsim.report.tables import energy_table, layers_table

    _console().print(layers_table(result), energy_table(result))
    _print_notes(result.notes)


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
    """Put the machine with weights in SRAM beside DRAM, a CPU measured now, and published systems.

    Example: `accelsim compare alexnet_fc --no-measure --out reports/alexnet`
    """
    from accelsim.baseline.measured_cpu import load_measurement
    from accelsim.report.comparison import comparison_dict, print_comparison, write_comparison
    from accelsim.study.compare import compare as run

    with _progress() as tell:
        comparison = run(
            network,
            hardware,
            inputs,
            measure=measure,
            records=[load_measurement(path) for path in record or []],
            seed=seed,
            progress=tell,
            **_overrides(overrides),
        )
    if out:
        write_comparison(comparison, out, layer)
    if as_json:
        _print_json(comparison_dict(comparison, layer))
    else:
        print_comparison(comparison, _console(), layer)
        _print_notes(comparison.notes)


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

    varied = _varied(vary) if vary else {"pes": [2**i for i in range(10)]}
    fixed = _overrides(overrides)
    for name in fixed.keys() & varied.keys():
        raise InputError(f"--set {name}: varies already (--vary {name}=...): give one of the two")
    make_folder(out)
    store = out / "points.jsonl"
    if not resume:
        store.unlink(missing_ok=True)
    with _progress_bar() as advance:
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
        _print_json({"points": json_records(frame), "about": frame.attrs})
    else:
        print_sweep(frame, list(varied), out, _console())
        _print_notes(frame.attrs["notes"])


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
    with _progress_bar("evaluating") as advance:
        frame = run(
            network,
            data,
            arithmetic=kinds,  # type: ignore[arg-type]  # checked by evaluate
            limit=limit,
            calibration=calibration,
            progress=advance,
        )
    if as_json:
        _print_json({"results": json_records(frame), "about": frame.attrs})
    else:
        _console().print(evaluation_table(frame))
        _print_notes(frame.attrs["notes"])


@app.command()
def measure(
    target: Annotated[Target, typer.Argument(help="What to measure.")],
    network: NetworkArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Record to write (.json).")
    ] = None,
    repetitions: Annotated[int, typer.Option(help="Samples per kernel.", min=3)] = 30,
    as_json: JsonOption = False,
) -> None:
    """Time a network on this computer: dense BLAS and SciPy CSR, batch 1, caches flushed.

    Example: `accelsim measure cpu alexnet_fc --out cpu.json`
    """
    from accelsim.baseline.measured_cpu import save_measurement
    from accelsim.report.comparison import print_measurement
    from accelsim.study.measure import measure as run

    with _progress() as tell:
        measurement = run(network, target.value, repetitions=repetitions, progress=tell)
    if out:
        save_measurement(measurement, out)
    if as_json:
        _print_json(measurement.model_dump(mode="json"))
    else:
        print_measurement(measurement, _console())


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

    run(out, measure=measure, console=_console())


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

    cycles = _window(window)
    with _progress() as tell:
        traced = run(
            network,
            hardware,
            inputs,
            layer=layer,
            vector=vector,
            seed=seed,
            progress=tell,
            **_overrides(overrides),
        )
        tell("writing the files")
        files = write_trace(traced, out, window=cycles, queues=queues, ruler=ruler, limit_mb=limit)
    if as_json:
        _print_json(trace_dict(traced, files))
    else:
        print_trace(traced, files, _console())
        _print_notes(traced.result.notes)


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
        str, typer.Option(help="Link between pipelined chips: grs, or a .toml file.")
    ] = "grs",
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

    with _progress_bar("serving") as advance:
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
            **_overrides(overrides),
        )
    if out:
        with _progress_bar("over the load") as advance:
            curve = load_curve(served, seed=seed, progress=advance)
        write_serving(served, curve, out)
    if as_json:
        _print_json(served.as_dict())
    else:
        print_serving(served, _console())
        _print_notes(served.notes)


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


def _overrides(texts: list[str] | None) -> dict[str, Any]:
    from accelsim.errors import HardwareError
    from accelsim.hardware.accelerator import Accelerator, parse_override
    from accelsim.validation import closest

    known = list(Accelerator.model_fields)
    fields: dict[str, Any] = {}
    for text in texts or []:
        name, value = parse_override(text)
        if name not in known:  # it could be another argument of the same function
            raise HardwareError(f"machine: unknown field '{name}'{closest(name, known, 'fields')}")
        if name in fields:
            raise HardwareError(f"machine: field '{name}' is given twice: give it once")
        fields[name] = value
    return fields


def _window(text: str | None) -> tuple[int, int] | None:
    """`FIRST:LAST`, two whole numbers."""
    if text is None:
        return None
    first, _, last = text.partition(":")
    if not (first.strip().isdecimal() and last.strip().isdecimal()):
        raise InputError(f"--window {text}: write FIRST:LAST, as in --window 100:400")
    return int(first), int(last)


def _varied(texts: list[str]) -> dict[str, list[Any]]:
    return {
        name: [_overrides([f"{name}={value}"])[name] for value in str(values).split(",")]
        for name, values in _overrides(texts).items()
    }


def _densities(texts: list[str] | None) -> dict[str, float] | float | None:
    """`0.1` for all layers (one number, which any scope takes), `fc3=0.25` for one, or both."""
    densities: dict[str, float] = {}
    for text in texts or []:
        layer, _, fraction = text.rpartition("=")
        if (layer or "*") in densities:
            raise InputError(
                f"--density {text}: is the second for {layer or 'all layers'}: give one"
            )
        try:
            densities[layer or "*"] = float(fraction)
        except ValueError:
            raise InputError(f"--density {text}: write a fraction, or layer=fraction") from None
    if densities.keys() == {"*"}:
        return densities["*"]
    return densities or None


def _console() -> "Console":
    from rich.console import Console

    return Console()


@contextmanager
def _progress() -> Iterator[Any]:
    """A spinner on stderr that says what is being done; nothing when stderr is not a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("reading") as status:
        yield status.update


@contextmanager
def _progress_bar(what: str = "sweeping") -> Iterator[Any]:
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


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, default=_plain, allow_nan=False))


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as JSON."""
    return value.tolist()


def _print_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def _print_inspection(inspection: Any, as_json: bool) -> None:
    if as_json:
        _print_json(inspection.as_dict())
        return
    from accelsim.report.tables import inspection_table

    _console().print(inspection_table(inspection))
