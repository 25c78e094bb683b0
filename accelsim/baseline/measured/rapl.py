"""Energy counters of the CPU packages (RAPL), where the system lets us read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

POWERCAP = Path("/sys/class/powercap")


class Counter(NamedTuple):
    """A counter of microjoules that starts over at 0 after `range_uj`."""

    zone: Path
    range_uj: int

    def read_uj(self) -> int:
        """Read the counter. Raises OSError without the right to do so."""
        return int((self.zone / "energy_uj").read_text(encoding="ascii"))


def package_counters(root: Path = POWERCAP) -> tuple[Counter, ...]:
    """Find a counter per CPU package; none if any is unreadable, for a part is not the energy.

    Zones within a package (core, uncore, dram) and around it (psys) are left out: they overlap.
    """
    counters = []
    try:
        for zone in sorted(root.glob("intel-rapl:*")):
            if (zone / "name").read_text(encoding="ascii").startswith("package"):
                limit = (zone / "max_energy_range_uj").read_text(encoding="ascii")
                counter = Counter(zone, int(limit))
                counter.read_uj()
                counters.append(counter)
    except (OSError, ValueError):
        return ()
    return tuple(counters)


def read_all_uj(counters: Sequence[Counter]) -> list[int]:
    """Read all counters."""
    return [counter.read_uj() for counter in counters]


def used_uj(counters: Sequence[Counter], before: Sequence[int], after: Sequence[int]) -> int:
    """Sum the energy between two readings; each counter may have started over once."""
    return sum(
        (end - start) % (counter.range_uj + 1)
        for counter, start, end in zip(counters, before, after, strict=True)
    )


class RaplMeter:
    """Energy of all CPU packages between `start` and `stop_uj`, idle power included."""

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = counters
        self._before: list[int] = []
        names = ", ".join(counter.zone.name for counter in counters)
        self.source = f"RAPL counters of the CPU package ({names})"

    def start(self) -> None:
        """Read the counters."""
        self._before = read_all_uj(self._counters)

    def stop_uj(self) -> float:
        """Return the energy used since `start`."""
        return used_uj(self._counters, self._before, read_all_uj(self._counters))


def rapl_meter() -> RaplMeter | None:
    """Return a meter of this computer's CPU packages; None where they cannot be read."""
    counters = package_counters()
    return RaplMeter(counters) if counters else None
