"""Energy, power and area: counters times technology, one term per component, nothing twice."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.counters import Counters
from accelsim.hardware.memory import Memories
from accelsim.hardware.sram import Sram
from accelsim.hardware.technology import Dram, Technology

# EIE keeps pointers in two banks, so that start and end pointer are read in the same cycle.
POINTER_BANKS = 2


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
    """The SRAMs of one PE: pointer is one bank of two; tables are a Huffman decoder's."""

    weight: Sram
    pointer: Sram
    activation: Sram
    tables: Sram | None


def macros(
    machine: Accelerator, memories: Memories, table_bits: int, technology: Technology
) -> Macros:
    """SRAM macros of a PE. Raises TechnologyError where the technology has no such SRAM."""
    tables = None
    if table_bits:
        # Two tables, read at once, each 16 bits wide.
        tables = technology.sram_macro(-(-table_bits // 16), 16)
    return Macros(
        weight=technology.sram_macro(memories.weight_bytes, machine.row_bits),
        pointer=technology.sram_macro(
            -(-memories.pointer_bytes // POINTER_BANKS), memories.pointer_bits
        ),
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
    weight, pointer, activation = srams.weight, srams.pointer, srams.activation
    return [
        EnergyTerm(
            "weight SRAM", "memory", counters.sram_row_reads, weight.read_energy_pj, weight.source
        ),
        EnergyTerm(
            "pointer SRAM",
            "memory",
            counters.pointer_reads * POINTER_BANKS,
            pointer.read_energy_pj,
            pointer.source,
        ),
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
    leakage_mw = machine.pes * sum(_leakage(srams))
    return [
        EnergyTerm(
            "clock network",
            "clock",
            counters.cycles * machine.pes,
            clock.energy_per_cycle_pj,
            clock.source,
        ),
        EnergyTerm(
            "leading-non-zero detection",
            "logic",
            counters.cycles * lnzd_nodes(machine.pes),
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


def _leakage(srams: Macros) -> list[float]:
    tables = 2 * srams.tables.leakage_mw if srams.tables else 0.0
    return [
        srams.weight.leakage_mw,
        POINTER_BANKS * srams.pointer.leakage_mw,
        srams.activation.leakage_mw,
        tables,
    ]


def _stream_terms(counters: Counters, srams: Macros, dram: Dram) -> list[EnergyTerm]:
    if not counters.dram_bytes:
        return []
    return [
        EnergyTerm(
            "DRAM", "DRAM", 8 * counters.dram_bytes, dram.energy_pj_per_bit, dram.energy_source
        ),
        EnergyTerm(
            "weight SRAM fill",
            "memory",
            counters.sram_row_writes,
            srams.weight.write_energy_pj,
            srams.weight.source,
        ),
    ]


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
        AreaTerm("weight SRAM", machine.pes * srams.weight.area_mm2, srams.weight.source),
        AreaTerm(
            "pointer SRAM",
            machine.pes * POINTER_BANKS * srams.pointer.area_mm2,
            srams.pointer.source,
        ),
        AreaTerm(
            "activation SRAM", machine.pes * srams.activation.area_mm2, srams.activation.source
        ),
    ]
    if srams.tables is not None:
        terms.append(
            AreaTerm("Huffman tables", machine.pes * 2 * srams.tables.area_mm2, srams.tables.source)
        )
    counts: dict[str, Any] = {"pe": machine.pes, "lnzd_node": lnzd_nodes(machine.pes)}
    terms += [
        AreaTerm(name.replace("_", " "), counts[area.per] * area.area_um2 / 1e6, area.source)
        for name, area in technology.area.items()
    ]
    return terms
