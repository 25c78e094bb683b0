"""The machine as the stepped model takes it: the fields of docs/machine.md, and nothing checked."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Machine:
    """Parameters of the PE array; defaults are those of the machine without a decoder to choose.

    word_bits: width of plain words, which an exact bias and dense weights are.
    pointer_bits: least width of a pointer.
    The fields from `decoder_placement` on are named and explained in docs/machine.md.
    """

    pes: int
    queue_depth: int
    row_bits: int
    code_bits: int = 4
    run_bits: int = 4
    word_bits: int = 16
    pointer_bits: int = 16
    max_code_length: int = 11
    decoder: Literal["fixed", "huffman", "dense"] = "fixed"
    decoder_placement: Literal["inline", "load", "shared"] = "inline"
    decoder_design: Literal["bit_serial", "one_symbol", "pair", "two_level", "multi_symbol"] = (
        "pair"
    )
    huffman_alphabet: Literal["separate", "joint"] = "separate"
    bits_per_cycle: int = 1
    first_level_bits: int = 8
    entries_per_cycle: int = 2
    window_bits: int = 12
    sub_streams: int = 1
    shared_by: int = 4
    column_alignment: Literal["bit", "byte", "row"] = "bit"
    multipliers: int = 1
    row_buffer_rows: int = 1
    sram_latency_cycles: int = 0

    @property
    def entry_bits(self) -> int:
        """Width of an entry that is not coded."""
        return self.code_bits + self.run_bits
