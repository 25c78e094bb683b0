"""From the runs of a layer to its counters, its row in the table, and what a reader should know."""

from typing import Any, NamedTuple

import numpy as np

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.counters import Counters
from accelsim.hardware.decoders import DecodedLayer
from accelsim.hardware.macros import Macros
from accelsim.hardware.memory import MEMORIES, LayerNeed, Memories, pointers_per_pe
from accelsim.hardware.technology import dram
from accelsim.hardware.tensors import DramTraffic
from accelsim.simulation.array_run import ArrayRun
from accelsim.simulation.flow import LayerFlow

MOST_NOTES = 3  # of one kind, before they are drawn together


class LayerRun(NamedTuple):
    """All that is known of a layer once it ran.

    blocks: the array's run for each block of columns; one block if the layer was not cut
    run: all of them together
    traffic: words of activations from and to DRAM, per example
    fits: whether the weights can stay in the SRAMs while the layer runs
    steps_in_time: whether a vector needs the results of the one before it (a cell's state)
    """

    layer: CompressedLayer
    flow: LayerFlow
    decoded: DecodedLayer
    need: LayerNeed
    fits: bool
    blocks: list[ArrayRun]
    run: ArrayRun
    traffic: DramTraffic
    steps_in_time: bool

    @property
    def vectors(self) -> int:
        """Vectors of all examples."""
        return self.flow.vectors.examples * self.flow.vectors.per_example


class Stream(NamedTuple):
    """What comes from DRAM for one example: bytes, and what of it is written into which SRAM.

    weight_bytes: weights and pointers; activation_bytes: inputs, outputs and partial sums;
    written_bytes: those of the latter that go to DRAM
    rows: of the weight SRAMs; pointers, activations: words. Outputs on their way to DRAM are in
    activation_bytes only.
    loads: how often the weights come, for one example
    """

    weight_bytes: int = 0
    activation_bytes: int = 0
    written_bytes: int = 0
    rows: int = 0
    pointers: int = 0
    activations: int = 0
    loads: int = 0


def count_layer(ran: LayerRun, memories: Memories, machine: Accelerator) -> Counters:
    """Sum the runs of a layer; add what comes from DRAM."""
    layer, run, vectors = ran.layer, ran.run, ran.flow.vectors
    examples = vectors.examples
    stream = streamed(ran, memories, machine)
    entries = int(run.entries.sum())
    bias_words = ran.vectors * layer.n_out if layer.bias is not None else 0
    coded = entries - bias_words
    use = ran.decoded.use(run.broadcast_counts, coded, stream.loads * examples)
    partial_sums = layer.n_out * ran.vectors * (len(ran.blocks) - 1)
    return Counters(
        cycles=int(layer_cycles(ran, stream, memories, machine).sum()),
        array_cycles=int(run.cycles.sum()),
        broadcasts=run.broadcasts,
        stall_cycles=run.stall_cycles,
        pointer_reads=run.broadcasts * machine.pes if ran.decoded.pointer_bits else 0,
        sram_row_reads=int(run.row_reads.sum()),
        sram_row_writes=stream.rows * examples,
        pointer_writes=stream.pointers * examples,
        activation_fills=stream.activations * examples,
        entries=entries,
        padding_entries=int(run.padding.sum()),
        multiplies=coded,
        codebook_reads=coded * ran.decoded.codebook_reads,
        decoder=use,
        activation_reads=vectors.words_read() * examples + partial_sums,
        activation_writes=layer.n_out * ran.vectors + partial_sums,
        queue_pushes=run.broadcasts * machine.pes,
        dram_bytes=(stream.weight_bytes + stream.activation_bytes) * examples,
        dram_written_bytes=stream.written_bytes * examples,
    )


