"""Random plans, and the PE array as a cycle-stepped machine that shares no code with the kernels."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from accelsim.hardware.decoders import DecodedLayer
from accelsim.hardware.interleave import narrowest
from accelsim.kernels.types import NO_FIRST, NO_LAST, ROW_BASE, ColumnPlan
from accelsim.simulation.pe_array import Rules


class Work(NamedTuple):
    """A column in one PE: entries, cycles without waits, and the weight rows touched, in order."""

    entries: int
    padding: int
    service: int
    rows: range


class Case(NamedTuple):
    """A layer by its work[column][PE], one vector, and the rules."""

    work: list[list[Work]]
    n_in: int
    has_bias: bool
    sram_rows: list[int]
    vectors: np.ndarray
    rules: Rules

    @property
    def pes(self) -> int:
        return len(self.sram_rows)

    @property
    def decoded(self) -> DecodedLayer:
        def array(read):
            values = np.array([[read(item) for item in line] for line in self.work])
            return values.astype(narrowest(int(values.max())))

        plan = ColumnPlan(
            entries=array(lambda item: item.entries),
            padding=array(lambda item: item.padding),
            service=array(lambda item: item.service),
            first_row=array(lambda item: item.rows[0] + ROW_BASE if item.rows else NO_FIRST),
            last_row=array(lambda item: item.rows[-1] + ROW_BASE if item.rows else NO_LAST),
        )
        return DecodedLayer(
            plan=plan,
            sram_rows=np.array(self.sram_rows),
            pointer_bits=16,
            codebook_reads=1,
            dram_bits=0,
            padding_bits=np.zeros(self.pes, dtype=int),
        )


def random_case(seed: int, n_vectors: int = 1) -> Case:
    """Any density, service, row width, bias and rules; PEs and groups need not divide anything."""
    rng = np.random.default_rng(seed)
    pes, n_in = int(rng.integers(1, 12)), int(rng.integers(1, 40))
    if seed % 10 == 0:
        pes = int(rng.integers(60, 140))
    bias = rng.choice(["none", "coded", "exact"])
    slow = int(rng.choice([0, 0, 3, 40, 200]))
    row_units = int(rng.choice([1, 3, 8, 64]))
    density = rng.choice([0.0, 0.05, 0.4, 1.0])
    mean = rng.choice([0.3, 1.5, 6.0])
    entries = rng.poisson(mean, (n_in + (bias == "coded"), pes))
    entries[rng.random(entries.shape[0]) < 0.1] = 0
    entries[:, rng.random(pes) < 0.1] = 0  # a PE without rows
    work, position = [], np.zeros(pes, dtype=int)
    for column in entries.tolist():
        line = []
        for pe, n in enumerate(column):
            start, position[pe] = position[pe], position[pe] + n
            rows = range(start // row_units, -(-position[pe] // row_units)) if n else range(0)
            service = max(1, n + int(rng.integers(0, slow + 1)) * (n > 0))
            line.append(Work(n, int(rng.integers(0, n + 1)), service, rows))
        work.append(line)
    used = [-(-int(end) // row_units) for end in position]
    if bias == "exact":
        words = rng.integers(0, 5, pes)
        per_row = int(rng.integers(1, 3))
        used_by_bias = [-(-int(n) // per_row) for n in words]
        work.append(
            [
                Work(n, 0, max(1, n), range(first, first + more))
                for n, first, more in zip(words.tolist(), used, used_by_bias, strict=True)
            ]
        )
        used = [first + more for first, more in zip(used, used_by_bias, strict=True)]
    values = rng.integers(-9, 9, (n_vectors, n_in))
    values[rng.random(values.shape) >= density] = 0
    rules = Rules(
        queue_depth=int(rng.choice([2, 3, 5, 8, 9, 33])),
        row_buffer_rows=int(rng.choice([1, 1, 2, 3, 64])),
        sram_latency=int(rng.choice([0, 1, 3, 64])),
        shared_by=int(rng.choice([0, 0, 1, 2, 3, 4, 64])),
        n_coded=n_in + (bias == "coded"),
    )
    return Case(work, n_in, bool(bias != "none"), used, values, rules)


@dataclass
class Pe:
    """One PE; `left` counts the cycles of the current item that are still to come."""

    buffer: set[int] = field(default_factory=set)
    queue: list[int] = field(default_factory=list)  # numbers of broadcasts
    current: int | None = None
    asked: int | None = None  # cycle in which it asked for the decoder
    left: int = 0
    first_wait: int = 0
    idle: int = 0


@dataclass
class Stepped:
    """What happened to one vector; lists are per broadcast, arrays int[P] or int[n, P]."""

    broadcast: list[int]
    blocked_by: list[int]
    pop: np.ndarray
    start: np.ndarray
    end: np.ndarray
    waits: np.ndarray
    row_reads: np.ndarray
    arbitration: np.ndarray
    starved: np.ndarray
    stall_cycles: int = 0
    last_entry: int = 0


class SteppedArray:
    """The array while it works on one vector, one cycle after the other."""

    def __init__(self, case: Case, vector: np.ndarray) -> None:
        self.case, self.rules = case, case.rules
        slots = list(vector) + [0] * (-len(vector) % case.pes)
        self.columns = [i for i, value in enumerate(slots) if value != 0]
        self.slots = self.columns.copy()
        if case.has_bias:
            self.columns.append(case.n_in)
            self.slots.append(len(slots))
        self.pes = [Pe() for _ in range(case.pes)]
        self.line = self.sent = self.cycle = 0
        self.decoder_free = {}
        shape = (len(self.columns), case.pes)
        counts = (np.zeros(case.pes, dtype=int) for _ in range(4))
        times = (np.zeros(shape, dtype=int) for _ in range(3))
        self.seen = Stepped([], [], *times, *counts)

    def run(self) -> Stepped:
        while self.sent < len(self.columns) or any(
            pe.queue or pe.current is not None for pe in self.pes
        ):
            self.cycle += 1
            full = [len(pe.queue) == self.rules.queue_depth - 1 for pe in self.pes]
            for k, pe in enumerate(self.pes):
                self.pop(k, pe)
            self.grant()
            for k, pe in enumerate(self.pes):
                self.work(k, pe)
            self.broadcast(full)
        return self.seen

    def broadcast(self, full: list[bool]) -> None:
        if self.cycle == 1 or self.sent == len(self.columns):
            return
        if self.slots[self.sent] // self.case.pes > self.line:
            self.line += 1  # a cycle per line in which nothing is left
            return
        if any(full):
            self.seen.stall_cycles += 1
            self.waiting_for = full.index(True)
            return
        stalled = getattr(self, "waiting_for", None)
        self.seen.blocked_by.append(-1 if stalled is None else stalled)
        self.waiting_for = None
        for pe in self.pes:
            pe.queue.append(self.sent)
        self.seen.broadcast.append(self.cycle)
        self.line = (self.slots[self.sent] + 1) // self.case.pes
        self.sent += 1

    def item(self, k: int, number: int) -> Work:
        return self.case.work[self.columns[number]][k]

    def pop(self, k: int, pe: Pe) -> None:
        if pe.current is not None:
            return
        if not pe.queue:
            pe.idle += 1
            return
        pe.current = pe.queue.pop(0)
        self.seen.starved[k] += pe.idle if pe.current > 0 else 0
        pe.idle = 0
        self.seen.pop[pe.current, k] = self.cycle
        item = self.item(k, pe.current)
        needs_decoder = item.entries > 0 and self.columns[pe.current] < self.rules.n_coded
        if self.rules.shared_by and needs_decoder:
            pe.asked = self.cycle
        else:
            self.begin(k, pe)

    def grant(self) -> None:
        """Each free decoder takes the request that has waited longest; of equals, the lowest PE's."""
        if not self.rules.shared_by:
            return
        for first in range(0, self.case.pes, self.rules.shared_by):
            group = range(first, min(first + self.rules.shared_by, self.case.pes))
            asking = [(self.pes[k].asked, k) for k in group if self.pes[k].asked is not None]
            if asking and self.decoder_free.get(first, 0) <= self.cycle:
                _, k = min(asking)
                self.pes[k].asked = None
                self.begin(k, self.pes[k])
                self.decoder_free[first] = self.cycle + self.pes[k].left
            for k in group:
                self.seen.arbitration[k] += self.pes[k].asked is not None

    def begin(self, k: int, pe: Pe) -> None:
        item = self.item(k, pe.current)
        pe.first_wait, wait = self.fetch(k, pe, item.rows)
        self.seen.waits[k] += wait
        pe.left = item.service + wait
        self.seen.start[pe.current, k] = self.cycle + pe.first_wait

    def fetch(self, k: int, pe: Pe, rows: range) -> tuple[int, int]:
        """Wait before the first row, and in all; the buffer as the column leaves it."""
        if not rows:
            return 0, 0
        size, latency = self.rules.row_buffer_rows, self.rules.sram_latency
        first_wait = 0 if rows[0] in pe.buffer else latency
        wait = first_wait + sum(latency for _ in rows[1:] if size == 1)
        kept = {row for row in range(rows[-1], rows[-1] + size) if row < self.case.sram_rows[k]}
        self.seen.row_reads[k] += len((set(rows) | kept) - pe.buffer)
        pe.buffer = kept
        return first_wait, wait

    def work(self, k: int, pe: Pe) -> None:
        if pe.current is None or pe.asked is not None:
            return
        pe.left -= 1
        if pe.left == 0:
            self.seen.end[pe.current, k] = self.cycle
            if self.item(k, pe.current).entries:
                self.seen.last_entry = self.cycle
            pe.current = None
