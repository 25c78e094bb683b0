"""Running one network on many machines: work that a machine does not change is done once."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from accelsim.compress.layer import CompressedLayer, CompressedNetwork
from accelsim.errors import HardwareError
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.counters import Counters
from accelsim.hardware.decoders import DecodedLayer, decoder_of
from accelsim.hardware.energy import Macros, array_area, layer_energy, macros
from accelsim.hardware.interleave import InterleavedLayer, interleave
from accelsim.hardware.memory import MEMORIES, LayerNeed, Memories, allocate, layer_need
from accelsim.hardware.technology import dram, technology
from accelsim.provenance import software_versions
from accelsim.simulate.arithmetic import (
    Fixed,
    fixed_output,
    float_output,
    frac_bits_for,
    quantize,
    relu_or_not,
    softmax,
)
from accelsim.simulate.inputs import ActivationsLike, network_inputs
from accelsim.simulate.pe_array import Broadcasts, PeArray, Timing, Traffic, starved_cycles
from accelsim.simulate.result import LayerResult, Result

T = TypeVar("T")


class LayerFlow(NamedTuple):
    """What goes into a layer and comes out: fixed-point inputs, float32 and fixed-point outputs.

    vanished: inputs that are not zero in float32 but round to zero in fixed point
    """

    inputs: Fixed
    values: Any
    fixed: Fixed
    vanished: int


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
        self.notes = notes + self.inputs.notes
        self._flows: dict[Any, list[LayerFlow]] = {}
        self._kept: dict[Any, Any] = {}

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
        memories = self._memories(machine, laid_out)
        table_bits = max(item.decoded.table_bits for item in laid_out)
        srams = macros(machine, memories, table_bits, tech)
        results = []
        for index, layer in enumerate(self.network.layers):
            runs = self._runs(index, machine, flows[index], laid_out[index].array)
            need = _need(layer, laid_out[index].decoded, machine)
            counters = _count(layer, runs, laid_out[index].decoded, memories, machine)
            energy = layer_energy(
                counters,
                laid_out[index].decoded,
                int(layer.n_in).bit_length(),
                machine,
                srams,
                tech,
                channel,
            )
            row = _row(layer, counters, runs, flows[index], memories, machine)
            row["energy_pj"] = sum(term.energy_pj for term in energy)
            row |= {f"{memory}_bytes_per_pe": getattr(need, memory) for memory in MEMORIES}
            results.append(LayerResult(row, tuple(energy), _per_pe(runs)))
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
            notes=self.notes + _notes(self.network, memories, flows),
            provenance={
                **software_versions(),
                "machine": machine.model_dump(),
                "network": dict(self.network.provenance),
                "seed": self.seed,
            },
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
            self._flows[key] = list(self._flow_layers(*key))
        return self._flows[key]

    def _flow_layers(self, bits: int, frac_bits: int | None) -> list[LayerFlow]:
        flows: list[LayerFlow] = []
        values: Any = None
        fixed: Any = None
        for layer in self.network.layers:
            if layer.name in self.inputs.given:
                values = self.inputs.given[layer.name]
                frac = frac_bits_for(float(np.abs(values).max()), bits)
                fixed = Fixed(quantize(values, frac, bits), frac)
            vanished = int(np.count_nonzero((fixed.raw == 0) & (values != 0)))
            exact = float_output(layer, values)
            frac = frac_bits_for(exact.peak, bits) if frac_bits is None else frac_bits
            result = fixed_output(layer, fixed, frac, bits)
            inputs = fixed
            values = relu_or_not(exact.values, layer.activation)
            fixed = result._replace(raw=relu_or_not(result.raw, layer.activation))
            flows.append(LayerFlow(inputs, values, fixed, vanished))
        return flows

    def _laid_out(self, index: int, machine: Accelerator) -> LaidOut:
        def interleaved() -> InterleavedLayer:
            return interleave(self.network.layers[index], machine.pes, machine.run_bits)

        def decoded() -> LaidOut:
            key = ("interleaved", index, machine.pes, machine.run_bits)
            layer = self.network.layers[index]
            plan = decoder_of(machine).decode(self._keep(key, interleaved), machine)
            return LaidOut(plan, PeArray(plan, layer.n_in, has_bias=layer.has_bias))

        return self._keep(_array_key(index, machine), decoded)

    def _memories(self, machine: Accelerator, laid_out: list[LaidOut]) -> Memories:
        needs = [
            _need(layer, item.decoded, machine)
            for layer, item in zip(self.network.layers, laid_out, strict=True)
        ]
        pointer_bits = max(item.decoded.pointer_bits for item in laid_out)
        return allocate(needs, pointer_bits, machine)

    def _runs(
        self, index: int, machine: Accelerator, flow: LayerFlow, array: PeArray
    ) -> list["VectorRun"]:
        arithmetic = (machine.arithmetic_bits, machine.activation_frac_bits)
        where = _array_key(index, machine)
        runs = []
        for number, vector in enumerate(flow.inputs.raw):
            broadcasts = self._keep(
                ("broadcasts", index, machine.pes, arithmetic, number),
                lambda vector=vector: array.broadcasts(vector),
            )
            moved = self._keep(
                ("traffic", where, arithmetic, number),
                lambda broadcasts=broadcasts: array.traffic(broadcasts),
            )
            timed = self._keep(
                ("timing", where, arithmetic, number, machine.queue_depth),
                lambda broadcasts=broadcasts: array.timing(broadcasts, machine.queue_depth),
            )
            runs.append(VectorRun(broadcasts, moved, timed))
        return runs


class VectorRun(NamedTuple):
    """One input vector on one layer."""

    broadcasts: Broadcasts
    traffic: Traffic
    timing: Timing


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


def _count(
    layer: CompressedLayer,
    runs: list[VectorRun],
    decoded: DecodedLayer,
    memories: Memories,
    machine: Accelerator,
) -> Counters:
    """Sum the runs of a layer; add what streaming moves."""
    array_cycles = [run.timing.cycles for run in runs]
    cycles = array_cycles
    dram_bytes = row_writes = 0
    if layer.name in memories.streamed:
        dram_bytes = _streamed_bytes(layer, decoded, memories, machine)
        # Double-buffered: the array and the DRAM work side by side, the slower one sets the pace.
        transfer = int(np.ceil(dram(machine.dram).transfer_us(dram_bytes) * machine.clock_mhz))
        cycles = [max(one, transfer) for one in array_cycles]
        row_writes = int(decoded.sram_rows.sum())
    broadcasts = sum(run.broadcasts.columns.size for run in runs)
    entries = sum(int(run.traffic.entries.sum()) for run in runs)
    bias_words = len(runs) * layer.n_out if layer.bias is not None else 0
    return Counters(
        cycles=sum(cycles),
        array_cycles=sum(array_cycles),
        broadcasts=broadcasts,
        stall_cycles=sum(run.timing.stall_cycles for run in runs),
        pointer_reads=broadcasts * machine.pes if decoded.pointer_bits else 0,
        sram_row_reads=sum(int(run.traffic.row_reads.sum()) for run in runs),
        sram_row_writes=row_writes * len(runs),
        entries=entries,
        padding_entries=sum(int(run.traffic.padding.sum()) for run in runs),
        multiplies=entries - bias_words,
        codebook_reads=(entries - bias_words) * decoded.codebook_reads,
        table_lookups=(entries - bias_words) * decoded.table_reads,
        activation_reads=layer.n_in * len(runs),
        activation_writes=layer.n_out * len(runs),
        queue_pushes=broadcasts * machine.pes,
        dram_bytes=dram_bytes * len(runs),
    )


def _need(layer: CompressedLayer, decoded: DecodedLayer, machine: Accelerator) -> LayerNeed:
    return layer_need(layer.name, layer.n_out, layer.n_in, decoded, machine, layer.has_bias)


def _streamed_bytes(
    layer: CompressedLayer, decoded: DecodedLayer, memories: Memories, machine: Accelerator
) -> int:
    """Bytes per vector: all rows and pointers of all PEs; activations if their SRAM is too small."""
    need = _need(layer, decoded, machine)
    n_bytes = int(decoded.sram_rows.sum()) * machine.row_bits // 8 + need.pointer * machine.pes
    if need.activation > memories.activation_bytes:
        n_bytes += (layer.n_in + layer.n_out) * machine.arithmetic_bits // 8
    return n_bytes


def _row(
    layer: CompressedLayer,
    counters: Counters,
    runs: list[VectorRun],
    flow: LayerFlow,
    memories: Memories,
    machine: Accelerator,
) -> dict[str, Any]:
    """The layer's row in the table."""
    slots = counters.array_cycles * machine.pes
    useful = counters.entries - counters.padding_entries
    return {
        "name": layer.name,
        "cycles": counters.cycles,
        "latency_us": counters.cycles * machine.cycle_us,
        "pointer_reads": counters.pointer_reads,
        "sram_row_reads": counters.sram_row_reads,
        "utilization_frac": useful / slots if slots else 0.0,
        "energy_pj": 0.0,
        "n_out": layer.n_out,
        "n_in": layer.n_in,
        "vectors": len(runs),
        "array_cycles": counters.array_cycles,
        "broadcasts": counters.broadcasts,
        "stall_cycles": counters.stall_cycles,
        "entries": counters.entries,
        "padding_entries": counters.padding_entries,
        "activation_density_frac": float(np.count_nonzero(flow.inputs.raw) / flow.inputs.raw.size),
        "saturated_additions": flow.fixed.saturated,
        "output_frac_bits": flow.fixed.frac_bits,
        "dram_bytes": counters.dram_bytes,
        "memory": "streamed" if layer.name in memories.streamed else "sram",
    }


