"""Running one network on many machines: work that a machine does not change is done once."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import HardwareError
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders import DecodedLayer, decoder_of
from accelsim.hardware.energy import Macros, array_area, layer_energy, macros
from accelsim.hardware.interleave import InterleavedLayer, interleave
from accelsim.hardware.memory import Memories, allocate, layer_need
from accelsim.hardware.technology import dram, technology
from accelsim.provenance import software_versions
from accelsim.simulation.arithmetic import softmax
from accelsim.simulation.counting import (
    count_layer,
    layer_row,
    network_notes,
    per_pe_counts,
    result_notes,
)
from accelsim.simulation.flow import LayerFlow, flow_through
from accelsim.simulation.inputs import ActivationsLike, network_inputs
from accelsim.simulation.pe_array import PeArray, VectorRun
from accelsim.simulation.result import LayerResult, Result

T = TypeVar("T")


class LaidOut(NamedTuple):
    """A layer on one kind of array: what the decoder made of it, and the array."""

    decoded: DecodedLayer
    array: PeArray


class Session:
    """One network and its input vectors, ready to run on any machine.

    Layouts (by number of PEs), decoded plans, traffic, timing and outputs are kept and reused; call
    `forget_layouts` to free the large ones when moving on to another number of PEs.
    """

    def __init__(
        self,
        network: CompressedNetwork,
        activations: ActivationsLike = None,
        *,
        seed: int = 0,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.network = network
        self.seed = seed
        self.inputs = network_inputs(network, activations, seed)
        self.notes = notes + network_notes(network) + self.inputs.notes
        self._flows: dict[Any, list[LayerFlow]] = {}
        self._kept: dict[Any, Any] = {}

    def provenance(self) -> dict[str, Any]:
        """Versions, how the network was made, where its inputs come from, and the seed."""
        return {
            **software_versions(),
            "network": dict(self.network.provenance),
            "inputs": self.inputs.origin,
            "seed": self.seed,
        }

    def forget_layouts(self) -> None:
        """Free everything that depends on the number of PEs."""
        self._kept.clear()

    def run(self, machine: Accelerator) -> Result:
        """Run the network on a machine. Raises CapacityError, HardwareError or TechnologyError."""
        self._check_codes(machine)
        tech = technology(machine.technology)
        channel = dram(machine.dram)
        flows = self._flow(machine)
        laid_out = [self._laid_out(i, machine) for i in range(len(self.network.layers))]
        needs = [
            layer_need(layer.name, layer.n_out, layer.n_in, item.decoded, machine, layer.has_bias)
            for layer, item in zip(self.network.layers, laid_out, strict=True)
        ]
        memories = allocate(needs, max(item.decoded.pointer_bits for item in laid_out), machine)
        table_bits = max(item.decoded.table_bits for item in laid_out)
        srams = macros(machine, memories, table_bits, tech)
        # A queue has one width, which says any column of the widest layer.
        index_bits = max(layer.n_in for layer in self.network.layers).bit_length()
        results = []
        for index, layer in enumerate(self.network.layers):
            runs = self._runs(index, machine, flows[index], laid_out[index].array)
            counters = count_layer(
                layer, runs, needs[index], laid_out[index].decoded, memories, machine
            )
            energy = layer_energy(counters, index_bits, machine, srams, tech, channel)
            row = layer_row(layer, counters, len(runs), flows[index], needs[index], machine)
            row |= {
                "energy_pj": sum(term.energy_pj for term in energy),
                "memory": "streamed" if layer.name in memories.streamed else "sram",
            }
            results.append(
                LayerResult(row, tuple(energy), per_pe_counts(runs, laid_out[index].decoded))
            )
        return self._result(machine, memories, flows, results, srams)

    def _result(
        self,
        machine: Accelerator,
        memories: Memories,
        flows: list[LayerFlow],
        results: list[LayerResult],
        srams: Macros,
    ) -> Result:
        outputs, fixed = flows[-1].values, flows[-1].fixed
        if self.network.layers[-1].activation == "softmax":
            outputs = softmax(outputs)
        if self.inputs.single:
            outputs, fixed = outputs[0], fixed._replace(raw=fixed.raw[0])
        return Result(
            network=self.network.name,
            machine=machine,
            memories=memories,
            layer_results=tuple(results),
            area_terms=tuple(array_area(machine, srams, technology(machine.technology))),
            outputs=outputs,
            outputs_fixed=fixed,
            notes=self.notes + result_notes(memories, srams, machine, self.network, flows),
            provenance=self.provenance() | {"machine": machine.model_dump()},
        )

    def _keep(self, key: Any, make: Callable[[], T]) -> T:
        """Look a piece of work up, or do it."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    def _check_codes(self, machine: Accelerator) -> None:
        for layer in self.network.layers:
            if layer.code_bits > machine.code_bits:
                raise HardwareError(
                    f"layer '{layer.name}' has {layer.code_bits}-bit codes, machine '{machine.name}' "
                    f"reads {machine.code_bits}: set code_bits={layer.code_bits}"
                )

    def _flow(self, machine: Accelerator) -> list[LayerFlow]:
        """Values through the network; they do not depend on the array, only on the arithmetic."""
        key = (machine.arithmetic_bits, machine.activation_frac_bits)
        if key not in self._flows:
            self._flows[key] = flow_through(self.network, self.inputs.given, *key)
        return self._flows[key]

    def _laid_out(self, index: int, machine: Accelerator) -> LaidOut:
        def interleaved() -> InterleavedLayer:
            return interleave(self.network.layers[index], machine.pes, machine.run_bits)

        def decoded() -> LaidOut:
            key = ("interleaved", index, machine.pes, machine.run_bits)
            layer = self.network.layers[index]
            plan = decoder_of(machine).decode(self._keep(key, interleaved), machine)
            array = PeArray(plan, layer.n_in, has_bias=layer.has_bias)
            return LaidOut(plan._replace(plan=array.plan), array)

        return self._keep(_array_key(index, machine), decoded)

    def _runs(
        self, index: int, machine: Accelerator, flow: LayerFlow, array: PeArray
    ) -> list[VectorRun]:
        arithmetic = (machine.arithmetic_bits, machine.activation_frac_bits)
        where = _array_key(index, machine)
        runs = []
        for number, vector in enumerate(flow.inputs.raw):
            broadcasts = self._keep(
                ("broadcasts", index, machine.pes, arithmetic, number),
                partial(array.broadcasts, vector),
            )
            moved = self._keep(
                ("traffic", where, arithmetic, number),
                partial(array.traffic, broadcasts),
            )
            timed = self._keep(
                ("timing", where, arithmetic, number, machine.queue_depth),
                partial(array.timing, broadcasts, machine.queue_depth),
            )
            runs.append(VectorRun(broadcasts, moved, timed))
        return runs


def _array_key(index: int, machine: Accelerator) -> tuple[Any, ...]:
    """Everything that a decoded layer depends on."""
    return (
        "array",
        index,
        machine.pes,
        machine.run_bits,
        machine.code_bits,
        machine.decoder,
        machine.row_bits,
        machine.pointer_bits,
        machine.max_code_length,
        machine.arithmetic_bits,
    )
