"""`accelsim.compare`: a network on the SRAM machine, beside everything else that could run it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.baseline.measured_cpu import Measurement, measure_cpu
from accelsim.baseline.published import (
    BaselineRow,
    match_layer,
    published_layer,
    published_times,
)
from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import HardwareError, InputError, NetworkError
from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.hardware.memory import MEMORIES
from accelsim.hardware.technology import dram, technology
from accelsim.network.layers import Network
from accelsim.simulation.flow import Progress
from accelsim.simulation.inputs import ActivationsLike
from accelsim.simulation.network import open_session
from accelsim.simulation.result import VECTOR_UNIT, Result

if TYPE_CHECKING:
    import pandas as pd

TOTAL = "total"
REMARKS = ["source", "note"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Latency and energy per inference, system by system.

    results: the simulated systems by name, the SRAM machine first
    rows: one per system and layer, and one per system for all layers together
    """

    network: str
    results: dict[str, Result]
    rows: tuple[BaselineRow, ...]
    notes: tuple[str, ...]

    @cached_property
    def table(self) -> "pd.DataFrame":
        """system, kind, layer, latency_us, energy_uj, ratios to the SRAM machine, source, note."""
        import pandas as pd

        frame = pd.DataFrame([row._asdict() for row in self.rows])
        frame["energy_uj"] = frame["energy_uj"].astype(float)
        reference = frame[frame["system"] == next(iter(self.results))].set_index("layer")
        for what in ("latency", "energy"):
            unit = "us" if what == "latency" else "uj"
            base = frame["layer"].map(reference[f"{what}_{unit}"])
            frame[f"{what}_ratio"] = frame[f"{what}_{unit}"] / base
        return frame[[*(c for c in frame if c not in REMARKS), *REMARKS]]

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
    seed: int = 0,
    progress: Progress | None = None,
    **overrides: Any,
) -> Comparison:
    """Put systems side by side, per inference, layer by layer.

    * the machine with its weights in SRAM (`overflow` is `grow` here unless the machine states it);
    * the same machine, its memories as large, streaming compressed weights, and dense weights, from its
      DRAM for each input;
    * with `measure`, the CPU of this computer, measured now: dense BLAS and SciPy CSR, batch 1;
      `records` are measurements made before;
    * the published CPU, GPU and mobile GPU times of EIE's Table IV, for layers that it has.

    Raises InputError or one of its kinds.
    """
    machine = accelerator(hardware, **overrides)
    if "overflow" not in machine.model_fields_set:
        machine = machine.replace(overflow="grow")
    _check_comparable(machine)
    session = open_session(network, activations, machine, seed=seed)
    for name, meaning in ((TOTAL, "the sum over layers"), (VECTOR_UNIT, "what runs there")):
        if len(session.network.layers) > 1 and name in (x.name for x in session.network.layers):
            raise NetworkError(f"layer '{name}': compare calls {meaning} so: rename the layer")
    for record in records:
        _check_record(record, session.network)
    results: dict[str, Result] = {}
    variants = _variants(machine)
    for index, (name, variant) in enumerate(variants):
        tell = progress and _part(progress, name, index, len(variants))
        # Memories of the same size, so that an access costs the same.
        sizes = _capacities(next(iter(results.values()))) if results else {}
        results[name] = session.run(variant.replace(**sizes), tell)
    rows = [row for name, result in results.items() for row in _simulated(name, result)]
    if measure:
        if progress:
            progress("this computer's CPU", 1.0)
        records = (*records, measure_cpu(session.network, activations=session.inputs.given))
    for record in records:
        rows += _with_total(record.rows(), len(session.network.layers))
    rows += _published(session.network)
    sram = next(iter(results.values()))
    return Comparison(session.network.name, results, tuple(rows), sram.notes)


