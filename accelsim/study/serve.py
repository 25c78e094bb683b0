"""`accelsim.serve`: requests that come over time, on one chip or several."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.hardware.dram import Link, link
from accelsim.network.layers import Network
from accelsim.simulation.inputs import ActivationsLike
from accelsim.simulation.network import open_session
from accelsim.simulation.system.host import ClosedLoop, OpenLoop, Traffic
from accelsim.simulation.system.model import run_system
from accelsim.simulation.system.result import PERCENTILES, ServingResult
from accelsim.simulation.system.stages import Arrangement, System, build_system
from accelsim.simulation.system.work import network_work
from accelsim.study.arrivals import MAX_REQUESTS, TraceLike, poisson_ps, trace_ps
from accelsim.study.queueing import tandem_latency
from accelsim.validation import closest

if TYPE_CHECKING:
    import pandas as pd

Arrivals: TypeAlias = Literal["closed", "poisson", "trace"]
Progress: TypeAlias = Callable[[int, int], None]

REQUESTS = 10_000
DEFAULT_LINK = "grs"
MAX_CHIPS = 1024
MAX_BATCH = 4096
LOADS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
SETTLED_BATCHES = 20  # per chip in a row: without chance, a system repeats itself long before


def serve(
    network: "str | Path | Network | CompressedNetwork",
    hardware: "str | Path | Accelerator" = "eie-64",
    activations: ActivationsLike = None,
    *,
    arrivals: Arrivals = "closed",
    rate_per_s: float | None = None,
    trace: TraceLike | None = None,
    clients: int | None = None,
    requests: int | None = None,
    batch: int = 1,
    batch_timeout_us: float = 0.0,
    chips: int = 1,
    arrangement: Arrangement = "replicated",
    link_kind: str | None = None,
    link_gbyte_per_s: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **overrides: Any,
) -> ServingResult:
    """Serve requests over time; docs/system.md says by which rules.

    arrivals: `closed`, `clients` that each wait for their answer (default: enough for one batch per
        chip, pipelined for two); `poisson` at `rate_per_s`; or `trace`, arrival times in microseconds
        in `trace`: a list, a .npy file, or a CSV with a column arrival_us
    requests: how many (default 10,000, or all of the trace)
    batch, batch_timeout_us: a chip takes up to `batch` requests at once, as soon as so many wait or the
        oldest has waited so long
    chips, arrangement: `replicated`, each runs the whole network with a DRAM channel of its own; or
        `pipelined`, layers are cut into groups, one per chip, joined by links
    link_kind, link_gbyte_per_s: of several pipelined chips: a table in
        accelsim/hardware/technologies/link or a path (default: grs); another bandwidth for it
    progress: called with (requests answered, requests in all)

    Raises InputError or one of its kinds.
    """
    machine = accelerator(hardware, **overrides)
    settings = {
        "arrivals": _choice("arrivals", arrivals, Arrivals),
        "rate_per_s": rate_per_s,
        "clients": clients,
        "batch": _whole("batch", batch, MAX_BATCH),
        "batch_timeout_us": _number("batch_timeout_us", batch_timeout_us, 0.0),
        "chips": _whole("chips", chips, MAX_CHIPS),
        "arrangement": _choice("arrangement", arrangement, Arrangement),
        "link": link_kind or DEFAULT_LINK,
        "link_gbyte_per_s": link_gbyte_per_s,
        "seed": seed,
    }
    if arrangement != "pipelined" or chips == 1:
        _refuse_links(link_kind, link_gbyte_per_s)
    table = _link(link_kind or DEFAULT_LINK, link_gbyte_per_s)
    session = open_session(network, activations, machine, seed=seed)
    traffic = _traffic(settings, trace, requests)
    result = session.run(machine)
    system = build_system(
        network_work(result),
        table,
        arrangement=arrangement,
        chips=chips,
        batch=batch,
        batch_timeout_ps=round(1e6 * batch_timeout_us),
    )
    served = ServingResult(
        system=system,
        counted=run_system(system, traffic, progress),
        settings=settings,
        capacity_per_s=capacity_per_s(system),
        offered_per_s=_offered_per_s(traffic),
        provenance=result.provenance | {"simpy": version("simpy"), "serving": settings},
    )
    return replace(served, notes=result.notes + _notes(served))


def capacity_per_s(system: System) -> float:
    """Throughput when there is always something to do, in full batches, once it has settled."""
    if system.arrangement == "replicated":  # chips that share nothing
        return system.chips * _capacity_per_s(system._replace(chips=1))
    return _capacity_per_s(system)


def _capacity_per_s(system: System) -> float:
    batches = SETTLED_BATCHES * system.chips
    clients = 2 * system.batch * system.chips
    counted = run_system(system, ClosedLoop(clients, 2 * batches * system.batch))
    span_ps = counted.end_ps[2 * batches - 1] - counted.end_ps[batches - 1]
    return float(1e12 * batches * system.batch / span_ps)


def load_curve(
    served: ServingResult,
    loads: Sequence[float] = LOADS,
    *,
    requests: int = 4_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> "pd.DataFrame":
    """Latency of the same system over the offered load, with Poisson arrivals.

    loads: parts of the capacity, below 1; requests: at no load, and the more the longer a queue takes to
    forget: divided by 1 - load. Columns: load_frac, rate_per_s, throughput_per_s, latency_mean_us,
    latency_p50_us, ..., and md1_latency_us, the mean that queueing theory gives; it is missing where
    the closed form does not hold (batches, several replicated chips, streamed weights).
    """
    import pandas as pd

    rows = []
    for done, load in enumerate(loads):
        rate = load * served.capacity_per_s
        traffic = OpenLoop(poisson_ps(rate, round(requests / (1.0 - load)), seed))
        settings = served.settings | {"arrivals": "poisson", "rate_per_s": rate, "clients": None}
        point = ServingResult(
            served.system, run_system(served.system, traffic), settings, served.capacity_per_s, rate
        )
        rows.append(
            {
                "load_frac": load,
                "rate_per_s": rate,
                "throughput_per_s": point.figures["throughput_per_s"],
                "latency_mean_us": point.figures["latency_mean_us"],
                **{f"latency_p{p}_us": point.figures[f"latency_p{p}_us"] for p in PERCENTILES},
                "md1_latency_us": theory_latency_us(served.system, rate),
            }
        )
        if progress:
            progress(done + 1, len(loads))
    return pd.DataFrame(rows)


def theory_latency_us(system: System, rate_per_s: float) -> float:
    """Mean latency of Poisson requests by queueing theory; not a number where no closed form holds.

    It holds one by one, on one chip, or on pipelined chips with their links, with nothing streamed.
    """
    streamed = any(step.fetch_ps or step.input_bytes for s in system.stages for step in s.steps)
    if system.batch > 1 or streamed or (system.arrangement == "replicated" and system.chips > 1):
        return math.nan
    services = [1e-6 * sum(step.array_ps for step in stage.steps) for stage in system.stages]
    services += [1e-6 * system.link.transfer_ps(stage.output_bytes) for stage in system.stages[:-1]]
    return tandem_latency(1e-6 * rate_per_s * max(services), services)


def _offered_per_s(traffic: Traffic) -> float | None:
    if isinstance(traffic, ClosedLoop) or traffic.times_ps[-1] == traffic.times_ps[0]:
        return None
    return 1e12 * (len(traffic.times_ps) - 1) / (traffic.times_ps[-1] - traffic.times_ps[0])


def _traffic(settings: dict[str, Any], trace: TraceLike | None, requests: int | None) -> Traffic:
    """What was asked for, and nothing that belongs to other arrivals; fills `settings` in."""
    arrivals = settings["arrivals"]
    given = {name: settings[name] for name in ("rate_per_s", "clients")} | {"trace": trace}
    wanted = {"poisson": "rate_per_s", "trace": "trace", "closed": "clients"}[arrivals]
    for name, value in given.items():
        if value is not None and name != wanted:
            raise InputError(f"{name}: is not for arrivals={arrivals}: leave it out")
    if arrivals != "closed" and given[wanted] is None:
        raise InputError(f"arrivals={arrivals}: needs {wanted}: give it")
    count = _whole("requests", REQUESTS if requests is None else requests, MAX_REQUESTS)
    if trace is not None:
        times = trace_ps(trace)
        if requests is not None and count > len(times):
            raise InputError(
                f"requests={count}: the trace has {len(times)}: give no more, or leave requests out"
            )
        return OpenLoop(times if requests is None else times[:count])
    if arrivals == "poisson":
        settings["rate_per_s"] = _number("rate_per_s", settings["rate_per_s"], 0.0, above=True)
        return OpenLoop(poisson_ps(settings["rate_per_s"], count, settings["seed"]))
    if settings["clients"] is None:
        rounds = 2 if settings["arrangement"] == "pipelined" else 1
        settings["clients"] = rounds * settings["batch"] * settings["chips"]
    return ClosedLoop(_whole("clients", settings["clients"], MAX_REQUESTS), count)


def _refuse_links(kind: str | None, gbyte_per_s: float | None) -> None:
    for name, value in {"link_kind": kind, "link_gbyte_per_s": gbyte_per_s}.items():
        if value is not None:
            raise InputError(
                f"{name}: is for pipelined chips: leave it out, or set arrangement=pipelined and "
                "at least two chips"
            )


def _link(kind: str, gbyte_per_s: float | None) -> Link:
    table = link(kind)
    if gbyte_per_s is None:
        return table
    bandwidth = _number("link_gbyte_per_s", gbyte_per_s, 0.0, above=True)
    return table.model_copy(
        update={"bandwidth_gbyte_per_s": bandwidth, "bandwidth_source": "given by the user"}
    )


def _notes(served: ServingResult) -> tuple[str, ...]:
    """What must be known to read the result."""
    system, notes = served.system, []
    if any(step.fetch_ps for stage in system.stages for step in stage.steps):
        notes.append(
            "streamed layers: a layer's weights are fetched before it runs, one layer ahead "
            "(room for two layers is taken for granted), once per batch"
        )
    if served.offered_per_s and served.offered_per_s > served.capacity_per_s:
        notes.append(
            f"requests come at {served.offered_per_s:.3g}/s, capacity is "
            f"{served.capacity_per_s:.3g}/s: the queue grows as long as they come, and latencies "
            "depend on how many there are"
        )
    return tuple(notes)


def _choice(field: str, value: str, choices: Any) -> str:
    known = list(get_args(choices))
    if value not in known:
        raise InputError(
            f"{field}='{value}': no such choice{closest(str(value), known, 'choices')}"
        )
    return value


def _whole(field: str, value: object, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise InputError(f"{field}={value!r}: give a whole number from 1 to {most:,}")
    return int(value)


def _number(field: str, value: object, least: float, *, above: bool = False) -> float:
    number = float(value) if isinstance(value, int | float | np.number) else math.nan
    if not math.isfinite(number) or number < least or (above and number == least):
        words = "greater than" if above else "of at least"
        raise InputError(f"{field}={value!r}: give a number {words} {least:g}")
    return number
