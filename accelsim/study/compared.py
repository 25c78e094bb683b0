"""Rows of a comparison: the simulated machine and its twins, models of platforms, what was published."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from accelsim.baseline.calibration import CALIBRATED
from accelsim.baseline.platform import KERNELS, platform_names
from accelsim.baseline.published import BaselineRow, Range, match_layer, published_times
from accelsim.baseline.roofline import estimated_times
from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import CapacityError
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.dram import Dram, dram, dram_names
from accelsim.hardware.memory import MEMORIES
from accelsim.hardware.technology import technology
from accelsim.simulation.result import Result
from accelsim.simulation.session import Session

TOTAL = "total"


def with_total(rows: list[BaselineRow], n_layers: int) -> list[BaselineRow]:
    """Add a sum over layers for each system that has all of them, if there are several."""
    if n_layers < 2:
        return rows
    totals = []
    for system in dict.fromkeys(row.system for row in rows):
        own = [row for row in rows if row.system == system]
        if len(own) == n_layers:
            energies = [row.energy_uj for row in own]
            total = None if None in energies else sum(e for e in energies if e is not None)
            note = "; ".join(["sum over the layers", *_shared_remarks([row.note for row in own])])
            totals.append(
                own[0]._replace(
                    layer=TOTAL,
                    latency_us=sum(row.latency_us for row in own),
                    energy_uj=total,
                    note=note,
                    latency_range_us=_summed_range([row.latency_range_us for row in own]),
                    energy_range_uj=_summed_range([row.energy_range_uj for row in own]),
                )
            )
    return rows + totals


def _summed_range(ranges: Sequence[Range | None]) -> Range | None:
    """All at their least, and all at their most: sources and models err alike on all layers."""
    known = [one for one in ranges if one is not None]
    if len(known) < len(ranges):
        return None
    return sum(low for low, _ in known), sum(high for _, high in known)


def _shared_remarks(notes: list[str]) -> list[str]:
    """The parts of a note, between semicolons, that every layer's note has."""
    rest = [set(note.split("; ")) for note in notes[1:]]
    return [part for part in notes[0].split("; ") if part and all(part in other for other in rest)]


# --- the machine, and the same machine on DRAM ---


def variants(machine: Accelerator) -> list[tuple[str, Accelerator]]:
    """The machine and its two DRAM-bound twins, by the names that tables show."""
    bits = machine.arithmetic_bits
    dense = machine.with_decoder("dense").replace(weights_in="dram")
    return [
        (f"{machine.name}, weights in SRAM", machine),
        on_dram(machine),
        (f"{machine.name}, dense {bits}-bit weights from {_kind_text(machine.dram)}", dense),
    ]


def on_dram(machine: Accelerator) -> tuple[str, Accelerator]:
    """The machine with compressed weights from its DRAM for each input."""
    name = f"{machine.name}, compressed weights from {_kind_text(machine.dram)}"
    return name, machine.replace(weights_in="dram")


def other_drams(machine: Accelerator, kinds: Sequence[str] | None) -> list[tuple[str, Accelerator]]:
    """The machine on each other kind of DRAM: the given ones, or all whose energy is known."""
    wanted = kinds if kinds is not None else _known_kinds()
    machines = []
    for kind in wanted:
        if kind != machine.dram:
            methods = _methods(dram(kind)) or ("per_bit",)
            method = machine.dram_energy if machine.dram_energy in methods else methods[0]
            machines.append(on_dram(machine.replace(dram=kind, dram_energy=method)))
    return machines


def _known_kinds() -> list[str]:
    """All kinds whose energy is known, the slowest first."""
    known = [name for name in dram_names() if _methods(dram(name))]
    return sorted(known, key=lambda name: dram(name).bandwidth_gbyte_per_s)


def sized(machine: Accelerator, result: Result) -> Accelerator:
    """The machine with memories as large as those of a run, so that an access costs the same."""
    memories = result.memories
    return machine.replace(
        **{f"{memory}_sram_bytes": getattr(memories, f"{memory}_bytes") for memory in MEMORIES}
    )


