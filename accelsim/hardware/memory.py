"""Does a network fit the memories, and what happens where it does not."""

from dataclasses import dataclass
from typing import NamedTuple

from accelsim.errors import CapacityError
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders import DecodedLayer

MEMORIES = ("weight", "pointer", "activation")


class LayerNeed(NamedTuple):
    """Bytes per PE that a layer needs in each memory."""

    name: str
    weight: int
    pointer: int
    activation: int


@dataclass(frozen=True)
class Memories:
    """Capacities in bytes per PE, after `overflow` has been dealt with; `streamed` layers use DRAM.

    grown: memories that were made larger than the machine states.
    """

    weight_bytes: int
    pointer_bytes: int
    activation_bytes: int
    pointer_bits: int
    streamed: frozenset[str]
    grown: tuple[str, ...]


def layer_need(
    name: str, n_out: int, n_in: int, decoded: DecodedLayer, machine: Accelerator, has_bias: bool
) -> LayerNeed:
    """Weights of the fullest PE in whole rows; its pointers; both activation vectors."""
    lines = -(-n_in // machine.pes)
    pointers = pointers_per_pe(n_in, machine.pes, has_bias)
    words = lines + int(has_bias) + -(-n_out // machine.pes)
    return LayerNeed(
        name,
        weight=_bytes(int(decoded.sram_rows.max()) * machine.row_bits),
        pointer=_bytes(pointers * decoded.pointer_bits),
        activation=_bytes(words * machine.arithmetic_bits),
    )


def pointers_per_pe(n_in: int, pes: int, has_bias: bool) -> int:
    """A pointer per column, and one for the end.

    The bias column stands in a line of its own (docs/machine.md), so the pointers reach up to there.
    """
    columns = -(-n_in // pes) * pes + 1 if has_bias else n_in
    return columns + 1


def allocate(needs: list[LayerNeed], pointer_bits: int, machine: Accelerator) -> Memories:
    """Apply the machine's `overflow` rule. Raises CapacityError if it is `error` and a layer is too big.

    Layers are resident one at a time: each must fit alone. With `weights_in="dram"` the weight and
    pointer SRAMs are only buffers, whatever the need.
    """
    capacity = {memory: int(getattr(machine, f"{memory}_sram_bytes")) for memory in MEMORIES}
    resident = MEMORIES if machine.weights_in == "sram" else ("activation",)
    streamed = {need.name for need in needs if machine.weights_in == "dram"}
    grown = []
    for memory in resident:
        for need in needs:
            wanted = getattr(need, memory)
            if wanted <= capacity[memory]:
                continue
            if machine.overflow == "error":
                raise CapacityError(
                    _too_small(need.name, memory, wanted, capacity[memory], machine)
                )
            if machine.overflow == "stream":
                streamed.add(need.name)
                continue
            capacity[memory] = wanted
            grown.append(memory)
    return Memories(
        weight_bytes=capacity["weight"],
        pointer_bytes=capacity["pointer"],
        activation_bytes=capacity["activation"],
        pointer_bits=pointer_bits,
        streamed=frozenset(streamed),
        grown=tuple(dict.fromkeys(grown)),
    )


def _too_small(layer: str, memory: str, wanted: int, capacity: int, machine: Accelerator) -> str:
    # Every PE has a pointer to every column, so more PEs do not make pointers fewer.
    more = "or " if memory == "pointer" else "more pes, or "
    return (
        f"layer '{layer}' needs {wanted:,} bytes of {memory} SRAM per PE, but machine "
        f"'{machine.name}' with {machine.pes} PEs has {capacity:,}: set overflow=grow (larger SRAM), "
        f"overflow=stream (from DRAM), {more}{memory}_sram_bytes={wanted}"
    )


def _bytes(bits: int) -> int:
    return -(-bits // 8)