def _per_pe(runs: list[VectorRun]) -> dict[str, Any]:
    """int64[P] counts, summed over vectors."""
    entries, padding, service, row_reads = (
        np.sum([run.traffic[i] for run in runs], axis=0, dtype=np.int64) for i in range(4)
    )
    starved = [starved_cycles(run.timing, run.traffic) for run in runs]
    return {
        "busy_cycles": entries,
        "starved_cycles": np.sum(starved, axis=0, dtype=np.int64),
        "empty_column_cycles": service - entries,
        "padding_entries": padding,
        "sram_row_reads": row_reads,
    }


def _notes(
    network: CompressedNetwork, memories: Memories, flows: list[LayerFlow]
) -> tuple[str, ...]:
    notes = []
    if network.provenance.get("synthetic"):
        notes.append("weights and activations are synthetic: drawn from a seed to published densities")
    for memory in memories.grown:
        size = getattr(memories, f"{memory}_bytes")
        notes.append(f"{memory} SRAM grown to {size:,} bytes per PE (overflow=grow)")
    for layer, flow in zip(network.layers, flows, strict=True):
        if flow.vanished:
            notes.append(f"layer '{layer.name}': {flow.vanished} inputs round to zero in fixed point")
        if flow.fixed.saturated:
            notes.append(f"layer '{layer.name}': {flow.fixed.saturated} additions saturated")
    return tuple(notes)
