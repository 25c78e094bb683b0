"""Values through a network: the machine's fixed point, and float32 beside it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from accelsim.compression.layer import CompressedNetwork
from accelsim.network.layers import Float32
from accelsim.simulation.arithmetic import (
    Fixed,
    fixed_output,
    float_output,
    frac_bits_for,
    quantize,
    relu_or_not,
)


class LayerFlow(NamedTuple):
    """What goes into a layer and comes out: fixed-point inputs, float32 and fixed-point outputs.

    vanished: inputs that are not zero in float32 but round to zero in fixed point
    """

    inputs: Fixed
    values: Any
    fixed: Fixed
    vanished: int


def flow_through(
    network: CompressedNetwork, given: Mapping[str, Float32], bits: int, frac_bits: int | None
) -> list[LayerFlow]:
    """Run all layers. A layer without given float32[batch, n_in] runs on the output before it.

    bits, frac_bits: the machine's `arithmetic_bits` and `activation_frac_bits`.
    """
    flows: list[LayerFlow] = []
    values: Any = None
    fixed: Any = None
    for layer in network.layers:
        if layer.name in given:
            values = given[layer.name]
            frac = frac_bits_for(float(np.abs(values).max()), bits)
            fixed = Fixed(quantize(values, frac, bits), frac)
        inputs = fixed
        vanished = int(np.count_nonzero((inputs.raw == 0) & (values != 0)))
        exact = float_output(layer, values)
        frac = frac_bits_for(exact.peak, bits) if frac_bits is None else frac_bits
        result = fixed_output(layer, inputs, frac, bits)
        values = relu_or_not(exact.values, layer.activation)
        fixed = result._replace(raw=relu_or_not(result.raw, layer.activation))
        flows.append(LayerFlow(inputs, values, fixed, vanished))
    return flows
