"""Energy: counters times technology, one term per component, nothing twice."""

from collections.abc import Iterator

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.area import DETECTION, lnzd_nodes
from accelsim.hardware.chip import Chip
from accelsim.hardware.counters import Counters
from accelsim.hardware.decoder_cost import decoder_terms
from accelsim.hardware.dram_energy import dram_terms
from accelsim.hardware.logic import (
    PIPELINE_WORDS,
    accumulator_multiplexers,
    codebook_multiplexers,
    pointer_bits,
    row_multiplexers,
)
from accelsim.hardware.macros import POINTER_BANKS
from accelsim.hardware.technology import dram
from accelsim.hardware.terms import EnergyTerm

# What takes the same in every cycle; SRAM leakage goes by time.
BY_THE_CLOCK = ("clock tree", "clock pins", "clocked registers", DETECTION)


def layer_energy(counters: Counters, chip: Chip) -> list[EnergyTerm]:
    """Every term of a layer's energy."""
    terms = [
        *_sram_terms(counters, chip),
        *_register_terms(counters, chip),
        *_read_terms(counters, chip),
        *_arithmetic_terms(counters, chip),
        _broadcast_term(counters, chip),
        *standing_terms(counters.cycles, chip),
        *_stream_terms(counters, chip),
        *decoder_terms(counters.decoder, chip.srams.decoder),
    ]
    return [term for term in terms if term.energy_per_action_pj]


def _sram_terms(counters: Counters, chip: Chip) -> Iterator[EnergyTerm]:
    weight, pointer, activation = chip.srams.weight, chip.srams.pointer, chip.srams.activation
    rows = counters.sram_row_reads
    yield EnergyTerm("weight SRAM", "memory", rows, weight.read_energy_pj, weight.source)
    if pointer:
        # Beside an aligned start stands the number of entries: there is no end to read.
        banks = POINTER_BANKS if chip.machine.column_alignment == "bit" else 1
        reads = banks * counters.pointer_reads
        yield EnergyTerm("pointer SRAM", "memory", reads, pointer.read_energy_pj, pointer.source)
    yield EnergyTerm(
        "activation SRAM reads",
        "memory",
        counters.activation_reads,
        activation.read_energy_pj,
        activation.source,
    )
    yield EnergyTerm(
        "activation SRAM writes",
        "memory",
        counters.activation_writes,
        activation.write_energy_pj,
        activation.source,
    )


def _register_terms(counters: Counters, chip: Chip) -> Iterator[EnergyTerm]:
    """What is written into registers."""
    machine, write = chip.machine, chip.technology.action("register_write")
    written = {
        "activation queues": (counters.queue_pushes, chip.item_bits),
        "pointer registers": (counters.pointer_reads, pointer_bits(machine)),
        "weight row registers": (counters.sram_row_reads, machine.row_bits),
        "pipeline registers": (counters.entries, PIPELINE_WORDS * machine.arithmetic_bits),
        "accumulator writes": (counters.entries, machine.arithmetic_bits),
    }
    for name, (count, bits) in written.items():
        if name != "pointer registers" or chip.srams.pointer:
            source = f"{bits} bits written: {write.source}"
            yield EnergyTerm(name, "registers", count, bits * write.energy_pj, source)


def _read_terms(counters: Counters, chip: Chip) -> Iterator[EnergyTerm]:
    """What is read through multiplexers, and the codebook, which may be an SRAM."""
    machine, select = chip.machine, chip.technology.action("multiplexer")
    selected = {
        "entry selection": (counters.entries, row_multiplexers(machine)),
        "codebook look-up": (counters.codebook_reads, codebook_multiplexers(machine)),
        "accumulator reads": (counters.entries, accumulator_multiplexers(machine)),
    }
    for name, (count, multiplexers) in selected.items():
        if multiplexers:
            source = f"{multiplexers:,} multiplexers: {select.source}"
            yield EnergyTerm(name, "logic", count, multiplexers * select.energy_pj, source)
    codebook, reads = chip.srams.codebook, counters.codebook_reads
    if codebook:
        energy_pj, source = codebook.read_energy_pj, codebook.source
        yield EnergyTerm("codebook look-up", "memory", reads, energy_pj, source)


