"""The stepped model against the published simulator, the machine's rules, and cases by hand."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from bench.stepped_baseline import encode_layer, simulate_baseline
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from exact.layers import (
    ReferenceRow,
    alexnet_fc8,
    data_dir,
    layer_of,
    reference_rows,
)
from exact.stepped import (
    Layer,
    Machine,
    SteppedResult,
    fixed_point_output,
    lay_out,
    simulate_stepped,
)
from exact.stepped.encoding import Entry, encode_column
from exact.stepped.huffman import Alphabet, EntryCode
from exact.stepped.huffman_memory import HuffmanStorage
from exact.stepped.queues import activation_lines

ROWS = reference_rows()
SYNTHETIC_ROWS = [row for row in ROWS if row.recipe is not None]
ENTRY_BITS = 8
FOUR_BITS = Alphabet(dict.fromkeys(range(16), 4))


class Case(NamedTuple):
    """A layer without an exact bias, and the machine it runs on."""

    layer: Layer
    activations: NDArray[np.float32]
    machine: Machine

    def run(self, machine: Machine | None = None) -> SteppedResult:
        return simulate_stepped(self.layer, self.activations, machine or self.machine)


def random_case(seed: int) -> Case:
    """A small layer: any P, D, W; some have fewer rows than PEs, long runs, no active input."""
    rng = np.random.default_rng(seed)
    pes = int(rng.choice([1, 2, 3, 4, 5, 7, 8, 13]))
    n_out = int(rng.integers(1, rng.choice([12, 90, 400])))
    n_in = int(rng.integers(1, 40))
    weight_density = rng.choice([0.0, 0.01, 0.03, 0.1, 0.5, 1.0])
    activation_density = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    row_entries = int(rng.choice([1, 2, 3, 5, 8, 16]))
    codes = np.where(
        rng.random((n_out, n_in)) < weight_density, rng.integers(1, 16, (n_out, n_in)), 0
    )
    codes[:, rng.random(n_in) < 0.2] = 0
    bias_codes = rng.integers(0, 16, n_out).astype(np.uint8) if rng.random() < 0.6 else None
    activations = np.where(rng.random(n_in) < activation_density, rng.random(n_in) + 0.1, 0)
    codebook = np.concatenate([[0], rng.standard_normal(15)]).astype(np.float32)
    machine = Machine(pes, queue_depth=int(rng.integers(2, 10)), row_bits=row_entries * ENTRY_BITS)
    layer = Layer(codes.astype(np.uint8), codebook, bias_codes)
    return Case(layer, activations.astype(np.float32), machine)


def dense_output(case: Case) -> NDArray[np.float64]:
    codes, codebook, bias_codes, _ = case.layer
    weights = codebook.astype(np.float64)
    output = weights[codes] @ case.activations.astype(np.float64)
    return output if bias_codes is None else output + weights[bias_codes]


# --- the published simulator ---


@pytest.mark.parametrize("row", SYNTHETIC_ROWS, ids=lambda row: row.name)
def test_stepped_model_meets_published_simulator(row: ReferenceRow) -> None:
    layer = layer_of(row)
    machine = Machine(row.pes, row.queue_depth, row.row_entries * ENTRY_BITS)
    result = simulate_stepped(
        Layer(layer.codes, layer.codebook, layer.bias_codes), layer.activations, machine
    )
    assert result.cycles == row.cycles
    assert result.pointer_reads == row.pointer_reads
    assert result.sram_row_reads == row.sram_row_reads
    assert result.utilization_frac == pytest.approx(row.utilization_frac, rel=0, abs=1e-6)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_baseline_meets_published_simulator(row: ReferenceRow) -> None:
    layer = layer_of(row)
    encoded = encode_layer(layer.codes, layer.bias_codes, row.pes)
    result = simulate_baseline(
        encoded, layer.codebook, layer.activations, row.queue_depth, row.row_entries
    )
    assert result.cycles == row.cycles
    assert result.pointer_reads == row.pointer_reads
    assert result.row_reads == row.sram_row_reads
    assert result.utilization_frac == pytest.approx(row.utilization_frac, rel=0, abs=1e-6)


def test_baseline_computes_published_output() -> None:
    layer = alexnet_fc8()
    encoded = encode_layer(layer.codes, layer.bias_codes, pes=64)
    result = simulate_baseline(
        encoded, layer.codebook, layer.activations, queue_depth=8, row_entries=8
    )
    assert_allclose(result.output, layer.output, rtol=1e-5, atol=1e-6)


def test_data_dir_prefers_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELSIM_DATA", "somewhere/else")
    assert str(data_dir()) == "somewhere/else"


# --- stepped model, baseline and recurrence agree ---


@pytest.mark.parametrize("seed", range(60))
def test_baseline_agrees_with_stepped_model(seed: int) -> None:
    case = random_case(seed)
    stepped = case.run()
    baseline = simulate_baseline(
        encode_layer(case.layer.codes, case.layer.bias_codes, case.machine.pes),
        case.layer.codebook,
        case.activations,
        case.machine.queue_depth,
        case.machine.row_bits // ENTRY_BITS,
    )
    assert baseline.cycles == stepped.cycles
    assert baseline.pointer_reads == stepped.pointer_reads
    assert baseline.row_reads == stepped.sram_row_reads
    assert baseline.nonzero_entries == stepped.entries.sum() - stepped.padding.sum()
    assert baseline.utilization_frac == stepped.utilization_frac
    assert_allclose(baseline.output, stepped.output, rtol=1e-4, atol=1e-4)
    assert_allclose(stepped.output, dense_output(case), rtol=1e-12, atol=1e-12)


class Timing(NamedTuple):
    cycles: int
    stall_cycles: int
    starved_cycles: NDArray[np.int64]


def idle_scan_cycles(lines: NDArray[np.float32]) -> list[int]:
    """g[j]: idle cycles of the line scan before each broadcast."""
    idle, before_next = [], 0
    for line in lines:
        active = np.flatnonzero(line)
        for index in range(len(active)):
            idle.append(before_next if index == 0 else 0)
        is_last_slot_active = len(active) > 0 and active[-1] == len(line) - 1
        before_next = (0 if len(active) else before_next) + (0 if is_last_slot_active else 1)
    return idle


def recurrence(lines: NDArray[np.float32], entries: NDArray[np.int64], queue_depth: int) -> Timing:
    """Time in closed form: B[j] and Q[k, j] from entries n int64[P, broadcasts]."""
    idle = idle_scan_cycles(lines)
    service = np.maximum(1, entries)
    popped = np.zeros(entries.shape, dtype=np.int64)
    starved = np.zeros(len(entries), dtype=np.int64)
    sent, stalls, last_entry = 1, 0, 0
    for j, idle_cycles in enumerate(idle):
        ready = sent + 1 + idle_cycles
        oldest = j - (queue_depth - 1)
        sent = ready if oldest < 0 else max(ready, 1 + int(popped[:, oldest].max()))
        stalls += sent - ready
        free = popped[:, j - 1] + service[:, j - 1] if j else np.full(len(entries), sent + 1)
        popped[:, j] = np.maximum(sent + 1, free)
        starved += popped[:, j] - free
        has_entries = entries[:, j] > 0
        ends = (popped[:, j] + entries[:, j] - 1)[has_entries]
        last_entry = max(last_entry, int(ends.max(initial=0)))
    return Timing(6 + last_entry if idle else 0, stalls, starved)


@pytest.mark.parametrize("seed", range(60))
def test_recurrence_agrees_with_stepped_model(seed: int) -> None:
    case = random_case(seed)
    pes = case.machine.pes
    lines = activation_lines(case.activations, pes, case.layer.has_bias)
    encoded = encode_layer(case.layer.codes, case.layer.bias_codes, pes)
    columns = np.minimum(np.flatnonzero(lines), len(case.activations))
    entries = np.diff(encoded.col_ptr, axis=1)[:, columns].astype(np.int64)
    expected = recurrence(lines, entries, case.machine.queue_depth)
    result = case.run()
    assert result.cycles == expected.cycles
    assert result.stall_cycles == expected.stall_cycles
    assert_array_equal(result.starved_cycles, expected.starved_cycles)
    assert_array_equal(result.entries, entries.sum(axis=1))
    assert_array_equal(result.busy_cycles, entries.sum(axis=1))
    assert_array_equal(result.empty_columns, (entries == 0).sum(axis=1))
    assert result.broadcasts == len(columns)
    assert result.pointer_reads == pes * len(columns)


# --- timing by hand ---


def run_all_ones(
    n_out: int, activations: list[float], pes: int, queue_depth: int = 8
) -> SteppedResult:
    """A layer full of code 1, without a bias."""
    codes = np.ones((n_out, len(activations)), dtype=np.uint8)
    return simulate_stepped(
        Layer(codes, np.array([0, 0.5] + [0] * 14, dtype=np.float32)),
        np.array(activations, dtype=np.float32),
        Machine(pes, queue_depth, row_bits=64),
    )


def test_first_entry_enters_datapath_in_cycle_three() -> None:
    # line loaded in 1, broadcast in 2, popped in 3, drain of 6
    assert run_all_ones(1, [1.0], pes=1).cycles == 9


def test_line_without_active_value_costs_a_cycle() -> None:
    assert run_all_ones(2, [0, 0, 1.0, 0], pes=2).cycles == 10


def test_leaving_a_line_after_its_last_slot_is_free() -> None:
    last_slot = run_all_ones(2, [0, 1.0, 1.0, 0], pes=2)
    first_slot = run_all_ones(2, [1.0, 0, 1.0, 0], pes=2)
    assert last_slot.cycles == 10
    assert first_slot.cycles == 11


def test_queue_of_depth_two_stalls_every_second_cycle() -> None:
    # B = 2, 4, 6: the one place is free again in the cycle after the pop
    result = run_all_ones(1, [1.0, 1.0, 1.0], pes=1, queue_depth=2)
    assert (result.cycles, result.stall_cycles) == (13, 2)
    assert_array_equal(result.starved_cycles, [2])


def test_waiting_after_the_last_pop_is_no_starvation() -> None:
    # PE 0 has four rows, PE 1 has three: PE 1 is idle at the end only
    result = run_all_ones(7, [1.0], pes=2)
    assert_array_equal(result.busy_cycles, [4, 3])
    assert_array_equal(result.starved_cycles, [0, 0])


def test_no_broadcast_takes_no_cycle() -> None:
    result = run_all_ones(3, [0, 0], pes=2)
    assert (result.cycles, result.broadcasts, result.utilization_frac) == (0, 0, 0.0)
    assert_array_equal(result.output, np.zeros(3))


def test_broadcasts_without_any_entry_take_the_drain_only() -> None:
    layer = Layer(np.zeros((3, 2), dtype=np.uint8), np.zeros(16, dtype=np.float32))
    result = simulate_stepped(layer, np.ones(2, dtype=np.float32), Machine(2, 8, 64))
    assert (result.cycles, result.broadcasts, result.utilization_frac) == (6, 2, 0.0)
    assert_array_equal(result.empty_columns, [2, 2])


# --- encoding ---


@pytest.mark.parametrize(
    ("zeros", "expected"),
    [
        (0, [Entry(7, 0)]),
        (15, [Entry(7, 15)]),
        (16, [Entry(0, 15), Entry(7, 0)]),
        (32, [Entry(0, 15), Entry(0, 15), Entry(7, 0)]),
        (33, [Entry(0, 15), Entry(0, 15), Entry(7, 1)]),
    ],
)
def test_padding_bridges_gaps_beyond_the_longest_run(zeros: int, expected: list[Entry]) -> None:
    assert encode_column([0] * zeros + [7] + [0] * 40, max_run=15) == expected


# --- Huffman ---


@pytest.mark.parametrize("seed", range(30))
def test_huffman_changes_row_reads_only(seed: int) -> None:
    case = random_case(seed)
    fixed = case.run()
    huffman = case.run(replace(case.machine, decoder="huffman", row_bits=(7, 8, 32, 64)[seed % 4]))
    assert huffman.cycles == fixed.cycles
    assert_array_equal(huffman.entries, fixed.entries)
    assert_array_equal(huffman.padding, fixed.padding)
    assert_array_equal(huffman.starved_cycles, fixed.starved_cycles)
    assert_array_equal(huffman.output, fixed.output)


@pytest.mark.parametrize("seed", range(30))
def test_stream_read_from_end_to_end_reads_each_row_once(seed: int) -> None:
    case = random_case(seed)
    case = case._replace(activations=np.ones_like(case.activations))
    machine = replace(case.machine, decoder="huffman", row_bits=(3, 8, 33, 64)[seed % 4])
    code = lay_out(case.layer, machine).entry_code
    assert code is not None
    encoded = encode_layer(case.layer.codes, case.layer.bias_codes, machine.pes)
    entries = [Entry(*e) for e in zip(encoded.code.tolist(), encoded.run.tolist(), strict=True)]
    bits = np.cumsum([0, *(len(code.word(entry)) for entry in entries)])
    stream_bits = np.diff(bits[encoded.entry_start])
    assert_array_equal(case.run(machine).row_reads, -(-stream_bits // machine.row_bits))


@pytest.mark.parametrize("seed", range(30))
def test_four_bit_huffman_codes_lie_where_fixed_entries_lie(seed: int) -> None:
    case = random_case(seed)
    machine = replace(case.machine, decoder="huffman")
    layout = lay_out(case.layer, machine, EntryCode([FOUR_BITS, FOUR_BITS], run_bits=4))
    huffman = simulate_stepped(case.layer, case.activations, machine, layout)
    assert_array_equal(huffman.row_reads, case.run().row_reads)


def test_straddling_entry_touches_both_rows() -> None:
    # codes 1 -> "0", 2 -> "10", 3 -> "11"; run 0 -> "0": entries of 2, 3 and 3 bits in rows of 4
    columns = [[Entry(1, 0), Entry(2, 0)], [Entry(3, 0)]]
    code = EntryCode([Alphabet({1: 1, 2: 2, 3: 2}), Alphabet({0: 1})], run_bits=4)
    machine = Machine(1, 8, row_bits=4, decoder="huffman")
    storage = HuffmanStorage(columns, np.zeros(16, np.float32), code, machine)
    assert storage.bits == "00" + "100" + "110"
    first, second = storage.open(0), storage.open(1)
    assert [first.step().rows, first.step().rows] == [range(0, 1), range(0, 2)]
    assert second.step().rows == range(1, 2)
    assert first.is_done()
    assert second.is_done()


# --- exact bias ---


@pytest.mark.parametrize(
    ("row_bits", "rows_of_weights", "rows_of_bias"),
    [(64, 1, 2), (24, 1, 5), (16, 2, 5), (8, 3, 10)],
)
def test_exact_bias_starts_at_a_fresh_row(
    row_bits: int, rows_of_weights: int, rows_of_bias: int
) -> None:
    # one PE, three entries of 8 bits, five words of 16 bits
    codes = np.array([[1], [1], [0], [0], [1]], dtype=np.uint8)
    bias = np.array([0.25, 0, 1, 2, 3], dtype=np.float32)
    codebook = np.array([0, 0.5] + [0] * 14, dtype=np.float32)
    machine = Machine(pes=1, queue_depth=8, row_bits=row_bits)
    layer = Layer(codes, codebook, bias_values=bias)
    result = simulate_stepped(layer, np.array([2.0], dtype=np.float32), machine)
    assert result.sram_row_reads == rows_of_weights + rows_of_bias
    assert (result.entries[0], result.padding[0]) == (8, 1)
    bias_cycles = max(5, rows_of_bias)  # one word a cycle at most, and one row
    assert result.cycles == 6 + 3 + 3 + bias_cycles - 1
    assert_array_equal(result.output, [1.25, 1, 1, 2, 4])


@pytest.mark.parametrize("seed", range(20))
def test_exact_bias_is_dense_under_either_decoder(seed: int) -> None:
    case = random_case(seed)
    case = case._replace(layer=case.layer._replace(bias_codes=None))
    n_out, pes = len(case.layer.codes), case.machine.pes
    bias = np.random.default_rng(seed).standard_normal(n_out).astype(np.float32)
    biased = case._replace(layer=case.layer._replace(bias_values=bias))
    without = case.run()
    for machine in (case.machine, replace(case.machine, decoder="huffman")):
        result = biased.run(machine)
        local_rows = np.array([len(range(pe, n_out, pes)) for pe in range(pes)])
        assert_array_equal(result.entries - without.entries, local_rows)
        assert result.broadcasts == without.broadcasts + 1
        assert_allclose(result.output, dense_output(case) + bias, rtol=1e-12, atol=1e-12)


# --- fixed point ---

CODEBOOK = np.array([0, 0.5, -0.5, 0.375, 100.0], dtype=np.float32)


def fixed_point_of_one(
    code: int, activation: float, out_frac: int, bias: float | None = None, bits: int = 16
) -> int:
    """One weight times one activation; weights have 3 fraction bits, activations 2."""
    [output] = fixed_point_output(
        np.array([[code]], dtype=np.uint8),
        None,
        None if bias is None else np.array([bias], dtype=np.float32),
        CODEBOOK,
        np.array([activation], dtype=np.float32),
        act_frac=2,
        weight_frac=3,
        out_frac=out_frac,
        bits=bits,
    )
    return output


@pytest.mark.parametrize(
    ("code", "activation", "out_frac", "expected"),
    [
        (1, 1.0, 5, 16),  # 4 × 4, no shift
        (1, 1.0, 7, 64),  # shifted left
        (1, 0.25, 2, 1),  # 4 / 8 = 0.5 goes up
        (2, 0.25, 2, 0),  # -0.5 goes up too
        (3, 0.25, 2, 0),  # 3 / 8
        (1, 0.125, 5, 0),  # the activation 0.5 goes to even 0: no broadcast
        (1, 0.375, 5, 8),  # 1.5 goes to even 2
        (4, 20000.0, 5, 32767),
    ],
)
def test_fixed_point_rounding(code: int, activation: float, out_frac: int, expected: int) -> None:
    assert fixed_point_of_one(code, activation, out_frac) == expected


def test_fixed_point_weights_and_activations_saturate() -> None:
    # 100 × 2^3 saturates to 127 in 8 bits, 40 × 2^2 to 127; 127 × 127 >> 8 is 63
    assert fixed_point_of_one(4, 40.0, out_frac=-3, bits=8) == 63


@pytest.mark.parametrize(("bias", "expected"), [(0.375, 6), (0.625, 6), (-1.0, 0), (1e6, 32767)])
def test_fixed_point_exact_bias_is_added_last(bias: float, expected: int) -> None:
    # two fraction bits: the product 1.0 is 4, the biases 1.5 and 2.5 both go to even 2
    assert fixed_point_of_one(1, 2.0, out_frac=2, bias=bias) == expected


def test_fixed_point_saturates_at_every_add() -> None:
    # 8 bits: 64 + 64 stops at 127, then 127 - 64 = 63; a wide accumulator would give 64
    [output] = fixed_point_output(
        np.array([[1, 1, 2]], dtype=np.uint8),
        None,
        None,
        np.array([0, 8.0, -8.0], dtype=np.float32),
        np.ones(3, dtype=np.float32),
        act_frac=0,
        weight_frac=3,
        out_frac=3,
        bits=8,
    )
    assert output == 63


def test_fixed_point_bias_activation_is_not_saturated() -> None:
    # 1.0 with 9 fraction bits does not fit 8 bits; the bias is 5 × 2^9 >> 9 all the same
    [output] = fixed_point_output(
        np.array([[0]], dtype=np.uint8),
        np.array([1], dtype=np.uint8),
        None,
        np.array([0, 5.0], dtype=np.float32),
        np.zeros(1, dtype=np.float32),
        act_frac=9,
        weight_frac=0,
        out_frac=0,
        bits=8,
    )
    assert output == 5


@pytest.mark.parametrize("seed", range(10))
def test_fixed_point_output_is_near_the_real_one(seed: int) -> None:
    case = random_case(seed)
    codes, codebook, bias_codes, _ = case.layer
    output = fixed_point_output(
        codes, bias_codes, None, codebook, case.activations, 24, 24, 24, bits=40
    )
    assert_allclose(np.array(output) / 2**24, dense_output(case), atol=1e-5)
