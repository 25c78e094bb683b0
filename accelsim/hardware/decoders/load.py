"""Huffman streams in DRAM, decoded on their way into the weight SRAM, which holds fixed entries."""

import numpy as np

from accelsim.compression.sizes import LENGTH_BITS
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.base import DecodedLayer, with_exact_bias
from accelsim.hardware.decoders.designs import design_of
from accelsim.hardware.decoders.entry_code import coded_columns
from accelsim.hardware.decoders.fixed import fixed_entries
from accelsim.hardware.decoders.huffman import decoder_unit, offset_bits
from accelsim.hardware.interleave import InterleavedLayer

UNLIMITED = 2**30  # entries that an SRAM row takes per cycle


class LoadDecoder:
    """One decoder for `shared_by` PEs writes their columns into their SRAMs, one after the other."""

    def decode(self, layer: InterleavedLayer, machine: Accelerator) -> DecodedLayer:
        """Rows, pointers and service of fixed entries; DRAM bits and cycles of the streams."""
        coded = coded_columns(layer, machine)
        work = design_of(machine).work(coded, machine.sub_streams, UNLIMITED)
        positions = coded.positions()
        # Each column's sub-streams start at offsets that are sent along.
        columns = (positions.shape[0] - 1) * machine.pes
        stream_bits = int(positions[-1].sum()) + columns * offset_bits(coded, positions, machine)
        symbols = sum(alphabet.table.lengths.size for alphabet in coded.code.alphabets)
        # A column without entries takes the cycle that reads its number of entries.
        per_pe = np.maximum(work.cycles, 1).sum(axis=0)
        per_decoder = np.add.reduceat(per_pe, np.arange(0, machine.pes, machine.shared_by))
        decoded = fixed_entries(layer, machine)._replace(
            dram_bits=stream_bits + LENGTH_BITS * symbols,
            unit=decoder_unit(work, machine).per_load(coded.csc.code.size),
            load_cycles=int(per_decoder.max()),
        )
        return with_exact_bias(decoded, layer, machine)
