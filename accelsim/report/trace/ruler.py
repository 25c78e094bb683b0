"""From cycles to the time axis of a trace viewer."""

from typing import Any

import numpy as np

from accelsim.errors import InputError


class Ruler:
    """Where cycles lie on the axis, in whole nanoseconds, which is as fine as Perfetto can tell.

    `time` is the machine's: each edge of a cycle is rounded by itself, so that spans that touch still
    touch, but one cycle of 1.25 ns is drawn as 1 or 2 ns. `cycles` draws each cycle as one µs.
    """

    def __init__(self, name: str, clock_mhz: float) -> None:
        if name not in ("time", "cycles"):
            raise InputError(f"ruler '{name}': not known: use time or cycles")
        self.ns_per_cycle = 1000.0 if name == "cycles" else 1000.0 / clock_mhz
        self.about = (
            "1 cycle is drawn as 1 us; args hold cycles"
            if name == "cycles"
            else f"1 cycle is {self.ns_per_cycle:.6g} ns; edges are rounded to ns; args hold cycles"
        )

    def ns(self, cycles: Any) -> Any:
        """int64: the beginning of a cycle, counted from 0, rounded to a nanosecond."""
        return np.rint(np.asarray(cycles) * self.ns_per_cycle).astype(np.int64)

    @staticmethod
    def us(ns: int) -> str:
        """Nanoseconds as a JSON number of microseconds, exactly."""
        return f"{ns // 1000}.{ns % 1000:03d}"
