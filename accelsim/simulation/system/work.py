"""What one input asks of a chip, piece by piece, as a simulation on one machine found it."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.dram import Dram, dram
from accelsim.hardware.energy import BY_THE_CLOCK
from accelsim.hardware.terms import EnergyTerm
from accelsim.simulation.result import LayerResult, Result, StepResult

# Spent once per batch, as the weights come once per batch.
WRITING_WEIGHTS = {"weight SRAM fill", "pointer SRAM fill"}
DECODING = {"Huffman tables", "decoder shifter"}


class LayerWork(NamedTuple):
    """One layer, or one step of the vector unit.

    array_ps: the chip computes, per input
    weight_bytes: come from DRAM, once per batch; load_ps: the least time that takes on the chip
    input_bytes: go to or come from DRAM while the layer runs, per input: activations, and weights that
        the SRAMs cannot hold while it runs
    output_bytes: what a following chip gets, per input
    input_pj, batch_pj: energy per input, and per batch, without DRAM, clock and leakage
    """

    name: str
    array_ps: int
    weight_bytes: int = 0
    load_ps: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    input_pj: float = 0.0
    batch_pj: float = 0.0


class NetworkWork(NamedTuple):
    """All of a network on one kind of chip, in order, and what the chip draws by the clock.

    clock_mw: while a chip has work; leakage_mw: always
    """

    network: str
    machine: Accelerator
    layers: tuple[LayerWork, ...]
    clock_mw: float
    leakage_mw: float

    @property
    def dram(self) -> Dram:
        """The chip's DRAM channel."""
        return dram(self.machine.dram)


def network_work(result: Result) -> NetworkWork:
    """Work per input. A result of several inputs is averaged, to the whole picosecond and byte.

    What moves nothing over DRAM takes its `cycles`; what does takes the cycles that it computes,
    because waiting for DRAM is what the system model is about. Raises InputError for a network that
    takes no time at all.
    """
    machine = result.machine
    parts: dict[tuple[str, str], LayerResult | StepResult]
    parts = {("layer", part.row["name"]): part for part in result.layer_results}
    parts |= {("step", part.row["name"]): part for part in result.step_results}
    terms = [term for part in parts.values() for term in part.energy]
    total_us = machine.cycle_us * sum(part.row["cycles"] for part in parts.values())
    if total_us == 0:
        raise InputError(f"network '{result.network}': takes no time on this input: give another")
    clock_pj = sum(term.energy_pj for term in terms if term.component in BY_THE_CLOCK)
    leakage_pj = sum(term.energy_pj for term in terms if term.group == "leakage")
    layers = []
    for kind, name in result.order:
        if (kind, name) in parts:
            part = parts[kind, name]
            make = _layer if kind == "layer" else _vector_step
            layers.append(make(part.row, part.energy, machine))
    return NetworkWork(
        network=result.network,
        machine=machine,
        layers=tuple(layers),
        clock_mw=clock_pj / total_us / 1e3,
        leakage_mw=leakage_pj / total_us / 1e3,
    )


def _layer(row: dict[str, Any], energy: Iterable[EnergyTerm], machine: Accelerator) -> LayerWork:
    examples = row["examples"]
    cycles = row["array_cycles"] if row["dram_bytes"] else row["cycles"]
    once = row["weights_fit"]  # per batch; weights that do not fit come for every input
    per_batch = WRITING_WEIGHTS | (DECODING if machine.decoder_placement == "load" else set())
    batch_pj, input_pj = _split(energy, per_batch if once else set())
    weights, others = row["dram_weight_bytes"], row["dram_activation_bytes"]
    array_ps = _picoseconds(cycles / examples, machine)
    load_ps = _picoseconds(row["load_cycles"], machine) if weights else 0
    return LayerWork(
        name=row["name"],
        array_ps=array_ps if once else max(array_ps, load_ps * row["weight_loads"]),
        weight_bytes=round(weights / examples) if once else 0,
        load_ps=load_ps if once else 0,
        input_bytes=round((others if once else weights + others) / examples),
        output_bytes=_bytes(row["n_out"] * row["vectors"] // examples, machine),
        input_pj=input_pj / examples,
        batch_pj=batch_pj / examples,
    )


def _vector_step(
    row: dict[str, Any], energy: Iterable[EnergyTerm], machine: Accelerator
) -> LayerWork:
    examples = row["examples"]
    operations = (row["adds"] + row["multiplies"] + row["lookups"]) // examples
    cycles = -(-operations // machine.lanes) if row["dram_bytes"] else row["cycles"] / examples
    return LayerWork(
        name=row["name"],
        array_ps=_picoseconds(cycles, machine),
        input_bytes=round(row["dram_bytes"] / examples),
        output_bytes=_bytes(row["activation_writes"] // examples, machine),
        input_pj=_split(energy, set())[1] / examples,
    )


def _split(energy: Iterable[EnergyTerm], per_batch: set[str]) -> tuple[float, float]:
    """Energy per batch and per input of what is not counted by time or by bytes."""
    counted = [
        term
        for term in energy
        if term.group not in ("leakage", "DRAM") and term.component not in BY_THE_CLOCK
    ]
    batch_pj = sum(term.energy_pj for term in counted if term.component in per_batch)
    return batch_pj, sum(term.energy_pj for term in counted) - batch_pj


def _picoseconds(cycles: float, machine: Accelerator) -> int:
    return round(1e6 * machine.cycle_us * cycles)


def _bytes(words: int, machine: Accelerator) -> int:
    return -(-words * machine.arithmetic_bits // 8)
