"""Energy, power and area: counters times technology, one term per component, nothing twice."""

from dataclasses import dataclass
from typing import NamedTuple

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.counters import Counters
from accelsim.hardware.memory import Memories
from accelsim.hardware.sram import Sram
from accelsim.hardware.technology import Dram, Technology

# EIE keeps pointers in two banks, so that start and end pointer are read in the same cycle.
POINTER_BANKS = 2
# How many of each SRAM a PE has, in the order of `Macros`; codes and runs have a Huffman table each.
MACRO_COUNTS = {
    "weight SRAM": 1,
    "pointer SRAM": POINTER_BANKS,
    "activation SRAM": 1,
    "Huffman tables": 2,
}
DETECTION = "leading-non-zero detection"
AREA_NAMES = {"pe_logic": "PE logic", "leading_nonzero_detect": DETECTION}


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
    """Area of one component over all PEs, in mm2."""

    component: str
    area_mm2: float
    source: str


class Macros(NamedTuple):
    """The SRAMs of one PE.

    pointer: one bank of two; None if the decoder finds columns without pointers
    tables: one of two; None if the decoder is not a Huffman decoder
    """

    weight: Sram
    pointer: Sram | None
    activation: Sram
    tables: Sram | None

    @property
    def named(self) -> dict[str, Sram]:
        """The SRAMs that are there, by the names that terms and notes call them."""
        macros = zip(MACRO_COUNTS, self, strict=True)
        return {name: macro for name, macro in macros if macro is not None}


def macros(
    machine: Accelerator, memories: Memories, table_bits: int, technology: Technology
) -> Macros:
    """SRAM macros of a PE. Raises TechnologyError where the technology has no such SRAM."""
    pointer = tables = None
    if memories.pointer_bits:
        bank_bytes = -(-memories.pointer_bytes // POINTER_BANKS)
        pointer = technology.sram_macro(bank_bytes, memories.pointer_bits)
    if table_bits:
        # Two tables, read at once, each 16 bits wide.
        tables = technology.sram_macro(-(-table_bits // 16), 16)
    return Macros(
        weight=technology.sram_macro(memories.weight_bytes, machine.row_bits),
        pointer=pointer,
        activation=technology.sram_macro(memories.activation_bytes, machine.arithmetic_bits),
        tables=tables,
    )


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
        *_sram_terms(counters, srams),
        *_logic_terms(counters, index_bits, machine, technology),
        *_standing_terms(counters, machine, srams, technology),
        *_stream_terms(counters, srams, dram),
        *_decoder_terms(counters, srams),
    ]


def _sram_terms(counters: Counters, srams: Macros) -> list[EnergyTerm]:
    weight, activation = srams.weight, srams.activation
    return [
        EnergyTerm(
            "weight SRAM", "memory", counters.sram_row_reads, weight.read_energy_pj, weight.source
        ),
        *_pointer_terms(counters, srams.pointer),
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


def _pointer_terms(counters: Counters, bank: Sram | None) -> list[EnergyTerm]:
    if bank is None:
        return []
    reads = counters.pointer_reads * POINTER_BANKS
    return [EnergyTerm("pointer SRAM", "memory", reads, bank.read_energy_pj, bank.source)]


def _logic_terms(
    counters: Counters, index_bits: int, machine: Accelerator, technology: Technology
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
        EnergyTerm(
            "codebook look-up",
            "logic",
            counters.codebook_reads,
            registers(bits),
            register.source,
        ),
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


def _standing_terms(
    counters: Counters, machine: Accelerator, srams: Macros, technology: Technology
) -> list[EnergyTerm]:
    clock = technology.power["clock"]
    detect = technology.power["leading_nonzero_detect"]
    leakage_mw = machine.pes * sum(
        MACRO_COUNTS[name] * macro.leakage_mw for name, macro in srams.named.items()
    )
    return [
        EnergyTerm(
            "clock network",
            "clock",
            counters.cycles * unit_counts(machine)[clock.per],
            clock.energy_per_cycle_pj,
            clock.source,
        ),
        EnergyTerm(
            DETECTION,
            "logic",
            counters.cycles * unit_counts(machine)[detect.per],
            detect.energy_per_cycle_pj,
            detect.source,
        ),
        EnergyTerm(
            "SRAM leakage",
            "leakage",
            counters.cycles,
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
    bits = 8 * counters.dram_bytes
    terms = [EnergyTerm("DRAM", "DRAM", bits, dram.energy_pj_per_bit, dram.energy_source)]
    terms += [
        EnergyTerm(f"{name} fill", "memory", writes[name], macro.write_energy_pj, macro.source)
        for name, macro in srams.named.items()
        if name in writes
    ]
    return [term for term in terms if term.count]


def _decoder_terms(counters: Counters, srams: Macros) -> list[EnergyTerm]:
    if srams.tables is None:
        return []
    return [
        EnergyTerm(
            "Huffman tables",
            "memory",
            counters.table_lookups,
            srams.tables.read_energy_pj,
            f"estimate, table read only (no shifter): {srams.tables.source}",
        )
    ]


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


def array_area(machine: Accelerator, srams: Macros, technology: Technology) -> list[AreaTerm]:
    """Area of all PEs, memories by CACTI, logic as published."""
    terms = [
        AreaTerm(name, machine.pes * MACRO_COUNTS[name] * macro.area_mm2, macro.source)
        for name, macro in srams.named.items()
    ]
    counts = unit_counts(machine)
    terms += [
        AreaTerm(
            AREA_NAMES.get(name, name.replace("_", " ")),
            counts[area.per] * area.area_um2 / 1e6,
            area.source,
        )
        for name, area in technology.area.items()
    ]
    return terms
