"""Running one network on many machines: work that a machine does not change is done once."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import CapacityError
from accelsim.hardware.accelerator import MOST_PES, Accelerator
from accelsim.hardware.chip import Chip, chip
from accelsim.hardware.decoders import DecodedLayer, decoder_of
from accelsim.hardware.energy import check_dram, layer_energy
from accelsim.hardware.interleave import InterleavedLayer, interleave
from accelsim.hardware.memory import (
    LayerNeed,
    Memories,
    activation_bytes,
    allocate,
    fits_memories,
    weight_need,
)
from accelsim.hardware.technology import dram, technology
from accelsim.hardware.tensors import (
    DramTraffic,
    Tensors,
    dram_traffic,
    hold_tensors,
    spill,
    words_held,
)
from accelsim.network.flow import Flow
from accelsim.network.graph import Recurrent
from accelsim.provenance import software_versions
from accelsim.simulation.arithmetic import Formats
from accelsim.simulation.array_run import ArrayRun, joined, run_array
from accelsim.simulation.blocks import Block, column_blocks
from accelsim.simulation.counting import (
    LayerRun,
    count_layer,
    layer_row,
    network_notes,
    per_pe_counts,
    resident_notes,
    result_notes,
)
from accelsim.simulation.flow import NetworkFlow, Progress, flow_through
from accelsim.simulation.inputs import ActivationsLike, network_inputs
from accelsim.simulation.mapping import array_rules, layers_on_array
from accelsim.simulation.pe_array import PeArray
from accelsim.simulation.result import LayerResult, Result
from accelsim.simulation.vector_steps import uses_vector_unit, vector_results

T = TypeVar("T")
DECODED_FIELDS = (
    "pes",
    "row_bits",
    "code_bits",
    "run_bits",
    "pointer_bits",
    "arithmetic_bits",
    "max_code_length",
    "decoder",
    "decoder_placement",
    "decoder_design",
    "huffman_alphabet",
    "bits_per_cycle",
    "first_level_bits",
    "entries_per_cycle",
    "window_bits",
    "sub_streams",
    "shared_by",
    "column_alignment",
    "multipliers",
)
MOST_CHIPS = 64


class LaidOut(NamedTuple):
    """A layer on one kind of array: what the decoder made of it, and the array."""

    decoded: DecodedLayer
    array: PeArray


class Placed(NamedTuple):
    """A network on a machine: what each layer needs, and where everything is kept.

    claims: what has to be in the memories while a layer runs: its needs, and those of the other
        matrices of its cell, which take turns with it at every time step
    """

    laid_out: dict[str, LaidOut]
    needs: dict[str, LayerNeed]
    claims: dict[str, LayerNeed]
    tensors: Tensors
    memories: Memories

    @property
    def uses_dram(self) -> bool:
        """Whether anything comes from DRAM or goes there."""
        return bool(self.memories.streamed or self.memories.blocked or self.tensors.in_dram)


class Session:
    """One network and its inputs, ready to run on any machine.

    Layouts (by number of PEs), decoded plans, runs of the array and outputs are kept and reused; call
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
        self.flow = network.flow
        self.seed = seed
        self.inputs = network_inputs(network, activations, seed)
        self.notes = notes + network_notes(network) + self.inputs.notes
        self.layers = layers_on_array(network)
        self._flows: dict[Any, NetworkFlow] = {}
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

    def run(self, machine: Accelerator, progress: Progress | None = None) -> Result:
        """Run the network on a machine. Raises CapacityError, HardwareError or TechnologyError.

        progress: called with what is being done, step by step, and the fraction done
        """
        machine, notes = self._wide_enough(machine)
        chips = 1
        if machine.overflow == "chips":
            machine, chips, more = self._on_chips(machine)
            notes += more
        technology(machine.technology), dram(machine.dram)  # wrong names are found before long work
        placed = self.place(machine)
        if placed.uses_dram:
            check_dram(machine)
        flow = self.values(machine, progress and (lambda what, done: progress(what, done / 2)))
        runs = []
        for index, layer in enumerate(self.network.layers):
            if progress:
                done = 0.5 + 0.5 * index / len(self.network.layers)
                progress(f"{layer.name} on {machine.pes} PEs", done)
            runs.append(self.layer_run(layer.name, machine, placed, flow))
        return replace(self._result(machine, placed, flow, runs, notes), chips=chips)

    def place(self, machine: Accelerator) -> Placed:
        """Lay the network out on a machine. Raises CapacityError where it does not fit."""
        laid_out = {name: self._laid_out(name, machine) for name in self.layers}
        tensors = self._tensors(machine)
        needs = {}
        for step in self.flow.steps:
            words = activation_bytes(words_held(self.flow, tensors, step, machine.pes), machine)
            for name in step.op.layers:
                layer = self.layers[name]
                weights = weight_need(
                    layer.n_in, laid_out[name].decoded, machine, has_bias=layer.has_bias
                )
                needs[name] = LayerNeed(name, *weights, words)
            if not step.op.layers:
                needs[step.name] = LayerNeed(step.name, 0, 0, words)
        pointer_bits = max(item.decoded.pointer_bits for item in laid_out.values())
        claims = needs | self._shared_claims(needs)
        memories = allocate(list(claims.values()), pointer_bits, machine)
        return Placed(laid_out, needs, claims, tensors, self._blocked(claims, memories))

    def _shared_claims(self, needs: dict[str, LayerNeed]) -> dict[str, LayerNeed]:
        """Of the matrices of a cell, what all of them need together."""
        claims = {}
        for step in self.flow.steps:
            own = [needs[name] for name in step.op.layers]
            for need in own if len(own) > 1 else ():
                claims[need.name] = need._replace(
                    weight=sum(part.weight for part in own),
                    pointer=sum(part.pointer for part in own),
                )
        return claims

    def _blocked(self, claims: dict[str, LayerNeed], memories: Memories) -> Memories:
        """Streaming, too, cuts layers that run many vectors on weights that do not fit."""
        cut = set()
        for name in memories.streamed:
            step = self.flow.graph.step_of(name)
            fits = fits_memories(claims[name], memories)
            again = math.prod(self.flow.shapes[step.name]) > self.layers[name].n_out
            if again and not fits and not isinstance(step.op, Recurrent):
                cut.add(name)
        return replace(memories, streamed=memories.streamed - cut, blocked=memories.blocked | cut)

    def _wide_enough(self, machine: Accelerator) -> tuple[Accelerator, tuple[str, ...]]:
        """The machine with entries as wide as the network's codes, and a note if that changed it."""
        code_bits = max(layer.code_bits for layer in self.network.layers)
        if code_bits <= machine.code_bits:
            return machine, ()
        note = (
            f"the network has {code_bits}-bit codes, machine '{machine.name}' "
            f"{machine.code_bits}-bit ones: entries are {code_bits} + {machine.run_bits} bits here"
        )
        return machine.replace(code_bits=code_bits), (note,)

    def _on_chips(self, machine: Accelerator) -> tuple[Accelerator, int, tuple[str, ...]]:
        """As many chips as it takes: their PEs are one array, each broadcast reaches all of them."""
        most = min(MOST_CHIPS, MOST_PES // machine.pes)
        for chips in range(1, most + 1):
            several = machine.replace(pes=machine.pes * chips)
            kept = dict(self._kept)
            try:
                self.place(several)
            except CapacityError as error:
                self._kept = kept  # layouts that nothing runs on would fill the memory
                if chips == most:
                    raise CapacityError(f"on {chips} chips: {error}") from None
                continue
            if chips == 1:
                return several, 1, ()
            several = several.replace(name=f"{machine.name} on {chips} chips")
            note = (
                f"spread over {chips} chips, {several.pes} PEs in all (overflow=chips); broadcasts "
                "from chip to chip are taken to cost no further time or energy"
            )
            return several, chips, (note,)
        raise AssertionError("unreachable")

    def _tensors(self, machine: Accelerator) -> Tensors:
        """Where tensors are kept; `overflow=stream` moves to DRAM what does not fit."""
        bias_words = {
            step.name: 1
            for step in self.flow.steps
            if any(self.layers[name].has_bias for name in step.op.layers)
        }
        tensors = hold_tensors(self.flow, bias_words, machine.pes)
        if machine.overflow != "stream":
            return tensors
        words = machine.activation_sram_bytes * 8 // machine.arithmetic_bits
        return spill(self.flow, tensors, machine.pes, words)

    def _keep(self, key: Any, make: Callable[[], T]) -> T:
        """Look a piece of work up, or do it."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    def values(self, machine: Accelerator, progress: Progress | None = None) -> NetworkFlow:
        """Values through the network; they do not depend on the array, only on the arithmetic."""
        key = _arithmetic(machine)
        if key not in self._flows:
            formats = Formats(*key)
            self._flows[key] = flow_through(self.network, self.inputs.given, formats, progress)
        return self._flows[key]

    def _laid_out(self, name: str, machine: Accelerator) -> LaidOut:
        def interleaved() -> InterleavedLayer:
            return interleave(self.layers[name], machine.pes, machine.run_bits)

        def decoded() -> LaidOut:
            key = ("interleaved", name, machine.pes, machine.run_bits)
            layer = self.layers[name]
            plan = decoder_of(machine).decode(self._keep(key, interleaved), machine)
            return LaidOut(plan, PeArray(plan, layer.n_in, has_bias=layer.has_bias))

        return self._keep(_array_key(name, machine), decoded)

    def layer_run(
        self, name: str, machine: Accelerator, placed: Placed, flow: NetworkFlow
    ) -> LayerRun:
        """Run one layer on the array, with what `place` and `values` gave."""
        step = self.flow.graph.step_of(name)
        in_time = isinstance(step.op, Recurrent)
        blocks = self._array_runs(name, machine, placed, flow)
        return LayerRun(
            layer=self.layers[name],
            flow=flow.layers[name],
            decoded=placed.laid_out[name].decoded,
            need=placed.needs[name],
            fits=fits_memories(placed.claims[name], placed.memories),
            blocks=blocks,
            run=joined(blocks),
            # What a cell reads and writes is counted with its step on the vector unit.
            traffic=DramTraffic() if in_time else dram_traffic(self.flow, placed.tensors, step),
            steps_in_time=in_time,
        )

    def blocks(self, name: str, machine: Accelerator, placed: Placed) -> list[Block]:
        """What the array runs one after the other: a layer, or the blocks of columns it is cut into."""
        layer, (decoded, array) = self.layers[name], placed.laid_out[name]
        rules = array_rules(machine, layer, decoded)
        if name in placed.memories.blocked:
            return column_blocks(layer, decoded, placed.memories, machine, rules)
        return [Block(slice(None), array, rules)]

    def _array_runs(
        self, name: str, machine: Accelerator, placed: Placed, flow: NetworkFlow
    ) -> list[ArrayRun]:
        vectors, memories = flow.layers[name].vectors, placed.memories

        def run() -> list[ArrayRun]:
            return [
                run_array(block.array, vectors, block.rules, block.columns)
                for block in self.blocks(name, machine, placed)
            ]

        timing = array_rules(machine, self.layers[name], placed.laid_out[name].decoded)
        cut = (memories.weight_bytes, memories.pointer_bytes) if name in memories.blocked else None
        key = ("run", _array_key(name, machine), _arithmetic(machine), timing, cut)
        return self._keep(key, run)

    def _chip(self, machine: Accelerator, placed: Placed, runs: list[LayerRun]) -> Chip:
        """What the energies of these runs follow from."""
        # A queue has one width, which says any column of the widest layer.
        index_bits = max(layer.n_in for layer in self.layers.values()).bit_length()
        lanes = machine.lanes if uses_vector_unit(self.flow, placed.tensors) else 0
        units = [ran.decoded.unit for ran in runs]
        return chip(machine, placed.memories, units, index_bits, lanes)

    def _result(
        self,
        machine: Accelerator,
        placed: Placed,
        flow: NetworkFlow,
        runs: list[LayerRun],
        notes: tuple[str, ...],
    ) -> Result:
        costs = self._chip(machine, placed, runs)
        results = {}
        for ran in runs:
            counters = count_layer(ran, placed.memories, machine)
            energy = layer_energy(counters, costs)
            row = layer_row(ran, counters, placed.memories, machine)
            row["energy_pj"] = sum(term.energy_pj for term in energy)
            results[ran.layer.name] = LayerResult(row, tuple(energy), per_pe_counts(ran))
        output = flow.output
        values, fixed = output.values, output.fixed
        if self.inputs.single:
            values, fixed = values[0], fixed._replace(raw=fixed.raw[0])
        examples = runs[0].flow.vectors.examples
        steps = vector_results(self.flow, placed.tensors, examples, costs)
        return Result(
            network=self.network.name,
            machine=machine,
            memories=placed.memories,
            layer_results=tuple(results[layer.name] for layer in self.network.layers),
            step_results=tuple(steps),
            order=_order(self.flow),
            area_terms=costs.area,
            outputs=values,
            outputs_fixed=fixed,
            notes=self.notes
            + notes
            + resident_notes(placed.needs, placed.memories)
            + result_notes(placed.memories, costs.srams, machine, flow.layers, flow.saturated),
            provenance=self.provenance() | {"machine": machine.model_dump()},
        )


def _order(flow: Flow) -> tuple[tuple[str, str], ...]:
    """Layers and steps in the order in which they run, as (`layer` or `step`, name)."""
    return tuple(
        place
        for step in flow.steps
        for place in (*(("layer", name) for name in step.op.layers), ("step", step.name))
    )


def _arithmetic(machine: Accelerator) -> tuple[int, int | None]:
    """Everything that values depend on."""
    return machine.arithmetic_bits, machine.activation_frac_bits


def _array_key(name: str, machine: Accelerator) -> tuple[Any, ...]:
    """Everything that a decoded layer depends on."""
    return ("array", name, *(getattr(machine, field) for field in DECODED_FIELDS))
