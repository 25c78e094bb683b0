"""DRAM energy by two methods: a figure per bit, or the commands that a stream takes."""

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

from accelsim.errors import TechnologyError
from accelsim.hardware.dram import Channel, Dram, dram
from accelsim.hardware.dram_power import Commands
from accelsim.hardware.terms import EnergyTerm

if TYPE_CHECKING:
    import pandas as pd

Method: TypeAlias = Literal["per_bit", "commands"]
# pJ in a microsecond at one mW.
PJ_PER_MW_US = 1000.0


def dram_terms(
    n_read_bytes: float, n_written_bytes: float, time_us: float, channel: Dram, method: Method
) -> list[EnergyTerm]:
    """What moving so many bytes costs the DRAM, which is on for `time_us`.

    `per_bit`: bits times one figure. `commands`: what is read and what is written are streams, each of
    which opens every row once; refreshes come, and rows are open, as long as it is on (standby). What
    is not published is left out. Raises TechnologyError where the kind lacks the method's numbers.
    """
    if method == "per_bit":
        bits = 8 * (n_read_bytes + n_written_bytes)
        return [EnergyTerm("DRAM", "DRAM", bits, channel.energy_pj_per_bit, channel.energy_source)]
    timing, costs = _commands(channel)
    rows = sum(math.ceil(n / timing.page_bytes) for n in (n_read_bytes, n_written_bytes))
    counts_and_energies = {
        "DRAM activate": (rows, costs.activate_pj),
        "DRAM read": (8 * n_read_bytes, costs.read_pj_per_bit),
        "DRAM write": (8 * n_written_bytes, costs.write_pj_per_bit),
        "DRAM refresh": (timing.sub_channels * time_us / timing.refresh_us, costs.refresh_pj),
        "DRAM standby": (timing.sub_channels * time_us, _per_us(costs.standby_mw)),
    }
    return [
        EnergyTerm(component, "DRAM", count, energy_pj, costs.source)
        for component, (count, energy_pj) in counts_and_energies.items()
        if energy_pj is not None
    ]


def _commands(channel: Dram) -> tuple[Channel, Commands]:
    costs = channel.command_energies
    if channel.channel is None or costs is None:
        raise TechnologyError(
            f"{channel.file}: what commands cost is not known: set dram_energy=per_bit, or copy the "
            "file, add [power] or [commands], and give its path"
        )
    return channel.channel, costs


def _per_us(power_mw: float | None) -> float | None:
    """Energy in pJ of a microsecond."""
    return None if power_mw is None else PJ_PER_MW_US * power_mw


def compare_methods(kinds: list[str]) -> "pd.DataFrame":
    """Read energy in pJ/bit of each kind whose commands are known, a row each; NaN: not published.

    activate to standby: parts of a stream at the channel's full bandwidth; `stream` is their sum.
    `one_burst_per_row`: activate and read where each row serves a single burst; no standby.
    `per_bit`: the kind's plain figure, and `stream_of_per_bit` the stream's ratio to it.
    """
    import pandas as pd

    rows = [_comparison(name, kind) for name in kinds if (kind := dram(name)).command_energies]
    return pd.DataFrame(rows).set_index("kind")


def _comparison(name: str, kind: Dram) -> dict[str, float | str]:
    timing, costs = _commands(kind)
    n_bytes = 2.0**30
    time_us = n_bytes / (1e3 * kind.bandwidth_gbyte_per_s)
    parts = {
        term.component.removeprefix("DRAM ") + "_pj_per_bit": term.energy_pj / (8 * n_bytes)
        for term in dram_terms(n_bytes, 0, time_us, kind, "commands")
        if term.component != "DRAM write"
    }
    stream = sum(parts.values())
    opened = costs.activate_pj / (8 * timing.burst_bytes)
    per_bit = math.nan if kind.energy is None else kind.energy
    return {
        "kind": name,
        **parts,
        "stream_pj_per_bit": stream,
        "one_burst_per_row_pj_per_bit": opened + costs.read_pj_per_bit,
        "per_bit_pj_per_bit": per_bit,
        "stream_of_per_bit": stream / per_bit,
        "status": costs.status,
    }
