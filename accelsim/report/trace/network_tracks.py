"""The tracks of the whole network: when the PE array, the vector unit and the DMA are at work."""

from typing import Any, NamedTuple

from accelsim.simulation.counting import transfer_cycles
from accelsim.simulation.result import Result

DMA_TRACK = "DMA"
LAYER_ARGS = ("array_cycles", "stall_cycles", "broadcasts", "vectors", "memory")


class Step(NamedTuple):
    """One slice of a network track, in cycles from 0."""

    track: str
    name: str
    first: int
    end: int
    args: dict[str, Any]


def network_steps(result: Result) -> list[Step]:
    """Layers and vector steps as `Result.timeline` has them; beside them what moves from and to DRAM.

    Transfers are drawn in one piece from the start of what they serve: how they alternate with the
    work, block by block and vector by vector, is not shown.
    """
    rows = {("array", row["name"]): row for row in result.rows}
    rows |= {("vector unit", row["name"]): row for row in result.step_rows}
    steps = []
    for entry in result.timeline.to_dict("records"):
        unit, name = entry["unit"], entry["layer"]
        row = rows[unit, name]
        first, end = (
            round(entry[time] * result.machine.clock_mhz) for time in ("start_us", "end_us")
        )
        steps.append(Step(_track(unit), str(name), first, end, _args(row)))
        if row["dram_bytes"]:
            bytes_each = row["dram_bytes"] // row["examples"]
            cycles = row["examples"] * transfer_cycles(bytes_each, result.machine)
            args = {"dram_bytes": row["dram_bytes"], "examples": row["examples"]}
            steps.append(Step(DMA_TRACK, str(name), first, min(end, first + cycles), args))
    return steps


def _track(unit: str) -> str:
    return "PE array" if unit == "array" else unit


def _args(row: dict[str, Any]) -> dict[str, Any]:
    args = {name: row[name] for name in (*LAYER_ARGS, "kind") if name in row}
    if "utilization_frac" in row:
        args["utilization_frac"] = round(row["utilization_frac"], 4)
    return args
