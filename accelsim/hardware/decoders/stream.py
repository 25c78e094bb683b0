"""The bits of Huffman streams as they stand in the weight SRAMs."""

from typing import Any

import numpy as np

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.base import lay_out
from accelsim.hardware.decoders.entry_code import coded_columns
from accelsim.hardware.decoders.huffman import alignment_bits
from accelsim.hardware.interleave import InterleavedLayer
from accelsim.kernels import huffman as kernels

NO_RUNS = np.zeros(1, dtype=np.uint64), np.zeros(1, dtype=np.uint8)


def column_bit_addresses(layer: InterleavedLayer, machine: Accelerator) -> Any:
    """int64[n_cols + 1, P]: first bit of each column in its PE's own stream, and where the last ends.

    What stands for a column without entries tells nothing.
    """
    coded = coded_columns(layer, machine)
    layout = lay_out(coded.positions(), machine.row_bits, alignment_bits(machine))
    return np.concatenate([layout.starts, layout.ends[None]])


def pe_stream(layer: InterleavedLayer, pe: int, machine: Accelerator) -> tuple[Any, int]:
    """The bit stream of one PE: (uint64 words, MSB first, with a spare word; number of bits).

    A column is its sub-streams, one after the other; entry e of it is in sub-stream e mod `sub_streams`.
    Between columns are zeros, where they are aligned.
    """
    csc = layer.csc
    addresses = column_bit_addresses(layer, machine)[:, pe]
    words = np.zeros(int(addresses[-1]) // 64 + 2, dtype=np.uint64)
    coder = _coder(layer, machine)
    ends = csc.pe_ptr[pe] + csc.col_ptr[:, pe]
    for column in np.flatnonzero(np.diff(ends)):
        entries = np.arange(ends[column], ends[column + 1])
        bit = int(addresses[column])
        for stream in range(machine.sub_streams):
            part = entries[stream :: machine.sub_streams]
            bit = int(coder(part, bit, words))
    return words, int(addresses[-1])


def _coder(layer: InterleavedLayer, machine: Accelerator) -> Any:
    """A function that writes entries, by their numbers, from a bit on, and returns the bit after them."""
    csc = layer.csc
    code = coded_columns(layer, machine).code
    tables = [(alphabet.table.words, alphabet.table.lengths) for alphabet in code.alphabets]
    first, second = csc.code, csc.run
    if len(tables) == 1:
        first = (csc.code.astype(np.uint32) << np.uint32(code.run_bits)) | csc.run
        second = np.zeros_like(csc.run)
        tables.append(NO_RUNS)

    def write(entries: Any, bit: int, words: Any) -> int:
        return kernels.encode_pairs(
            first[entries], second[entries], *tables[0], *tables[1], bit, words
        )

    return write
