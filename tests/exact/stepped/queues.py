"""From activations to the PEs' queues: lines, their scan, and the broadcast."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exact.stepped.memory import ceil_div

BIAS_ACTIVATION = 1.0


class Item(NamedTuple):
    """One broadcast: a column and the activation it is multiplied by."""

    column: int
    activation: float


def bias_column_of(n_in: int, pes: int) -> int:
    """Index of the bias column: the first slot of the line after the last activation line."""
    return ceil_div(n_in, pes) * pes


def activation_lines(
    activations: NDArray[np.float32], pes: int, has_bias: bool
) -> NDArray[np.float32]:
    """Activations float32[n_in] as lines float32[n_lines, P], zero-filled, the bias in its own."""
    bias_slot = bias_column_of(len(activations), pes)
    slots = np.zeros(bias_slot + (pes if has_bias else 0), dtype=np.float32)
    slots[: len(activations)] = activations
    if has_bias:
        slots[bias_slot] = BIAS_ACTIVATION
    return slots.reshape(-1, pes)


class ActivationQueue:
    """A ring buffer of `depth` slots, of which one always stays free."""

    def __init__(self, depth: int) -> None:
        assert depth >= 2, "one slot stays free, so a queue of depth 1 holds nothing"
        self.slots: list[Item | None] = [None] * depth
        self.head = 0
        self.tail = 0

    def is_empty(self) -> bool:
        return self.head == self.tail

    def is_full(self) -> bool:
        return self._after(self.tail) == self.head

    def push(self, item: Item) -> None:
        assert not self.is_full()
        self.slots[self.tail] = item
        self.tail = self._after(self.tail)

    def pop(self) -> Item:
        assert not self.is_empty()
        item = self.slots[self.head]
        assert item is not None
        self.head = self._after(self.head)
        return item

    def _after(self, slot: int) -> int:
        return (slot + 1) % len(self.slots)


class Broadcaster:
    """Scans the activation lines, left to right, and sends one non-zero value a cycle to all PEs.

    lines float32[n_lines, P].
    """

    def __init__(self, lines: NDArray[np.float32]) -> None:
        self.lines = lines
        self.pes = lines.shape[1]
        self.is_loaded = False
        self.line = 0
        self.slot = 0
        self.broadcast_cycles: list[int] = []
        self.blocked_by: list[int | None] = []  # of each broadcast: the PE that held it up
        self.blocker: int | None = None
        self.stall_cycles = 0

    def is_done(self) -> bool:
        return self.line == len(self.lines)

    def step(self, cycle: int, full_queues: list[int]) -> Item | None:
        """One cycle; the item that is broadcast in it, if any. Full queues are named by their PEs."""
        if not self.is_loaded:
            self.is_loaded = True  # cycle 1 loads the first line
            return None
        if self.is_done():
            return None
        slot = self._next_active_slot()
        if slot is None:
            self._go_to_next_line()  # costs this cycle
            return None
        if full_queues:
            self.blocker = full_queues[0]
            self.stall_cycles += 1
            return None
        self.broadcast_cycles.append(cycle)
        self.blocked_by.append(self.blocker)
        self.blocker = None
        return self._broadcast(slot)

    def _next_active_slot(self) -> int | None:
        for slot in range(self.slot, self.pes):
            if self.lines[self.line, slot] != 0:
                return slot
        return None

    def _broadcast(self, slot: int) -> Item:
        item = Item(self.line * self.pes + slot, float(self.lines[self.line, slot]))
        self.slot = slot + 1
        if self.slot == self.pes:
            self._go_to_next_line()  # free, as the line's last slot was broadcast in this cycle
        return item

    def _go_to_next_line(self) -> None:
        self.line += 1
        self.slot = 0
