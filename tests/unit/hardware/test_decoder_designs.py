"""Designs of decoders: closed forms, tables by hand, streams read by software.

That cycles, rows, look-ups and bits are those of a cycle-stepped decoder on random layers is in
tests/property and tests/exact.
"""

from itertools import product

import numpy as np
import pytest
from exact.coding import canonical_words
from numpy.testing import assert_array_equal

from accelsim.compression.huffman import (
    HuffmanStream,
    HuffmanTable,
    build_table,
    decode_stream,
    symbol_counts,
)
from accelsim.compression.layer import CompressedLayer
from accelsim.compression.sparse import sparse_codes
from accelsim.errors import HardwareError
from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.decoders import (
    DecoderUnit,
    DecodingTable,
    HuffmanDecoder,
    Shifter,
    decoder_of,
    pe_stream,
    unit_for_all,
)
from accelsim.hardware.decoders.designs import design_of
from accelsim.hardware.decoders.entry_code import Alphabet, CodedColumns, EntryCode
from accelsim.hardware.interleave import interleave
from accelsim.kernels import decode as kernels
from accelsim.kernels.types import CscArrays

DESIGNS = ("bit_serial", "one_symbol", "pair", "two_level", "multi_symbol")


def compressed(codes, bias=None):
    code_bits = max(1, int(codes.max(initial=0)).bit_length())
    n_out, n_in = codes.shape
    return CompressedLayer(
        name="fc",
        n_out=n_out,
        n_in=n_in,
        activation="none",
        codebook=np.arange(2**code_bits, dtype=np.float32),
        sparse=sparse_codes(codes),
        bias_coded=False,
        bias=bias,
        code_bits=code_bits,
        index_bits=4,
        max_code_length=11,
    )


def random_codes(seed=0, n_out=200, n_in=60, density=0.4):
    """Codes of 4 bits, frequent ones and rare ones."""
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, 16) ** 2
    codes = rng.choice(np.arange(1, 16), (n_out, n_in), p=weights / weights.sum())
    return np.where(rng.random((n_out, n_in)) < density, codes, 0).astype(np.uint8)


def huffman(**fields):
    return accelerator("eie-64", decoder="huffman", **({"pes": 4} | fields))


def decoded(codes, machine, bias=None):
    layer = interleave(compressed(codes, bias), machine.pes, machine.run_bits)
    return decoder_of(machine).decode(layer, machine)


def one_column(code, run, code_lengths, run_lengths):
    """A column of one PE, and the words of its entries."""
    csc = CscArrays(
        np.array([[0], [len(code)]], dtype=np.int64),
        np.array([0, len(code)], dtype=np.int64),
        np.array(code, dtype=np.uint8),
        np.array(run, dtype=np.uint8),
    )
    run_bits = (len(run_lengths) - 1).bit_length()
    alphabets = tuple(
        Alphabet(
            name, HuffmanTable(np.array(lengths, dtype=np.uint8)), (len(lengths) - 1).bit_length()
        )
        for name, lengths in (("codes", code_lengths), ("runs", run_lengths))
    )
    return CodedColumns(csc, EntryCode(alphabets, run_bits))


# --- cycles ---