def layer_cycles(ran: LayerRun, stream: Stream, memories: Memories, machine: Accelerator) -> Any:
    """int64[examples]: cycles with what DRAM and a decoder on its way in add.

    Double-buffered: array and DRAM work side by side, the slower one sets the pace. Of a layer in
    blocks of columns, the first block comes before the array can start, and each further one, which
    may be the first one again for a cell's next time step, while the array works on the one before it.
    """
    array = ran.run.cycles
    n_bytes = stream.weight_bytes + stream.activation_bytes
    if not n_bytes:
        return array
    load = ran.decoded.load_cycles * stream.loads
    if ran.layer.name not in memories.blocked:
        return np.maximum(array, max(transfer_cycles(n_bytes, machine), load))
    first, part = block_transfer_cycles(ran, stream, machine)
    last = np.maximum(ran.blocks[-1].cycles, part - first)
    return first + sum((np.maximum(block.cycles, part) for block in ran.blocks[:-1]), last)


def block_transfer_cycles(ran: LayerRun, stream: Stream, machine: Accelerator) -> tuple[int, int]:
    """Cycles until one block of columns is there, once, and as often as one example needs it.

    All blocks are taken to be equally large.
    """
    n_bytes = stream.weight_bytes + stream.activation_bytes
    load = ran.decoded.load_cycles * stream.loads

    def cycles(count: int) -> int:
        return max(transfer_cycles(n_bytes // count, machine), -(-load // count))

    return cycles(len(ran.blocks) * stream.loads), cycles(len(ran.blocks))


def transfer_cycles(n_bytes: int, machine: Accelerator) -> int:
    """Cycles of one long transfer from DRAM; none for nothing."""
    if not n_bytes:
        return 0
    return int(np.ceil(dram(machine.dram).transfer_us(n_bytes) * machine.clock_mhz))


def streamed(ran: LayerRun, memories: Memories, machine: Accelerator) -> Stream:
    """What does not stay on chip: rows and pointers, activations, or both."""
    word_bytes = machine.arithmetic_bits / 8
    read, written = ran.traffic
    # Where outputs are in DRAM, all blocks but the last write partial sums there, all but the first
    # read them.
    partial_sums = written * (len(ran.blocks) - 1)
    read, written = read + partial_sums, written + partial_sums
    stream = Stream(
        activation_bytes=int(np.ceil((read + written) * word_bytes)),
        written_bytes=int(written * word_bytes),
        activations=read,
    )
    name = ran.layer.name
    if name not in memories.streamed | memories.blocked:
        return stream
    # A cell's matrix is needed again in each time step; other layers run all vectors on what is there.
    loads = ran.flow.vectors.per_example if ran.steps_in_time and not ran.fits else 1
    n_bytes = -(-ran.decoded.dram_bits // 8) + ran.need.pointer * machine.pes
    pointers = 0
    if ran.decoded.pointer_bits:
        pointers = pointers_per_pe(ran.flow.vectors.n_in, machine.pes, ran.layer.has_bias)
    return stream._replace(
        weight_bytes=n_bytes * loads,
        rows=int(ran.decoded.sram_rows.sum()) * loads,
        pointers=pointers * machine.pes * loads,
        loads=loads,
    )


def layer_row(
    ran: LayerRun, counters: Counters, memories: Memories, machine: Accelerator
) -> dict[str, Any]:
    """The layer's row in the table; the caller knows its energy, and fills it in."""
    layer, flow = ran.layer, ran.flow
    slots = counters.array_cycles * machine.pes * machine.multipliers
    useful = counters.entries - counters.padding_entries
    stream = streamed(ran, memories, machine)
    memory = "blocks" if layer.name in memories.blocked else "sram"
    memory = "streamed" if layer.name in memories.streamed else memory
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
        "examples": flow.vectors.examples,
        "vectors": ran.vectors,
        "array_cycles": counters.array_cycles,
        "broadcasts": counters.broadcasts,
        "stall_cycles": counters.stall_cycles,
        "row_wait_cycles": int(ran.run.waits.sum()),
        "arbitration_cycles": int(ran.run.arbitration.sum()),
        "load_cycles": ran.decoded.load_cycles,
        "entries": counters.entries,
        "padding_entries": counters.padding_entries,
        "activation_reads": counters.activation_reads,
        "activation_writes": counters.activation_writes,
        "activation_density_frac": flow.vectors.active_fraction(),
        "saturated_additions": flow.saturated,
        "output_frac_bits": flow.output_frac_bits,
        "dram_bytes": counters.dram_bytes,
        "dram_weight_bytes": stream.weight_bytes * flow.vectors.examples,
        "dram_activation_bytes": stream.activation_bytes * flow.vectors.examples,
        "memory": memory,
        "weights_fit": ran.fits,
        "weight_loads": stream.loads,
        "activations_in": "dram" if stream.activation_bytes else "sram",
        "column_blocks": len(ran.blocks),
        **{f"{memory}_bytes_per_pe": getattr(ran.need, memory) for memory in MEMORIES},
    }


def per_pe_counts(ran: LayerRun) -> dict[str, Any]:
    """int64[P] counts, summed over vectors."""
    run = ran.run
    with_entries = run.broadcast_counts @ (ran.decoded.plan.entries > 0).astype(np.int64)
    empty = run.broadcasts - with_entries
    return {
        "busy_cycles": run.service - empty,
        "starved_cycles": run.starved,
        "empty_column_cycles": empty,
        "row_wait_cycles": run.waits,
        "arbitration_cycles": run.arbitration,
        "entries": run.entries,
        "padding_entries": run.padding,
        "sram_row_reads": run.row_reads,
    }


def network_notes(network: CompressedNetwork) -> tuple[str, ...]:
    """What must be known about the network to read any result of it."""
    if network.provenance.get("synthetic"):
        return ("weights are synthetic: drawn from a seed to the stated densities",)
    return ()


def resident_notes(needs: dict[str, LayerNeed], memories: Memories) -> tuple[str, ...]:
    """At most a note: where layers in SRAM could not all be there at once."""
    outside = memories.streamed | memories.blocked
    resident = [need for name, need in needs.items() if name not in outside]
    over = []
    for memory in ("weight", "pointer"):
        together = sum(getattr(need, memory) for need in resident)
        capacity = getattr(memories, f"{memory}_bytes")
        if together > capacity:
            over.append(
                f"{together:,} bytes of {memory} SRAM per PE, of which there are {capacity:,}"
            )
    if not over:
        return ()
    return (
        f"layers are resident one at a time: all together need {' and '.join(over)}; bringing the next "
        "layer in is not counted (weights_in=dram counts it)",
    )


def result_notes(
    memories: Memories,
    srams: Macros,
    machine: Accelerator,
    flows: dict[str, LayerFlow],
    saturated: dict[str, int],
) -> tuple[str, ...]:
    """What must be known about a run to read its result."""
    notes = _slow_sram_notes(srams, machine)
    for memory in memories.grown:
        size = getattr(memories, f"{memory}_bytes")
        notes.append(f"{memory} SRAM grown to {size:,} bytes per PE (overflow=grow)")
    vanished = {name: flow.vanished for name, flow in flows.items()}
    notes += _counted(vanished, "of the inputs round to zero in fixed point")
    cut = {name: flow.saturated for name, flow in flows.items()} | saturated
    return tuple(notes + _counted(cut, "additions saturated"))


def _counted(counts: dict[str, int], what: str) -> list[str]:
    """A note per layer, or one for all if there are many."""
    found = {name: count for name, count in counts.items() if count}
    if len(found) <= MOST_NOTES:
        return [f"layer '{name}': {count} {what}" for name, count in found.items()]
    largest = sorted(found, key=lambda name: -found[name])[:MOST_NOTES]
    each = ", ".join(f"'{name}' {found[name]}" for name in largest)
    return [f"{len(found)} layers: {sum(found.values())} {what}, most in {each}"]


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
