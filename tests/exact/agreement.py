"""Whether the fast simulator and the stepped one agree on a layer and a machine."""

from fractions import Fraction

import numpy as np
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders import DecodedLayer, decoder_of, pe_stream
from accelsim.hardware.interleave import InterleavedLayer, interleave
from accelsim.simulation.mapping import array_rules
from accelsim.simulation.pe_array import PeArray
from exact.drawing import Case, twin_of
from exact.stepped import (
    Layer,
    Layout,
    Machine,
    SteppedResult,
    lay_out,
    pointer_bits,
    quantize,
    simulate_stepped,
)
from exact.stepped.huffman_memory import HuffmanStorage
from exact.stepped.layout import dram_bits, rows_stored
from exact.stepped.memory import ceil_div
from exact.stepped.queues import bias_column_of

MAX_FRAC_BITS = 30
FLOAT32_ROUNDING = 2.0**-24
SMALLEST_FLOAT32 = 2.0**-149

# --- what is broadcast, and what comes out ---


def most_frac_bits(largest: float, bits: int) -> int:
    """Most fraction bits, 30 at most, with which `largest` still fits; one sign bit for 0."""
    if largest == 0:
        return bits - 1
    frac = MAX_FRAC_BITS
    while round(Fraction(largest) * Fraction(2) ** frac) > 2 ** (bits - 1) - 1:
        frac -= 1
    return frac


def input_frac_bits(case: Case, bits: int) -> int:
    return most_frac_bits(float(np.abs(case.activations).max()), bits)


def surviving(case: Case, bits: int) -> NDArray[np.float32]:
    """The activations without those that round to zero in fixed point: these are broadcast."""
    frac = input_frac_bits(case, bits)
    kept = [quantize(value, frac, bits) != 0 for value in case.activations]
    return np.where(kept, case.activations, np.float32(0))


def float_bounds(case: Case) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact output, float64[n_out], and how far float32 arithmetic in any order may be from it.

    Each product and each sum rounds once: n products and n sums err by at most (n + 1) roundings of
    the sum of magnitudes, to first order; doubled, for the higher orders.
    """
    codes, codebook, bias_codes, bias = case.layer
    weights = codebook.astype(np.float64)[codes]
    activations = case.activations.astype(np.float64)
    output, magnitude = weights @ activations, np.abs(weights) @ np.abs(activations)
    if bias_codes is not None:
        bias = codebook[bias_codes]
    if bias is not None:
        output, magnitude = output + bias, magnitude + np.abs(bias)
    n = codes.shape[1] + 2
    return output, 2 * (n + 1) * (FLOAT32_ROUNDING * magnitude + SMALLEST_FLOAT32)


# --- comparing ---


def check(case: Case, machine: Accelerator) -> None:
    """All that the two tell of a layer on a machine: what is stored, every event, every count."""
    twin = twin_of(machine)
    layout = lay_out(case.layer, twin)
    active = surviving(case, machine.arithmetic_bits)
    expected = simulate_stepped(case.layer, active, twin, layout)
    interleaved = interleave(case.compressed, machine.pes, machine.run_bits)
    decoded = decoder_of(machine).decode(interleaved, machine)
    check_storage(decoded, layout, case.layer, twin)
    check_streams(interleaved, layout, machine)
    check_events(decoded, expected, active, case, machine)
    check_lookups(decoded, layout, expected, active, case)
    check_run(case, machine, layout, expected)


def check_storage(decoded: DecodedLayer, layout: Layout, layer: Layer, twin: Machine) -> None:
    """Rows, pointers, padding, and what crosses from DRAM."""
    assert_array_equal(decoded.sram_rows, rows_stored(layout))
    assert_array_equal(decoded.padding_bits, [weights.padding_bits for weights in layout.weights])
    assert decoded.pointer_bits == pointer_bits(layout, twin)
    assert decoded.dram_bits == dram_bits(layout, layer, twin)
    assert decoded.load_cycles == (layout.loaded.cycles if layout.loaded else 0)


def pointer_bytes(case: Case, layout: Layout, machine: Accelerator) -> int:
    """Of a PE: a pointer per column up to the bias's, if there is one, and one more."""
    n_in = case.layer.codes.shape[1]
    columns = bias_column_of(n_in, machine.pes) + 1 if case.layer.has_bias else n_in
    return ceil_div((columns + 1) * pointer_bits(layout, twin_of(machine)), 8)


