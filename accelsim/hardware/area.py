"""Area: memories as the technology sizes them, logic as so many bits, multiplexers and operators."""

from collections.abc import Iterator, Sequence

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoder_cost import decoder_area
from accelsim.hardware.logic import Block, lane_block
from accelsim.hardware.macros import MACRO_COUNTS, Macros
from accelsim.hardware.technology import Technology
from accelsim.hardware.terms import AreaTerm

DETECTION = "leading-non-zero detection"


def array_area(
    machine: Accelerator,
    srams: Macros,
    blocks: Sequence[Block],
    technology: Technology,
    lanes: int = 0,
) -> list[AreaTerm]:
    """Area of all PEs, of decoders, and of `lanes` of the vector unit, in mm2."""
    terms = [
        AreaTerm(name, "memory", machine.pes * MACRO_COUNTS[name] * macro.area_mm2, macro.source)
        for name, macro in srams.of_pe.items()
    ]
    for block in blocks:
        terms += _block_area(block, machine.pes, machine, technology)
    if lanes:
        terms += _block_area(lane_block(machine), lanes, machine, technology)
    logic_mm2 = sum(term.area_mm2 for term in terms if term.group in ("register", "combinational"))
    terms += _clock_and_filler(register_bits(machine, blocks, lanes), logic_mm2, technology)
    terms += decoder_area(srams.decoder)
    node = technology.area["leading_nonzero_detect"]
    nodes = lnzd_nodes(machine.pes)
    return [*terms, AreaTerm(DETECTION, "combinational", nodes * node.area_um2 / 1e6, node.source)]


def register_bits(machine: Accelerator, blocks: Sequence[Block], lanes: int) -> int:
    """Clocked bits of all PEs and of the vector unit's lanes."""
    in_lanes = lanes * lane_block(machine).register_bits
    return machine.pes * sum(block.register_bits for block in blocks) + in_lanes


def lnzd_nodes(pes: int) -> int:
    """Nodes of the tree that finds the next non-zero activation: radix 4, 21 nodes for 64 PEs (EIE)."""
    nodes = 0
    width = pes
    while width > 1:
        width = -(-width // 4)
        nodes += width
    return max(1, nodes)


def _block_area(
    block: Block, copies: int, machine: Accelerator, technology: Technology
) -> Iterator[AreaTerm]:
    """A term for registers, multiplexers and each operator that the block has."""
    bits = machine.arithmetic_bits
    for what, group, count, name in (
        ("registers", "register", block.register_bits, "register_bit"),
        ("multiplexers", "combinational", block.multiplexers, "multiplexer"),
        ("multiplier", "combinational", block.multipliers, f"multiplier_{bits}"),
        ("adder", "combinational", block.adders, f"adder_{bits}"),
    ):
        if count:
            cell = technology.cell(name)
            area_mm2 = copies * count * cell.area_um2 / 1e6
            source = f"{count:,} times: {cell.source}"
            yield AreaTerm(f"{block.name}: {what}", group, area_mm2, source)


def _clock_and_filler(bits: int, logic_mm2: float, technology: Technology) -> list[AreaTerm]:
    """Cells of the clock network by the register bit, and filler cells by the area of other cells."""
    clock, filler = technology.cell("clock_per_bit"), technology.area["filler"]
    clock_mm2 = bits * clock.area_um2 / 1e6
    return [
        AreaTerm("clock network", "clock", clock_mm2, clock.source),
        AreaTerm("filler", "filler", (logic_mm2 + clock_mm2) * filler.area_um2, filler.source),
    ]
