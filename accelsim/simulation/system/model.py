"""The whole system wired together, run to the last answer, and what was counted on the way."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import simpy

from accelsim.simulation.system.chip import Chip
from accelsim.simulation.system.host import Host, Progress, Traffic
from accelsim.simulation.system.stages import System
from accelsim.simulation.system.units import Activity, Batch, Handover, Unit


class Counted(NamedTuple):
    """What happened. Times are int64 picoseconds.

    arrival_ps: [requests]; first, size, chip, start_ps, end_ps: [batches], in the order of taking
    array_ps, channel_ps, busy_ps: [chips], computing, DRAM transfers, and with a batch in hand
    link_ps: [links], transfers; activity: of the first batches
    """

    arrival_ps: Any
    first: Any
    size: Any
    chip: Any
    start_ps: Any
    end_ps: Any
    array_ps: Any
    channel_ps: Any
    busy_ps: Any
    link_ps: Any
    activity: tuple[Activity, ...]


def run_system(system: System, traffic: Traffic, progress: Progress | None = None) -> Counted:
    """Run all requests through the system. progress: called with (requests answered, in all)."""
    env = simpy.Environment()
    notes: list[Activity] = []
    host = Host(env, traffic, system.batch, system.batch_timeout_ps)
    host.progress = progress
    arrange = _replicated if system.arrangement == "replicated" else _pipelined
    chips, links = arrange(env, system, host, notes)
    env.run(until=host.finished)
    return Counted(
        arrival_ps=_int64(host.arrivals_ps),
        first=_int64(host.first),
        size=_int64(host.size),
        chip=_int64(host.chip),
        start_ps=_int64(host.start_ps),
        end_ps=_int64(host.end_ps),
        array_ps=_int64([chip.array.busy_ps for chip in chips]),
        channel_ps=_int64([chip.channel.busy_ps for chip in chips]),
        busy_ps=_int64([chip.busy_ps for chip in chips]),
        link_ps=_int64([link.busy_ps for link in links]),
        activity=tuple(notes),
    )


def _replicated(
    env: simpy.Environment, system: System, host: Host, notes: list[Activity]
) -> tuple[list[Chip], list[Unit]]:
    """Chips that all take batches from the same queue, and run all layers; no links."""
    chips = [
        Chip(
            env, number, system.stages[0], system.dram, host.intake,
            started=host.started, done=host.answered, notes=notes,
        )
        for number in range(system.chips)
    ]  # fmt: skip
    return chips, []


def _pipelined(
    env: simpy.Environment, system: System, host: Host, notes: list[Activity]
) -> tuple[list[Chip], list[Unit]]:
    """Chips in a row, each with some of the layers, and a link from each to the next."""
    links = [Unit(env, number, "link", notes) for number in range(system.chips - 1)]
    inboxes = [Handover(env) for _ in links]  # of the second chip, the third, ...

    @cache
    def transfer_ps(number: int, size: int) -> int:
        return system.link.transfer_ps(system.stages[number].output_bytes * size)

    def pass_on(number: int, batch: Batch) -> None:
        duration_ps = transfer_ps(number, batch.size)
        parts = ((system.stages[number].layers[-1].name, duration_ps),)
        arrival = links[number].job(duration_ps, batch, parts)
        arrival.callbacks.append(lambda _event: inboxes[number].put(batch))

    def ignore(_chip: int, _batch: Batch) -> None:
        """A batch is taken up once, by the first chip."""

    chips = [
        Chip(
            env, number, stage, system.dram, inboxes[number - 1] if number else host.intake,
            started=ignore if number else host.started,
            done=pass_on if number < len(links) else host.answered,
            notes=notes,
        )
        for number, stage in enumerate(system.stages)
    ]  # fmt: skip
    return chips, links


def _int64(values: list[int]) -> Any:
    return np.array(values, dtype=np.int64)
