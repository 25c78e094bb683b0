"""What a PE's logic is made of: registers, multiplexers and arithmetic, block by block.

The blocks are those of EIE (Han et al., ISCA 2016, section IV): activation queue, pointer read, sparse-matrix
read, arithmetic unit, activation read/write. Counts of bits and multiplexers are worked out from the
machine's fields; nobody synthesised them. docs/energy.md sets what follows from them beside the chip.
"""

from typing import NamedTuple

from accelsim.hardware.accelerator import Accelerator

# Of each of the two activation register files, for source and destination (EIE, section IV).
ACTIVATION_REGISTERS = 64
# Four stages (EIE, section IV), each of which keeps two words: an estimate.
PIPELINE_WORDS = 8
# A codebook of more words is a memory of its own; EIE's 16 words are registers.
CODEBOOK_BITS_IN_LOGIC = 4


class Block(NamedTuple):
    """A part of one PE, or one lane of the vector unit.

    register_bits: all of them are clocked in every cycle
    multiplexers: with two inputs, one bit wide, of all read ports but the queue's (docs/energy.md)
    multipliers, adders: of the machine's words
    """

    name: str
    register_bits: int
    multiplexers: int = 0
    multipliers: int = 0
    adders: int = 0


def pe_blocks(machine: Accelerator, index_bits: int) -> tuple[Block, ...]:
    """Every block of one PE. index_bits: of the column index that an activation carries."""
    bits, copies = machine.arithmetic_bits, machine.multipliers
    pointers = (
        () if machine.decoder == "dense" else (Block("pointer registers", pointer_bits(machine)),)
    )
    words = 2 * ACTIVATION_REGISTERS
    return (
        Block("activation queue", machine.queue_depth * item_bits(machine, index_bits)),
        *pointers,
        Block(
            "weight rows",
            machine.row_bits * machine.row_buffer_rows,
            copies * row_multiplexers(machine),
        ),
        Block(
            "arithmetic unit",
            copies * PIPELINE_WORDS * bits + codebook_bits(machine),
            copies * codebook_multiplexers(machine),
            copies,
            copies,
        ),
        Block("activation registers", words * bits, 2 * copies * accumulator_multiplexers(machine)),
    )


def lane_block(machine: Accelerator) -> Block:
    """One lane of the vector unit: an arithmetic unit without a codebook (estimate)."""
    return Block("vector unit", PIPELINE_WORDS * machine.arithmetic_bits, 0, 1, 1)


def item_bits(machine: Accelerator, index_bits: int) -> int:
    """What is broadcast, and stored in a slot of a queue: an activation and its column."""
    return machine.arithmetic_bits + index_bits


def pointer_bits(machine: Accelerator) -> int:
    """Registers of a column's start and end."""
    return 2 * machine.pointer_bits


def row_multiplexers(machine: Accelerator) -> int:
    """Those that take one entry out of a row; a decoder of streams has a shifter instead."""
    if machine.decoder == "huffman" and machine.decoder_placement != "load":
        return 0
    width = machine.arithmetic_bits if machine.decoder == "dense" else machine.entry_bits
    return width * max(0, machine.row_bits // width - 1)


def codebook_bits(machine: Accelerator) -> int:
    """Registers of a codebook; none for dense weights, or one that is an SRAM."""
    if machine.decoder == "dense" or machine.code_bits > CODEBOOK_BITS_IN_LOGIC:
        return 0
    return int(2**machine.code_bits * machine.arithmetic_bits)


def codebook_multiplexers(machine: Accelerator) -> int:
    """Those that read one word of the codebook."""
    return max(0, codebook_bits(machine) - machine.arithmetic_bits)


def accumulator_multiplexers(machine: Accelerator) -> int:
    """Those that read one word of an activation register file."""
    return (ACTIVATION_REGISTERS - 1) * machine.arithmetic_bits
