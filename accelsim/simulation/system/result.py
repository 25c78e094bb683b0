"""What serving requests tells: tables with units in their column names, and where energy went."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.simulation.system.model import Counted
from accelsim.simulation.system.stages import System, layer_time_ps

if TYPE_CHECKING:
    import pandas as pd

TIMELINE_POINTS = 200
PERCENTILES = (50, 95, 99)
US = 1e-6  # picoseconds to microseconds


@dataclass(frozen=True, eq=False)
class ServingResult:
    """Requests served by one or several chips.

    settings: what was asked for: arrivals, rate, batch, chips, ...
    capacity_per_s: throughput when there is always something to do, in full batches
    offered_per_s: rate at which requests came; None in a closed loop, and for a single request
    """

    system: System
    counted: Counted
    settings: dict[str, Any]
    capacity_per_s: float
    offered_per_s: float | None
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def network(self) -> str:
        """Name of the network."""
        return self.system.work.network

    @cached_property
    def requests(self) -> "pd.DataFrame":
        """One row per request: arrival_us, start_us, end_us, latency_us, wait_us, chip, batch.

        A request starts when a chip takes its batch up (pipelined: the first chip), and ends when the
        whole batch is through.
        """
        import pandas as pd

        counted = self.counted
        batch = np.repeat(np.arange(len(counted.size)), counted.size)
        start, end = counted.start_ps[batch], counted.end_ps[batch]
        return pd.DataFrame(
            {
                "request": np.arange(len(batch)),
                "arrival_us": US * counted.arrival_ps,
                "start_us": US * start,
                "end_us": US * end,
                "latency_us": US * (end - counted.arrival_ps),
                "wait_us": US * (start - counted.arrival_ps),
                "chip": counted.chip[batch],
                "batch": batch,
            }
        )

    @property
    def duration_us(self) -> float:
        """From the first arrival to the last answer."""
        return US * float(self.counted.end_ps.max() - self.counted.arrival_ps[0])

    @cached_property
    def figures(self) -> dict[str, float]:
        """The row of `summary` as a dict."""
        latency, waits = self.requests["latency_us"], self.requests["wait_us"]
        duration_us = self.duration_us
        parts = self.energy.groupby("group")["energy_uj"].sum()
        energy_uj = float(self.energy["energy_uj"].sum())
        requests, batches = len(self.requests), len(self.counted.size)
        return {
            "requests": requests,
            "batches": batches,
            "mean_batch_size": requests / batches,
            "duration_us": duration_us,
            "throughput_per_s": 1e6 * requests / duration_us,
            "capacity_per_s": self.capacity_per_s,
            "latency_mean_us": float(latency.mean()),
            **{f"latency_p{p}_us": float(np.percentile(latency, p)) for p in PERCENTILES},
            "latency_max_us": float(latency.max()),
            "wait_mean_us": float(waits.mean()),
            "array_utilization_frac": self._used(self.counted.array_ps),
            "dram_utilization_frac": self._used(self.counted.channel_ps),
            "link_utilization_frac": self._used(self.counted.link_ps),
            "dynamic_uj": float(parts["dynamic"]),
            "leakage_uj": float(parts["leakage"]),
            "idle_leakage_uj": float(parts["idle"]),
            "energy_uj": energy_uj,
            "energy_per_request_uj": energy_uj / requests,
            "power_mw": 1e3 * energy_uj / duration_us,
        }

    @cached_property
    def summary(self) -> "pd.DataFrame":
        """One row: throughput, latency percentiles, utilisation over all chips, energy, power."""
        import pandas as pd

        return pd.DataFrame([self.figures])

    @cached_property
    def energy(self) -> "pd.DataFrame":
        """Where energy went: part, group (dynamic, leakage with a batch in hand, idle), energy_uj."""
        import pandas as pd

        counted, work = self.counted, self.system.work
        inputs, batches = len(counted.arrival_ps), len(counted.size)
        dram_bytes = sum(
            batches * layer.weight_bytes + inputs * layer.input_bytes for layer in work.layers
        )
        link_bytes = inputs * sum(stage.output_bytes for stage in self.system.stages[:-1])
        computing_pj = sum(
            inputs * layer.input_pj + batches * layer.batch_pj for layer in work.layers
        )
        busy_us = US * float(counted.busy_ps.sum())
        idle_us = self.system.chips * self.duration_us - busy_us
        # mW times us is nJ.
        rows = [
            ("computing", "dynamic", computing_pj / 1e6),
            ("DRAM", "dynamic", _moved_uj(dram_bytes, work.dram)),
            ("links", "dynamic", _moved_uj(link_bytes, self.system.link)),
            ("clock", "dynamic", work.clock_mw * busy_us / 1e3),
            ("SRAM leakage, busy", "leakage", work.leakage_mw * busy_us / 1e3),
            ("SRAM leakage, idle", "idle", work.leakage_mw * idle_us / 1e3),
        ]
        return pd.DataFrame(rows, columns=["part", "group", "energy_uj"])

    @cached_property
    def chips(self) -> "pd.DataFrame":
        """One row per chip: its layers, their pace, and the utilisation of array and DRAM channel."""
        import pandas as pd

        system, counted = self.system, self.counted
        rows = []
        for chip in range(system.chips):
            layers = system.stages[min(chip, len(system.stages) - 1)].layers
            paces = [layer_time_ps(layer, system.dram, system.batch) for layer in layers]
            rows.append(
                {
                    "chip": chip,
                    "layers": " ".join(layer.name for layer in layers),
                    "full_batch_us": US * sum(paces),
                    "array_utilization_frac": self._used(counted.array_ps[chip : chip + 1]),
                    "dram_utilization_frac": self._used(counted.channel_ps[chip : chip + 1]),
                    "busy_frac": self._used(counted.busy_ps[chip : chip + 1]),
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def timeline(self) -> "pd.DataFrame":
        """Sampled at even steps: requests that wait, are in work, and have been answered."""
        import pandas as pd

        counted = self.counted
        last = counted.end_ps.max()
        times = np.linspace(counted.arrival_ps[0], last, TIMELINE_POINTS)
        arrived = np.searchsorted(counted.arrival_ps, times, side="right")
        started, answered = (
            np.searchsorted(np.sort(np.repeat(moments, counted.size)), times, side="right")
            for moments in (counted.start_ps, counted.end_ps)
        )
        return pd.DataFrame(
            {
                "time_us": US * times,
                "waiting": arrived - started,
                "in_work": started - answered,
                "answered": answered,
            }
        )

    @cached_property
    def activity(self) -> "pd.DataFrame":
        """What arrays, DRAM channels and links did for the first batches, in microseconds."""
        import pandas as pd

        columns = ["chip", "unit", "batch", "layer", "start_us", "end_us"]
        frame = pd.DataFrame(self.counted.activity, columns=columns)
        frame[["start_us", "end_us"]] *= US
        return frame

    def as_dict(self) -> dict[str, Any]:
        """Everything but single requests, for JSON."""
        return {
            "network": self.network,
            "settings": self.settings,
            **self.figures,
            "energy": self.energy.to_dict("records"),
            "chips": self.chips.to_dict("records"),
            "notes": list(self.notes),
            "provenance": self.provenance,
        }

    def _used(self, busy_ps: Any) -> float:
        """Busy time of some units as a part of the run."""
        return (
            float(US * busy_ps.sum() / (len(busy_ps) * self.duration_us)) if len(busy_ps) else 0.0
        )


def _moved_uj(n_bytes: int, medium: Any) -> float:
    return 8 * n_bytes * medium.energy_pj_per_bit / 1e6 if n_bytes else 0.0
