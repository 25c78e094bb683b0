"""Huffman streams: each PE decodes its own stream, one entry (code and run symbol) per cycle."""

from typing import Any

import numpy as np

from accelsim.compression.huffman import HuffmanTable, build_table, symbol_counts
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.base import (
    DecodedLayer,
    address_bits,
    column_counts,
    rows_touched,
    with_exact_bias,
)
from accelsim.hardware.interleave import InterleavedLayer
from accelsim.kernels import huffman as kernels
from accelsim.kernels.types import ColumnPlan

TABLE_ENTRY_BITS = 16  # symbol and length, as the decode tables of this project hold them
TABLE_READS_PER_ENTRY = 2  # code symbol, run symbol


class HuffmanDecoder:
    """The tables are those of the interleaved layer: padding depends on the number of PEs.

    An entry takes one cycle however many rows its words lie in: a fetch buffer wide enough for the
    longest code and run is an assumption.
    """

    def tables(
        self, layer: InterleavedLayer, machine: Accelerator
    ) -> tuple[HuffmanTable, HuffmanTable]:
        """Canonical tables for codes and for runs, one pair for all PEs of the layer."""
        csc = layer.csc
        codes = symbol_counts(csc.code, 2**machine.code_bits)
        runs = symbol_counts(csc.run, 2**machine.run_bits)
        return (
            build_table(codes, machine.max_code_length),
            build_table(runs, machine.max_code_length),
        )

    def decode(self, layer: InterleavedLayer, machine: Accelerator) -> DecodedLayer:
        """Rows from real bit positions; pointers are bit addresses."""
        codes, runs = self.tables(layer, machine)
        bits = column_bit_addresses(layer, codes, runs)
        entries, service = column_counts(layer)
        first, last, sram_rows = rows_touched(bits[:-1], bits[1:], machine.row_bits)
        table_words = (1 << max(1, codes.longest)) + (1 << max(1, runs.longest))
        decoded = DecodedLayer(
            plan=ColumnPlan(entries, layer.padding, service, first, last),
            sram_rows=sram_rows,
            pointer_bits=address_bits(int(bits[-1].max()), machine.pointer_bits),
            table_bits=TABLE_ENTRY_BITS * table_words,
            table_reads=TABLE_READS_PER_ENTRY,
            codebook_reads=1,
        )
        return with_exact_bias(decoded, layer, machine)


def column_bit_addresses(layer: InterleavedLayer, codes: HuffmanTable, runs: HuffmanTable) -> Any:
    """int64[n_cols + 1, P]: first bit of each column in its PE's stream."""
    csc = layer.csc
    bits = np.empty_like(csc.col_ptr)
    kernels.column_bits(
        csc.col_ptr, csc.pe_ptr, csc.code, csc.run, codes.lengths, runs.lengths, bits
    )
    return bits


def pe_stream(
    layer: InterleavedLayer, pe: int, codes: HuffmanTable, runs: HuffmanTable
) -> tuple[Any, int]:
    """The bit stream of one PE: (uint64 words, MSB first, with a spare word; number of bits)."""
    csc = layer.csc
    part = slice(csc.pe_ptr[pe], csc.pe_ptr[pe + 1])
    code, run = csc.code[part], csc.run[part]
    n_bits = int(codes.lengths[code].sum(dtype=np.int64) + runs.lengths[run].sum(dtype=np.int64))
    words = np.zeros(n_bits // 64 + 2, dtype=np.uint64)
    kernels.encode_pairs(code, run, codes.words, codes.lengths, runs.words, runs.lengths, 0, words)
    return words, n_bits
