"""The seam between what is stored on chip and what the PE array sees."""

from typing import Any, NamedTuple, Protocol

import numpy as np

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.unit import NO_DECODER, DecoderUnit, DecoderUse
from accelsim.hardware.interleave import InterleavedLayer, narrowest
from accelsim.kernels.types import NO_FIRST, NO_LAST, ROW_BASE, ColumnPlan


class DecodedLayer(NamedTuple):
    """What a decoder makes of a layer, worked out once per layer and machine.

    plan: per (column, PE), see `ColumnPlan`; an exact bias is its last column. Service cycles are those
        of decoder and datapath; waits for rows and for a shared decoder depend on what was broadcast
        before, and are not among them
    sram_rows: int64[P], weight-SRAM rows that each PE's part of the layer takes
    pointer_bits: width of a pointer word: address, start offsets of sub-streams, number of entries;
        0 if columns are found without pointers
    codebook_reads: reads of the codebook per entry
    dram_bits: what the weights of all PEs take in DRAM, pointers apart
    padding_bits: int64[P], bits of the weight SRAM that align columns
    unit: the decoder that the machine has, one or many of it
    load_cycles: cycles of decoding the layer on its way into the SRAM; 0 if it is not decoded there
    """

    plan: ColumnPlan
    sram_rows: Any
    pointer_bits: int
    codebook_reads: int
    dram_bits: int
    padding_bits: Any
    unit: DecoderUnit = NO_DECODER
    load_cycles: int = 0

    def use(self, broadcasts: Any, coded_entries: int, loads: int) -> DecoderUse:
        """How often tables are read and shifters shift while vectors run.

        broadcasts: int64[n_cols], how often each column is broadcast, an exact bias last;
        coded_entries: entries of all of these in all PEs, without words of an exact bias;
        loads: how often the layer comes from DRAM.
        """
        return self.unit.use(broadcasts, coded_entries, loads)


class Decoder(Protocol):
    """How stored bits turn into entries."""

    def decode(self, layer: InterleavedLayer, machine: Accelerator) -> DecodedLayer:
        """Service cycles, rows and storage of the layer on this machine."""
        ...


class Layout(NamedTuple):
    """Where columns stand in the weight SRAMs.

    starts: int64[n_cols, P], first position of each column; ends: int64[P], end of the last one
    first_row, last_row: as in `ColumnPlan`; sram_rows: int64[P]
    padding: int64[P], positions skipped so that columns begin at a multiple of the unit
    largest_address: largest start of a column with entries, in units; if columns are not aligned, one
        ends where the next one starts, so the last column's end is an address too
    """

    starts: Any
    ends: Any
    first_row: Any
    last_row: Any
    sram_rows: Any
    padding: Any
    largest_address: int


def lay_out(positions: Any, row_size: int, align_to: int | None) -> Layout:
    """Columns one after the other; each that is not empty begins at a multiple of `align_to`, if given.

    positions: int64[n_cols + 1, P], where columns start (in bits, entries or words, `row_size` to a row) and
        the last one ends, if there were no gaps
    """
    starts, ends = positions[:-1], positions[1:]
    empty = starts == ends
    end = positions[-1]
    largest = int(end.max())
    if align_to is not None:
        sizes = ends - starts
        units = -(-sizes // align_to)
        first_unit = np.cumsum(units, axis=0) - units
        largest = int(np.where(empty, 0, first_unit).max(initial=0))
        starts = first_unit * align_to
        ends = starts + sizes
        end = np.where(empty, 0, ends).max(axis=0, initial=0)
    first_row = starts // row_size + ROW_BASE
    last_row = (ends - 1) // row_size + ROW_BASE
    np.copyto(first_row, NO_FIRST, where=empty)
    np.copyto(last_row, NO_LAST, where=empty)
    dtype = narrowest(int(max(last_row.max(initial=0), NO_FIRST)))
    return Layout(
        starts,
        end,
        first_row.astype(dtype),
        last_row.astype(dtype),
        sram_rows=-(-end // row_size),
        padding=end - positions[-1],
        largest_address=largest,
    )


def pointer_width(layout: Layout, entries: Any, machine: Accelerator, offset_bits: int = 0) -> int:
    """Bits of a pointer word: an address, `offset_bits` for sub-streams, and the number of entries.

    The address has `pointer_bits`, or more where it needs them. The number, wide enough for the largest
    of `entries` uint[n_cols, P], is only there if columns are aligned: else they end at the next one.
    """
    address = max(machine.pointer_bits, layout.largest_address.bit_length())
    aligned = machine.column_alignment != "bit"
    return address + offset_bits + (int(entries.max(initial=0)).bit_length() if aligned else 0)


class WordLayout(NamedTuple):
    """How plain words of `arithmetic_bits` lie in rows: several in a row, or one over several rows.

    One of the two is always 1. A PE reads one row per cycle, so `rows` are also a word's cycles.
    """

    per_row: int
    rows: int


def word_layout(machine: Accelerator) -> WordLayout:
    """Words in a row, and rows (hence cycles) of a word."""
    return WordLayout(
        per_row=max(1, machine.row_bits // machine.arithmetic_bits),
        rows=-(-machine.arithmetic_bits // machine.row_bits),
    )


def with_exact_bias(
    decoded: DecodedLayer, layer: InterleavedLayer, machine: Accelerator
) -> DecodedLayer:
    """Add the column of an exact bias: one word per local row, from fresh rows, a row per cycle.

    The words stand after the PE's entries, without runs or codes, `arithmetic_bits` wide.
    """
    words = layer.bias_words
    if not words.any():
        return decoded
    layout = word_layout(machine)
    rows = -(-words // layout.per_row) * layout.rows
    service = np.maximum(words * layout.rows, 1)
    plan = decoded.plan
    first = np.where(words > 0, decoded.sram_rows + ROW_BASE, NO_FIRST)
    last = np.where(words > 0, decoded.sram_rows + rows - 1 + ROW_BASE, NO_LAST)
    columns = (words, layer.bias_zeros, service, first, last)
    extended = (_append_row(a, row) for a, row in zip(plan, columns, strict=True))
    return decoded._replace(
        plan=ColumnPlan(*extended),
        sram_rows=decoded.sram_rows + rows,
        dram_bits=decoded.dram_bits + int(rows.sum()) * machine.row_bits,
    )


def _append_row(array: Any, row: Any) -> Any:
    dtype = np.promote_types(array.dtype, narrowest(int(row.max())))
    return np.concatenate([array.astype(dtype, copy=False), row[None].astype(dtype)])


def column_counts(layer: InterleavedLayer) -> Any:
    """Entries of each column in each PE, uint[n_cols, P]."""
    return narrowed(np.diff(layer.csc.col_ptr, axis=0))


def narrowed(counts: Any) -> Any:
    """The same numbers of 0 or more in the narrowest unsigned dtype."""
    return counts.astype(narrowest(int(counts.max(initial=1))))


def service_cycles(cycles: Any, per_cycle: int = 1) -> Any:
    """Cycles of so many entries (or decode cycles, if they pass one by one), uint[n_cols, P].

    At least one per column: pointers have to be read to see that it is empty.
    """
    if per_cycle > 1:
        cycles = cycles // per_cycle + (cycles % per_cycle > 0)
    return narrowed(np.maximum(cycles, 1))
