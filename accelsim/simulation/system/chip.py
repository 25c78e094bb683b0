"""A chip: a layer sequencer that drives the array, and a DMA that fetches weights ahead of it."""

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

import simpy

from accelsim.hardware.dram import Dram
from accelsim.simulation.system.stages import Stage
from accelsim.simulation.system.units import (
    Activity,
    Batch,
    Handover,
    Intake,
    Tokens,
    Unit,
    now_ps,
)

BUFFERS = 2  # weights of the layer that runs, and of the next one

Process: TypeAlias = Generator[simpy.Event, Any, None]


class Chip:
    """One chip with its own DRAM channel.

    started, done: called with the chip's number and a batch when it takes it, and when it is through
    """

    def __init__(
        self,
        env: simpy.Environment,
        number: int,
        stage: Stage,
        dram: Dram,
        source: Intake | Handover,
        *,
        started: Callable[[int, Batch], None],
        done: Callable[[int, Batch], None],
        notes: list[Activity],
    ) -> None:
        self.number = number
        self.array = Unit(env, number, "array", notes)
        self.channel = Unit(env, number, "DRAM", notes)
        self.busy_ps = 0
        self._env = env
        self._steps = stage.steps
        self._fetched_steps = [step for step in stage.steps if step.fetch_ps]
        self._dram = dram
        self._source = source
        self._started = started
        self._done = done
        self._in_hand = 0
        self._since_ps = 0
        # Weights are fetched, and used, in the same order: it is enough to count them.
        self._buffers = Tokens(env, BUFFERS)
        self._loaded = Tokens(env, 0)
        if self._fetched_steps:
            fetched = Handover(env)
            env.process(self._dma(fetched))
            env.process(self._sequencer(fetched.take))
        else:
            env.process(self._sequencer(self._take))

    def _sequencer(self, next_batch: Callable[[], simpy.Event]) -> Process:
        """Run the layers of one batch after the other."""
        while True:
            batch = yield next_batch()
            if not self._fetched_steps:
                self._begin(batch)
            for step in self._steps:
                if step.fetch_ps and (loaded := self._loaded.take()):
                    yield loaded
                inputs = batch.size
                moved = step.input_bytes * inputs
                computed = self.array.job(step.array_ps * inputs, batch, step.layers, inputs)
                if moved:
                    moved_ps = self._dram.transfer_ps(moved)
                    yield self.channel.job(moved_ps, batch, ((step.layers[0][0], moved_ps),))
                yield computed
                if step.fetch_ps:
                    self._buffers.give()
            self._end(batch)

    def _dma(self, fetched: Handover) -> Process:
        """Fetch weights in the order of their use, as soon as a buffer is free."""
        while True:
            if free := self._buffers.take():
                yield free
            batch = yield self._take()
            self._begin(batch)
            fetched.put(batch)
            for index, step in enumerate(self._fetched_steps):
                if index and (free := self._buffers.take()):
                    yield free
                yield self.channel.job(step.fetch_ps, batch, ((step.layers[0][0], step.fetch_ps),))
                self._loaded.give()

    def _take(self) -> simpy.Event:
        return self._source.take(self._in_hand)

    def _begin(self, batch: Batch) -> None:
        if not self._in_hand:
            self._since_ps = now_ps(self._env)
        self._in_hand += 1
        self._started(self.number, batch)

    def _end(self, batch: Batch) -> None:
        self._in_hand -= 1
        if not self._in_hand:
            self.busy_ps += now_ps(self._env) - self._since_ps
        self._done(self.number, batch)
