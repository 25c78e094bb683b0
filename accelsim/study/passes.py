"""From a session that ran to the trace of one *pass*: one input vector on one layer.

A layer runs a pass per input vector: one per example, per place of a convolution, per time step of a
cell; and all that again for each block of columns, if its weights come in blocks. Everything that
depends on how a session keeps its runs stands in this module.
"""

from typing import Any, NamedTuple

import numpy as np

from accelsim.errors import InputError
from accelsim.simulation.blocks import Block
from accelsim.simulation.counting import LayerRun, block_transfer_cycles, layer_cycles, streamed
from accelsim.simulation.pe_array import DRAIN_CYCLES, Broadcasts, PeArray, Rules
from accelsim.simulation.result import Result
from accelsim.simulation.session import Session
from accelsim.simulation.vectors import Vectors
from accelsim.study.layer_trace import Label, LayerTrace


class Pass(NamedTuple):
    """A pass that has been chosen, and what the array needs to know to run it again."""

    label: Label
    array: PeArray
    rules: Rules
    broadcasts: Broadcasts
    first_column: int

    @property
    def items(self) -> int:
        """Broadcasts x PEs."""
        return int(self.broadcasts.columns.size * self.array.pes)


def choose_pass(session: Session, result: Result, name: str, vector: int | None) -> Pass:
    """Vector number `vector` of a layer, or the slowest one; of several column blocks, the slowest.

    Raises InputError if there is no such vector.
    """
    machine = result.machine
    placed, flow = session.place(machine), session.values(machine)
    layer, vectors = session.layers[name], flow.layers[name].vectors
    total = vectors.examples * vectors.per_example
    if vector is not None and not 0 <= vector < total:
        raise InputError(
            f"vector {vector}: layer '{name}' has {total:,}: give a number from 0 to {total - 1}"
        )
    blocks = session.blocks(name, machine, placed)
    cycles = _cycles_of_passes(blocks, vectors)
    block, number = _slowest(cycles, vector)
    ran = session.layer_run(name, machine, placed, flow)
    start_cycle = round(_start_us(result, name) * machine.clock_mhz)
    label = Label(
        name=name,
        vector=number,
        vectors=total,
        block=block,
        blocks=len(blocks),
        start_cycle=start_cycle + _cycles_before(ran, result, cycles, block, number),
        bias_column=layer.n_in if layer.has_bias else None,
    )
    part = blocks[block]
    broadcasts = part.array.broadcasts(_values_of(vectors, number)[part.columns])
    return Pass(label, part.array, part.rules, broadcasts, part.columns.start or 0)


def trace_pass(chosen: Pass) -> LayerTrace:
    """What every PE did in every cycle of the pass."""
    columns, gaps = chosen.broadcasts
    array, rules = chosen.array, chosen.rules
    events = array.events(chosen.broadcasts, rules)
    before, inside = _row_waits(array.plan, columns, rules)
    entries = array.plan.entries[columns].astype(np.int64)
    last = int(events.end[entries > 0].max(initial=0))
    return LayerTrace(
        label=chosen.label,
        array_cycles=last + DRAIN_CYCLES if columns.size else 0,
        queue_depth=rules.queue_depth,
        columns=columns.astype(np.int64) + chosen.first_column,
        gaps=gaps.astype(np.int64),
        broadcast=events.broadcast,
        pop=events.pop,
        granted=events.start - before,
        start=events.start,
        end=events.end + 1,
        inner_waits=inside,
        blocked_by=events.blocked_by,
        entries=entries,
        padding=array.plan.padding[columns].astype(np.int64),
    )


def _row_waits(plan: Any, columns: Any, rules: Rules) -> tuple[Any, Any]:
    """Cycles that each item waits for weight rows, int64[n, P] twice: before its first entry, and later.

    The rows at hand end row_buffer_rows - 1 beyond the last one that an earlier column used.
    """
    first = plan.first_row[columns].astype(np.int64)
    last = plan.last_row[columns].astype(np.int64)
    has_rows = last >= first
    reach = np.where(has_rows, last + rules.row_buffer_rows - 1, 0)
    at_hand = np.zeros_like(last)
    at_hand[1:] = np.maximum.accumulate(reach, axis=0)[:-1]
    before = rules.sram_latency * (has_rows & (first > at_hand))
    further = np.where(has_rows & (rules.row_buffer_rows == 1), last - first, 0)
    return before, rules.sram_latency * further


def _slowest(cycles: Any, vector: int | None) -> tuple[int, int]:
    """(block, vector) of the pass with the most cycles, of one vector or of all."""
    if vector is not None:
        return int(cycles[:, vector].argmax()), vector
    block, number = np.unravel_index(int(cycles.argmax()), cycles.shape)
    return int(block), int(number)


def _cycles_of_passes(blocks: list[Block], vectors: Vectors) -> Any:
    """int64[blocks, vectors]: array cycles of each pass; zeros if there is only one."""
    total = vectors.examples * vectors.per_example
    cycles = np.zeros((len(blocks), total), dtype=np.int64)
    if cycles.size == 1:
        return cycles
    for piece in vectors.pieces(np.int32):
        first = piece.example * vectors.per_example + piece.first
        for block, of_block in zip(blocks, cycles, strict=True):
            active = np.ascontiguousarray((piece.columns[block.columns] != 0).T).view(np.uint8)
            batch = block.array.run_batch(active, block.rules)
            of_block[first : first + len(active)] = batch.cycles
    return cycles


def _values_of(vectors: Vectors, number: int) -> Any:
    """int32[n_in]: the values of one vector."""
    example, place = divmod(number, vectors.per_example)
    for piece in vectors.pieces(np.int32):
        if piece.example == example and piece.first <= place < piece.first + piece.columns.shape[1]:
            return piece.columns[:, place - piece.first].copy()
    raise AssertionError("unreachable")


def _start_us(result: Result, name: str) -> float:
    timeline = result.timeline
    mine = (timeline["layer"] == name) & (timeline["unit"] == "array")
    return float(timeline["start_us"][mine].iloc[0])


def _cycles_before(ran: LayerRun, result: Result, cycles: Any, block: int, number: int) -> int:
    """Cycles of the layer before a pass: those of earlier examples, blocks and vectors."""
    machine, memories = result.machine, result.memories
    stream = streamed(ran, memories, machine)
    example, place = divmod(number, ran.flow.vectors.per_example)
    earlier = int(layer_cycles(ran, stream, memories, machine)[:example].sum())
    if len(ran.blocks) > 1:  # the first block is waited for, further ones come meanwhile
        first, part = block_transfer_cycles(ran, stream, machine)
        earlier += first + sum(max(int(run.cycles[example]), part) for run in ran.blocks[:block])
    return earlier + int(cycles[block, number - place : number].sum())
