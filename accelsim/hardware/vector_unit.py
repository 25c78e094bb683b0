"""The vector unit: what is no matrix product, on lanes of their own (docs/machine.md, "Vector unit")."""

import math
from typing import NamedTuple

from accelsim.hardware.chip import Chip
from accelsim.hardware.energy import channel_terms, standing_terms
from accelsim.hardware.tensors import words_under_windows
from accelsim.hardware.terms import EnergyTerm
from accelsim.network.graph import (
    Activate,
    Affine,
    Elementwise,
    Operation,
    Pool,
    Quantise,
    Recurrent,
    Reduce,
    Shape,
)

# Element operations of one time step of a cell, per hidden unit. The sum of gate inputs and matrix
# product is among the additions.
CELL_WORK = {
    "lstm": {"adds": 5, "multiplies": 3, "lookups": 5},
    "gru": {"adds": 5, "multiplies": 3, "lookups": 3},
    "rnn": {"adds": 1, "multiplies": 0, "lookups": 1},
    "rnn_relu": {"adds": 2, "multiplies": 0, "lookups": 0},  # a comparison instead of the look-up
    "qrnn": {"adds": 2, "multiplies": 3, "lookups": 3},
}
PEEPHOLE_WORK = {"adds": 3, "multiplies": 3}


class VectorWork(NamedTuple):
    """Element operations for one example, and words of the activation SRAM read and written."""

    adds: int = 0
    multiplies: int = 0
    lookups: int = 0
    reads: int = 0
    writes: int = 0

    @property
    def operations(self) -> int:
        """Element operations; a lane does one per cycle. A comparison counts as an addition."""
        return self.adds + self.multiplies + self.lookups

    def cycles(self, lanes: int) -> int:
        """Cycles on so many lanes."""
        return -(-self.operations // lanes)


def vector_work(op: Operation, given: list[Shape], output: Shape) -> VectorWork:
    """What an operation costs the vector unit, per example.

    given: shapes of the tensors that it reads. Rearranging (reshape, transpose, slice, concatenation,
    padding) is done by addressing and costs nothing; a softmax is the host's; matrices are the array's.
    """
    read = sum(math.prod(shape) for shape in given)
    written = math.prod(output)
    if isinstance(op, Pool):
        read = words_under_windows(op, given[0])
        return _joined_values(read, written, is_mean=op.mode == "average")
    if isinstance(op, Reduce):
        return _joined_values(read, written, is_mean=op.function == "mean")
    if isinstance(op, Recurrent):
        return _cell_work(op, given)
    if isinstance(op, Activate | Quantise | Elementwise | Affine):
        each = {kind: count * written for kind, count in _each_value(op).items()}
        return VectorWork(**each, reads=read, writes=written)
    return VectorWork()


def _each_value(op: Activate | Quantise | Elementwise | Affine) -> dict[str, int]:
    """Operations per value of the output."""
    if isinstance(op, Affine):
        return {"adds": 1, "multiplies": 1}
    if isinstance(op, Elementwise):
        return {"multiplies": 1} if op.function == "multiply" else {"adds": 1}
    is_relu = isinstance(op, Activate) and op.function == "relu"
    return {"adds": 1} if is_relu else {"lookups": 1}


def _joined_values(read: int, written: int, *, is_mean: bool) -> VectorWork:
    """Sums or maxima of several values; a mean takes a multiplication more."""
    means = written if is_mean else 0
    return VectorWork(adds=read - written, multiplies=means, reads=read, writes=written)


def _cell_work(op: Recurrent, given: list[Shape]) -> VectorWork:
    units = given[0][0] * op.hidden
    work = dict(CELL_WORK["rnn_relu" if op.cell == "rnn" and op.function == "relu" else op.cell])
    if op.peepholes:
        for kind, count in PEEPHOLE_WORK.items():
            work[kind] += count
    counts = {kind: units * count for kind, count in work.items()}
    # Gate inputs, the matrices' products, which are as many, and first states.
    read = math.prod(given[0]) * (2 if op.matrices else 1) + sum(map(math.prod, given[1:]))
    # The state, or what it is projected from; what a second matrix takes; cell states on request.
    per_unit = 1 + int(op.cell == "gru" and not op.reset_after) + int(op.with_cell)
    return VectorWork(**counts, reads=read, writes=units * per_unit)


def vector_energy(
    work: VectorWork,
    examples: int,
    cycles: int,
    dram_bytes: tuple[int, int],
    fills: int,
    chip: Chip,
) -> list[EnergyTerm]:
    """Every term of a step's energy, for so many examples.

    dram_bytes: all that are moved, and those of them that are written; fills: words that come from DRAM.
    A look-up in a function's table is taken as a register-file read of one word (estimate).
    """
    bits, activation = chip.machine.arithmetic_bits, chip.srams.activation
    add, multiply = (chip.technology.action(f"{name}_{bits}") for name in ("add", "multiply"))
    register = chip.technology.action("register_file")
    table_read = register.energy_pj * bits / register.bits
    look_up = f"estimate, a register-file read: {register.source}"
    read, written = activation.read_energy_pj, activation.write_energy_pj
    terms = [
        EnergyTerm(name, group, count, energy_pj, source)
        for name, group, count, energy_pj, source in (
            ("vector adds", "logic", work.adds * examples, add.energy_pj, add.source),
            (
                "vector multiplies",
                "logic",
                work.multiplies * examples,
                multiply.energy_pj,
                multiply.source,
            ),
            ("vector look-ups", "logic", work.lookups * examples, table_read, look_up),
            ("activation SRAM reads", "memory", work.reads * examples, read, activation.source),
            (
                "activation SRAM writes",
                "memory",
                work.writes * examples,
                written,
                activation.source,
            ),
            ("activation SRAM fill", "memory", fills, written, activation.source),
        )
    ]
    terms += standing_terms(cycles, chip)
    terms += channel_terms(*dram_bytes, cycles, chip)
    return [term for term in terms if term.count]
