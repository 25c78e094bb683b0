"""Area of logic that EIE's published PE does not have: what the machine adds to it.

All of it is an estimate: units as large as EIE's own, for 16-bit words, without wires. Energy by the
clock stays that of the published PE.
"""

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.technology import Technology
from accelsim.hardware.terms import AreaTerm

# EIE's PE, whose area the technology's `pe_logic` is.
PUBLISHED_MULTIPLIERS = 1
PUBLISHED_QUEUE_DEPTH = 8
PUBLISHED_ROW_BUFFER = 1


def extra_logic_area(machine: Accelerator, lanes: int, technology: Technology) -> list[AreaTerm]:
    """A term for each unit that is there more often, or less, than in the published PE.

    lanes: of the vector unit, 0 if the network has no work for it
    """
    row_bits = machine.row_bits * (machine.row_buffer_rows - PUBLISHED_ROW_BUFFER)
    counts = {
        "further multipliers": (
            "arithmetic_unit",
            machine.pes * (machine.multipliers - PUBLISHED_MULTIPLIERS),
        ),
        "queues of another depth": (
            "queue_slot",
            machine.pes * (machine.queue_depth - PUBLISHED_QUEUE_DEPTH),
        ),
        "further weight rows": ("register_bit", machine.pes * row_bits),
        "vector unit": ("arithmetic_unit", lanes),
    }
    terms = []
    for name, (unit, count) in counts.items():
        if count:
            cell = technology.cell(unit)
            area_mm2 = count * cell.area_um2 / 1e6
            terms.append(AreaTerm(name, area_mm2, f"estimate, {count:,} times: {cell.source}"))
    return terms
