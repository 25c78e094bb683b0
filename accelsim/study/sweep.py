"""`accelsim.sweep`: one network over a grid of machines."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import CapacityError, HardwareError, TechnologyError
from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.network.layers import Network
from accelsim.simulation.inputs import ActivationsLike
from accelsim.simulation.network import open_session
from accelsim.simulation.result import Result
from accelsim.simulation.session import Session
from accelsim.study.store import PointStore

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int, int], None]
# Fields that decide how a layer is laid out: they vary slowest, so that a layout is made once.
LAYOUT_FIELDS = ("pes", "run_bits", "code_bits", "decoder", "row_bits")


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
        points. `overflow` defaults to `grow`, so that every point can be run.
    store: a file that keeps each point as it is done; an interrupted sweep goes on from there.
    progress: called with (points done, points in all).

    Returns one row per point and layer: the varied fields, then the columns of `Result.layers`, then
    area_mm2 and the SRAM bytes per PE. A point that a technology has no numbers for is an error.
    Raises HardwareError for an unknown field, before anything is run.
    """
    import pandas as pd

    machines = grid(accelerator(hardware), {"overflow": "grow"} | fields)
    varied = [name for name, values in fields.items() if _is_list(values)]
    session = open_session(network, activations, machines[0], seed=seed)
    with PointStore(store, session, varied) as points:
        rows: list[dict[str, Any]] = []
        for done, (machine, result_rows) in enumerate(_points(session, machines, points)):
            settings = {name: getattr(machine, name) for name in varied}
            rows += [settings | row for row in result_rows]
            if progress:
                progress(done + 1, len(machines))
    return pd.DataFrame(rows)


def grid(base: Accelerator, fields: Mapping[str, Any]) -> list[Accelerator]:
    """All machines of the grid, those with the same layout next to each other."""
    lists = {name: list(v) if _is_list(v) else [v] for name, v in fields.items()}
    for name, values in lists.items():
        if not values:
            raise HardwareError(f"sweep: '{name}' has no values: give at least one")
    order = sorted(
        lists, key=lambda name: LAYOUT_FIELDS.index(name) if name in LAYOUT_FIELDS else 99
    )
    return [
        base.replace(**dict(zip(order, values, strict=True)))
        for values in product(*(lists[name] for name in order))
    ]


def sum_over_layers(frame: "pd.DataFrame", varied: Sequence[str]) -> "pd.DataFrame":
    """One row per sweep point: sums over layers; utilisation weighted by cycles."""
    weighted = frame.assign(_useful=frame["utilization_frac"] * frame["array_cycles"])
    sums = dict.fromkeys(("cycles", "latency_us", "energy_pj", "array_cycles", "_useful"), "sum")
    points = weighted.groupby(list(varied), sort=False, as_index=False).agg(
        sums | {"area_mm2": "first"}
    )
    points["utilization_frac"] = points["_useful"] / points["array_cycles"]
    return points.drop(columns=["_useful", "array_cycles"])


def point_rows(result: Result) -> list[dict[str, Any]]:
    """The rows that one run contributes to the table."""
    machine = {
        "area_mm2": result.total["area_mm2"],
        "weight_sram_bytes": result.memories.weight_bytes,
        "pointer_sram_bytes": result.memories.pointer_bytes,
        "activation_sram_bytes": result.memories.activation_bytes,
        "grown": " ".join(result.memories.grown),
    }
    return [{"layer": row["name"]} | _without_name(row) | machine for row in result.rows]


def _points(
    session: Session, machines: Iterable[Accelerator], store: PointStore
) -> Iterator[tuple[Accelerator, list[dict[str, Any]]]]:
    pes = None
    for machine in machines:
        rows = store.get(machine)
        if rows is None:
            if machine.pes != pes:
                session.forget_layouts()
                pes = machine.pes
            rows = point_rows(_run(session, machine))
            store.put(machine, rows)
        yield machine, rows


def _run(session: Session, machine: Accelerator) -> Result:
    try:
        return session.run(machine)
    except (CapacityError, TechnologyError) as error:
        raise type(error)(f"sweep point pes={machine.pes}: {error}") from None


def _is_list(values: Any) -> bool:
    return isinstance(values, Iterable) and not isinstance(values, str)


def _without_name(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "name"}