def simulated(
    name: str, result: Result, others: Iterable[Result] = (), note: str = ""
) -> list[BaselineRow]:
    """Rows of a run; others: the same run by sources that disagree, which give the ranges."""
    source = f"simulated; {technology(result.machine.technology).name} tables (docs/energy.md)"
    grown = result.memories.grown
    note = note or ("memories grown: " + ", ".join(grown) if grown else "")
    if result.machine.weights_in == "dram":
        source += f"; {result.machine.dram}: {_dram_source(result.machine)}"
        pace = _pace(result.machine)
        note = f"all weights are fetched for each input, {pace}; transfer and computation overlap"
    others = list(others)
    ranges = _ranges([result, *others]) if others else {}
    if ranges:
        note += ("; " if note else "") + "range: by all sources of SRAM and DRAM energies"
    rows = [
        BaselineRow(
            system=name,
            kind="simulated",
            layer=row["name"],
            latency_us=row["latency_us"] / row["examples"],
            energy_uj=row["energy_pj"] / 1e6 / row["examples"],
            source=source,
            note=note,
            energy_range_uj=ranges.get(row["name"]),
        )
        for row in result.rows + result.unit_rows
    ]
    return with_total(rows, len(rows))


def by_other_sources(session: Session, machine: Accelerator) -> list[Result]:
    """The same run with every other source of energies: of SRAM, and of its DRAM if it uses any."""
    methods: tuple[str, ...] = (machine.dram_energy,)
    if machine.weights_in == "dram":
        methods = _methods(dram(machine.dram)) or methods
    names = (machine.technology, *technology(machine.technology).alternatives)
    choices = [(name, method) for name in names for method in methods]
    return [
        session.run(machine.replace(technology=name, dram_energy=method))
        for name, method in choices
        if (name, method) != (machine.technology, machine.dram_energy)
    ]


def _ranges(results: Sequence[Result]) -> dict[str, Range]:
    """Least and most energy in uJ per inference, by layer."""
    energies: dict[str, list[float]] = {}
    for result in results:
        for row in result.rows + result.unit_rows:
            energies.setdefault(row["name"], []).append(row["energy_pj"] / 1e6 / row["examples"])
    return {name: (min(values), max(values)) for name, values in energies.items()}


def _methods(channel: Dram) -> tuple[str, ...]:
    """How the energy of a kind can be worked out, the plain figure first."""
    per_bit = ("per_bit",) if channel.energy is not None else ()
    return per_bit + (("commands",) if channel.command_energies else ())


def _kind_text(kind: str) -> str:
    return Path(kind).stem if kind.endswith(".toml") else kind.upper()


def _dram_source(machine: Accelerator) -> str:
    channel = dram(machine.dram)
    costs = channel.command_energies
    if machine.dram_energy == "commands" and costs:
        return f"energy of commands ({costs.source}; {costs.status})"
    return f"{channel.energy_pj_per_bit:g} pJ/bit ({channel.energy_source}; {channel.status})"


def _pace(machine: Accelerator) -> str:
    channel = dram(machine.dram)
    pace = f"{channel.bandwidth_gbyte_per_s:.4g} GB/s after {channel.latency_ns:.3g} ns"
    return f"{pace} (docs/system.md)"


# --- other systems ---


def published(network: CompressedNetwork) -> list[BaselineRow]:
    """EIE's Table IV, for layers that it has."""
    rows = []
    for layer in network.layers:
        name = match_layer(layer.name, layer.n_in, layer.n_out)
        rows += [row._replace(layer=layer.name) for row in published_times(name)] if name else []
    return with_total(rows, len(network.layers))


def estimated(
    network: CompressedNetwork, platforms: Sequence[str] | None
) -> tuple[list[BaselineRow], list[str]]:
    """Every platform, dense and sparse, batch 1, by its roofline; and notes on what does not fit one.

    platforms: names or files; by default all, less those whose times were published for this network
    """
    names = platforms if platforms is not None else _unpublished(network)
    rows: list[BaselineRow] = []
    notes = []
    for name in names:
        for kernel in KERNELS:
            try:
                rows += estimated_times(network, name, 1, kernel)
            except CapacityError as error:
                notes.append(str(error))
    return with_total(rows, len(network.layers)), notes


def _unpublished(network: CompressedNetwork) -> list[str]:
    matched = [match_layer(layer.name, layer.n_in, layer.n_out) for layer in network.layers]
    return [name for name in platform_names() if not all(matched) or name not in CALIBRATED]
