"""`accelsim.compare`: a network on the SRAM machine, beside everything else that could run it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.baseline.measured.cpu import Measurement, measure_cpu
from accelsim.baseline.published import BaselineRow, match_layer, published_layer
from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import HardwareError, InputError, NetworkError
from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.hardware.dram import dram
from accelsim.network.layers import Network
from accelsim.simulation.flow import Progress
from accelsim.simulation.inputs import ActivationsLike
from accelsim.simulation.network import open_session
from accelsim.simulation.result import VECTOR_UNIT, Result
from accelsim.simulation.session import Session
from accelsim.study.compared import (
    TOTAL,
    by_other_sources,
    estimated,
    other_drams,
    published,
    simulated,
    sized,
    variants,
    with_total,
)

if TYPE_CHECKING:
    import pandas as pd

RANGES = ("latency_range_us", "energy_range_uj")
COLUMNS = [
    "system",
    "kind",
    "layer",
    "latency_us",
    "latency_low_us",
    "latency_high_us",
    "energy_uj",
    "energy_low_uj",
    "energy_high_uj",
    "energy_kind",
    "latency_ratio",
    "energy_ratio",
    "source",
    "note",
]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Latency and energy per inference, system by system.

    results: the SRAM machine, and its twins that stream compressed and dense weights from its DRAM, by name
    rows: one per system and layer, and one per system for all layers together
    """

    network: str
    results: dict[str, Result]
    rows: tuple[BaselineRow, ...]
    notes: tuple[str, ...]

    @cached_property
    def table(self) -> "pd.DataFrame":
        """A row per system and layer, columns as in COLUMNS; ratios are to the SRAM machine.

        *_low, *_high: least and most that samples, disagreeing sources or a model's error allow, NaN where
        nothing tells. energy_kind: what the energy is, where the latency may be something better
        """
        import pandas as pd

        frame = pd.DataFrame([_flat(row) for row in self.rows])
        reference = frame[frame["system"] == next(iter(self.results))].set_index("layer")
        for what in ("latency_us", "energy_uj"):
            frame[what] = frame[what].astype(float)
            base = frame["layer"].map(reference[what].astype(float))
            frame[f"{what.partition('_')[0]}_ratio"] = frame[what] / base
        return frame[COLUMNS]

    @cached_property
    def layer_names(self) -> list[str]:
        """Layers in order; `total` last if there are several."""
        return list(dict.fromkeys(row.layer for row in self.rows))

    @cached_property
    def energy(self) -> "pd.DataFrame":
        """Energy per inference of the simulated systems by component: system, component, energy_uj."""
        import pandas as pd

        parts = []
        for system, result in self.results.items():
            examples = {row["name"]: row["examples"] for row in result.rows + result.step_rows}
            per_inference = result.energy.assign(
                energy_uj=result.energy["energy_pj"] / 1e6 / result.energy["layer"].map(examples)
            )
            summed = per_inference.groupby(["component", "group"], sort=False, as_index=False)
            part = summed.agg({"source": "first", "energy_uj": "sum"})
            part.insert(0, "system", system)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def table_iv(self) -> "pd.DataFrame":
        """EIE's own time (Table IV) beside ours, for layers that the paper has; else empty."""
        import pandas as pd

        result = next(iter(self.results.values()))
        rows = [row for layer in result.rows if (row := _beside_published(layer, result))]
        columns = ["layer", "published_us", "ours_us", "difference_pct", "note"]
        return pd.DataFrame(rows, columns=columns)


def compare(
    network: "str | Path | Network | CompressedNetwork",
    hardware: "str | Path | Accelerator" = "eie-64",
    activations: ActivationsLike = None,
    *,
    measure: bool = True,
    records: Sequence[Measurement] = (),
    drams: Sequence[str] | None = None,
    platforms: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **overrides: Any,
) -> Comparison:
    """Put systems side by side, per inference, layer by layer.

    * the machine with its weights in SRAM (`overflow` is `grow` here unless the machine states it);
    * the same machine, its memories as large, streaming compressed weights, and dense weights, from its
      DRAM for each input, and compressed weights from each of the other `drams` (default: all kinds whose
      energy is known);
    * with `measure`, the CPU of this computer, measured now, batch 1; `records` are measurements made before;
    * the published CPU, GPU and mobile GPU times of EIE's Table IV, for layers that it has;
    * roofline models of `platforms` (default: all that were not published for this network), batch 1.

    Energies of the simulated systems come with the range of the sources that disagree on SRAM and DRAM.
    Raises InputError or one of its kinds.
    """
    machine = accelerator(hardware, **overrides)
    if "overflow" not in machine.model_fields_set:
        machine = machine.replace(overflow="grow")
    _check_comparable(machine)
    for kind in drams or ():
        dram(kind)  # wrong names are found before long work
    session = open_session(network, activations, machine, seed=seed)
    _check_names(session.network)
    for record in records:
        _check_record(record, session.network)
    results, rows = _simulate(session, machine, drams, progress)
    if measure:
        if progress:
            progress("this computer's CPU", 1.0)
        records = (*records, measure_cpu(session.network, activations=session.inputs.given))
    for record in records:
        rows += with_total(record.rows(), len(session.network.layers))
    rows += published(session.network)
    models, notes = estimated(session.network, platforms)
    sram = next(iter(results.values()))
    return Comparison(session.network.name, results, (*rows, *models), (*sram.notes, *notes))


