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
    """Parts of one decoder, of which the array has `instances`; tables by name."""

    instances: int
    tables: dict[str, Sram]
    shifter: ShifterCost | None

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
    return DecoderMacros(
        unit.instances,
        {table.name: table_memory(table, technology) for table in unit.tables},
        unit.shifter and shifter_cost(unit.shifter, technology),
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
    """Flip-flops: reading takes energy by width, storage takes area and leaks by the bit."""
    access, cell = technology.action("register_file"), technology.cell("register_bit")
    energy_pj = access.energy_pj * table.width_bits / access.bits
    source = (
        f"{table.words} x {table.width_bits} bits in registers, an estimate: "
        f"access: {access.source}; {cell.source}"
    )
    return Sram(
        capacity_bytes=n_bytes,
        width_bits=table.width_bits,
        read_energy_pj=energy_pj,
        write_energy_pj=energy_pj,
        leakage_mw=table.bits * cell.leakage_nw / 1e6,
        area_mm2=table.bits * cell.area_um2 / 1e6,
        cycle_time_ns=0.0,
        source=source,
    )


def shifter_cost(shifter: Shifter, technology: Technology) -> ShifterCost:
    """A register that is rewritten at each shift, behind a stage of multiplexers per power of two."""
    access = technology.action("register_file")
    bit, multiplexer = technology.cell("register_bit"), technology.cell("multiplexer")
    width, moved = shifter.width_bits, shifter.width_bits + shifter.compared_bits
    stages = width.bit_length()  # by 1, 2, 4, ... up to the whole width
    compared = f" and {shifter.compared_bits} compared" if shifter.compared_bits else ""
    return ShifterCost(
        energy_pj=access.energy_pj * moved / access.bits,
        area_mm2=width * (bit.area_um2 + stages * multiplexer.area_um2) / 1e6,
        energy_source=f"estimate, {width} bits shifted{compared} as a register file: {access.source}",
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
        AreaTerm("Huffman tables", decoder.table_area_mm2, decoder.table_source),
        AreaTerm("decoder shifter", decoder.instances * shifter.area_mm2, shifter.area_source),
    ]