def check_streams(interleaved: InterleavedLayer, layout: Layout, machine: Accelerator) -> None:
    """The very bits in the weight SRAMs."""
    for pe, storage in enumerate(layout.weights):
        if isinstance(storage, HuffmanStorage):
            assert stored_bits(interleaved, pe, machine) == storage.bits


def stored_bits(interleaved: InterleavedLayer, pe: int, machine: Accelerator) -> str:
    """The stream of a PE as `accelsim` stores it, as text."""
    words, n_bits = pe_stream(interleaved, pe, machine)
    return "".join(f"{int(word):064b}" for word in words)[:n_bits]


def check_events(
    decoded: DecodedLayer,
    expected: SteppedResult,
    active: NDArray[np.float32],
    case: Case,
    machine: Accelerator,
) -> None:
    """The cycles of every item: its broadcast, what held it up, in each PE its pop, start and end."""
    array = PeArray(decoded, case.layer.codes.shape[1], has_bias=case.layer.has_bias)
    events = array.events(array.broadcasts(active), array_rules(machine, case.compressed, decoded))
    assert_array_equal(events.broadcast, expected.broadcast_cycles)
    blocked_by = [-1 if pe is None else pe for pe in expected.blocked_by]
    assert_array_equal(events.blocked_by, blocked_by)
    for name in ("pop", "start", "end"):
        times = [[getattr(item, name) for item in of_pe] for of_pe in expected.times]
        assert_array_equal(getattr(events, name).T, times)


def check_lookups(
    decoded: DecodedLayer,
    layout: Layout,
    expected: SteppedResult,
    active: NDArray[np.float32],
    case: Case,
) -> None:
    """Reads of decoding tables, in the PEs or on the way from DRAM."""
    broadcast_counts = np.append(active != 0, [True] * case.layer.has_bias).astype(np.int64)
    bias_words = 0 if case.layer.bias_values is None else len(case.layer.bias_values)
    coded = int(expected.entries.sum()) - bias_words
    use = decoded.use(broadcast_counts, coded, loads=3)
    loaded = 3 * layout.loaded.lookups if layout.loaded else 0
    assert sum(use.reads.values()) == expected.lookups.sum() + loaded


def check_run(case: Case, machine: Accelerator, layout: Layout, expected: SteppedResult) -> None:
    """The tables that a user sees, and the outputs."""
    result = case.session.run(machine)
    (row,) = result.rows
    assert row["cycles"] == row["array_cycles"] == expected.cycles
    assert row["broadcasts"] == expected.broadcasts
    assert row["stall_cycles"] == expected.stall_cycles
    assert row["pointer_reads"] == expected.pointer_reads
    assert row["sram_row_reads"] == expected.sram_row_reads
    assert row["row_wait_cycles"] == expected.row_wait_cycles.sum()
    assert row["arbitration_cycles"] == expected.arbitration_cycles.sum()
    assert row["load_cycles"] == (layout.loaded.cycles if layout.loaded else 0)
    assert row["entries"] == expected.entries.sum()
    assert row["padding_entries"] == expected.padding.sum()
    assert row["utilization_frac"] == expected.utilization_frac
    rows = int(rows_stored(layout).max())
    assert row["weight_bytes_per_pe"] == ceil_div(rows * machine.row_bits, 8)
    assert row["pointer_bytes_per_pe"] == pointer_bytes(case, layout, machine)
    pes = result.layer_results[0].pes
    assert_array_equal(pes["busy_cycles"], expected.busy_cycles)
    assert_array_equal(pes["starved_cycles"], expected.starved_cycles)
    assert_array_equal(pes["empty_column_cycles"], expected.empty_columns)
    assert_array_equal(pes["row_wait_cycles"], expected.row_wait_cycles)
    assert_array_equal(pes["arbitration_cycles"], expected.arbitration_cycles)
    assert_array_equal(pes["entries"], expected.entries)
    assert_array_equal(pes["padding_entries"], expected.padding)
    assert_array_equal(pes["sram_row_reads"], expected.row_reads)
    output, bound = float_bounds(case)
    assert result.outputs.dtype == np.float32
    assert np.all(np.abs(result.outputs - output) <= bound)
    # the twin did not get the activations that round to zero
    dropped = case.activations.astype(np.float64) - surviving(case, machine.arithmetic_bits)
    weights = case.layer.codebook.astype(np.float64)[case.layer.codes]
    assert np.all(np.abs(expected.output + weights @ dropped - output) <= bound)
