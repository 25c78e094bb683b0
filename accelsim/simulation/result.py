"""What a simulation tells: tables with units in their column names, outputs, and provenance."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.memory import Memories
from accelsim.hardware.terms import AreaTerm, EnergyTerm
from accelsim.simulation.arithmetic import Fixed

if TYPE_CHECKING:
    import pandas as pd


VECTOR_UNIT = "vector unit"
# Columns that rows of layers and of the vector unit's steps both have.
SHARED_COLUMNS = (
    "cycles",
    "latency_us",
    "energy_pj",
    "activation_reads",
    "activation_writes",
    "dram_bytes",
)


STEP_COLUMNS = (
    "name",
    "kind",
    "cycles",
    "latency_us",
    "energy_pj",
    "examples",
    "adds",
    "multiplies",
    "lookups",
    "activation_reads",
    "activation_writes",
    "dram_bytes",
)


@dataclass(frozen=True, eq=False)
class LayerResult:
    """One layer: its row of the `layers` table, its energy terms, and int64[P] per-PE counts by name."""

    row: dict[str, Any]
    energy: tuple[EnergyTerm, ...]
    pes: dict[str, Any]


@dataclass(frozen=True, eq=False)
class StepResult:
    """One step of the vector unit: its row of the `steps` table, and its energy terms."""

    row: dict[str, Any]
    energy: tuple[EnergyTerm, ...]


@dataclass(frozen=True, eq=False)
class Result:
    """A network's run on a machine.

    outputs: float32 output of the network, [*shape] or [batch, *shape] as the input was
    outputs_fixed: the same in the machine's arithmetic (before a softmax, which the host computes)
    step_results: what the vector unit did between the layers
    chips: chips that the machine's PEs stand on (overflow=chips)
    order: (`layer` or `step`, name) in the order in which they run
    notes: what a reader should know: inputs that were drawn, memories that were grown, ...
    """

    network: str
    machine: Accelerator
    memories: Memories
    layer_results: tuple[LayerResult, ...]
    area_terms: tuple[AreaTerm, ...]
    outputs: Any
    outputs_fixed: Fixed
    step_results: tuple[StepResult, ...] = ()
    order: tuple[tuple[str, str], ...] = ()
    chips: int = 1
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

    @property
    def step_rows(self) -> list[dict[str, Any]]:
        """The `steps` table as plain records."""
        return [step.row for step in self.step_results]

    @property
    def unit_rows(self) -> list[dict[str, Any]]:
        """All steps of the vector unit in one row, in columns of `layers`; none if it has no work."""
        steps = self.step_rows
        if not steps:
            return []
        row: dict[str, Any] = dict.fromkeys(self.rows[0], 0)
        for column in SHARED_COLUMNS:
            row[column] = sum(step[column] for step in steps)
        row |= {"name": VECTOR_UNIT, "examples": steps[0]["examples"], "memory": ""}
        return [row]

    @cached_property
    def steps(self) -> "pd.DataFrame":
        """One row per step of the vector unit: kind, cycles, operations, energy_pj, ..."""
        import pandas as pd

        return pd.DataFrame(self.step_rows, columns=STEP_COLUMNS)

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
                "layer": row["name"],
                "component": term.component,
                "group": term.group,
                "count": term.count,
                "energy_per_action_pj": term.energy_per_action_pj,
                "energy_pj": term.energy_pj,
                "source": term.source,
            }
            for row, terms in self._parts()
            for term in terms
        ]

    def _parts(self) -> list[tuple[dict[str, Any], tuple[EnergyTerm, ...]]]:
        """Rows and energy terms of all layers, then of all steps of the vector unit."""
        layers = [(layer.row, layer.energy) for layer in self.layer_results]
        return layers + [(step.row, step.energy) for step in self.step_results]

    @cached_property
    def energy(self) -> "pd.DataFrame":
        """One row per layer or step and component: count, energy per action, energy, source."""
        import pandas as pd

        return pd.DataFrame(self.energy_rows)

    @cached_property
    def area(self) -> "pd.DataFrame":
        """One row per component of the machine: area_mm2 and the source."""
        import pandas as pd

        return pd.DataFrame([term._asdict() for term in self.area_terms])

    @cached_property
    def timeline(self) -> "pd.DataFrame":
        """When each layer and each step of the vector unit starts and ends, in microseconds.

        One after the other, in the order in which they run; a cell's matrices and its vector work,
        which take turns at each time step, stand as one piece each.
        """
        import pandas as pd

        rows = {("layer", row["name"]): row for row in self.rows}
        rows |= {("step", row["name"]): row for row in self.step_rows}
        parts = [(unit, rows[unit, name]) for unit, name in self.order if (unit, name) in rows]
        latency = pd.Series([row["latency_us"] for _, row in parts], dtype=float)
        return pd.DataFrame(
            {
                "layer": [row["name"] for _, row in parts],
                "unit": ["array" if unit == "layer" else "vector unit" for unit, _ in parts],
                "start_us": latency.cumsum() - latency,
                "end_us": latency.cumsum(),
            }
        )

    @property
    def total(self) -> dict[str, float]:
        """Sums over layers, vector steps and examples; mean power while running; area."""
        rows = self.rows + self.step_rows
        latency_us = sum(row["latency_us"] for row in rows)
        energy_pj = sum(row["energy_pj"] for row in rows)
        return {
            "cycles": sum(row["cycles"] for row in rows),
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
            "chips": self.chips,
            "layers": self.rows,
            "steps": self.step_rows,
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
