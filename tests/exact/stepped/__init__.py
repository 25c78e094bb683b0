"""The PE array, one cycle at a time: slow, obvious, and the judge of the fast kernels.

Nothing here is shared with `accelsim`, and no formula for time is used: every cycle steps the
broadcaster, the decoders and every PE once, and what they do is counted. The model does its own
encoding, from dense codes, its own Huffman words, and its own decoding, from the bits that it stored.

How a layer lies in the machine (P PEs):

* Output row `r` lives in PE `r mod P`, at local row `r div P`.
* Activations stand in lines of P words. The bias is one more column with activation 1.0, in the
  first slot of the line after the last activation line; without a bias there is no such column.
* A PE's part of a column is a list of entries (code, run); `run` is the number of zeros before the
  entry among the PE's local rows. A gap too long for `run` is bridged by padding entries (code 0,
  the longest run).
* Instead of codes, the bias may be stored exactly: one plain word per local row, zeros too, from
  the next fresh weight-SRAM row on.
* A dense machine stores every code of every column as a plain word, zeros too, one column after the
  other (the slots between the last input and the bias have no words) and needs no pointers.
* A PE reads one weight-SRAM row a cycle, so a plain word wider than a row takes several cycles; it
  enters the datapath in the last of them. A Huffman word takes no longer for the rows it lies in.
* A PE that waits for a weight row waits as a whole: decoders and datapath stand still.

Two conventions for layers in which little happens:

* without any broadcast (no active input, no bias) `cycles` and `utilization_frac` are 0;
* with broadcasts but no entry anywhere, the last entry is taken to be in cycle 0: `cycles` is the
  drain alone, 6.

| module | holds |
|---|---|
| `parameters` | the machine's fields |
| `encoding`, `huffman` | entries of dense codes; their Huffman words |
| `decoders` | what each decoder design does in a cycle |
| `memory` | what a PE stores, what its pointers say, how a column is read |
| `fixed_memory`, `huffman_memory`, `word_memory` | entries, streams, plain words |
| `loader` | decoding between DRAM and SRAM |
| `layout` | a layer dealt out to the PEs; the width of pointers |
| `queues` | activation lines, the broadcast, activation queues |
| `pe` | row buffer, shared decoder, processing element |
| `machine` | all of it, cycle after cycle, and the counters |
| `fixed_point` | outputs in fixed point |
"""

from exact.stepped.fixed_point import (
    fixed_point_output,
    quantize,
    saturate,
    shift_right_rounded,
)
from exact.stepped.layout import Layer, Layout, lay_out, pointer_bits
from exact.stepped.machine import PIPELINE_DRAIN_CYCLES, SteppedResult, simulate_stepped
from exact.stepped.parameters import Machine

__all__ = [
    "PIPELINE_DRAIN_CYCLES",
    "Layer",
    "Layout",
    "Machine",
    "SteppedResult",
    "fixed_point_output",
    "lay_out",
    "pointer_bits",
    "quantize",
    "saturate",
    "shift_right_rounded",
    "simulate_stepped",
]