def _simulate(
    session: Session,
    machine: Accelerator,
    drams: Sequence[str] | None,
    progress: Progress | None,
) -> tuple[dict[str, Result], list[BaselineRow]]:
    """The machine and its twins, as results; and rows of these and of the other kinds of DRAM."""
    twins = variants(machine)
    systems = [*twins, *other_drams(machine, drams)]
    results: dict[str, Result] = {}
    rows: list[BaselineRow] = []
    for index, (name, variant) in enumerate(systems):
        tell = progress and _part(progress, name, index, len(systems))
        first = next(iter(results.values()), None)
        alike = sized(variant, first) if first else variant
        result = session.run(alike, tell)
        rows += simulated(name, result, by_other_sources(session, sized(alike, result)))
        if (name, variant) in twins:
            results[name] = result
    return results, rows


def _flat(row: BaselineRow) -> dict[str, Any]:
    """A row with its ranges in columns of their own."""
    fields = {name: value for name, value in row._asdict().items() if name not in RANGES}
    for what, unit, limits in (
        ("latency", "us", row.latency_range_us),
        ("energy", "uj", row.energy_range_uj),
    ):
        low, high = limits or (float("nan"), float("nan"))
        fields |= {f"{what}_low_{unit}": low, f"{what}_high_{unit}": high}
    return fields | {"energy_kind": row.energy_kind or row.kind}


def _check_names(network: CompressedNetwork) -> None:
    for name, meaning in ((TOTAL, "the sum over layers"), (VECTOR_UNIT, "what runs there")):
        if len(network.layers) > 1 and name in (layer.name for layer in network.layers):
            raise NetworkError(f"layer '{name}': compare calls {meaning} so: rename the layer")


def _check_comparable(machine: Accelerator) -> None:
    """The first system must be what its name says: compressed weights, in SRAM."""
    wrongs = {"weights_in": ["dram"], "overflow": ["stream", "blocks"], "decoder": ["dense"]}
    for field, wrong in ((field, wrong) for field, values in wrongs.items() for wrong in values):
        if getattr(machine, field) == wrong:
            raise HardwareError(
                f"compare: {field}={wrong}: weights streamed from DRAM, compressed and dense, are set "
                f"beside the machine in any case: leave {field} out"
            )


def _part(progress: Progress, system: str, index: int, count: int) -> Progress:
    """Progress of one of several runs, within that of all."""
    progress(system, index / count)
    return lambda what, done: progress(f"{system}: {what}", (index + done) / count)


def _check_record(record: Measurement, network: CompressedNetwork) -> None:
    """Times of other layers must not stand, or be summed, beside this network's."""
    own = {(layer.name, layer.n_out, layer.n_in) for layer in network.layers}
    for layer in record.layers:
        if (layer.name, layer.n_out, layer.n_in) not in own:
            raise InputError(
                f"the measurement of '{record.network}' has layer '{layer.name}' "
                f"({layer.n_out}x{layer.n_in}), network '{network.name}' does not: "
                "give a measurement of this network"
            )


def _beside_published(row: dict[str, Any], result: Result) -> dict[str, Any] | None:
    name = match_layer(row["name"], row["n_in"], row["n_out"])
    published = published_layer(name) if name else None
    if published is None:
        return None
    ours = row["latency_us"] / row["examples"]
    weights = "synthetic" if result.provenance["network"].get("synthetic") else "given"
    activations = result.provenance["inputs"].get(row["name"], "from the layer before")
    return {
        "layer": name,
        "published_us": published.actual_us,
        "ours_us": ours,
        "difference_pct": 100 * (ours / published.actual_us - 1),
        "note": f"weights: {weights}; activations: {activations}",
    }
