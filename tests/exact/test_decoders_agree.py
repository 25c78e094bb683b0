"""Every decoder, wherever it stands, on random layers: the fast simulator equals the stepped one."""

from itertools import product
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from accelsim.compression.huffman import decode_stream, stream_from_payload
from accelsim.errors import HardwareError
from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.hardware.decoders import HuffmanDecoder, decoder_of
from accelsim.hardware.interleave import interleave
from accelsim.simulation.session import Session
from exact.agreement import check, stored_bits
from exact.coding import bytes_of
from exact.drawing import (
    DESIGNS,
    Case,
    draw_case,
    draw_machine,
    entries_of,
    has_words_for_all,
    seeded,
    twin_of,
)
from exact.layers import ReferenceRow, layer_of, reference_rows
from exact.stepped import Layer, Machine, lay_out, simulate_stepped
from exact.stepped.encoding import Entry
from exact.stepped.huffman import EntryCode
from exact.stepped.huffman_memory import HuffmanStorage
from exact.stepped.layout import bits_to_say

CASES_EACH = 4
ALIGNMENTS = {
    "inline": ("bit", "byte", "row"),
    "shared": ("bit", "byte", "row"),
    "load": ("bit", "row"),  # those of the fixed entries that the SRAM holds
}
HUFFMAN = [
    {"decoder": "huffman", "decoder_design": design, "huffman_alphabet": alphabet}
    | {"decoder_placement": placement, "column_alignment": alignment}
    for design, alphabet, placement in product(DESIGNS, ("separate", "joint"), ALIGNMENTS)
    for alignment in ALIGNMENTS[placement]
]
PLAIN = [
    {"decoder": decoder, "column_alignment": alignment}
    for decoder, alignment in product(("fixed", "dense"), ("bit", "row"))
]
ROW_BUFFERS = [
    {"decoder": decoder, "row_buffer_rows": rows, "sram_latency_cycles": latency}
    | {"multipliers": multipliers}
    for decoder, rows, latency, multipliers in product(
        ("fixed", "huffman", "dense"), (1, 2, 3), (0, 1, 20), (1, 2)
    )
]
SHARED = [
    {"decoder": "huffman", "decoder_placement": "shared"}
    | {"shared_by": shared_by, "queue_depth": queue_depth}
    for shared_by, queue_depth in product((1, 2, 3, 5, 64), (2, 3, 9))
]


def drawn(wanted: dict[str, Any], number: int, **sizes: Any) -> tuple[Case, Accelerator]:
    """A case and a machine with the wanted fields, whose words suffice; `number` of many."""
    choose = seeded(crc32(f"{wanted} {number}".encode()))
    while True:
        case = draw_case(choose, **sizes)
        machine = draw_machine(choose, case, **wanted)
        if has_words_for_all(case, machine):
            return case, machine


@pytest.mark.parametrize(
    "wanted",
    HUFFMAN + PLAIN + ROW_BUFFERS + SHARED,
    ids=lambda wanted: "-".join(map(str, wanted.values())),
)
def test_decoders_agree_with_the_stepped_machine(wanted: dict[str, Any]) -> None:
    for number in range(CASES_EACH):
        check(*drawn(wanted, number, n_outs=range(1, 100)))


WHERE = [
    {"decoder": "fixed"},
    {"decoder": "dense"},
    *({"decoder": "huffman", "decoder_placement": placement} for placement in ALIGNMENTS),
]


@pytest.mark.parametrize("pes", [63, 64, 65, 130])
@pytest.mark.parametrize("wanted", WHERE, ids=lambda wanted: "-".join(wanted.values()))
def test_large_arrays_agree_with_the_stepped_machine(wanted: dict[str, Any], pes: int) -> None:
    for number in range(2):
        sizes = {"n_outs": range(1, 400), "n_ins": range(1, 30)}
        check(*drawn(wanted | {"pes": pes}, number, **sizes))


