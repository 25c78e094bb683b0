"""What the vector unit does between the layers: cycles, traffic and energy of each step."""

from typing import Any

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.energy import Macros
from accelsim.hardware.technology import Dram, Technology
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
    machine: Accelerator,
    srams: Macros,
    technology: Technology,
    channel: Dram,
) -> list[StepResult]:
    """One result per step that the vector unit works on, for all examples together."""
    results = []
    for step in flow.steps:
        given = [flow.shapes[name] for name in dict.fromkeys(step.inputs)]
        work = vector_work(step.op, given, flow.shapes[step.name])
        traffic = step_traffic(flow, tensors, step)
        if not work.operations and not sum(traffic):
            continue
        row = _row(step, work, traffic, examples, machine)
        energy = vector_energy(
            work,
            examples,
            row["cycles"],
            row["dram_bytes"],
            traffic.read * examples,
            machine,
            srams,
            technology,
            channel,
        )
        row["energy_pj"] = sum(term.energy_pj for term in energy)
        results.append(StepResult(row, tuple(energy)))
    return results


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
