"""Huffman streams in the weight SRAM, decoded by each PE or by one decoder for several."""

from typing import Any

import numpy as np

from accelsim.compression.huffman import HuffmanTable
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.base import (
    DecodedLayer,
    column_counts,
    lay_out,
    pointer_width,
    service_cycles,
    with_exact_bias,
)
from accelsim.hardware.decoders.designs import Work, design_of
from accelsim.hardware.decoders.entry_code import CodedColumns, coded_columns, entry_code
from accelsim.hardware.decoders.unit import DecoderUnit
from accelsim.hardware.interleave import InterleavedLayer
from accelsim.kernels.types import ColumnPlan


class HuffmanDecoder:
    """The tables are those of the interleaved layer: padding depends on the number of PEs.

    A word may straddle rows: a fetch buffer wide enough for the decoder's window is an assumption.
    """

    def tables(self, layer: InterleavedLayer, machine: Accelerator) -> tuple[HuffmanTable, ...]:
        """Canonical tables for codes and for runs, or one for pairs of them; the same for all PEs."""
        return tuple(alphabet.table for alphabet in entry_code(layer, machine).alphabets)

    def decode(self, layer: InterleavedLayer, machine: Accelerator) -> DecodedLayer:
        """Rows from real bit positions; pointers count bits, or what columns are aligned to."""
        coded = coded_columns(layer, machine)
        entries, positions = column_counts(layer), coded.positions()
        work = design_of(machine).work(coded, machine.sub_streams, machine.multipliers)
        layout = lay_out(positions, machine.row_bits, alignment_bits(machine))
        decoded = DecodedLayer(
            plan=ColumnPlan(
                entries,
                layer.padding,
                service_cycles(work.cycles),
                layout.first_row,
                layout.last_row,
            ),
            sram_rows=layout.sram_rows,
            pointer_bits=pointer_width(
                layout, entries, machine, offset_bits(coded, positions, machine)
            ),
            codebook_reads=1,
            dram_bits=int(layout.sram_rows.sum()) * machine.row_bits,
            padding_bits=layout.padding,
            unit=decoder_unit(work, machine),
        )
        return with_exact_bias(decoded, layer, machine)


def alignment_bits(machine: Accelerator) -> int | None:
    """A column begins at a multiple of so many bits, or at any."""
    return {"bit": None, "byte": 8, "row": machine.row_bits}[machine.column_alignment]


def decoder_unit(work: Work, machine: Accelerator) -> DecoderUnit:
    """The decoders of the array: one for each PE or group of PEs, times sub-streams."""
    pes = machine.pes
    streams = pes if machine.decoder_placement == "inline" else -(-pes // machine.shared_by)
    return DecoderUnit(
        machine.decoder_design, streams * machine.sub_streams, work.tables, work.shifter
    )


def offset_bits(coded: CodedColumns, positions: Any, machine: Accelerator) -> int:
    """Bits of the pointer word that say where in a column each sub-stream but the first starts.

    positions: int64[n_cols + 1, P] of the columns. The last sub-stream starts last.
    """
    others = machine.sub_streams - 1
    if not others:
        return 0
    last = coded.positions(first=others, step=machine.sub_streams)
    return others * int(np.diff(positions - last, axis=0).max(initial=0)).bit_length()
