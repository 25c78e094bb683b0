"""What the vector unit does between the layers: cycles, traffic and energy of each step."""

from collections.abc import Iterator
from typing import Any

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.chip import Chip
from accelsim.hardware.tensors import DramTraffic, Tensors, dram_traffic
from accelsim.hardware.vector_unit import VectorWork, vector_energy, vector_work
from accelsim.network.flow import Flow
from accelsim.network.graph import Convolution, FullyConnected, Step
from accelsim.simulation.counting import transfer_cycles
from accelsim.simulation.result import StepResult


def vector_results(
    flow: Flow,
    tensors: Tensors,
    examples: int,
    chip: Chip,
) -> list[StepResult]:
    """One result per step that the vector unit works on, for all examples together."""
    results = []
    for step, work, traffic in _worked_steps(flow, tensors):
        row = _row(step, work, traffic, examples, chip.machine)
        bits = chip.machine.arithmetic_bits
        moved = (row["dram_bytes"], -(-traffic.written * bits // 8) * examples)
        fills = traffic.read * examples
        energy = vector_energy(work, examples, row["cycles"], moved, fills, chip)
        row["energy_pj"] = sum(term.energy_pj for term in energy)
        results.append(StepResult(row, tuple(energy)))
    return results


def uses_vector_unit(flow: Flow, tensors: Tensors) -> bool:
    """Whether any step needs it."""
    return any(True for _ in _worked_steps(flow, tensors))


def _worked_steps(flow: Flow, tensors: Tensors) -> Iterator[tuple[Step, VectorWork, DramTraffic]]:
    """Steps that the vector unit works on, or that move activations from or to DRAM."""
    for step in flow.steps:
        given = [flow.shapes[name] for name in dict.fromkeys(step.inputs)]
        work = vector_work(step.op, given, flow.shapes[step.name])
        traffic = step_traffic(flow, tensors, step)
        if work.operations or sum(traffic):
            yield step, work, traffic


def step_traffic(flow: Flow, tensors: Tensors, step: Step) -> DramTraffic:
    """Activations that a vector step moves from and to DRAM; the array's steps are not among them."""
    if isinstance(step.op, FullyConnected | Convolution):
        return DramTraffic()
    return dram_traffic(flow, tensors, step)


def _row(
    step: Step, work: VectorWork, traffic: DramTraffic, examples: int, machine: Accelerator
) -> dict[str, Any]:
    n_bytes = -(-sum(traffic) * machine.arithmetic_bits // 8)
    # Double-buffered, as the layers are.
    cycles = max(work.cycles(machine.lanes), transfer_cycles(n_bytes, machine)) * examples
    return {
        "name": step.name,
        "kind": step.op.kind,
        "cycles": cycles,
        "latency_us": cycles * machine.cycle_us,
        "energy_pj": 0.0,
        "examples": examples,
        "adds": work.adds * examples,
        "multiplies": work.multiplies * examples,
        "lookups": work.lookups * examples,
        "activation_reads": work.reads * examples,
        "activation_writes": work.writes * examples,
        "dram_bytes": n_bytes * examples,
    }
