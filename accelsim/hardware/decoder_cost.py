"""Decoders in a technology: energy and area of their tables, as memories, and shifters, as logic."""

from collections.abc import Sequence
from typing import NamedTuple

from accelsim.errors import TechnologyError
from accelsim.hardware.decoders.unit import (
    DecoderUnit,
    DecoderUse,
    DecodingTable,
    Shifter,
    unit_for_all,
)
from accelsim.hardware.sram import Sram
from accelsim.hardware.technology import Technology
from accelsim.hardware.terms import AreaTerm, EnergyTerm

REMEDIES = {"windows": "window_bits or entries_per_cycle"}


class ShifterCost(NamedTuple):
    """Energy of one shift and area of one shifter; all of it is estimated."""

    energy_pj: float
    area_mm2: float
    energy_source: str
    area_source: str


class DecoderMacros(NamedTuple):
    """Parts of one decoder, of which the array has `instances`; tables by name.

    register_bits: of one decoder, clocked in every cycle
    """

    instances: int
    tables: dict[str, Sram]
    shifter: ShifterCost | None
    register_bits: int

    @property
    def leakage_mw(self) -> float:
        """Of the tables of all decoders."""
        return self.instances * sum(table.leakage_mw for table in self.tables.values())

    @property
    def table_area_mm2(self) -> float:
        """Of the tables of all decoders."""
        return self.instances * sum(table.area_mm2 for table in self.tables.values())

    @property
    def table_source(self) -> str:
        """Each table, and what it is made of."""
        return "; ".join(f"{name}: {table.source}" for name, table in self.tables.items())


def decoder_macros(units: Sequence[DecoderUnit], technology: Technology) -> DecoderMacros:
    """The decoder for all layers of a network. Raises TechnologyError for a table beyond any SRAM."""
    unit = unit_for_all(units)
    tables = {table.name: table_memory(table, technology) for table in unit.tables}
    stored = sum(table.bits for table in unit.tables if tables[table.name].is_registers)
    return DecoderMacros(
        unit.instances,
        tables,
        unit.shifter and shifter_cost(unit.shifter, technology),
        stored + (unit.shifter.width_bits if unit.shifter else 0),
    )


def table_memory(table: DecodingTable, technology: Technology) -> Sram:
    """An SRAM; or registers, for a table so small that they take less area than the smallest SRAM.

    Raises TechnologyError for a table beyond any SRAM.
    """
    n_bytes = -(-table.bits // 8)
    try:
        memory = technology.sram_macro(n_bytes, table.width_bits)
    except TechnologyError:
        raise TechnologyError(
            f"decoding table '{table.name}' of {table.words:,} words of {table.width_bits} bits is "
            f"larger than any SRAM in {technology.sram_table.name}: "
            f"set {REMEDIES.get(table.name, 'max_code_length')} lower"
        ) from None
    if n_bytes >= technology.least_sram_bytes(table.width_bits):
        return memory
    registers = _registers(table, n_bytes, technology)
    return min(memory, registers, key=lambda built: built.area_mm2)


def _registers(table: DecodingTable, n_bytes: int, technology: Technology) -> Sram:
    """Registers of a bit each, read through a tree of multiplexers."""
    write, select = technology.action("register_write"), technology.action("multiplexer")
    bit, multiplexer = technology.cell("register_bit"), technology.cell("multiplexer")
    selectors = (table.words - 1) * table.width_bits
    area_um2 = table.bits * bit.area_um2 + selectors * multiplexer.area_um2
    return Sram(
        capacity_bytes=n_bytes,
        width_bits=table.width_bits,
        read_energy_pj=selectors * select.energy_pj,
        write_energy_pj=table.width_bits * write.energy_pj,
        leakage_mw=0.0,
        area_mm2=area_um2 / 1e6,
        cycle_time_ns=0.0,
        source=(
            f"estimate, {table.words} x {table.width_bits} bits in registers behind multiplexers: "
            f"{select.source}; {bit.source}; {multiplexer.source}"
        ),
    )


def shifter_cost(shifter: Shifter, technology: Technology) -> ShifterCost:
    """A register that is rewritten at each shift, behind a stage of multiplexers per power of two."""
    write, select = technology.action("register_write"), technology.action("multiplexer")
    bit, multiplexer = technology.cell("register_bit"), technology.cell("multiplexer")
    width, moved = shifter.width_bits, shifter.width_bits + shifter.compared_bits
    stages = width.bit_length()  # by 1, 2, 4, ... up to the whole width
    compared = f" and {shifter.compared_bits} compared" if shifter.compared_bits else ""
    return ShifterCost(
        energy_pj=moved * write.energy_pj + stages * width * select.energy_pj,
        area_mm2=width * (bit.area_um2 + stages * multiplexer.area_um2) / 1e6,
        energy_source=(
            f"estimate, {width} bits rewritten{compared}, through {stages} stages of multiplexers: "
            f"{write.source}; {select.source}"
        ),
        area_source=(
            f"estimate, {width} bits of register and {stages} stages of multiplexers: "
            f"{bit.source}; {multiplexer.source}"
        ),
    )


def decoder_terms(use: DecoderUse, decoder: DecoderMacros) -> list[EnergyTerm]:
    """Reads of all tables as one term, whose energy per action is their mean; and shifts."""
    terms = []
    reads = sum(use.reads.values())
    if reads:
        energy_pj = sum(
            count * decoder.tables[name].read_energy_pj for name, count in use.reads.items()
        )
        source = f"mean over the reads of: {decoder.table_source}"
        terms.append(EnergyTerm("Huffman tables", "memory", reads, energy_pj / reads, source))
    if decoder.shifter and use.shifts:
        shifter = decoder.shifter
        energy = (use.shifts, shifter.energy_pj, shifter.energy_source)
        terms.append(EnergyTerm("decoder shifter", "logic", *energy))
    return terms


def decoder_area(decoder: DecoderMacros) -> list[AreaTerm]:
    """Of all decoders."""
    if not decoder.shifter:
        return []
    shifter = decoder.shifter
    return [
        AreaTerm("Huffman tables", "memory", decoder.table_area_mm2, decoder.table_source),
        AreaTerm(
            "decoder shifter",
            "combinational",
            decoder.instances * shifter.area_mm2,
            shifter.area_source,
        ),
    ]
