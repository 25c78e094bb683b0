"""A machine in a technology: everything that its energy follows from, worked out once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

from accelsim.hardware import area
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.unit import DecoderUnit
from accelsim.hardware.logic import Block, item_bits, pe_blocks
from accelsim.hardware.macros import MACRO_COUNTS, Macros, macros
from accelsim.hardware.memory import Memories
from accelsim.hardware.technology import Dram, Technology, dram, technology
from accelsim.hardware.terms import AreaTerm


@dataclass(frozen=True)
class Chip:
    """Memories, logic and floor plan of a machine.

    index_bits: width of a column index in the queues
    lanes: of the vector unit, 0 if the network has no work for it
    """

    machine: Accelerator
    technology: Technology
    dram: Dram
    srams: Macros
    blocks: tuple[Block, ...]
    index_bits: int
    lanes: int

    @cached_property
    def area(self) -> tuple[AreaTerm, ...]:
        """Area of every component."""
        return tuple(
            area.array_area(self.machine, self.srams, self.blocks, self.technology, self.lanes)
        )

    @cached_property
    def area_mm2(self) -> float:
        """Area of all components together."""
        return sum(term.area_mm2 for term in self.area)

    @cached_property
    def register_bits(self) -> int:
        """Bits that are clocked in every cycle: of PEs, lanes and decoders."""
        decoder = self.srams.decoder
        array = area.register_bits(self.machine, self.blocks, self.lanes)
        return array + decoder.instances * decoder.register_bits

    @property
    def item_bits(self) -> int:
        """Bits of what is broadcast."""
        return item_bits(self.machine, self.index_bits)

    @cached_property
    def broadcast_mm(self) -> float:
        """Wire that a broadcast drives: an H-tree over all PEs.

        An H on a square of side s is 1.5 s long, and the four Hs of the next level half as wide: summed
        over the levels, 1.5 sqrt(area) (sqrt(P) - 1) for P PEs.
        """
        return 1.5 * sqrt(self.area_mm2) * (sqrt(self.machine.pes) - 1.0)

    @cached_property
    def leakage_mw(self) -> float:
        """Leakage of all memories."""
        return self.srams.decoder.leakage_mw + self.machine.pes * sum(
            MACRO_COUNTS[name] * macro.leakage_mw for name, macro in self.srams.of_pe.items()
        )


def chip(
    machine: Accelerator,
    memories: Memories,
    units: Sequence[DecoderUnit],
    index_bits: int,
    lanes: int = 0,
) -> Chip:
    """A machine with these memories and decoders, in the technology and with the DRAM that it names.

    Raises TechnologyError where the technology lacks something that the machine has.
    """
    tech = technology(machine.technology)
    return Chip(
        machine=machine,
        technology=tech,
        dram=dram(machine.dram),
        srams=macros(machine, memories, units, tech),
        blocks=pe_blocks(machine, index_bits),
        index_bits=index_bits,
        lanes=lanes,
    )
