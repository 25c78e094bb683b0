"""Does a network fit the memories, and what happens where it does not."""

from dataclasses import dataclass
from typing import NamedTuple

from accelsim.errors import CapacityError
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders import DecodedLayer

MEMORIES = ("weight", "pointer", "activation")


class LayerNeed(NamedTuple):
    """Bytes per PE that a step needs in each memory; `name` is that of its layer if it has one."""

    name: str
    weight: int
    pointer: int
    activation: int


@dataclass(frozen=True)
class Memories:
    """Capacities in bytes per PE, after `overflow` has been dealt with.

    streamed: layers whose weights and pointers come from DRAM
    blocked: layers that are done in blocks of columns, one block after the other from DRAM
    grown: memories that were made larger than the machine states
    """

    weight_bytes: int
    pointer_bytes: int
    activation_bytes: int
    pointer_bits: int
    streamed: frozenset[str]
    grown: tuple[str, ...]
    blocked: frozenset[str] = frozenset()


def weight_need(
    n_in: int, decoded: DecodedLayer, machine: Accelerator, *, has_bias: bool
) -> tuple[int, int]:
    """Bytes per PE of a layer's weights (those of the fullest PE, in whole rows) and pointers."""
    pointers = pointers_per_pe(n_in, machine.pes, has_bias)
    return (
        _bytes(int(decoded.sram_rows.max()) * machine.row_bits),
        _bytes(pointers * decoded.pointer_bits),
    )


def pointers_per_pe(n_in: int, pes: int, has_bias: bool) -> int:
    """A pointer per column, and one for the end.

    The bias column stands in a line of its own (docs/machine.md), so the pointers reach up to there.
    """
    columns = -(-n_in // pes) * pes + 1 if has_bias else n_in
    return columns + 1


def fits_memories(need: LayerNeed, memories: Memories) -> bool:
    """Whether weights and pointers can stay in the SRAMs while a layer runs."""
    return need.weight <= memories.weight_bytes and need.pointer <= memories.pointer_bytes


def activation_bytes(words: int, machine: Accelerator) -> int:
    """Bytes of so many words of activations."""
    return _bytes(words * machine.arithmetic_bits)


def allocate(needs: list[LayerNeed], pointer_bits: int, machine: Accelerator) -> Memories:
    """Apply the machine's `overflow` rule to what each step needs.

    Steps are resident one at a time: each must fit alone. With `weights_in="dram"` the weight and
    pointer SRAMs are only buffers, whatever the need. Activations that may go to DRAM are no longer
    among the needs (see `tensors.spill`). Raises CapacityError for what does not fit.
    """
    capacity = {memory: int(getattr(machine, f"{memory}_sram_bytes")) for memory in MEMORIES}
    from_dram: set[str] = set()
    if machine.weights_in == "dram":
        from_dram = {need.name for need in needs if need.weight or need.pointer}
    grown = []
    outside = set(from_dram)
    for memory in MEMORIES:
        for need in needs:
            wanted = getattr(need, memory)
            if wanted <= capacity[memory] or (memory != "activation" and need.name in from_dram):
                continue
            if machine.overflow == "grow":
                capacity[memory] = wanted
                grown.append(memory)
            elif machine.overflow in ("stream", "blocks") and memory != "activation":
                outside.add(need.name)
            else:
                raise CapacityError(
                    _too_small(need.name, memory, wanted, capacity[memory], machine)
                )
    blocks = machine.overflow == "blocks"
    return Memories(
        weight_bytes=capacity["weight"],
        pointer_bytes=capacity["pointer"],
        activation_bytes=capacity["activation"],
        pointer_bits=pointer_bits,
        streamed=frozenset(from_dram if blocks else outside),
        grown=tuple(dict.fromkeys(grown)),
        blocked=frozenset(outside - from_dram if blocks else ()),
    )


def _too_small(layer: str, memory: str, wanted: int, capacity: int, machine: Accelerator) -> str:
    # Every PE has a pointer to every column, so more PEs do not make pointers fewer.
    more = "or " if memory == "pointer" else "more pes, or "
    streams = "stream" if memory == "activation" else "stream or blocks"
    # An activation need that is left while streaming is that of buffers.
    streamed = "" if machine.overflow == "stream" else f"overflow={streams} (from DRAM), "
    return (
        f"layer '{layer}' needs {wanted:,} bytes of {memory} SRAM per PE, but machine "
        f"'{machine.name}' with {machine.pes} PE{'s' * (machine.pes > 1)} has {capacity:,}: "
        f"set overflow=grow (larger SRAM), {streamed}{more}{memory}_sram_bytes={wanted}"
    )


def _bytes(bits: int) -> int:
    return -(-bits // 8)
