"""Rows of the energy and area tables."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class EnergyTerm:
    """One component's energy: count times energy per action (pJ), and where the latter is from."""

    component: str
    group: str
    count: float
    energy_per_action_pj: float
    source: str

    @property
    def energy_pj(self) -> float:
        """Energy of the component in pJ."""
        return self.count * self.energy_per_action_pj


class AreaTerm(NamedTuple):
    """Area of one component over all PEs, in mm2.

    group: memory, register, combinational, clock or filler, as EIE's Table II tells them apart
    """

    component: str
    group: str
    area_mm2: float
    source: str
