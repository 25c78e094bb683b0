"""The memories of a machine in a technology."""

from collections.abc import Sequence
from typing import NamedTuple

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoder_cost import DecoderMacros, decoder_macros, table_memory
from accelsim.hardware.decoders.unit import DecoderUnit, DecodingTable
from accelsim.hardware.logic import CODEBOOK_BITS_IN_LOGIC
from accelsim.hardware.memory import Memories
from accelsim.hardware.sram import Sram
from accelsim.hardware.technology import Technology

# EIE keeps pointers in two banks, so that start and end pointer are read in the same cycle.
POINTER_BANKS = 2
# How many of each SRAM a PE has, in the order of `Macros`.
MACRO_COUNTS = {
    "weight SRAM": 1,
    "pointer SRAM": POINTER_BANKS,
    "activation SRAM": 1,
    "codebook": 1,
}


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
