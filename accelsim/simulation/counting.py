"""From the runs of a layer to its counters, its row in the table, and what a reader should know."""

from typing import Any, NamedTuple

import numpy as np

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.counters import Counters
from accelsim.hardware.decoders import DecodedLayer
from accelsim.hardware.energy import Macros
from accelsim.hardware.memory import MEMORIES, LayerNeed, Memories, pointers_per_pe
from accelsim.hardware.technology import dram
from accelsim.simulation.flow import LayerFlow
from accelsim.simulation.pe_array import VectorRun, starved_cycles


class Stream(NamedTuple):
    """What comes from DRAM for one input: bytes, and what of it is written into which SRAM.

    rows: of the weight SRAMs; pointers, activations: words. Outputs on their way to DRAM are in
    n_bytes only.
    """

    n_bytes: int = 0
    rows: int = 0
    pointers: int = 0
    activations: int = 0


def count_layer(
    layer: CompressedLayer,
    runs: list[VectorRun],
    need: LayerNeed,
    decoded: DecodedLayer,
    memories: Memories,
    machine: Accelerator,
) -> Counters:
    """Sum the runs of a layer; add what streaming moves."""
    array_cycles = [run.timing.cycles for run in runs]
    cycles = array_cycles
    stream = Stream()
    if layer.name in memories.streamed:
        stream = streamed(layer, need, decoded, memories, machine)
        # Double-buffered: the array and the DRAM work side by side, the slower one sets the pace.
        transfer_us = dram(machine.dram).transfer_us(stream.n_bytes)
        transfer = int(np.ceil(transfer_us * machine.clock_mhz))
        cycles = [max(one, transfer) for one in array_cycles]
    broadcasts = sum(run.broadcasts.columns.size for run in runs)
    entries = sum(int(run.traffic.entries.sum()) for run in runs)
    coded = entries - (len(runs) * layer.n_out if layer.bias is not None else 0)
    return Counters(
        cycles=sum(cycles),
        array_cycles=sum(array_cycles),
        broadcasts=broadcasts,
        stall_cycles=sum(run.timing.stall_cycles for run in runs),
        pointer_reads=broadcasts * machine.pes if decoded.pointer_bits else 0,
        sram_row_reads=sum(int(run.traffic.row_reads.sum()) for run in runs),
        sram_row_writes=stream.rows * len(runs),
        pointer_writes=stream.pointers * len(runs),
        activation_fills=stream.activations * len(runs),
        entries=entries,
        padding_entries=sum(int(run.traffic.padding.sum()) for run in runs),
        multiplies=coded,
        codebook_reads=coded * decoded.codebook_reads,
        table_lookups=coded * decoded.table_reads,
        activation_reads=layer.n_in * len(runs),
        activation_writes=layer.n_out * len(runs),
        queue_pushes=broadcasts * machine.pes,
        dram_bytes=stream.n_bytes * len(runs),
    )


def streamed(
    layer: CompressedLayer,
    need: LayerNeed,
    decoded: DecodedLayer,
    memories: Memories,
    machine: Accelerator,
) -> Stream:
    """What does not stay on chip: all rows and pointers, or all activations, or both."""
    n_bytes = rows = pointers = activations = 0
    weights_fit = need.weight <= memories.weight_bytes and need.pointer <= memories.pointer_bytes
    if machine.weights_in == "dram" or not weights_fit:
        rows = int(decoded.sram_rows.sum())
        n_bytes += -(-rows * machine.row_bits // 8) + need.pointer * machine.pes
        if decoded.pointer_bits:
            pointers = pointers_per_pe(layer.n_in, machine.pes, layer.has_bias) * machine.pes
    if need.activation > memories.activation_bytes:
        n_bytes += need.activation * machine.pes
        activations = layer.n_in
    return Stream(n_bytes, rows, pointers, activations)


def layer_row(
    layer: CompressedLayer,
    counters: Counters,
    vectors: int,
    flow: LayerFlow,
    need: LayerNeed,
    machine: Accelerator,
) -> dict[str, Any]:
    """The layer's row in the table; the caller knows its energy and memory, and fills them in."""
    slots = counters.array_cycles * machine.pes
    useful = counters.entries - counters.padding_entries
    return {
        "name": layer.name,
        "cycles": counters.cycles,
        "latency_us": counters.cycles * machine.cycle_us,
        "pointer_reads": counters.pointer_reads,
        "sram_row_reads": counters.sram_row_reads,
        "utilization_frac": useful / slots if slots else 0.0,
        "energy_pj": 0.0,
        "n_out": layer.n_out,
        "n_in": layer.n_in,
        "vectors": vectors,
        "array_cycles": counters.array_cycles,
        "broadcasts": counters.broadcasts,
        "stall_cycles": counters.stall_cycles,
        "entries": counters.entries,
        "padding_entries": counters.padding_entries,
        "activation_density_frac": float(np.count_nonzero(flow.inputs.raw) / flow.inputs.raw.size),
        "saturated_additions": flow.fixed.saturated,
        "output_frac_bits": flow.fixed.frac_bits,
        "dram_bytes": counters.dram_bytes,
        "memory": "sram",
        **{f"{memory}_bytes_per_pe": getattr(need, memory) for memory in MEMORIES},
    }


def per_pe_counts(runs: list[VectorRun], decoded: DecodedLayer) -> dict[str, Any]:
    """int64[P] counts, summed over vectors."""
    entries, padding, service, row_reads = (
        np.sum([run.traffic[i] for run in runs], axis=0, dtype=np.int64) for i in range(4)
    )
    # Every vector broadcasts the bias, once.
    busy = decoded.entry_cycles * entries + len(runs) * decoded.bias_extra_cycles
    starved = [starved_cycles(run.timing, run.traffic) for run in runs]
    return {
        "busy_cycles": busy,
        "starved_cycles": np.sum(starved, axis=0, dtype=np.int64),
        "empty_column_cycles": service - busy,
        "padding_entries": padding,
        "sram_row_reads": row_reads,
    }


def network_notes(network: CompressedNetwork) -> tuple[str, ...]:
    """What must be known about the network to read any result of it."""
    if network.provenance.get("synthetic"):
        return ("weights are synthetic: drawn from a seed to the stated densities",)
    return ()


def result_notes(
    memories: Memories,
    srams: Macros,
    machine: Accelerator,
    network: CompressedNetwork,
    flows: list[LayerFlow],
) -> tuple[str, ...]:
    """What must be known about a run to read its result."""
    notes = _slow_sram_notes(srams, machine)
    for memory in memories.grown:
        size = getattr(memories, f"{memory}_bytes")
        notes.append(f"{memory} SRAM grown to {size:,} bytes per PE (overflow=grow)")
    for layer, flow in zip(network.layers, flows, strict=True):
        if flow.vanished:
            notes.append(
                f"layer '{layer.name}': {flow.vanished} of the inputs round to zero in fixed point"
            )
        if flow.fixed.saturated:
            notes.append(f"layer '{layer.name}': {flow.fixed.saturated} additions saturated")
    return tuple(notes)


def _slow_sram_notes(srams: Macros, machine: Accelerator) -> list[str]:
    """At most one note: of the SRAMs that the clock outruns, the slowest."""
    slowest, macro = max(srams.named.items(), key=lambda item: item[1].cycle_time_ns)
    clock_ns = 1000 * machine.cycle_us
    if macro.cycle_time_ns <= clock_ns:
        return []
    return [
        f"{slowest}: energy is of low-power cells that cycle in {macro.cycle_time_ns:.3g} ns; "
        f"timing assumes the clock's {clock_ns:.3g} ns"
    ]
