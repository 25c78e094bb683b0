"""Where requests come from, and where answers go to."""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias

import simpy

from accelsim.simulation.system.units import Batch, Intake, now_ps

Progress: TypeAlias = Callable[[int, int], None]
STEPS = 200  # how often progress is told


class OpenLoop(NamedTuple):
    """Requests at given times in picoseconds, in order, whatever becomes of them."""

    times_ps: list[int]


class ClosedLoop(NamedTuple):
    """Clients that each send the next request when the last one is answered; `requests` in all."""

    clients: int
    requests: int


Traffic: TypeAlias = OpenLoop | ClosedLoop


class Host:
    """Sends requests and notes when they came, were taken up and were answered.

    requests: how many there will be
    finished: happens with the last answer
    """

    def __init__(
        self, env: simpy.Environment, traffic: Traffic, size: int, timeout_ps: int
    ) -> None:
        self.arrivals_ps: list[int] = []
        # By number of the batch. Whole numbers only: a million objects would slow the collection of
        # garbage down, and with it everything.
        self.first: list[int] = []
        self.size: list[int] = []
        self.chip: list[int] = []
        self.start_ps: list[int] = []
        self.end_ps: list[int] = []
        self.finished = env.event()
        self.intake = Intake(env, self.arrivals_ps, size, timeout_ps)
        self.progress: Progress | None = None
        self._env = env
        self._answered = 0
        self._tell_at = 0
        self._closed = isinstance(traffic, ClosedLoop)
        if isinstance(traffic, ClosedLoop):
            self.requests = traffic.requests
            for _ in range(min(traffic.clients, traffic.requests)):
                self._send()
        else:
            self.requests = len(traffic.times_ps)
            env.process(self._send_all(traffic.times_ps))

    def started(self, chip: int, batch: Batch) -> None:
        """A chip has taken a batch up."""
        self.first.append(batch.first)
        self.size.append(batch.size)
        self.chip.append(chip)
        self.start_ps.append(now_ps(self._env))
        self.end_ps.append(-1)  # until it is answered

    def answered(self, _chip: int, batch: Batch) -> None:
        """All layers of a batch are through."""
        self.end_ps[batch.number] = now_ps(self._env)
        self._answered += batch.size
        if self._closed:
            for _ in range(min(batch.size, self.requests - len(self.arrivals_ps))):
                self._send()
        done = self._answered == self.requests
        if self.progress and (done or self._answered >= self._tell_at):
            self._tell_at = self._answered + max(1, self.requests // STEPS)
            self.progress(self._answered, self.requests)
        if done:
            self.finished.succeed()

    def _send(self) -> None:
        self.arrivals_ps.append(now_ps(self._env))
        self.intake.put()

    def _send_all(self, times_ps: list[int]) -> Generator[simpy.Event, Any, None]:
        for time in times_ps:
            wait_ps = time - now_ps(self._env)
            if wait_ps > 0:
                yield self._env.timeout(wait_ps)
            self._send()
