"""Energy, power and area: counters times technology, one term per component, nothing twice."""

from collections.abc import Sequence
from typing import NamedTuple

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.counters import Counters
from accelsim.hardware.decoder_cost import (
    DecoderMacros,
    decoder_area,
    decoder_macros,
    decoder_terms,
    table_memory,
)
from accelsim.hardware.decoders.unit import DecoderUnit, DecodingTable
from accelsim.hardware.extra_logic import extra_logic_area
from accelsim.hardware.memory import Memories
from accelsim.hardware.sram import Sram
from accelsim.hardware.technology import Dram, Technology
from accelsim.hardware.terms import AreaTerm, EnergyTerm

__all__ = [
    "AreaTerm",
    "EnergyTerm",
    "Macros",
    "array_area",
    "dram_term",
    "layer_energy",
    "lnzd_nodes",
    "macros",
    "standing_terms",
    "unit_counts",
]

# EIE keeps pointers in two banks, so that start and end pointer are read in the same cycle.
POINTER_BANKS = 2
# How many of each SRAM a PE has, in the order of `Macros`.
MACRO_COUNTS = {
    "weight SRAM": 1,
    "pointer SRAM": POINTER_BANKS,
    "activation SRAM": 1,
    "codebook": 1,
}
# EIE's codebook has 16 words, which its published PE logic contains.
CODEBOOK_BITS_IN_LOGIC = 4
DETECTION = "leading-non-zero detection"
AREA_NAMES = {"pe_logic": "PE logic", "leading_nonzero_detect": DETECTION}


class Macros(NamedTuple):
    """The memories of one PE, and of one decoder, of which there may be fewer or more than PEs.

    pointer: one bank of two; None if the decoder finds columns without pointers
    codebook: None for one that is as large as EIE's, which is part of the PE's logic
    """

    weight: Sram
    pointer: Sram | None
    activation: Sram
    codebook: Sram | None
    decoder: DecoderMacros

    @property
    def of_pe(self) -> dict[str, Sram]:
        """The SRAMs that each PE has, by the names that terms call them."""
        macros = zip(MACRO_COUNTS, self[:-1], strict=True)
        return {name: macro for name, macro in macros if macro is not None}

    @property
    def named(self) -> dict[str, Sram]:
        """All memories, by the names that notes call them."""
        tables = {f"Huffman table of {name}": table for name, table in self.decoder.tables.items()}
        return self.of_pe | tables


