"""What a simulation tells: tables with units in their column names, outputs, and provenance."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.energy import AreaTerm, EnergyTerm
from accelsim.hardware.memory import Memories
from accelsim.simulation.arithmetic import Fixed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class LayerResult:
    """One layer: its row of the `layers` table, its energy terms, and int64[P] per-PE counts by name."""

    row: dict[str, Any]
    energy: tuple[EnergyTerm, ...]
    pes: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Result:
    """A network's run on a machine.

    outputs: float32 output of the last layer, [n_out] or [batch, n_out] as the input was
    outputs_fixed: the same in the machine's arithmetic (before a softmax, which the host computes)
    notes: what a reader should know: inputs that were drawn, memories that were grown, ...
    """

    network: str
    machine: Accelerator
    memories: Memories
    layer_results: tuple[LayerResult, ...]
    area_terms: tuple[AreaTerm, ...]
    outputs: Any
    outputs_fixed: Fixed
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The `layers` table as plain records."""
        return [layer.row for layer in self.layer_results]

    @cached_property
    def layers(self) -> "pd.DataFrame":
        """One row per layer: cycles, latency_us, memory accesses, utilization_frac, energy_pj, ..."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    @cached_property
    def pes(self) -> "pd.DataFrame":
        """One row per layer and PE: busy, starved and padding counts, memory accesses."""
        import pandas as pd

        return pd.concat(
            [
                pd.DataFrame(
                    {"layer": layer.row["name"], "pe": range(self.machine.pes), **layer.pes}
                )
                for layer in self.layer_results
            ],
            ignore_index=True,
        )

    @property
    def energy_rows(self) -> list[dict[str, Any]]:
        """The `energy` table as plain records."""
        return [
            {
                "layer": layer.row["name"],
                "component": term.component,
                "group": term.group,
                "count": term.count,
                "energy_per_action_pj": term.energy_per_action_pj,
                "energy_pj": term.energy_pj,
                "source": term.source,
            }
            for layer in self.layer_results
            for term in layer.energy
        ]

    @cached_property
    def energy(self) -> "pd.DataFrame":
        """One row per layer and component: count, energy per action, energy, and the source."""
        import pandas as pd

        return pd.DataFrame(self.energy_rows)

    @cached_property
    def area(self) -> "pd.DataFrame":
        """One row per component of the machine: area_mm2 and the source."""
        import pandas as pd

        return pd.DataFrame([term._asdict() for term in self.area_terms])

    @cached_property
    def timeline(self) -> "pd.DataFrame":
        """When each layer starts and ends, one after the other, in microseconds."""
        import pandas as pd

        latency = self.layers["latency_us"]
        return pd.DataFrame(
            {
                "layer": self.layers["name"],
                "start_us": latency.cumsum() - latency,
                "end_us": latency.cumsum(),
            }
        )

    @property
    def total(self) -> dict[str, float]:
        """Sums over layers and input vectors; mean power while running; area of the machine."""
        latency_us = sum(row["latency_us"] for row in self.rows)
        energy_pj = sum(row["energy_pj"] for row in self.rows)
        return {
            "cycles": sum(row["cycles"] for row in self.rows),
            "latency_us": latency_us,
            "energy_pj": energy_pj,
            "power_mw": energy_pj / latency_us / 1e3 if latency_us else 0.0,
            "area_mm2": sum(term.area_mm2 for term in self.area_terms),
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything but the per-PE counts and outputs, for JSON."""
        return {
            "network": self.network,
            "machine": self.machine.model_dump(),
            "layers": self.rows,
            **self.total,
            "energy": self.energy_rows,
            "area": [term._asdict() for term in self.area_terms],
            "sram_bytes_per_pe": {
                "weight": self.memories.weight_bytes,
                "pointer": self.memories.pointer_bytes,
                "activation": self.memories.activation_bytes,
                "grown": list(self.memories.grown),
            },
            "notes": list(self.notes),
            "provenance": self.provenance,
        }