@pytest.mark.parametrize("latency", [0, 64])
@pytest.mark.parametrize("wanted", WHERE, ids=lambda wanted: "-".join(wanted.values()))
def test_long_columns_agree_with_the_stepped_machine(wanted: dict[str, Any], latency: int) -> None:
    """Up to 1,200 entries, and 64 cycles for each row: more cycles than 8 or 16 bits can say."""
    for pes in (1, 3):
        limits = {"pes": pes, "row_bits": 16, "row_buffer_rows": 1, "sram_latency_cycles": latency}
        check(*drawn(wanted | limits, 0, n_outs=range(1100, 1200), n_ins=range(1, 5)))


@pytest.mark.parametrize("design", ["bit_serial", "two_level"])
def test_a_column_may_take_more_cycles_than_16_bits_say(design: str) -> None:
    # 25,000 words of 8 bits, with a run of 1 bit each
    codes = np.random.default_rng(0).integers(1, 256, (25_000, 1)).astype(np.uint8)
    case = Case(Layer(codes, np.linspace(0, 1, 256, dtype=np.float32)), np.ones(1, np.float32))
    machine = accelerator(
        "eie-64",
        pes=1,
        code_bits=8,
        decoder="huffman",
        decoder_design=design,
        first_level_bits=4,
        overflow="grow",
    )
    check(case, machine)
    assert case.session.run(machine).rows[0]["cycles"] > 2**16


@pytest.mark.parametrize("pes", [3, 70])
@pytest.mark.parametrize("wanted", WHERE, ids=lambda wanted: "-".join(wanted.values()))
def test_vectors_add_up(wanted: dict[str, Any], pes: int) -> None:
    """Every vector finds queues and row buffers empty."""
    for number in range(3):
        case, machine = drawn(wanted | {"pes": pes}, number)
        n_in = case.layer.codes.shape[1]
        rng = np.random.default_rng(number)
        vectors = (rng.random((7, n_in)) < rng.random((7, 1))).astype(np.float32)
        runs = [simulate_stepped(case.layer, vector, twin_of(machine)) for vector in vectors]
        result = Session(case.session.network, vectors).run(machine)
        (row,) = result.rows
        for name in ("cycles", "broadcasts", "stall_cycles", "pointer_reads", "sram_row_reads"):
            assert row[name] == sum(getattr(run, name) for run in runs)
        counts = result.layer_results[0].pes
        for name in ("entries", "busy_cycles", "starved_cycles", "row_wait_cycles"):
            assert_array_equal(counts[name], sum(getattr(run, name) for run in runs))
        assert_array_equal(
            counts["arbitration_cycles"], sum(run.arbitration_cycles for run in runs)
        )