@pytest.mark.parametrize("multipliers", [1, 2, 3, 16])
@pytest.mark.parametrize("decoder", ["fixed", "dense"])
def test_entries_of_fixed_width_pass_as_many_at_a_time_as_there_are_multipliers(
    decoder, multipliers
):
    machine = accelerator("eie-64", pes=4, decoder=decoder, multipliers=multipliers)
    bias = np.ones(200, dtype=np.float32)
    plan = decoded(random_codes(), machine, bias).plan
    coded = plan.entries[:-1].astype(int)
    assert_array_equal(plan.service[:-1], np.maximum(1, -(-coded // multipliers)))
    assert_array_equal(plan.service[-1], [50] * 4)  # words of an exact bias pass one by one


def test_words_wider_than_a_row_pass_one_by_one():
    machine = accelerator("eie-64", pes=4, decoder="dense", row_bits=8, multipliers=4)
    assert_array_equal(decoded(random_codes(), machine).plan.service, 2 * 50)


@pytest.mark.parametrize("streams", [1, 2, 3, 16])
@pytest.mark.parametrize("multipliers", [1, 2, 5, 16])
@pytest.mark.parametrize("alphabet", ["separate", "joint"])
def test_pairs_leave_every_sub_stream_every_cycle(alphabet, streams, multipliers):
    machine = huffman(
        huffman_alphabet=alphabet, sub_streams=streams, multipliers=multipliers, max_code_length=15
    )
    plan = decoded(random_codes(), machine).plan
    per_cycle = min(streams, multipliers)
    assert_array_equal(plan.service, np.maximum(1, -(-plan.entries.astype(int) // per_cycle)))


@pytest.mark.parametrize("streams", [1, 2, 3, 16])
def test_one_symbol_a_cycle_is_two_for_an_entry_or_one_for_a_joint_symbol(streams):
    fields = {"decoder_design": "one_symbol", "sub_streams": streams, "multipliers": 16}
    plan = decoded(random_codes(), huffman(**fields)).plan
    longest = -(-plan.entries.astype(int) // streams)
    assert_array_equal(plan.service, np.maximum(1, 2 * longest))
    joint = decoded(random_codes(), huffman(huffman_alphabet="joint", **fields)).plan
    assert_array_equal(joint.service, np.maximum(1, longest))


def test_a_slow_datapath_sets_the_pace_of_fast_decoders():
    fields = {"decoder_design": "multi_symbol", "window_bits": 24, "entries_per_cycle": 16}
    plan = decoded(random_codes(), huffman(sub_streams=16, **fields)).plan
    assert_array_equal(plan.service, np.maximum(1, plan.entries))
    # Eight entries of at least 2 bits leave 16 decoders at once, and wait for two cycles at most.
    wide = decoded(random_codes(), huffman(sub_streams=16, multipliers=16, **fields)).plan
    assert wide.service.max() <= 1 + -(-int(plan.entries.max()) // 16)


def test_bits_one_by_one_take_as_many_cycles_as_the_stream_has_bits():
    machine = huffman(decoder_design="bit_serial")
    layer = interleave(compressed(random_codes()), machine.pes, machine.run_bits)
    plan = decoder_of(machine).decode(layer, machine).plan
    assert plan.entries.min() > 0
    bits = [pe_stream(layer, pe, machine)[1] for pe in range(machine.pes)]
    assert_array_equal(plan.service.sum(axis=0, dtype=int), bits)


@pytest.mark.parametrize("fields", [{"decoder_design": d} for d in DESIGNS])
def test_more_sub_streams_or_multipliers_never_take_longer(fields):
    codes = random_codes(1)
    slow = decoded(codes, huffman(**fields)).plan.service
    streams = decoded(codes, huffman(sub_streams=4, **fields)).plan.service
    both = decoded(codes, huffman(sub_streams=4, multipliers=4, **fields)).plan.service
    assert (streams <= slow).all()
    assert (both <= streams).all()


@pytest.mark.parametrize("design", DESIGNS)
def test_columns_without_entries_take_the_cycle_that_reads_their_pointers(design):
    result = decoded(np.zeros((10, 7), dtype=np.uint8), huffman(decoder_design=design))
    assert_array_equal(result.plan.service, 1)
    assert not result.sram_rows.any()
    use = result.use(np.ones(7, dtype=np.int64), 0, 0)
    assert (sum(use.reads.values()), use.shifts) == (0, 0)


@pytest.mark.parametrize("n", [254, 255, 256, 257, 65_535, 65_536, 70_000])
def test_counts_that_outgrow_narrow_arrays(n):
    """One column, codes that all have words of one bit, runs of one bit each."""
    codes = np.ones((n, 1), dtype=np.uint8)
    machine = huffman(pes=1, code_bits=1, run_bits=1, decoder_design="bit_serial")
    plan = decoded(codes, machine).plan
    assert plan.entries.tolist() == [[n]]
    assert plan.service.tolist() == [[2 * n]]
    assert plan.last_row.tolist() == [[2 + (2 * n - 1) // 64]]
    # Two sub-streams emit an entry each in every second cycle; one multiplier takes the last a cycle late.
    halves = [decoded(codes, machine.replace(sub_streams=2, multipliers=m)).plan for m in (1, 2)]
    assert halves[0].service.tolist() == [[n + 1]]
    assert halves[1].service.tolist() == [[2 * -(-n // 2)]]


def test_values_are_summed_in_64_bits():
    # Values that no word length has stand for 2**28 entries a column: the kernel only adds them up.
    csc = CscArrays(
        np.array([[0, 0], [1, 2], [3, 2]], np.int64),
        np.array([0, 3, 5], np.int64),
        np.array([0, 1, 1, 1, 0], np.uint8),
        np.zeros(5, np.uint8),
    )
    sums = np.empty((3, 2), np.int64)
    kernels.sum_entries(*csc, 0, np.array([2**32 - 2, 2**32 - 1], np.uint32), 0, 1, sums)
    small, large = 2**32 - 2, 2**32 - 1
    assert sums.tolist() == [[0, 0], [small, large + small], [small + 2 * large, large + small]]


# --- what decoders are made of ---

CODE_LENGTHS = [1, 2, 4, 4, 4, 5, 6, 6]  # 3-bit codes
RUN_LENGTHS = [1, 2, 3, 3]  # 2-bit runs
CODES = [0, 1, 5, 6, 0, 7]
RUNS = [0, 1, 2, 0, 0, 3]


def parts_of(**fields):
    """Tables and shifter for the alphabets above; of a column with two long codes and a medium one."""
    coded = one_column(CODES, RUNS, CODE_LENGTHS, RUN_LENGTHS)
    work = design_of(huffman(**fields)).work(coded, 1, 1)
    tables = {
        table.name: (table.words, table.width_bits, total(table.reads, len(CODES)))
        for table in work.tables
    }
    shifter = work.shifter
    return tables, (shifter.width_bits, shifter.compared_bits, total(shifter.shifts, len(CODES)))


def total(uses, entries):
    return entries * uses if isinstance(uses, int) else int(uses.sum())


def test_one_table_of_all_words_per_alphabet():
    tables = {"codes": (2**6, 3 + 4, 6), "runs": (2**3, 2 + 4, 6)}
    assert parts_of(decoder_design="one_symbol") == (tables, (6, 0, 12))
    assert parts_of(decoder_design="pair") == (tables, (6 + 3, 0, 6))


@pytest.mark.parametrize("bits_per_cycle", [1, 2, 64])
def test_a_bit_serial_decoder_has_a_record_per_length_and_a_list_of_symbols(bits_per_cycle):
    tables, shifter = parts_of(decoder_design="bit_serial", bits_per_cycle=bits_per_cycle)
    assert tables == {
        "codes, lengths": (6, 6 + 3, 0),  # first word of a length, place of its first symbol
        "codes, symbols": (8, 3, 6),
        "runs, lengths": (3, 3 + 2, 0),
        "runs, symbols": (4, 2, 6),
    }
    width = min(bits_per_cycle, 6)
    lengths = [CODE_LENGTHS[code] for code in CODES] + [RUN_LENGTHS[run] for run in RUNS]
    cycles = sum(-(-length // bits_per_cycle) for length in lengths)
    assert shifter == (width, width * 9, cycles)


def test_long_words_lie_in_sub_tables():
    # Codes longer than 3 bits are 1100, 1101, 1110, 11110, 111110, 111111: they begin with 110 and 111.
    tables, shifter = parts_of(decoder_design="two_level", first_level_bits=3)
    assert tables == {
        "codes": (2**3, 4 + 4, 6),  # addresses of ten words take a bit more than symbols
        "codes, second level": (2 ** (4 - 3) + 2 ** (6 - 3), 3 + 4, 3),
        "runs": (2**3, 2 + 4, 6),
    }
    assert shifter == (6, 0, 12)
    tables, _ = parts_of(decoder_design="two_level", first_level_bits=1)
    # 0 is found at once; all others begin with 1, and sub-tables lie at 0 only
    assert tables["codes, second level"] == (2 ** (6 - 1), 7, 4)
    assert tables["runs, second level"] == (2 ** (3 - 1), 6, 3)
    tables, _ = parts_of(decoder_design="two_level", first_level_bits=6)
    assert tables.keys() == {"codes", "runs"}


def test_a_first_level_can_hold_the_address_of_any_sub_table():
    # 127 words of 7 bits and 16 of 11: sub-tables of 2**6 and 2**10 words, addresses of 11 bits
    lengths = [7] * 127 + [11] * 16 + [0] * 113
    coded = one_column([0], [0], lengths, [1, 1])
    work = design_of(huffman(decoder_design="two_level", first_level_bits=1)).work(coded, 1, 1)
    first, second = work.tables[:2]
    assert (first.words, first.width_bits) == (2, 11 + 4)
    assert (second.words, second.width_bits) == (2**6 + 2**10, 8 + 4)


def sub_table_words(lengths, first_level_bits):
    """Every beginning in turn: as many words as the longest word that begins so has room for."""
    words = canonical_words(lengths)
    n_words = 0
    for bits in product("01", repeat=first_level_bits):
        rest = [
            len(word) - first_level_bits
            for word in words.values()
            if word.startswith("".join(bits)) and len(word) > first_level_bits
        ]
        n_words += 2 ** max(rest) if rest else 0
    return n_words


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("first_level_bits", [1, 3, 6, 9])
def test_sub_tables_of_any_code(seed, first_level_bits):
    rng = np.random.default_rng(seed)
    table = build_table(np.ceil(rng.exponential(1, 200) ** 6).astype(np.int64), 14)
    coded = one_column([0], [0], table.lengths, [1, 1])
    fields = {"decoder_design": "two_level", "first_level_bits": first_level_bits}
    tables = design_of(huffman(**fields)).work(coded, 1, 1).tables
    assert tables[1].name == "codes, second level"
    assert tables[1].words == sub_table_words(table.lengths, first_level_bits)


def test_a_window_holds_entries_their_number_and_their_bits():
    # entries of 2, 4, 8, 7, 2 and 9 bits
    fields = {"decoder_design": "multi_symbol", "entries_per_cycle": 3}
    tables, shifter = parts_of(window_bits=8, **fields)
    assert tables == {
        "windows": (2**8, 3 * (3 + 2) + 2 + 4, 5),  # 2 + 4, 8, 7, 2, then 9 escapes
        "codes": (2**6, 7, 1),
        "runs": (2**3, 6, 1),
    }
    assert shifter == (9, 0, 5)
    tables, shifter = parts_of(window_bits=14, **fields)
    assert tables == {"windows": (2**14, 3 * (3 + 2) + 2 + 4, 3)}  # 2 + 4 + 8, 7 + 2, 9
    assert shifter == (14, 0, 3)


def test_a_joint_alphabet_has_one_table_of_pairs():
    result = decoded(random_codes(), huffman(huffman_alphabet="joint"))
    (table,) = result.unit.tables
    (words,) = HuffmanDecoder().tables(
        interleave(compressed(random_codes()), 4, 4), huffman(huffman_alphabet="joint")
    )
    assert table == ("pairs", 2**words.longest, 8 + 4, 1)


@pytest.mark.parametrize(
    ("fields", "instances"),
    [
        ({}, 10),
        ({"sub_streams": 3}, 30),
        ({"decoder_placement": "shared", "shared_by": 4}, 3),
        ({"decoder_placement": "shared", "shared_by": 4, "sub_streams": 2}, 6),
        ({"decoder_placement": "load", "shared_by": 3}, 4),
        ({"decoder_placement": "load", "shared_by": 99}, 1),
    ],
)
def test_how_many_decoders_there_are(fields, instances):
    unit = decoded(random_codes(), huffman(pes=10, **fields)).unit
    assert unit.instances == instances
    assert unit.on_load == (fields.get("decoder_placement") == "load")


def test_without_streams_there_is_no_decoder():
    for decoder in ("fixed", "dense"):
        unit = decoded(random_codes(), accelerator("eie-64", decoder=decoder)).unit
        assert (unit.instances, unit.tables, unit.shifter, unit.table_bits) == (0, (), None, 0)


def test_a_decoder_for_all_layers_has_the_largest_tables():
    one = DecoderUnit("d", 4, (DecodingTable("a", 8, 5, 1),), Shifter(9, 3, 1))
    other = DecoderUnit(
        "d", 4, (DecodingTable("a", 4, 7, 1), DecodingTable("b", 2, 2, 1)), Shifter(5, 6, 1)
    )
    unit = unit_for_all([one, other])
    sizes = [(table.name, table.words, table.width_bits) for table in unit.tables]
    assert sizes == [("a", 8, 7), ("b", 2, 2)]
    assert unit.table_bits == 8 * 7 + 2 * 2
    assert (unit.instances, unit.shifter[:2]) == (4, (9, 6))


def test_uses_follow_the_columns_that_are_broadcast():
    codes = random_codes()
    machine = huffman(decoder_design="two_level", first_level_bits=2)
    result = decoded(codes, machine, bias=np.ones(200, dtype=np.float32))
    entries = result.plan.entries[:-1].sum(axis=1, dtype=int)
    long_codes = next(t for t in result.unit.tables if t.name == "codes, second level").reads
    broadcasts = np.zeros(len(entries) + 1, dtype=np.int64)
    broadcasts[[3, 17, -1]] = [2, 1, 2]  # the exact bias is not decoded
    coded = 2 * entries[3] + entries[17]
    use = result.use(broadcasts, int(coded), loads=5)
    assert use.reads["codes"] == use.reads["runs"] == coded
    assert use.reads["codes, second level"] == 2 * long_codes[3] + long_codes[17]
    assert use.shifts == 2 * coded


# --- on the way from DRAM ---


@pytest.mark.parametrize("design", DESIGNS)
def test_decoding_on_load_is_decoding_without_a_datapath(design):
    codes = random_codes(density=0.1)
    codes[:, 5] = 0
    fields = {"decoder_design": design, "entries_per_cycle": 5, "sub_streams": 2, "pes": 5}
    free = decoded(codes, huffman(multipliers=16, **fields))
    loaded = decoded(codes, huffman(decoder_placement="load", shared_by=2, **fields))
    per_pe = free.plan.service.sum(axis=0, dtype=int)
    assert loaded.load_cycles == max(per_pe[0] + per_pe[1], per_pe[2] + per_pe[3], per_pe[4])
    once = free.use(
        np.ones(len(free.plan.entries), dtype=np.int64), int(free.plan.entries.sum()), 0
    )
    twice = loaded.use(None, 0, loads=2)
    assert twice.reads == {name: 2 * count for name, count in once.reads.items()}
    assert twice.shifts == 2 * once.shifts
    never = loaded.use(None, 0, loads=0)
    assert (sum(never.reads.values()), never.shifts) == (0, 0)


@pytest.mark.parametrize("alignment", ["bit", "row"])
def test_what_is_loaded_is_what_fixed_entries_are(alignment):
    codes, bias = random_codes(), np.ones(200, dtype=np.float32)
    machine = huffman(decoder_placement="load", column_alignment=alignment, multipliers=2)
    loaded, fixed = (
        decoded(codes, machine, bias),
        decoded(codes, machine.with_decoder("fixed"), bias),
    )
    for ours, theirs in zip(loaded.plan, fixed.plan, strict=True):
        assert_array_equal(ours, theirs)
    assert_array_equal(loaded.sram_rows, fixed.sram_rows)
    assert_array_equal(loaded.padding_bits, fixed.padding_bits)
    assert loaded.pointer_bits == fixed.pointer_bits
    inline = huffman()
    layer = interleave(compressed(codes, bias), 4, 4)
    stream_bits = sum(pe_stream(layer, pe, inline)[1] for pe in range(4))
    bias_bits = 4 * 13 * 64  # 50 words of 16 bits per PE, four in a row of 64 bits
    assert loaded.dram_bits == stream_bits + bias_bits + 4 * (16 + 16)
    assert loaded.dram_bits < fixed.dram_bits


# --- bits and addresses ---


def test_pointers_of_aligned_columns_say_units_and_entries():
    # columns of 3, 0, 5 and 1 entries of 8 bits in one PE, rows of 20 bits: two entries in a row
    codes = np.zeros((5, 4), dtype=np.uint8)
    for column, n in enumerate((3, 0, 5, 1)):
        codes[:n, column] = 1
    fields = {"pes": 1, "row_bits": 20, "pointer_bits": 1}
    by_entries = decoded(codes, accelerator("eie-64", **fields))
    assert (by_entries.pointer_bits, by_entries.sram_rows.tolist()) == (4, [5])  # up to 9
    by_rows = decoded(codes, accelerator("eie-64", column_alignment="row", **fields))
    # rows 0 to 1, 2 to 4 and 5; the last column starts in row 5, the longest has 5 entries
    assert by_rows.sram_rows.tolist() == [6]
    assert by_rows.plan.first_row.ravel().tolist() == [2, 1, 4, 7]
    assert by_rows.plan.last_row.ravel().tolist() == [3, 0, 6, 7]
    assert by_rows.pointer_bits == 3 + 3
    assert by_rows.padding_bits.tolist() == [2 * 8]


def test_offsets_of_sub_streams_widen_the_pointer_word():
    # one code and one run: words of one bit each, so entry e of a column is at bit 2 e
    codes = np.ones((20, 1), dtype=np.uint8)
    fields = {"pes": 1, "pointer_bits": 10, "code_bits": 4}
    assert decoded(codes, huffman(**fields)).pointer_bits == 10
    # 5 entries each: offsets 10, 20 and 30 bits
    assert decoded(codes, huffman(sub_streams=4, **fields)).pointer_bits == 10 + 3 * 5
    # 2 or 1 entries each: the last starts at bit 38
    assert decoded(codes, huffman(sub_streams=16, **fields)).pointer_bits == 10 + 15 * 6
    aligned = huffman(sub_streams=4, column_alignment="byte", **fields)
    assert decoded(codes, aligned).pointer_bits == 10 + 3 * 5 + 5


@pytest.mark.parametrize("seed", range(6))
def test_the_software_decoder_reads_what_stands_in_the_sram(seed):
    """Each PE's stream, cut into the four parts that the stored format has."""
    machine = huffman(pes=3 + seed)
    layer = interleave(compressed(random_codes(seed)), machine.pes, machine.run_bits)
    codes, runs = HuffmanDecoder().tables(layer, machine)
    for pe in range(machine.pes):
        part = slice(layer.csc.pe_ptr[pe], layer.csc.pe_ptr[pe + 1])
        code, run = layer.csc.code[part], layer.csc.run[part]
        bits = codes.lengths[code].astype(np.int64) + runs.lengths[run]
        ends = np.append(0, np.cumsum(bits))
        quarter = -(-code.size // 4)
        starts = ends[np.minimum(quarter * np.arange(4), code.size)]
        words, n_bits = pe_stream(layer, pe, machine)
        stream = HuffmanStream(words, starts, n_bits, code.size)
        for ours, theirs in zip(decode_stream(stream, codes, runs), (code, run), strict=True):
            assert_array_equal(ours, theirs)


def test_words_of_a_large_alphabet():
    rng = np.random.default_rng(0)
    counts = symbol_counts(rng.integers(0, 256, 10**4).astype(np.uint8), 2**16)
    counts[rng.integers(0, 2**16, 20_000)] += rng.integers(1, 1000, 20_000)
    table = build_table(counts, 15)
    words = canonical_words(table.lengths)
    assert {s: format(int(table.words[s]), f"0{table.lengths[s]}b") for s in words} == words


def test_more_pairs_than_words_are_refused_with_a_remedy():
    rng = np.random.default_rng(0)
    codes = (rng.integers(1, 256, (2000, 40)) * (rng.random((2000, 40)) < 0.3)).astype(np.uint8)
    fields = {"huffman_alphabet": "joint", "code_bits": 8, "max_code_length": 8}
    with pytest.raises(HardwareError) as error:
        decoded(codes, huffman(**fields))
    message = str(error.value)
    assert "pairs of code and run occur in a layer" in message
    assert "max_code_length=8 has words for 256" in message
    assert "set max_code_length=12 or huffman_alphabet=separate" in message
    assert "\n" not in message
    decoded(codes, huffman(**(fields | {"max_code_length": 12})))