def _check_comparable(machine: Accelerator) -> None:
    """The first system must be what its name says: compressed weights, in SRAM."""
    wrongs = {"weights_in": ["dram"], "overflow": ["stream", "blocks"], "decoder": ["dense"]}
    for field, wrong in ((field, wrong) for field, values in wrongs.items() for wrong in values):
        if getattr(machine, field) == wrong:
            raise HardwareError(
                f"compare: {field}={wrong}: weights streamed from DRAM, compressed and dense, are set "
                f"beside the machine in any case: leave {field} out"
            )


def _variants(machine: Accelerator) -> list[tuple[str, Accelerator]]:
    """The machine and its two DRAM-bound twins, by the names that tables show."""
    kind = machine.dram.upper() if not machine.dram.endswith(".toml") else Path(machine.dram).stem
    bits = machine.arithmetic_bits
    return [
        (f"{machine.name}, weights in SRAM", machine),
        (f"{machine.name}, compressed weights from {kind}", machine.replace(weights_in="dram")),
        (
            f"{machine.name}, dense {bits}-bit weights from {kind}",
            machine.with_decoder("dense").replace(weights_in="dram"),
        ),
    ]


def _part(progress: Progress, system: str, index: int, count: int) -> Progress:
    """Progress of one of several runs, within that of all."""
    progress(system, index / count)
    return lambda what, done: progress(f"{system}: {what}", (index + done) / count)


def _capacities(result: Result) -> dict[str, int]:
    """What the memories of a run hold, as fields of a machine."""
    memories = result.memories
    return {f"{memory}_sram_bytes": getattr(memories, f"{memory}_bytes") for memory in MEMORIES}


def _simulated(name: str, result: Result) -> list[BaselineRow]:
    source = f"simulated; {technology(result.machine.technology).name} tables, CACTI SRAM"
    note = "memories grown: " + ", ".join(result.memories.grown) if result.memories.grown else ""
    if result.machine.weights_in == "dram":
        channel = dram(result.machine.dram)
        source += (
            f"; {result.machine.dram}: {channel.energy_pj_per_bit:g} pJ/bit ({channel.energy_source}), "
            f"{channel.bandwidth_gbyte_per_s:g} GB/s ({channel.bandwidth_source}), "
            f"{channel.latency_ns:g} ns ({channel.latency_source}); {channel.status}"
        )
        note = "all weights are fetched for each input; transfer and computation overlap"
    rows = [
        BaselineRow(
            system=name,
            kind="simulated",
            layer=row["name"],
            latency_us=row["latency_us"] / row["examples"],
            energy_uj=row["energy_pj"] / 1e6 / row["examples"],
            source=source,
            note=note,
        )
        for row in result.rows + result.unit_rows
    ]
    return _with_total(rows, len(rows))


def _with_total(rows: list[BaselineRow], n_layers: int) -> list[BaselineRow]:
    """Add a sum over layers for each system that has all of them, if there are several."""
    if n_layers < 2:
        return rows
    totals = []
    for system in dict.fromkeys(row.system for row in rows):
        own = [row for row in rows if row.system == system]
        if len(own) == n_layers:
            energies = [row.energy_uj for row in own]
            total = None if None in energies else sum(e for e in energies if e is not None)
            latency_us = sum(row.latency_us for row in own)
            note = "; ".join(["sum over the layers", *_shared_remarks([row.note for row in own])])
            totals.append(
                own[0]._replace(layer=TOTAL, latency_us=latency_us, energy_uj=total, note=note)
            )
    return rows + totals


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


def _shared_remarks(notes: list[str]) -> list[str]:
    """The parts of a note, between semicolons, that every layer's note has."""
    rest = [set(note.split("; ")) for note in notes[1:]]
    return [part for part in notes[0].split("; ") if part and all(part in other for other in rest)]


def _published(network: CompressedNetwork) -> list[BaselineRow]:
    rows = []
    for layer in network.layers:
        name = match_layer(layer.name, layer.n_in, layer.n_out)
        rows += [row._replace(layer=layer.name) for row in published_times(name)] if name else []
    return _with_total(rows, len(network.layers))


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
