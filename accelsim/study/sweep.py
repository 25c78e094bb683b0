"""`accelsim.sweep`: one network over a grid of machines."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.compression.layer import CompressedNetwork
from accelsim.compression.loading import load
from accelsim.errors import CapacityError, HardwareError, TechnologyError
from accelsim.hardware.accelerator import HUFFMAN_FIELDS, Accelerator, accelerator
from accelsim.network.layers import Network
from accelsim.simulation.inputs import ActivationsLike
from accelsim.simulation.network import open_session
from accelsim.simulation.result import Result
from accelsim.simulation.session import Session
from accelsim.study.store import PointStore

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int, int], None]
NOT_HERE = "n/a"  # a field that the point's decoder does not have
SRAM_FIELDS = ("weight_sram_bytes", "pointer_sram_bytes", "activation_sram_bytes")


def sweep(
    network: "str | Path | Network | CompressedNetwork",
    hardware: "str | Path | Accelerator" = "eie-64",
    activations: ActivationsLike = None,
    *,
    seed: int = 0,
    store: str | Path | None = None,
    progress: Progress | None = None,
    **fields: Any,
) -> "pd.DataFrame":
    """Run a network on every combination of the given machine fields.

    fields: machine fields with a list of values each (``pes=[16, 32, 64]``), or one value for all
        points. `overflow` defaults to `grow`, so that every point can be run; where `pes` vary and
        weights stay in SRAM, every SRAM whose capacity is not given is then sized to what the largest layer
        needs at that point. Where `decoder` varies, fields that only Huffman streams have are for the
        points with decoder=huffman; rows of the others tell 'n/a'.
    store: a file that keeps each point as it is done; an interrupted sweep goes on from there.
    progress: called with (points done, points in all).

    Returns one row per point and layer: the varied fields, then the columns of `Result.layers`, then
    area_mm2 and the capacities of the SRAMs, grown where they had to be. Its `attrs` hold `notes` and
    `provenance`. Raises HardwareError for an unknown field, before anything is run; TechnologyError
    for a point that the technology has no numbers for.
    """
    import pandas as pd

    varied = [name for name, values in fields.items() if _is_list(values)]
    if isinstance(network, str | Path):
        network = load(network)
    _check_code_bits(network, varied)
    base = accelerator(hardware)
    defaults = _defaults(base, fields, varied)
    machines = grid(base, defaults | fields)
    session = open_session(network, activations, machines[0], seed=seed)
    with PointStore(store, session) as points:
        rows: list[dict[str, Any]] = []
        told = {machine: _settings(machine, varied) for machine in machines}
        for done, (machine, result_rows) in enumerate(_points(session, told, points)):
            rows += [told[machine] | row for row in result_rows]
            if progress:
                progress(done + 1, len(machines))
    frame = pd.DataFrame(rows)
    examples = int(frame["examples"].max())
    frame.attrs = {
        "network": session.network.name + (f", {examples} inputs" if examples > 1 else ""),
        "notes": session.notes + _sizing_note(set(defaults) - set(fields)),
        "provenance": session.provenance()
        | {"varied": varied, "machine": machines[0].model_dump()},
    }
    return frame


def _defaults(
    base: Accelerator, fields: Mapping[str, Any], varied: Sequence[str]
) -> dict[str, Any]:
    """What a sweep sets unless it is told otherwise: memories of one byte grow to the need.

    Memories that only buffer what comes from DRAM need no certain size, so they keep theirs.
    """
    if "overflow" in fields or "overflow" in base.model_fields_set:
        return {}
    places = fields.get("weights_in", base.weights_in)
    resident = set(places if _is_list(places) else [places]) == {"sram"}
    sized = SRAM_FIELDS if "pes" in varied and resident else ()
    return {"overflow": "grow"} | dict.fromkeys(sized, 1)


def _sizing_note(defaults: Iterable[str]) -> tuple[str, ...]:
    sized = [name for name in SRAM_FIELDS if name in defaults]
    if not sized:
        return ()
    return (
        "every SRAM is sized to what the largest layer needs at each point (layers are resident one at "
        "a time); to keep a size, give " + ", ".join(sized),
    )


def _check_code_bits(network: Network | CompressedNetwork, varied: Sequence[str]) -> None:
    if "code_bits" in varied and not isinstance(network, CompressedNetwork):
        raise HardwareError(
            "sweep: code_bits decide how the weights are shared: compress the network once per width, "
            "and sweep each"
        )


def grid(base: Accelerator, fields: Mapping[str, Any]) -> list[Accelerator]:
    """All machines of the grid, each once, those with the same number of PEs next to each other."""
    lists = {name: list(v) if _is_list(v) else [v] for name, v in fields.items()}
    for name, values in lists.items():
        if not values:
            raise HardwareError(f"sweep: '{name}' has no values: give at least one")
    order = sorted(lists, key=lambda name: name != "pes")
    machines = (
        _machine(base, dict(zip(order, values, strict=True)), lists.get("decoder", []))
        for values in product(*(lists[name] for name in order))
    )
    return list(dict.fromkeys(machines))


def _machine(base: Accelerator, settings: dict[str, Any], decoders: list[Any]) -> Accelerator:
    """The machine of a point; beside points with Huffman streams, others do without their fields."""
    if "huffman" in decoders and settings["decoder"] != "huffman":
        base = base.with_decoder(settings["decoder"])
        settings = {name: v for name, v in settings.items() if name not in HUFFMAN_FIELDS}
    return base.replace(**settings)


def _settings(machine: Accelerator, varied: Sequence[str]) -> dict[str, Any]:
    """What the rows of a point tell of the varied fields."""
    others = HUFFMAN_FIELDS if machine.decoder != "huffman" else ()
    return {name: NOT_HERE if name in others else getattr(machine, name) for name in varied}


def sum_over_layers(frame: "pd.DataFrame", varied: Sequence[str]) -> "pd.DataFrame":
    """One row per sweep point: sums over layers and examples; utilisation weighted by cycles."""
    weighted = frame.assign(_useful=frame["utilization_frac"] * frame["array_cycles"])
    sums: dict[str, Any] = dict.fromkeys(
        ("cycles", "latency_us", "energy_pj", "array_cycles", "_useful"), "sum"
    )
    points = weighted.groupby(list(varied), sort=False, as_index=False, dropna=False).agg(
        sums | {"examples": "max", "area_mm2": "first"}
    )
    points["utilization_frac"] = points["_useful"] / points["array_cycles"]
    return points.drop(columns=["_useful", "array_cycles"])


def point_rows(result: Result) -> list[dict[str, Any]]:
    """The rows that one run contributes to the table."""
    machine = {
        "area_mm2": result.total["area_mm2"],
        "weight_capacity_bytes_per_pe": result.memories.weight_bytes,
        "pointer_capacity_bytes_per_pe": result.memories.pointer_bytes,
        "activation_capacity_bytes_per_pe": result.memories.activation_bytes,
        "chips": result.chips,
        "grown": " ".join(result.memories.grown),
    }
    rows = result.rows + result.unit_rows
    return [{"layer": row["name"]} | _without_name(row) | machine for row in rows]


def _points(
    session: Session, machines: Mapping[Accelerator, dict[str, Any]], store: PointStore
) -> Iterator[tuple[Accelerator, list[dict[str, Any]]]]:
    pes = None
    for machine, settings in machines.items():
        rows = store.get(machine)
        if rows is None:
            if machine.pes != pes:
                session.forget_layouts()
                pes = machine.pes
            rows = point_rows(_run(session, machine, settings))
            store.put(machine, rows)
        yield machine, rows


def _run(session: Session, machine: Accelerator, settings: Mapping[str, Any]) -> Result:
    try:
        return session.run(machine)
    except (CapacityError, TechnologyError) as error:
        point = ", ".join(f"{name}={value}" for name, value in settings.items())
        raise type(error)(f"sweep point {point or machine.name}: {error}") from None


def _is_list(values: Any) -> bool:
    is_scalar = isinstance(values, str) or getattr(values, "ndim", 1) == 0
    return isinstance(values, Iterable) and not is_scalar


def _without_name(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "name"}