def macros(
    machine: Accelerator,
    memories: Memories,
    units: Sequence[DecoderUnit],
    technology: Technology,
) -> Macros:
    """Memories of a PE and of a decoder; units: what each layer needs the decoder to be.

    Raises TechnologyError where the technology has no such SRAM.
    """
    pointer = None
    if memories.pointer_bits:
        bank_bytes = -(-memories.pointer_bytes // POINTER_BANKS)
        pointer = technology.sram_macro(bank_bytes, memories.pointer_bits)
    return Macros(
        weight=technology.sram_macro(memories.weight_bytes, machine.row_bits),
        pointer=pointer,
        activation=technology.sram_macro(memories.activation_bytes, machine.arithmetic_bits),
        codebook=_codebook(machine, technology),
        decoder=decoder_macros(units, technology),
    )


def _codebook(machine: Accelerator, technology: Technology) -> Sram | None:
    if machine.code_bits <= CODEBOOK_BITS_IN_LOGIC or machine.decoder == "dense":
        return None
    words = DecodingTable("codebook", 2**machine.code_bits, machine.arithmetic_bits, 1)
    return table_memory(words, technology)


def layer_energy(
    counters: Counters,
    index_bits: int,
    machine: Accelerator,
    srams: Macros,
    technology: Technology,
    dram: Dram,
) -> list[EnergyTerm]:
    """Every term of a layer's energy; index_bits: width of a column index in the queues."""
    return [
        *_sram_terms(counters, machine, srams),
        *_logic_terms(counters, index_bits, machine, srams, technology),
        *standing_terms(counters.cycles, machine, srams, technology),
        *_stream_terms(counters, srams, dram),
        *decoder_terms(counters.decoder, srams.decoder),
    ]


def _sram_terms(counters: Counters, machine: Accelerator, srams: Macros) -> list[EnergyTerm]:
    weight, activation = srams.weight, srams.activation
    return [
        EnergyTerm(
            "weight SRAM", "memory", counters.sram_row_reads, weight.read_energy_pj, weight.source
        ),
        *_pointer_terms(counters, machine, srams.pointer),
        EnergyTerm(
            "activation SRAM reads",
            "memory",
            counters.activation_reads,
            activation.read_energy_pj,
            activation.source,
        ),
        EnergyTerm(
            "activation SRAM writes",
            "memory",
            counters.activation_writes,
            activation.write_energy_pj,
            activation.source,
        ),
    ]


def _pointer_terms(counters: Counters, machine: Accelerator, bank: Sram | None) -> list[EnergyTerm]:
    if bank is None:
        return []
    # Beside an aligned start stands the number of entries: there is no end to read.
    banks = POINTER_BANKS if machine.column_alignment == "bit" else 1
    reads = counters.pointer_reads * banks
    return [EnergyTerm("pointer SRAM", "memory", reads, bank.read_energy_pj, bank.source)]


def _codebook_term(
    reads: int, codebook: Sram | None, register_pj: float, source: str
) -> EnergyTerm:
    if codebook is None:
        return EnergyTerm("codebook look-up", "logic", reads, register_pj, source)
    return EnergyTerm("codebook look-up", "memory", reads, codebook.read_energy_pj, codebook.source)


def _logic_terms(
    counters: Counters,
    index_bits: int,
    machine: Accelerator,
    srams: Macros,
    technology: Technology,
) -> list[EnergyTerm]:
    bits = machine.arithmetic_bits
    multiply = technology.action(f"multiply_{bits}")
    add = technology.action(f"add_{bits}")
    register = technology.action("register_file")

    def registers(width: int) -> float:
        return register.energy_pj * width / register.bits

    item = bits + index_bits
    return [
        EnergyTerm(
            "activation queues",
            "logic",
            counters.queue_pushes,
            2 * registers(item),
            f"write and read of {item} bits: {register.source}",
        ),
        _codebook_term(counters.codebook_reads, srams.codebook, registers(bits), register.source),
        EnergyTerm(
            "multiply",
            "logic",
            counters.multiplies,
            multiply.energy_pj,
            multiply.source,
        ),
        EnergyTerm("add", "logic", counters.entries, add.energy_pj, add.source),
        EnergyTerm(
            "accumulators",
            "logic",
            counters.entries,
            2 * registers(bits),
            f"read and write of {bits} bits: {register.source}",
        ),
    ]


def standing_terms(
    cycles: int, machine: Accelerator, srams: Macros, technology: Technology
) -> list[EnergyTerm]:
    """What is spent in every cycle, whatever happens: clock, detection, leakage."""
    clock = technology.power["clock"]
    detect = technology.power["leading_nonzero_detect"]
    leakage_mw = srams.decoder.leakage_mw + machine.pes * sum(
        MACRO_COUNTS[name] * macro.leakage_mw for name, macro in srams.of_pe.items()
    )
    return [
        EnergyTerm(
            "clock network",
            "clock",
            cycles * unit_counts(machine)[clock.per],
            clock.energy_per_cycle_pj,
            clock.source,
        ),
        EnergyTerm(
            DETECTION,
            "logic",
            cycles * unit_counts(machine)[detect.per],
            detect.energy_per_cycle_pj,
            detect.source,
        ),
        EnergyTerm(
            "SRAM leakage",
            "leakage",
            cycles,
            1000.0 * leakage_mw * machine.cycle_us,
            f"leakage of all SRAMs over time: {srams.weight.source}",
        ),
    ]


def _stream_terms(counters: Counters, srams: Macros, dram: Dram) -> list[EnergyTerm]:
    """What moves from DRAM into the SRAMs; a term only for what does."""
    writes = {
        "weight SRAM": counters.sram_row_writes,
        "pointer SRAM": counters.pointer_writes,
        "activation SRAM": counters.activation_fills,
    }
    terms = [dram_term(counters.dram_bytes, dram)]
    terms += [
        EnergyTerm(f"{name} fill", "memory", writes[name], macro.write_energy_pj, macro.source)
        for name, macro in srams.of_pe.items()
        if name in writes
    ]
    return [term for term in terms if term.count]


def dram_term(n_bytes: int, dram: Dram) -> EnergyTerm:
    """Bits that go over the channel."""
    return EnergyTerm("DRAM", "DRAM", 8 * n_bytes, dram.energy_pj_per_bit, dram.energy_source)


def unit_counts(machine: Accelerator) -> dict[str, int]:
    """How many there are of each unit that a table's `per` can name."""
    return {"pe": machine.pes, "lnzd_node": lnzd_nodes(machine.pes)}


def lnzd_nodes(pes: int) -> int:
    """Nodes of the tree that finds the next non-zero activation: radix 4, 21 nodes for 64 PEs (EIE)."""
    nodes = 0
    width = pes
    while width > 1:
        width = -(-width // 4)
        nodes += width
    return max(1, nodes)


def array_area(
    machine: Accelerator, srams: Macros, technology: Technology, lanes: int = 0
) -> list[AreaTerm]:
    """Area of all PEs and of `lanes` of the vector unit: memories by CACTI, logic as published."""
    terms = [
        AreaTerm(name, machine.pes * MACRO_COUNTS[name] * macro.area_mm2, macro.source)
        for name, macro in srams.of_pe.items()
    ]
    terms += decoder_area(srams.decoder)
    counts = unit_counts(machine)
    terms += [
        AreaTerm(
            AREA_NAMES.get(name, name.replace("_", " ")),
            counts[area.per] * area.area_um2 / 1e6,
            area.source,
        )
        for name, area in technology.area.items()
    ]
    return terms + extra_logic_area(machine, lanes, technology)
