"""The whole machine: all parts stepped once per cycle, and what they counted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exact.stepped.layout import Layer, Layout, lay_out
from exact.stepped.parameters import Machine
from exact.stepped.pe import ItemTimes, ProcessingElement, shared_decoders
from exact.stepped.queues import ActivationQueue, Broadcaster, activation_lines, bias_column_of

PIPELINE_DRAIN_CYCLES = 6


@dataclass(frozen=True)
class SteppedResult:
    """What happened; the arrays are int64[P] unless said otherwise.

    entries: processed, padding included. padding: processed entries of code 0, or bias words of
    value 0. lookups: reads of decoding tables. empty_columns: items that had no entry.
    busy_cycles: cycles in which a column with entries was worked on. row_wait_cycles: cycles in which
    it waited for a weight row, and arbitration_cycles: for a decoder that others use too.
    starved_cycles: cycles between a PE's first and last pop in which it waited for an item.
    stall_cycles: cycles in which a broadcast was ready but some queue was full.
    utilization_frac: entries that are no padding ÷ (cycles × multipliers of all PEs).
    output: float64[n_out].
    broadcast_cycles: int64[broadcasts]. blocked_by: of each broadcast, the lowest PE whose queue was
    full to the last, or None. times: of each PE, the cycles of each item.
    """

    cycles: int
    broadcasts: int
    stall_cycles: int
    pointer_reads: int
    sram_row_reads: int
    utilization_frac: float
    row_reads: NDArray[np.int64]
    entries: NDArray[np.int64]
    padding: NDArray[np.int64]
    lookups: NDArray[np.int64]
    empty_columns: NDArray[np.int64]
    busy_cycles: NDArray[np.int64]
    row_wait_cycles: NDArray[np.int64]
    arbitration_cycles: NDArray[np.int64]
    starved_cycles: NDArray[np.int64]
    output: NDArray[np.float64]
    broadcast_cycles: NDArray[np.int64]
    blocked_by: list[int | None]
    times: list[list[ItemTimes]]


def simulate_stepped(
    layer: Layer,
    activations: NDArray[np.float32],
    machine: Machine,
    layout: Layout | None = None,
) -> SteppedResult:
    """Run one layer on activations float32[n_in], cycle by cycle, until all PEs are done.

    layout: of this layer on this machine, if it is at hand.
    """
    assert layer.bias_codes is None or layer.bias_values is None, "a layer has one bias"
    broadcaster = Broadcaster(activation_lines(activations, machine.pes, layer.has_bias))
    pes = build_pes(layer, layout or lay_out(layer, machine), machine)
    run_until_drained(broadcaster, pes)
    return collect(broadcaster, pes, n_out=len(layer.codes))


def build_pes(layer: Layer, layout: Layout, machine: Machine) -> list[ProcessingElement]:
    """All PEs; PE k has every P-th row, from row k on."""
    n_out, n_in = layer.codes.shape
    decoders = shared_decoders(machine)
    return [
        ProcessingElement(
            number=pe,
            queue=ActivationQueue(machine.queue_depth),
            weights=layout.weights[pe],
            bias_words=layout.bias_words[pe],
            bias_column=bias_column_of(n_in, machine.pes),
            local_rows=len(range(pe, n_out, machine.pes)),
            shared_decoder=decoders[pe],
            machine=machine,
        )
        for pe in range(machine.pes)
    ]


def run_until_drained(broadcaster: Broadcaster, pes: list[ProcessingElement]) -> None:
    """Step all parts, cycle after cycle, until nothing is left to do.

    All parts see the machine as the cycle before left it: queues are tested for full before the PEs
    pop (a slot freed now can be written from the next cycle on), and written after (an item written
    now can be popped from the next cycle on). Only a shared decoder is asked and granted in the
    same cycle: after all PEs have popped, before they work.
    """
    shared = {id(pe.shared_decoder): pe.shared_decoder for pe in pes if pe.shared_decoder}
    cycle = 0
    while not (broadcaster.is_done() and all(pe.is_done() for pe in pes)):
        cycle += 1
        full_queues = [pe.number for pe in pes if pe.queue.is_full()]
        for pe in pes:
            pe.pop_if_free(cycle)
        for decoder in shared.values():
            decoder.step()
        for pe in pes:
            pe.work(cycle)
        item = broadcaster.step(cycle, full_queues)
        if item is not None:
            for pe in pes:
                pe.queue.push(item)


def collect(broadcaster: Broadcaster, pes: list[ProcessingElement], n_out: int) -> SteppedResult:
    """Gather the counters, and the outputs from PE `r mod P`, local row `r div P`."""
    drained = PIPELINE_DRAIN_CYCLES + max(pe.last_entry_cycle for pe in pes)
    broadcasts = len(broadcaster.broadcast_cycles)
    cycles = drained if broadcasts else 0
    useful = sum(pe.entries - pe.padding for pe in pes)
    slots = cycles * sum(pe.multipliers for pe in pes)
    return SteppedResult(
        cycles=cycles,
        broadcasts=broadcasts,
        stall_cycles=broadcaster.stall_cycles,
        pointer_reads=sum(pe.pointer_reads for pe in pes),
        sram_row_reads=sum(pe.row_buffer.reads for pe in pes),
        utilization_frac=useful / slots if slots else 0.0,
        row_reads=np.array([pe.row_buffer.reads for pe in pes]),
        entries=np.array([pe.entries for pe in pes]),
        padding=np.array([pe.padding for pe in pes]),
        lookups=np.array([pe.lookups for pe in pes]),
        empty_columns=np.array([pe.empty_columns for pe in pes]),
        busy_cycles=np.array([pe.busy_cycles for pe in pes]),
        row_wait_cycles=np.array([pe.row_wait_cycles for pe in pes]),
        arbitration_cycles=np.array([pe.arbitration_cycles for pe in pes]),
        starved_cycles=np.array([pe.starved_cycles for pe in pes]),
        output=np.array([pes[r % len(pes)].accumulators[r // len(pes)] for r in range(n_out)]),
        broadcast_cycles=np.array(broadcaster.broadcast_cycles, dtype=np.int64),
        blocked_by=broadcaster.blocked_by,
        times=[pe.times for pe in pes],
    )
