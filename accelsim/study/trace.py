"""`accelsim.trace`: run a network and keep what every PE did in every cycle."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import CapacityError, InputError
from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.network.layers import Network
from accelsim.simulation.flow import Progress
from accelsim.simulation.inputs import ActivationsLike
from accelsim.simulation.network import open_session
from accelsim.simulation.result import Result
from accelsim.study.layer_trace import LayerTrace
from accelsim.study.passes import Pass, choose_pass, trace_pass
from accelsim.study.stalls import column_table, layer_table, pe_table
from accelsim.validation import closest

if TYPE_CHECKING:
    import pandas as pd

# Broadcasts x PEs, over all traced layers: about 250 bytes each while they are looked at.
MAX_ITEMS = 2**23
MOST_NAMED = 8  # layers in a message


@dataclass(frozen=True, eq=False)
class Trace:
    """What happened: the run's result, and one pass of each traced layer in the network's order."""

    result: Result
    traced: tuple[LayerTrace, ...]

    @cached_property
    def layers(self) -> "pd.DataFrame":
        """One row per traced layer: stalls and waits in cycles (`stalls.layer_table`)."""
        return layer_table(self.traced)

    @cached_property
    def stalls(self) -> "pd.DataFrame":
        """One row per layer and PE, the worst first: stalls caused, load (`stalls.pe_table`)."""
        return pe_table(self.traced)

    @cached_property
    def stall_columns(self) -> "pd.DataFrame":
        """One row per column that held broadcasts up, the worst first (`stalls.column_table`)."""
        return column_table(self.traced)


def trace(
    network: "str | Path | Network | CompressedNetwork",
    hardware: "str | Path | Accelerator" = "eie-64",
    activations: ActivationsLike = None,
    *,
    layer: str | None = None,
    vector: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **overrides: Any,
) -> Trace:
    """Run a network on a machine, as `accelsim.simulate` does, and keep what every PE did when.

    layer: trace this layer only; default: all layers
    vector: number of the input vector to trace, from 0, through all examples, places of a convolution
        and time steps of a cell; default: the slowest one of each layer
    progress: called with what is being done and the fraction of the simulation that is done

    `accelsim.report.trace.write_trace` turns the answer into files for Perfetto and waveform viewers.
    Raises InputError or one of its kinds for anything that does not fit.
    """
    machine = accelerator(hardware, **overrides)
    session = open_session(network, activations, machine, seed=seed)
    names = _chosen(session.network, layer)
    result = session.run(machine, progress)
    passes = [choose_pass(session, result, name, vector) for name in names]
    _check_size(passes)
    return Trace(result, tuple(trace_pass(chosen) for chosen in passes))


def _chosen(network: CompressedNetwork, layer: str | None) -> list[str]:
    names = [item.name for item in network.layers]
    if layer is None:
        return names
    if layer in names:
        return [layer]
    for step in network.flow.steps:
        if step.name == layer:
            what, with_weights = "a step of the vector unit", names
            if step.op.layers:
                what, with_weights = "a step with several matrices", list(step.op.layers)
            more = ", ..." if len(with_weights) > MOST_NAMED else ""
            raise InputError(
                f"layer '{layer}': is {what}; layers with weights can be traced: choose one of "
                f"{', '.join(with_weights[:MOST_NAMED])}{more}"
            )
    raise InputError(f"layer '{layer}': not in this network{closest(layer, names, 'layers')}")


def _check_size(passes: list[Pass]) -> None:
    items = sum(chosen.items for chosen in passes)
    if items > MAX_ITEMS:
        raise CapacityError(
            f"trace: {items:,} broadcasts x PEs are too many to keep (up to {MAX_ITEMS:,}): "
            "trace one layer, or use fewer pes"
        )
