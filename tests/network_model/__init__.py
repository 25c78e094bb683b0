"""Whole networks, slow and obvious: what docs/machine.md says of values, in Python integers.

Nothing here is shared with `accelsim.simulation` or its kernels; graphs and compressed layers are read
as they are, and their shapes are worked out anew.

| module | holds |
|---|---|
| `words` | fixed-point words, one at a time |
| `windows` | where the windows of convolutions and poolings stand |
| `functions` | what the vector unit looks up |
| `matrix` | a layer's matrix times a vector, in words |
| `cells` | recurrent cells: the table, and what it is in words |
| `interpreter` | every operation of a graph, word by word |
| `formats` | the fraction bits that the documents ask for, from another float run |
| `onnx_twin` | the same network for ONNX Runtime |
| `material`, `drawing` | random networks that cover every operation |
| `comparing` | all tensors of a network as the simulator computes them |
"""

from network_model.comparing import all_tensors, with_outputs
from network_model.drawing import KINDS, Drawn, draw_network
from network_model.formats import expected_formats
from network_model.interpreter import FixedRun, run_fixed
from network_model.onnx_twin import run_onnx
from network_model.words import Words, most_frac_bits

__all__ = [
    "KINDS",
    "Drawn",
    "FixedRun",
    "Words",
    "all_tensors",
    "draw_network",
    "expected_formats",
    "most_frac_bits",
    "run_fixed",
    "run_onnx",
    "with_outputs",
]
