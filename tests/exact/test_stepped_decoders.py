"""The stepped model's decoders, memories and arbitration, worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from exact.stepped import Layer, Machine, SteppedResult, lay_out, pointer_bits, simulate_stepped
from exact.stepped.encoding import Entry
from exact.stepped.fixed_memory import FixedStorage
from exact.stepped.huffman import Alphabet, EntryCode
from exact.stepped.huffman_memory import HuffmanStorage
from exact.stepped.layout import dram_bits
from exact.stepped.memory import PointerWord
from exact.stepped.pe import RowBuffer

# Codes 1 to 4 are "0", "10", "110", "111"; runs 0 and 1 are "0" and "1".
SEPARATE = EntryCode([Alphabet({1: 1, 2: 2, 3: 3, 4: 3}), Alphabet({0: 1, 1: 1})], run_bits=1)
SHORT = Entry(1, 0)  # "0" + "0"
MIDDLE = Entry(2, 0)  # "10" + "0"
LONG = Entry(3, 1)  # "110" + "1"
BITS = {SHORT: 2, MIDDLE: 3, LONG: 4}
CODEBOOK = np.array([0, 1, 2, 4, 8] + [0] * 11, dtype=np.float32)

DRAIN = 6
FIRST_POP = 3


def machine_of(**fields: Any) -> Machine:
    return Machine(**({"pes": 1, "queue_depth": 8, "row_bits": 64, "run_bits": 1} | fields))


def huffman(**fields: Any) -> Machine:
    return machine_of(decoder="huffman", **fields)


def storage_of(columns: list[list[Entry]], machine: Machine, unit_bits: int = 1) -> HuffmanStorage:
    return HuffmanStorage(columns, CODEBOOK, SEPARATE, machine, unit_bits)


def emitted(entries: list[Entry], fields: dict[str, Any], code: EntryCode = SEPARATE) -> list[int]:
    """How many entries of a lone column come out in each cycle."""
    reader = HuffmanStorage([entries], CODEBOOK, code, huffman(**fields)).open(0)
    counts = []
    while not reader.is_done():
        counts.append(len(reader.step().weights))
    return counts


def layer_of(columns: Sequence[Sequence[Entry]], pes: int = 1) -> Layer:
    """A layer in which every PE has these columns."""
    local = []
    for column in columns:
        codes: list[int] = []
        for entry in column:
            codes += [0] * entry.run + [entry.code]
        local.append(codes)
    height = max(len(codes) for codes in local)
    padded = np.array([codes + [0] * (height - len(codes)) for codes in local], dtype=np.uint8)
    return Layer(np.repeat(padded.T, pes, axis=0), CODEBOOK)


def run(
    layer: Layer, machine: Machine, activations: NDArray[np.float32] | None = None
) -> SteppedResult:
    """Run with the words above, all inputs active unless said otherwise."""
    if activations is None:
        activations = np.ones(layer.codes.shape[1], dtype=np.float32)
    return simulate_stepped(layer, activations, machine, lay_out(layer, machine, SEPARATE))


def service_of(entries: list[Entry], machine: Machine) -> int:
    """Cycles that a lone column takes from its pop to its last entry."""
    return run(layer_of([entries]), machine).cycles - DRAIN - FIRST_POP + 1


# --- what a decoder emits in each cycle ---


@pytest.mark.parametrize(
    ("bits_per_cycle", "expected"),
    [
        (1, [0, 1, 0, 0, 0, 1]),  # 1 + 1, then 3 + 1
        (2, [0, 1, 0, 0, 1]),  # a cycle does not go on into the next symbol: 1 + 1, then 2 + 1
        (3, [0, 1, 0, 1]),
        (64, [0, 1, 0, 1]),
    ],
)
def test_a_bit_serial_decoder_takes_some_bits_of_a_symbol(
    bits_per_cycle: int, expected: list[int]
) -> None:
    design = {"decoder_design": "bit_serial", "bits_per_cycle": bits_per_cycle}
    assert emitted([SHORT, LONG], design) == expected


def test_one_symbol_or_one_entry_a_cycle() -> None:
    assert emitted([SHORT, LONG], {"decoder_design": "one_symbol"}) == [0, 1, 0, 1]
    assert emitted([SHORT, LONG], {"decoder_design": "pair"}) == [1, 1]


@pytest.mark.parametrize(
    ("first_level_bits", "expected"),
    [
        (1, [0, 1, 0, 0, 1]),  # "0" and "0" are found at once, "110" is not, "1" is
        (2, [0, 1, 0, 0, 1]),
        (3, [0, 1, 0, 1]),
        (15, [0, 1, 0, 1]),
    ],
)
def test_a_long_word_takes_a_second_table(first_level_bits: int, expected: list[int]) -> None:
    design = {"decoder_design": "two_level", "first_level_bits": first_level_bits}
    assert emitted([SHORT, LONG], design) == expected


@pytest.mark.parametrize(
    ("window_bits", "entries_per_cycle", "expected"),
    [
        (6, 2, [2]),  # 2 + 4 bits
        (6, 1, [1, 1]),
        (5, 2, [1, 1]),  # the window ends inside the second entry
        (4, 2, [1, 1]),
        (3, 2, [1, 0, 1]),  # the second entry does not fit at all: one more cycle
        (1, 2, [0, 1, 0, 1]),
    ],
)
def test_a_window_emits_the_whole_entries_in_it(
    window_bits: int, entries_per_cycle: int, expected: list[int]
) -> None:
    design = {"decoder_design": "multi_symbol", "window_bits": window_bits}
    assert emitted([SHORT, LONG], design | {"entries_per_cycle": entries_per_cycle}) == expected


@pytest.mark.parametrize("unit_bits", [1, 8])
def test_a_window_ends_with_the_column(unit_bits: int) -> None:
    # the next column's bits, or the padding before it, would decode as SHORT
    machine = huffman(decoder_design="multi_symbol", window_bits=24, entries_per_cycle=9)
    storage = storage_of([[SHORT], [SHORT, SHORT]], machine, unit_bits)
    for column, entries in enumerate((1, 2)):
        reader = storage.open(column)
        assert len(reader.step().weights) == entries
        assert reader.is_done()


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ({"decoder_design": "bit_serial"}, [1, 0, 1]),  # words of one and of two bits
        ({"decoder_design": "one_symbol"}, [1, 1]),
        ({"decoder_design": "pair"}, [1, 1]),
        ({"decoder_design": "two_level", "first_level_bits": 1}, [1, 0, 1]),
        ({"decoder_design": "multi_symbol", "window_bits": 3}, [2]),
        ({"decoder_design": "multi_symbol", "window_bits": 1}, [1, 0, 1]),
    ],
)
def test_a_joint_symbol_is_an_entry(design: dict[str, Any], expected: list[int]) -> None:
    code = EntryCode([Alphabet({1 << 1 | 0: 1, 3 << 1 | 1: 2, 2 << 1 | 0: 2})], run_bits=1)
    assert emitted([SHORT, LONG], {"huffman_alphabet": "joint"} | design, code) == expected


def test_sub_streams_are_decoded_side_by_side() -> None:
    # bits of the entries: 4 2 2 2 4; of sub-stream 0: 4 + 2 + 4, of sub-stream 1: 2 + 2
    column = [LONG, SHORT, SHORT, SHORT, LONG]
    design = {"decoder_design": "bit_serial", "sub_streams": 2}
    assert emitted(column, design) == [0, 1, 0, 2, 0, 1, 0, 0, 0, 1]
    assert emitted(column, {"decoder_design": "pair", "sub_streams": 2}) == [2, 2, 1]
    assert emitted(column, {"decoder_design": "pair", "sub_streams": 9}) == [5]


def test_entries_come_with_their_place_in_the_column() -> None:
    column = [LONG, SHORT, MIDDLE, SHORT, LONG]
    machine = huffman(decoder_design="bit_serial", sub_streams=2)
    reader = storage_of([column], machine).open(0)
    numbers = []
    while not reader.is_done():
        numbers += [fetched.number for fetched in reader.step().weights]
    # sub-stream 1 emits 1 and 3 in cycles 2 and 4; sub-stream 0 emits 0, 2, 4 in 4, 7 and 11
    assert numbers == [1, 0, 3, 2, 4]


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ({"decoder_design": "bit_serial"}, 4),
        ({"decoder_design": "one_symbol"}, 4),
        ({"decoder_design": "pair"}, 4),
        ({"decoder_design": "two_level", "first_level_bits": 2}, 5),
        ({"decoder_design": "multi_symbol", "window_bits": 6}, 1),
        ({"decoder_design": "multi_symbol", "window_bits": 3}, 4),  # 2 windows, then 2 symbols
    ],
)
def test_look_ups_are_reads_of_tables(design: dict[str, Any], expected: int) -> None:
    result = run(layer_of([[SHORT, LONG]]), huffman(**design))
    assert_array_equal(result.lookups, [expected])


# --- the datapath ---


@pytest.mark.parametrize(
    ("sub_streams", "multipliers", "expected"),
    [(1, 1, 5), (1, 4, 5), (2, 1, 5), (2, 2, 3), (4, 2, 3), (4, 4, 2), (5, 1, 5), (5, 5, 1)],
)
def test_the_datapath_takes_so_many_entries_a_cycle(
    sub_streams: int, multipliers: int, expected: int
) -> None:
    machine = huffman(sub_streams=sub_streams, multipliers=multipliers)
    assert service_of([SHORT] * 5, machine) == expected


def test_entries_wait_for_the_datapath_while_others_are_decoded() -> None:
    # sub-streams of SHORT take 2 cycles an entry: 4 are there in cycle 2, the fifth in cycle 4;
    # one is taken in each of the cycles 2 to 6
    machine = huffman(decoder_design="bit_serial", sub_streams=4)
    assert service_of([SHORT] * 5, machine) == 6


@pytest.mark.parametrize(("multipliers", "expected"), [(1, 5), (2, 3), (4, 2), (16, 1)])
def test_fixed_entries_feed_all_multipliers(multipliers: int, expected: int) -> None:
    assert service_of([LONG] * 5, machine_of(multipliers=multipliers)) == expected


@pytest.mark.parametrize(
    ("row_bits", "multipliers", "expected"),
    [(64, 1, 5), (64, 2, 3), (16, 2, 3), (8, 1, 10), (8, 2, 10), (6, 4, 15)],
)
def test_dense_words_feed_all_multipliers_unless_wider_than_a_row(
    row_bits: int, multipliers: int, expected: int
) -> None:
    machine = machine_of(decoder="dense", row_bits=row_bits, multipliers=multipliers)
    assert service_of([SHORT] * 5, machine) == expected


@pytest.mark.parametrize(("row_bits", "expected"), [(64, 5), (8, 10)])
@pytest.mark.parametrize("decoder", ["fixed", "huffman", "dense"])
def test_words_of_an_exact_bias_come_one_by_one(decoder: str, row_bits: int, expected: int) -> None:
    layer = Layer(np.zeros((5, 1), np.uint8), CODEBOOK, bias_values=np.ones(5, np.float32))
    machine = machine_of(decoder=decoder, row_bits=row_bits, multipliers=4)
    result = run(layer, machine, np.zeros(1, np.float32))
    # the bias is broadcast in cycle 3: the line of inputs, which is all zeros, costs a cycle
    assert result.cycles == DRAIN + 4 + expected - 1
    assert_array_equal(result.busy_cycles, [expected])


# --- bits and addresses ---


def test_columns_follow_one_another_without_alignment() -> None:
    storage = storage_of([[SHORT, LONG], [], [MIDDLE]], huffman())
    assert storage.bits == "00" + "1101" + "100"
    assert storage.pointers == [
        PointerWord(0, 6, None), PointerWord(6, 6, None), PointerWord(6, 9, None)
    ]  # fmt: skip
    assert storage.padding_bits == 0


def test_aligned_columns_begin_at_a_byte_and_say_how_long_they_are() -> None:
    storage = storage_of([[SHORT, LONG], [], [MIDDLE]], huffman(), unit_bits=8)
    assert storage.bits == "00" + "1101" + "00" + "100"
    assert storage.pointers == [
        PointerWord(0, None, 2), PointerWord(0, None, 0), PointerWord(1, None, 1)
    ]  # fmt: skip
    assert storage.padding_bits == 2


def test_columns_aligned_to_rows_touch_rows_of_their_own() -> None:
    machine = huffman(row_bits=5, column_alignment="row")
    layout = lay_out(layer_of([[SHORT, LONG], [], [MIDDLE]]), machine, SEPARATE)
    (storage,) = layout.weights
    assert isinstance(storage, HuffmanStorage)
    assert storage.bits == "00110" + "1" + "0000" + "100"
    assert [pointer.start for pointer in storage.pointers[:3]] == [0, 0, 2]
    assert storage.rows_used == 3
    result = run(layer_of([[SHORT, LONG], [], [MIDDLE]]), machine)
    assert_array_equal(result.row_reads, [3])
    assert_array_equal(result.output, [1 + 2, 0, 4])  # SHORT above MIDDLE; LONG two rows below


def test_fixed_columns_may_begin_at_fresh_rows() -> None:
    # three entries of 5 bits to a row
    machine = machine_of(row_bits=16, column_alignment="row")
    layer = layer_of([[SHORT] * 2, [], [SHORT] * 4, [SHORT]])
    layout = lay_out(layer, machine)
    (storage,) = layout.weights
    assert isinstance(storage, FixedStorage)
    pointers = storage.pointers[:4]
    assert [(p.start, p.end, p.entries) for p in pointers] == [
        (0, None, 2), (0, None, 0), (1, None, 4), (3, None, 1)
    ]  # fmt: skip
    assert storage.rows_used == 4
    assert storage.padding_bits == (1 + 2) * 5
    assert_array_equal(run(layer, machine).row_reads, [4])
    assert_array_equal(run(layer, replace(machine, column_alignment="bit")).row_reads, [3])


def test_dense_columns_may_begin_at_fresh_rows() -> None:
    # three words of 16 bits to a row; two columns of four
    layer = layer_of([[SHORT] * 4] * 2)
    result = run(layer, machine_of(decoder="dense", row_bits=50, column_alignment="row"))
    assert_array_equal(result.row_reads, [4])
    assert_array_equal(run(layer, machine_of(decoder="dense", row_bits=50)).row_reads, [3])
    (storage,) = lay_out(
        layer, machine_of(decoder="dense", row_bits=50, column_alignment="row")
    ).weights
    assert storage.padding_bits == 2 * 16


def test_sub_streams_lie_behind_each_other() -> None:
    storage = storage_of([[LONG, SHORT, MIDDLE], [SHORT]], huffman(sub_streams=3))
    assert storage.bits == "1101" + "00" + "100" + "00"
    assert storage.pointers == [
        PointerWord(0, 9, None, (4, 6)), PointerWord(9, 11, None, (2, 2))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # 2 columns of LONG, SHORT, MIDDLE: 9 bits each
        ({}, 5),  # up to address 18
        ({"pointer_bits": 16}, 16),
        ({"sub_streams": 2}, 5 + 3),  # sub-streams of 7 and 2 bits: an offset of 7
        ({"sub_streams": 3}, 5 + 2 * 3),  # 4, 2 and 3 bits: offsets of 4 and 6
        ({"column_alignment": "byte"}, 2 + 2),  # columns at bytes 0 and 2; 3 entries
        ({"column_alignment": "row"}, 1 + 2),  # rows 0 and 1
        ({"column_alignment": "row", "sub_streams": 2}, 1 + 3 + 2),
        ({"decoder": "fixed"}, 3),  # up to entry 6
        ({"decoder": "fixed", "column_alignment": "row"}, 1 + 2),
        ({"decoder_placement": "load", "sub_streams": 2}, 3),  # those of fixed entries
        ({"decoder": "dense"}, 0),
    ],
)
def test_pointers_say_address_offsets_and_count(fields: dict[str, Any], expected: int) -> None:
    machine = machine_of(**({"decoder": "huffman", "pointer_bits": 1} | fields))
    layer = layer_of([[LONG, SHORT, MIDDLE]] * 2)
    assert pointer_bits(lay_out(layer, machine, SEPARATE), machine) == expected


# --- weight rows ---


def test_a_buffer_of_one_row_waits_for_each() -> None:
    buffer = RowBuffer(rows=1, latency_cycles=5, rows_stored=9)
    assert buffer.go_through(range(0, 1)) == 5
    assert buffer.go_through(range(0, 1)) == 0  # still there
    assert buffer.go_through(range(0, 3)) == 10
    assert buffer.go_through(range(7, 9)) == 10
    assert buffer.reads == 1 + 2 + 2


def test_a_buffer_of_several_rows_fetches_those_that_follow() -> None:
    buffer = RowBuffer(rows=3, latency_cycles=5, rows_stored=9)
    assert buffer.go_through(range(0, 2)) == 5  # holds 1, 2, 3
    assert buffer.reads == 4
    assert buffer.go_through(range(3, 4)) == 0  # holds 3, 4, 5
    assert buffer.reads == 6
    assert buffer.go_through(range(6, 9)) == 5  # 4 and 5 were in vain; holds 8, the last
    assert buffer.reads == 9


@pytest.mark.parametrize(
    ("rows", "latency", "waits", "reads"),
    [
        # columns of 3 entries, each in a row of its own; the second column is not active
        (1, 0, 0, 6),
        (1, 5, 30, 6),
        (2, 5, 10, 7),  # row 3 is read in vain
        (4, 5, 10, 9),  # rows 3 to 5 are
        (5, 5, 5, 9),  # the third column's first row is there
    ],
)
@pytest.mark.parametrize("decoder", ["fixed", "huffman"])
def test_waits_for_rows_come_on_top_of_the_service(
    decoder: str, rows: int, latency: int, waits: int, reads: int
) -> None:
    layer = layer_of([[LONG] * 3] * 3)
    # entries of 5 bits, in streams 4: one to a row either way
    machine = machine_of(
        decoder=decoder,
        row_bits=5 if decoder == "fixed" else 4,
        row_buffer_rows=rows,
        sram_latency_cycles=latency,
    )
    result = run(layer, machine, np.array([1, 0, 1], dtype=np.float32))
    assert_array_equal(result.row_reads, [reads])
    assert_array_equal(result.row_wait_cycles, [waits])
    assert_array_equal(result.busy_cycles, [6])
    # with one PE, the line without an active value costs a cycle in which nothing is missed
    assert result.cycles == DRAIN + FIRST_POP - 1 + 6 + waits


def test_rows_of_an_exact_bias_are_prefetched_as_others_are() -> None:
    # one entry in row 0, words in rows 1 and 2
    layer = Layer(np.array([[1], [0]], np.uint8), CODEBOOK, bias_values=np.ones(2, np.float32))
    machine = machine_of(row_bits=16, row_buffer_rows=2, sram_latency_cycles=7)
    result = run(layer, machine)
    assert_array_equal(result.row_wait_cycles, [7])
    assert_array_equal(result.row_reads, [3])


def test_a_wide_word_waits_for_each_of_its_rows() -> None:
    # 2 words of 16 bits in rows of 8: 4 rows
    layer = layer_of([[SHORT] * 2])
    machine = machine_of(decoder="dense", row_bits=8, sram_latency_cycles=3)
    result = run(layer, machine)
    assert_array_equal(result.row_wait_cycles, [12])
    assert_array_equal(result.busy_cycles, [4])


# --- a shared decoder ---


def times(result: SteppedResult) -> list[list[tuple[int, int, int]]]:
    return [[(item.pop, item.start, item.end) for item in of_pe] for of_pe in result.times]


def test_pes_take_turns_at_a_shared_decoder() -> None:
    layer = layer_of([[SHORT] * 3] * 2, pes=2)
    result = run(layer, huffman(pes=2, decoder_placement="shared", shared_by=2))
    assert times(result) == [
        [(3, 3, 5), (6, 9, 11)],  # in cycle 6 PE 1 has waited for longer
        [(3, 6, 8), (9, 12, 14)],
    ]
    assert_array_equal(result.arbitration_cycles, [3, 3 + 3])
    assert_array_equal(result.busy_cycles, [6, 6])
    assert_array_equal(result.starved_cycles, [0, 0])
    assert result.cycles == DRAIN + 14


def test_the_lowest_pe_comes_first_and_groups_do_not_meet() -> None:
    layer = layer_of([[SHORT]], pes=5)
    result = run(layer, huffman(pes=5, decoder_placement="shared", shared_by=3))
    assert times(result) == [[(3, 3, 3)], [(3, 4, 4)], [(3, 5, 5)], [(3, 3, 3)], [(3, 4, 4)]]


def test_a_shared_decoder_waits_for_rows_along() -> None:
    layer = layer_of([[SHORT]], pes=2)
    machine = huffman(
        pes=2, decoder_placement="shared", shared_by=2, row_bits=8, sram_latency_cycles=4
    )
    result = run(layer, machine)
    assert times(result) == [[(3, 7, 7)], [(3, 12, 12)]]
    assert_array_equal(result.row_wait_cycles, [4, 4])
    assert_array_equal(result.arbitration_cycles, [0, 5])


def test_columns_without_entries_and_exact_biases_need_no_decoder() -> None:
    # PE 0 has 3 entries, PE 1 none; then the bias, a word in each
    codes = np.array([[1], [0], [1], [0], [1], [0]], dtype=np.uint8)
    layer = Layer(codes, CODEBOOK, bias_values=np.ones(6, np.float32))
    machine = huffman(pes=2, decoder_placement="shared", shared_by=2)
    result = run(layer, machine)
    # broadcasts in cycles 2 and 4, as the line of inputs is left early; PE 1 starves in cycle 4
    assert times(result) == [[(3, 3, 5), (6, 6, 8)], [(3, 3, 3), (5, 5, 7)]]
    assert_array_equal(result.arbitration_cycles, [0, 0])
    assert_array_equal(result.empty_columns, [0, 1])
    assert_array_equal(result.starved_cycles, [0, 1])


# --- decoding between DRAM and SRAM ---


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # 3 PEs, each with LONG and SHORT, nothing, LONG and SHORT; the first two share a decoder
        ({"decoder_design": "pair"}, 2 * (2 + 1 + 2)),
        ({"decoder_design": "one_symbol"}, 2 * (4 + 1 + 4)),
        ({"decoder_design": "bit_serial"}, 2 * (6 + 1 + 6)),
        ({"decoder_design": "bit_serial", "sub_streams": 2}, 2 * (4 + 1 + 4)),
        ({"decoder_design": "multi_symbol", "window_bits": 6}, 2 * (1 + 1 + 1)),
        ({"decoder_design": "pair", "shared_by": 3}, 3 * (2 + 1 + 2)),
        ({"decoder_design": "pair", "shared_by": 1}, 1 * (2 + 1 + 2)),
    ],
)
def test_a_loader_decodes_column_after_column(fields: dict[str, Any], expected: int) -> None:
    layer = layer_of([[LONG, SHORT], [], [LONG, SHORT]], pes=3)
    machine = huffman(**({"pes": 3, "decoder_placement": "load", "shared_by": 2} | fields))
    loaded = lay_out(layer, machine, SEPARATE).loaded
    assert loaded is not None
    assert loaded.cycles == expected


def test_streams_in_dram_come_with_the_starts_of_their_sub_streams() -> None:
    # a column of 4 + 2 + 3 bits, twice, in 3 PEs; the sub-streams of 7 and 2 bits: an offset of 7
    layer = layer_of([[LONG, SHORT, MIDDLE]] * 2, pes=3)
    whole = huffman(pes=3, decoder_placement="load")
    lengths = 4 * (16 + 2)
    assert dram_bits(lay_out(layer, whole, SEPARATE), layer, whole) == 3 * 2 * 9 + lengths
    parts = replace(whole, sub_streams=2)
    expected = 3 * 2 * (9 + 3) + lengths
    assert dram_bits(lay_out(layer, parts, SEPARATE), layer, parts) == expected


def test_what_was_loaded_runs_as_fixed_entries_do() -> None:
    layer = layer_of([[LONG, SHORT], [], [MIDDLE, LONG]], pes=3)
    loaded = run(layer, huffman(pes=3, decoder_placement="load", row_bits=10))
    fixed = run(layer, machine_of(pes=3, row_bits=10))
    assert loaded.cycles == fixed.cycles
    assert_array_equal(loaded.row_reads, fixed.row_reads)
    assert_array_equal(loaded.lookups, [0, 0, 0])
    assert_array_equal(loaded.output, fixed.output)
