"""What a system is made of: units that do one thing at a time, tokens, and queues of batches."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, cast

import simpy
from simpy.events import EventPriority

# Batches whose every step is noted down; later ones are only counted.
NOTED_BATCHES = 64
# After everything else that happens at the same time; SimPy itself uses 0 (urgent) and 1 (normal).
LATE = EventPriority(2)

Event: TypeAlias = simpy.Event


class Batch(NamedTuple):
    """Inputs `first` to `first + size - 1`, which run together."""

    number: int
    first: int
    size: int


class Activity(NamedTuple):
    """One thing that a unit did, in picoseconds."""

    chip: int
    unit: str
    batch: int
    layer: str
    start_ps: int
    end_ps: int


def now_ps(env: simpy.Environment) -> int:
    """The time; a whole number, because it starts at 0 and every delay is one."""
    return cast(int, env.now)


class Unit:
    """A server that takes one job at a time, in the order in which they come.

    Jobs have a known length, so when one ends is known the moment it is handed in: it costs one event.
    """

    def __init__(self, env: simpy.Environment, chip: int, name: str, notes: list[Activity]) -> None:
        self.busy_ps = 0
        self._free_ps = 0
        self._env = env
        self._chip = chip
        self._name = name
        self._notes = notes

    def job(
        self, duration_ps: int, batch: Batch, parts: tuple[tuple[str, int], ...], times: int = 1
    ) -> Event:
        """Queue a job; the event happens at its end. parts: layers, and a `times`-th of each length."""
        now = now_ps(self._env)
        start = max(now, self._free_ps)
        self._free_ps = start + duration_ps
        self.busy_ps += duration_ps
        if batch.number < NOTED_BATCHES:
            for layer, part_ps in parts:
                end = start + part_ps * times
                self._notes.append(
                    Activity(self._chip, self._name, batch.number, layer, start, end)
                )
                start = end
        return self._env.timeout(self._free_ps - now)


class Tokens:
    """Something there is a certain number of, for one process that takes and others that give."""

    def __init__(self, env: simpy.Environment, count: int) -> None:
        self._env = env
        self._count = count
        self._waiting: Event | None = None

    def take(self) -> Event | None:
        """Take a token if there is one; else the event of getting one, to be waited for."""
        if self._count:
            self._count -= 1
            return None
        self._waiting = self._env.event()
        return self._waiting

    def give(self) -> None:
        """Put a token back."""
        if self._waiting is None:
            self._count += 1
        else:
            self._waiting.succeed()
            self._waiting = None


class Handover:
    """A queue of batches from one process to another."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._batches: deque[Batch] = deque()
        self._waiting: Event | None = None

    def put(self, batch: Batch) -> None:
        """Add a batch."""
        if self._waiting is None:
            self._batches.append(batch)
        else:
            self._waiting.succeed(batch)
            self._waiting = None

    def take(self, _in_hand: int = 0) -> Event:
        """An event that brings the next batch."""
        event = self._env.event()
        if self._batches:
            event.succeed(self._batches.popleft())
        else:
            self._waiting = event
        return event


class _Late(simpy.Event):
    """An event at this very time, after all others."""

    def __init__(self, env: simpy.Environment, call: Callable[[Any], None]) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
        self.callbacks = [call]
        env.schedule(self, priority=LATE)


class Intake:
    """Requests that wait, in the order in which they came, and chips that wait for a batch of them.

    A batch is closed when a chip takes it: as soon as `size` requests wait, or the oldest has waited
    for `timeout_ps`. Of the chips that wait, the one with the least in hand gets it, then the one that
    has waited longest. Requests that come at the same time as a chip asks are counted in.
    """

    def __init__(
        self, env: simpy.Environment, arrivals_ps: list[int], size: int, timeout_ps: int
    ) -> None:
        self._env = env
        self._arrivals_ps = arrivals_ps
        self._size = size
        self._timeout_ps = timeout_ps
        self._arrived = 0
        self._taken = 0
        self._batches = 0
        self._chips: list[tuple[int, Event]] = []
        self._settling = False
        self._alarm_ps = -1

    def put(self) -> None:
        """The next request has come."""
        self._arrived += 1
        if self._chips:
            self._settle()

    def take(self, in_hand: int = 0) -> Event:
        """An event that brings the next batch to a chip that has `in_hand` batches to work on."""
        event = self._env.event()
        self._chips.append((in_hand, event))
        if self._arrived > self._taken:
            self._settle()
        return event

    def _settle(self) -> None:
        if not self._settling:
            self._settling = True
            _Late(self._env, self._hand_out)

    def _hand_out(self, _event: Any) -> None:
        self._settling = False
        while self._chips and self._arrived > self._taken:
            due_ps = self._arrivals_ps[self._taken] + self._timeout_ps
            if self._arrived - self._taken < self._size and self._env.now < due_ps:
                self._wake_at(due_ps)
                return
            chip = min(self._chips, key=lambda chip: chip[0])
            self._chips.remove(chip)
            size = min(self._size, self._arrived - self._taken)
            chip[1].succeed(Batch(self._batches, self._taken, size))
            self._batches += 1
            self._taken += size

    def _wake_at(self, due_ps: int) -> None:
        """Look again when the oldest request has waited long enough."""
        if self._alarm_ps < due_ps:
            self._alarm_ps = due_ps
            alarm = self._env.timeout(due_ps - self._env.now)
            alarm.callbacks.append(lambda _event: self._settle())