def _arithmetic_terms(counters: Counters, chip: Chip) -> Iterator[EnergyTerm]:
    bits = chip.machine.arithmetic_bits
    multiply, add = (chip.technology.action(f"{name}_{bits}") for name in ("multiply", "add"))
    multiplies = counters.multiplies
    yield EnergyTerm("multiply", "logic", multiplies, multiply.energy_pj, multiply.source)
    yield EnergyTerm("add", "logic", counters.entries, add.energy_pj, add.source)


def _broadcast_term(counters: Counters, chip: Chip) -> EnergyTerm:
    wire, bits = chip.technology.action("wire_mm"), chip.item_bits
    energy_pj = bits * chip.broadcast_mm * wire.energy_pj
    source = f"estimate, {bits} bits over an H-tree of {chip.broadcast_mm:.3g} mm: {wire.source}"
    return EnergyTerm("broadcast wires", "wires", counters.broadcasts, energy_pj, source)


def standing_terms(cycles: int, chip: Chip) -> Iterator[EnergyTerm]:
    """What is spent in every cycle, whatever happens: clock, clocked registers, detection, leakage."""
    machine, technology = chip.machine, chip.technology
    tree, detect = technology.power["clock_tree"], technology.power["leading_nonzero_detect"]
    pin, idle = technology.action("clock_pin"), technology.action("register_clock")
    by_the_clock = (
        ("clock", chip.area_mm2, tree.energy_per_cycle_pj, tree.source),
        ("clock", chip.register_bits, pin.energy_pj, pin.source),
        ("registers", chip.register_bits, idle.energy_pj, idle.source),
        ("logic", lnzd_nodes(machine.pes), detect.energy_per_cycle_pj, detect.source),
    )
    for name, (group, units, energy_pj, source) in zip(BY_THE_CLOCK, by_the_clock, strict=True):
        yield EnergyTerm(name, group, cycles, units * energy_pj, source)
    yield EnergyTerm(
        "SRAM leakage",
        "leakage",
        cycles,
        1000.0 * chip.leakage_mw * machine.cycle_us,
        f"leakage of all SRAMs over time: {chip.srams.weight.source}",
    )


def _stream_terms(counters: Counters, chip: Chip) -> Iterator[EnergyTerm]:
    """What moves from DRAM into the SRAMs; a term only for what does."""
    moved = (counters.dram_bytes, counters.dram_written_bytes)
    yield from channel_terms(*moved, counters.cycles, chip)
    writes = {
        "weight SRAM": counters.sram_row_writes,
        "pointer SRAM": counters.pointer_writes,
        "activation SRAM": counters.activation_fills,
    }
    for name, macro in chip.srams.of_pe.items():
        if writes.get(name):
            count, energy_pj = writes[name], macro.write_energy_pj
            yield EnergyTerm(f"{name} fill", "memory", count, energy_pj, macro.source)


def channel_terms(n_bytes: int, n_written: int, cycles: int, chip: Chip) -> list[EnergyTerm]:
    """What a DRAM channel spends while so many bytes move, some of them written; nothing if none do."""
    if not n_bytes:
        return []
    time_us = cycles * chip.machine.cycle_us
    method = chip.machine.dram_energy
    terms = dram_terms(n_bytes - n_written, n_written, time_us, chip.dram, method)
    return [term for term in terms if term.count]


def check_dram(machine: Accelerator) -> None:
    """TechnologyError if the machine's DRAM lacks the numbers that its energy follows from."""
    dram_terms(1, 0, 0.0, dram(machine.dram), machine.dram_energy)
