"""The stepped twin of the PE array with a log of every cycle: what traces are compared with."""

from typing import NamedTuple

import numpy as np
from unit.simulation.pe_array_twin import SteppedArray, random_case

from accelsim.simulation.pe_array import PeArray
from accelsim.study.layer_trace import Label, State
from accelsim.study.passes import Pass, trace_pass


class Cycle(NamedTuple):
    """States, columns (-1: none), entries of these columns and queue lengths of all PEs."""

    states: list[State]
    columns: list[int]
    entries: list[int]
    queues: list[int]
    is_stalled: bool
    broadcast: int | None  # column


class LoggedArray(SteppedArray):
    """Notes after each cycle what every PE did in it. Starved is NO_BROADCAST, whatever the reason."""

    def __init__(self, case, vector):
        super().__init__(case, vector)
        self.log = []
        self.now = []

    def work(self, k, pe):
        item = None if pe.current is None else self.item(k, pe.current)
        column = -1 if pe.current is None else self.columns[pe.current]
        self.now.append((self.state(k, pe, item), column, item.entries if item else 0))
        super().work(k, pe)

    def state(self, k, pe, item):
        if item is None:
            before, after = pe.idle == self.cycle, self.sent == len(self.columns) and not pe.queue
            return State.IDLE if before else State.DONE if after else State.NO_BROADCAST
        if pe.asked is not None:
            return State.ARBITRATION
        if self.cycle < self.seen.start[pe.current, k]:
            return State.ROW_WAIT
        return State.BUSY if item.entries else State.EMPTY

    def broadcast(self, full):
        stalls, sent = self.seen.stall_cycles, self.sent
        super().broadcast(full)
        states, columns, entries = (list(part) for part in zip(*self.now, strict=True))
        self.now = []
        column = self.columns[sent] if self.sent > sent else None
        queues = [len(pe.queue) for pe in self.pes]
        is_stalled = self.seen.stall_cycles > stalls
        self.log.append(Cycle(states, columns, entries, queues, is_stalled, column))


def traced(case, name="layer"):
    """The trace of a case's first vector."""
    array = PeArray(case.decoded, case.n_in, has_bias=case.has_bias)
    label = Label(name, bias_column=case.n_in if case.has_bias else None)
    return trace_pass(Pass(label, array, case.rules, array.broadcasts(case.vectors[0]), 0))


def logged(case):
    """The log of a case's first vector: a `Cycle` for cycle 1 and each further one."""
    array = LoggedArray(case, case.vectors[0])
    array.run()
    return array.log


def cases(seed, count=8, **rules):
    """Random cases in which something is broadcast, with some of the rules given."""
    made = (random_case(7000 + 100 * seed + i) for i in range(count))
    some = (case._replace(rules=case.rules._replace(**rules)) for case in made)
    return [case for case in some if case.has_bias or np.any(case.vectors)]
