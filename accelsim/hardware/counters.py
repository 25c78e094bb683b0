"""What happened while a layer ran: energy is counters times technology."""

from dataclasses import dataclass

from accelsim.hardware.decoders.unit import DecoderUse


@dataclass(frozen=True)
class Counters:
    """Counts of one layer, summed over PEs and over the input vectors.

    cycles: from the first line's load until the pipeline has drained or, if it takes longer, until
        DRAM has delivered; array_cycles: the former alone
    stall_cycles: cycles in which a broadcast waited for a full queue
    pointer_reads: column look-ups, start and end pointer together
    sram_row_reads: weight-SRAM rows
    sram_row_writes, pointer_writes, activation_fills: weight-SRAM rows, pointers and input activations
        written into their SRAMs as they come from DRAM; 0 for what stays on chip
    entries: entries processed, padding included; padding_entries: those of them that do no work
    multiplies: entries that go through the multiplier (all but words of an exact bias)
    codebook_reads: entries whose code is looked up in the codebook
    decoder: reads of decoding tables, and shifts, of all decoders
    activation_reads, activation_writes: words of the activation SRAM
    queue_pushes: activations written into (and read from) queues
    dram_bytes: bytes moved from and to DRAM; dram_written_bytes: those of them that go there
    """

    cycles: int
    array_cycles: int
    broadcasts: int
    stall_cycles: int
    pointer_reads: int
    sram_row_reads: int
    sram_row_writes: int
    pointer_writes: int
    activation_fills: int
    entries: int
    padding_entries: int
    multiplies: int
    codebook_reads: int
    decoder: DecoderUse
    activation_reads: int
    activation_writes: int
    queue_pushes: int
    dram_bytes: int
    dram_written_bytes: int
