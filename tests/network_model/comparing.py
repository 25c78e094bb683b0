"""What the simulator makes of every step, not only of a network's output."""

from collections.abc import Mapping
from typing import Any

from accelsim.compression.layer import CompressedNetwork
from accelsim.simulation.arithmetic import Formats, Value
from accelsim.simulation.flow import NetworkFlow, flow_through


def with_outputs(network: CompressedNetwork, *names: str) -> CompressedNetwork:
    """The same network that gives other steps' values."""
    assert network.graph is not None
    graph = network.graph.model_copy(update={"outputs": names})
    return CompressedNetwork(network.name, network.layers, graph=graph, constants=network.constants)


def all_tensors(
    network: CompressedNetwork, inputs: Mapping[str, Any], bits: int, pinned: int | None
) -> tuple[dict[str, Value], NetworkFlow, dict[str, int]]:
    """Every step's tensor by name, what layers met, and the fraction bits by their names."""
    assert network.graph is not None
    values, formats = {}, Formats(bits, pinned)
    flow = flow_through(network, inputs, formats)
    for step in network.graph.steps:
        one = with_outputs(network, step.name)
        values[step.name] = flow_through(one, inputs, Formats(bits, pinned)).output
    return values, flow, formats.chosen