def test_a_streamed_layer_takes_as_long_as_its_slow_loader() -> None:
    """Bit by bit, through one decoder: longer than the array and the transfer take."""
    codes = np.random.default_rng(0).integers(1, 16, (60, 60)).astype(np.uint8)
    case = Case(Layer(codes, np.arange(16, dtype=np.float32)), np.ones(60, dtype=np.float32))
    machine = accelerator(
        "eie-64",
        pes=4,
        decoder="huffman",
        decoder_placement="load",
        decoder_design="bit_serial",
        weights_in="dram",
    )
    twin = twin_of(machine)
    layout = lay_out(case.layer, twin)
    (row,) = case.session.run(machine).rows
    array_cycles = simulate_stepped(case.layer, case.activations, twin, layout).cycles
    assert layout.loaded is not None
    assert array_cycles < layout.loaded.cycles
    assert row["array_cycles"] == array_cycles
    assert row["cycles"] == row["load_cycles"] == layout.loaded.cycles
    # streams, lengths of 16 codes and 16 runs, and 61 pointers of 16 bits in each of 4 PEs
    assert layout.streams is not None
    stream_bits = sum(len(stream.bits) for stream in layout.streams)
    assert row["dram_weight_bytes"] == -(-(stream_bits + 4 * 32) // 8) + 4 * 61 * 2


# --- what a decoder is made of ---


def expected_tables(
    code: EntryCode, entries: set[Entry], machine: Accelerator
) -> list[tuple[int, int]]:
    """Words and width of each table, by docs/machine.md; all designs but `two_level`."""
    widths = {1: [machine.entry_bits], 2: [machine.code_bits, machine.run_bits]}
    parts = list(zip(code.alphabets, widths[len(code.alphabets)], strict=True))
    length_bits = 4
    all_words = [(2 ** max(1, part.longest), width + length_bits) for part, width in parts]
    if machine.decoder_design == "multi_symbol":
        k, w = machine.entries_per_cycle, machine.window_bits
        window = 2**w, k * machine.entry_bits + bits_to_say(k) + bits_to_say(w)
        is_escape = any(len(code.word(entry)) > w for entry in entries)
        return [window, *(all_words if is_escape else [])]
    if machine.decoder_design != "bit_serial":
        return all_words
    tables = []
    for part, width in parts:
        longest, symbols = max(1, part.longest), max(1, len(part.lengths))
        tables += [(longest, longest + bits_to_say(symbols - 1)), (symbols, width)]
    return tables


@pytest.mark.parametrize("placement", ALIGNMENTS)
@pytest.mark.parametrize("design", [name for name in DESIGNS if name != "two_level"])
def test_tables_are_as_large_as_the_words_ask(design: str, placement: str) -> None:
    wanted = {"decoder": "huffman", "decoder_design": design, "decoder_placement": placement}
    for number in range(8):
        case, machine = drawn(wanted, number)
        layer = interleave(case.compressed, machine.pes, machine.run_bits)
        unit = decoder_of(machine).decode(layer, machine).unit
        code = lay_out(case.layer, twin_of(machine)).entry_code
        assert code is not None
        tables = [(table.words, table.width_bits) for table in unit.tables]
        assert tables == expected_tables(code, entries_of(case, machine), machine)
        decoders = {"inline": machine.pes}.get(placement, -(-machine.pes // machine.shared_by))
        assert unit.instances == decoders * machine.sub_streams


def test_second_tables_are_as_large_as_the_words_behind_them_ask() -> None:
    wanted = {"decoder": "huffman", "decoder_design": "two_level", "first_level_bits": 2}
    for number in range(30):
        case, machine = drawn(wanted, number)
        layer = interleave(case.compressed, machine.pes, machine.run_bits)
        unit = decoder_of(machine).decode(layer, machine).unit
        words = {table.name: table.words for table in unit.tables}
        code = lay_out(case.layer, twin_of(machine)).entry_code
        assert code is not None
        names = ["pairs"] if machine.huffman_alphabet == "joint" else ["codes", "runs"]
        for alphabet, name in zip(code.alphabets, names, strict=True):
            assert words[name] == 2 ** max(1, min(2, alphabet.longest))
            second = alphabet.two_level_tables(2).second
            assert words.get(f"{name}, second level", 0) == sum(map(len, second.values()))


# --- pairs that have no word ---


@pytest.mark.parametrize("placement", ALIGNMENTS)
def test_more_pairs_than_words_are_refused_in_one_line(placement: str) -> None:
    # 17 x 16 pairs of code and run and more; 256 words of 8 bits
    rng = np.random.default_rng(0)
    codes = np.where(rng.random((400, 30)) < 0.2, rng.integers(1, 256, (400, 30)), 0)
    case = Case(
        Layer(codes.astype(np.uint8), np.arange(256, dtype=np.float32)), np.ones(30, np.float32)
    )
    machine = accelerator(
        "eie-64",
        pes=2,
        code_bits=8,
        row_bits=64,
        decoder="huffman",
        decoder_placement=placement,
        huffman_alphabet="joint",
        max_code_length=8,
        overflow="grow",
    )
    assert len(entries_of(case, machine)) > 256
    with pytest.raises(HardwareError, match=r"max_code_length=1\d") as raised:
        case.session.run(machine)
    assert "\n" not in str(raised.value)


# --- streams ---


def software_decoded(
    bits: str, n_entries: int, code: EntryCode, tables: tuple[Any, ...]
) -> list[Entry]:
    """What the decoder of compressed files reads in some bits.

    It takes four parts of ceil(n / 4) entries; the twin's words tell where they start.
    """
    quarter = -(-n_entries // 4)
    starts, position = [0, 0, 0, 0], 0
    for number in range(n_entries):
        if number % quarter == 0:
            starts[number // quarter] = position
        for alphabet in code.alphabets:
            found = alphabet.first_in(bits[position:])
            assert found is not None
            position += found[1]
    first_empty = -(-n_entries // quarter)
    starts[first_empty:] = [len(bits)] * (4 - first_empty)
    payload = np.array(bytes_of(bits), dtype=np.uint8)
    stream = stream_from_payload(payload, np.array(starts), len(bits), n_entries)
    codes, runs = decode_stream(stream, *tables)
    return [Entry(*pair) for pair in zip(codes.tolist(), runs.tolist(), strict=True)]


def hardware_decoded(storage: HuffmanStorage, column: int) -> list[tuple[str, list[Entry]]]:
    """The bits that each of the twin's decoders goes through in a column, and what it makes of them."""
    decoded = []
    for decoder in storage.open(column).decoders:
        start = decoder.stream.position
        entries: list[Entry] = []
        while not decoder.stream.is_finished():
            entries += decoder.step()
        decoded.append((storage.bits[start : decoder.stream.position], entries))
    return decoded


@pytest.mark.parametrize("alignment", ["bit", "byte", "row"])
@pytest.mark.parametrize("design", DESIGNS)
def test_hardware_reads_in_the_stored_stream_what_software_reads(
    design: str, alignment: str
) -> None:
    wanted = {"decoder": "huffman", "decoder_placement": "inline", "decoder_design": design}
    wanted |= {"column_alignment": alignment, "huffman_alphabet": "separate"}
    for number in range(4):
        case, machine = drawn(wanted, number)
        interleaved = interleave(case.compressed, machine.pes, machine.run_bits)
        tables = HuffmanDecoder().tables(interleaved, machine)
        for pe, storage in enumerate(lay_out(case.layer, twin_of(machine)).weights):
            assert isinstance(storage, HuffmanStorage)
            storage.bits = stored_bits(interleaved, pe, machine)
            for column in range(len(storage.pointers)):
                for bits, entries in hardware_decoded(storage, column):
                    if entries:
                        assert software_decoded(bits, len(entries), storage.code, tables) == entries


# --- the published simulator ---


SMALL_ROWS = [row for row in reference_rows() if row.recipe and row.cycles < 1000]


@pytest.mark.parametrize("row", SMALL_ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize(
    "fields",
    [
        {"decoder": "huffman", "decoder_design": "pair"},
        {"decoder": "huffman", "huffman_alphabet": "joint", "decoder_design": "one_symbol"},
        {"decoder": "huffman", "decoder_placement": "load", "decoder_design": "bit_serial"},
        {"decoder": "huffman", "decoder_placement": "shared", "shared_by": 1},
    ],
    ids=lambda fields: "-".join(str(value) for value in fields.values()),
)
def test_a_decoder_of_an_entry_per_cycle_keeps_the_published_cycles(
    row: ReferenceRow, fields: dict[str, Any]
) -> None:
    layer = layer_of(row)
    case = Case(Layer(layer.codes, layer.codebook, layer.bias_codes), layer.activations)
    size = {"pes": row.pes, "queue_depth": row.queue_depth, "row_bits": 8 * row.row_entries}
    stepped = simulate_stepped(case.layer, case.activations, Machine(**size, **fields))
    assert stepped.cycles == row.cycles
    machine = accelerator("eie-64", overflow="grow", **size, **fields)
    (got,) = case.session.run(machine).rows
    assert got["cycles"] == row.cycles
    assert got["pointer_reads"] == row.pointer_reads
