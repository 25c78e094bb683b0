"""A processing element: its row buffer, the decoder that it may have to share, and its datapath."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exact.stepped.huffman_memory import HuffmanStorage
from exact.stepped.memory import Fetched, Reader, Step, Storage
from exact.stepped.parameters import Machine
from exact.stepped.queues import ActivationQueue, Item


@dataclass
class ItemTimes:
    """Cycles of one item in one PE: popped, its first row there (and its decoder), finished.

    All three are the pop's for a column without entries.
    """

    pop: int
    start: int
    end: int


class RowBuffer:
    """The weight rows that a PE holds: the one that it works in, and those that follow it.

    Following rows are fetched in the background, up to the PE's last, and are always in time. Each
    row that enters is a read; one that has to be waited for costs the latency.
    """

    def __init__(self, rows: int, latency_cycles: int, rows_stored: int) -> None:
        self.rows = rows
        self.latency_cycles = latency_cycles
        self.rows_stored = rows_stored
        self.held = range(-1, -1)
        self.reads = 0

    def go_through(self, rows: range) -> int:
        """Work in each of these rows in turn; how long the PE has to wait for them."""
        return sum(self._go_to(row) for row in rows if row > self.held.start)

    def _go_to(self, row: int) -> int:
        wait_cycles = 0 if row in self.held else self.latency_cycles
        held = range(row, min(row + self.rows, self.rows_stored))
        self.reads += sum(each not in self.held for each in held)
        self.held = held
        return wait_cycles


class SharedDecoder:
    """A decoder for some PEs: serves whole columns, first come first served, ties to the lowest PE."""

    def __init__(self) -> None:
        self.requests: list[tuple[int, int]] = []  # (cycle, PE)
        self.serves: int | None = None

    def request(self, cycle: int, pe: int) -> None:
        self.requests.append((cycle, pe))

    def step(self) -> None:
        """One cycle of arbitration: a free decoder takes the oldest request."""
        if self.serves is None and self.requests:
            oldest = min(self.requests)
            self.requests.remove(oldest)
            self.serves = oldest[1]

    def release(self) -> None:
        self.serves = None


class ProcessingElement:
    """Pops an item, reads its column's pointers, and puts the column's weights into the datapath."""

    def __init__(
        self,
        number: int,
        queue: ActivationQueue,
        weights: Storage,
        bias_words: Storage | None,
        bias_column: int,
        local_rows: int,
        shared_decoder: SharedDecoder | None,
        machine: Machine,
    ) -> None:
        self.number = number
        self.queue = queue
        self.weights = weights
        self.bias_words = bias_words
        self.bias_column = bias_column
        self.shared_decoder = shared_decoder
        self.multipliers = machine.multipliers
        self.rows_stored = weights.rows_used + (bias_words.rows_used if bias_words else 0)
        self.row_buffer = RowBuffer(
            machine.row_buffer_rows, machine.sram_latency_cycles, self.rows_stored
        )
        self.accumulators = np.zeros(local_rows)

        # The item in work:
        self.reader: Reader | None = None
        self.is_first_step = False
        self.activation = 0.0
        self.asked: SharedDecoder | None = None  # the decoder that it needs, if not its own
        self.step_in_work: Step | None = None
        self.wait_left = 0  # until the rows of that step are there
        self.available: list[Fetched] = []  # decoded, not yet taken
        self.taken: list[Fetched] = []

        self.times: list[ItemTimes] = []  # of all items so far
        self.last_entry_cycle = 0
        self.pointer_reads = 0
        self.entries = 0
        self.padding = 0
        self.lookups = 0
        self.empty_columns = 0
        self.busy_cycles = 0
        self.row_wait_cycles = 0
        self.arbitration_cycles = 0
        self.starved_cycles = 0
        self.waiting_cycles = 0  # since the last item ended; starvation only if another item comes

    def is_done(self) -> bool:
        return self.queue.is_empty() and self.reader is None

    def pop_if_free(self, cycle: int) -> None:
        """The start of a cycle: take the next item if the last one is finished."""
        if self.reader is not None:
            return
        if self.queue.is_empty():
            self.waiting_cycles += 1
            return
        self._start_item(self.queue.pop(), cycle)

    def _start_item(self, item: Item, cycle: int) -> None:
        self.starved_cycles += self.waiting_cycles if self.times else 0
        self.waiting_cycles = 0
        self.times.append(ItemTimes(cycle, cycle, cycle))
        self.pointer_reads += bool(self.weights.pointers)
        self.activation = item.activation
        storage = self._storage_of(item.column)
        reader = storage.open(item.column)
        if reader.is_done():
            self.empty_columns += 1  # reading the pointers took the cycle
            return
        self.reader = reader
        self.is_first_step = True
        if isinstance(storage, HuffmanStorage) and self.shared_decoder is not None:
            self.asked = self.shared_decoder
            self.asked.request(cycle, self.number)

    def _storage_of(self, column: int) -> Storage:
        if self.bias_words is not None and column == self.bias_column:
            return self.bias_words
        return self.weights

    def work(self, cycle: int) -> None:
        """The rest of a cycle, after arbitration."""
        if self.reader is None:
            return
        if self.asked is not None and self.asked.serves != self.number:
            self.arbitration_cycles += 1
            return
        if self.step_in_work is None and not self.reader.is_done():
            self._begin_step(self.reader.step(), cycle)
        if self.wait_left > 0:
            self.wait_left -= 1
            self.row_wait_cycles += 1
            return
        self._fetch_and_take(cycle)
        if self.reader.is_done() and not self.available:
            self._finish_item(cycle)

    def _begin_step(self, step: Step, cycle: int) -> None:
        """Rows come one after the other; the step is made when all that it needs are there."""
        first_row_wait = self.row_buffer.go_through(step.rows[:1])
        if self.is_first_step:
            self.times[-1].start = cycle + first_row_wait
            self.is_first_step = False
        self.wait_left = first_row_wait + self.row_buffer.go_through(step.rows[1:])
        self.step_in_work = step

    def _fetch_and_take(self, cycle: int) -> None:
        """What is fetched in this cycle may be taken in this cycle."""
        self.busy_cycles += 1
        if self.step_in_work is not None:
            self.available += self.step_in_work.weights
            self.lookups += self.step_in_work.lookups
            self.step_in_work = None
        if self.available:
            self.last_entry_cycle = cycle
        self.taken += self.available[: self.multipliers]
        self.available = self.available[self.multipliers :]

    def _finish_item(self, cycle: int) -> None:
        """Accumulate: a weight's row is known when the runs of all weights before it are."""
        self.times[-1].end = cycle
        local_row = -1
        for fetched in sorted(self.taken):
            local_row += fetched.run + 1
            self.accumulators[local_row] += fetched.weight * self.activation
            self.entries += 1
            self.padding += fetched.is_padding
        self.taken = []
        self.reader = None
        if self.asked is not None:
            self.asked.release()
            self.asked = None


def shared_decoders(machine: Machine) -> Sequence[SharedDecoder | None]:
    """The decoder that each PE has to ask; None if it has its own."""
    if machine.decoder_placement != "shared":
        return [None] * machine.pes
    decoders = [SharedDecoder() for _ in range(0, machine.pes, machine.shared_by)]
    return [decoders[pe // machine.shared_by] for pe in range(machine.pes)]
