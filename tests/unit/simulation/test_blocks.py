"""Layers in blocks of columns: where they are cut, and what they cost, by hand and by brute force."""

import numpy as np
import pytest
from exact.stepped import Layer, Machine, lay_out, simulate_stepped
from exact.stepped.layout import encode_layer
from numpy.testing import assert_array_equal

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import append_column, sparse_codes
from accelsim.errors import CapacityError
from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.decoders import decoder_of
from accelsim.hardware.interleave import interleave
from accelsim.hardware.memory import Memories
from accelsim.network.graph import FullyConnected, Graph, Recurrent, Step
from accelsim.simulation.blocks import column_blocks
from accelsim.simulation.mapping import array_rules
from accelsim.simulation.session import Session

# 1 byte per cycle after 128 cycles: 1024 bytes per microsecond at 1024 MHz.
DRAM_TABLE = """
[even]
energy_pj_per_bit = 1.0
energy_source = "round"
bandwidth_gbyte_per_s = 1.024
bandwidth_source = "round"
latency_ns = 125.0
latency_source = "round"
status = "estimate"
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """2 PEs, 2 entries in a row."""
    table = tmp_path_factory.mktemp("tables") / "even.toml"
    table.write_text(DRAM_TABLE)
    return accelerator(
        "eie-64", pes=2, row_bits=16, clock_mhz=1024, dram=str(table), weight_sram_bytes=8
    )


def layer_of(codes, *, bias_codes=None, bias=None, name="fc"):
    sparse = sparse_codes(codes.astype(np.uint8))
    if bias_codes is not None:
        sparse = append_column(sparse, bias_codes.astype(np.uint8))
    return CompressedLayer(
        name=name,
        n_out=codes.shape[0],
        n_in=codes.shape[1],
        activation="none",
        codebook=np.linspace(0, 1, 16, dtype=np.float32),
        sparse=sparse,
        bias_coded=bias_codes is not None,
        bias=bias,
        code_bits=4,
        index_bits=4,
        max_code_length=11,
    )


def full(n_out, n_in, name="fc"):
    return layer_of(np.full((n_out, n_in), 3), name=name)


def sequence(layer, time):
    """A layer on each time step of [time, features]."""
    step = Step(name="step", op=FullyConnected(layer=layer.name), inputs=("x",))
    graph = Graph(inputs={"x": (time, layer.n_in)}, steps=(step,), outputs=("step",))
    return CompressedNetwork("net", (layer,), graph=graph)


# --- by hand ---
# 4 rows over 2 PEs: 2 entries, which are one row of 2 bytes, per column and PE. 8 columns take 8 rows.
# Two columns, broadcast in cycles 2 and 3: popped in 3 and 5, the last entry in 6, drained after 12.


def ran(machine, time, **overrides):
    layer = full(4, 8)
    session = Session(sequence(layer, time), np.ones((time, 8), np.float32))
    return session.run(machine.replace(**overrides))


@pytest.mark.parametrize("time", [1, 4, 20])
def test_four_blocks_by_hand(machine, time):
    """Half of 4 rows: 2 columns, which are one line, to a block."""
    result = ran(machine, time, overflow="blocks")
    (row,) = result.rows
    assert (row["memory"], row["column_blocks"], row["vectors"]) == ("blocks", 4, time)
    assert row["array_cycles"] == 4 * 12 * time
    # 2 PEs x 8 rows of 2 bytes; 9 pointers of 2 bytes.
    n_bytes = 2 * 8 * 2 + 2 * 9 * 2
    part = 128 + n_bytes // 4
    assert row["dram_weight_bytes"] == row["dram_bytes"] == n_bytes
    assert row["cycles"] == part + 3 * max(part, 12 * time) + 12 * time
    # 4 partial sums per vector, written by all blocks but the last and read by all but the first.
    assert row["activation_reads"] == (8 + 3 * 4) * time
    assert row["activation_writes"] == (4 + 3 * 4) * time
    assert row["entries"] == 8 * 4 * time
    assert row["broadcasts"] == 8 * time
    assert row["pointer_reads"] == 2 * 8 * time
    assert row["sram_row_reads"] == 2 * 8 * time


@pytest.mark.parametrize(
    ("sizes", "blocks"),
    [
        ({"weight_sram_bytes": 15}, 4),  # half of 7 rows would hold 3 columns, but lines have 2
        ({"weight_sram_bytes": 16}, 1),  # all fit: no blocks
        ({"pointer_sram_bytes": 12}, 4),  # half of 6 pointers: 2 columns
        ({"pointer_sram_bytes": 17, "weight_sram_bytes": 64}, 4),  # half of 8: 3 columns
        ({"weight_sram_bytes": 14, "pointer_sram_bytes": 20}, 4),  # 3 rows and 5 pointers
    ],
)
def test_whole_lines_that_fit_half(machine, sizes, blocks):
    (row,) = ran(machine, 3, overflow="blocks", **sizes).rows
    assert row["column_blocks"] == blocks


def test_larger_halves_hold_more_lines(machine):
    """16 columns of one row: half of 8 rows are 2 lines, half of 12 and of 15 are 3."""
    layer = full(4, 16)
    session = Session(CompressedNetwork("net", (layer,)), np.ones(16, np.float32))
    for n_bytes, blocks in ((16, 4), (24, 3), (30, 3), (31, 3), (8, 8)):
        (row,) = session.run(machine.replace(weight_sram_bytes=n_bytes, overflow="blocks")).rows
        assert row["column_blocks"] == blocks
    with pytest.raises(CapacityError):
        session.run(machine.replace(weight_sram_bytes=7, overflow="blocks"))


def test_a_row_that_two_blocks_share_counts_for_both(machine):
    """One PE: one entry per column, two in a row of which half the SRAM holds one."""
    one = machine.replace(pes=1, weight_sram_bytes=4, overflow="blocks")
    codes = np.full((1, 6), 3)
    for skipped, blocks in ((None, 3), (0, 3), (1, 3), (5, 3)):
        # Without column 0: 0 1 2 | 3 4 | 5; without 1: 0 1 2 | 3 4 | 5; without 5: 0 1 | 2 3 | 4 5.
        kept = codes.copy()
        if skipped is not None:
            kept[0, skipped] = 0
        network = CompressedNetwork("net", (layer_of(kept),))
        (row,) = Session(network, np.ones(6, np.float32)).run(one).rows
        assert row["column_blocks"] == blocks


def test_a_line_that_does_not_fit_half_is_an_error(machine):
    message = (
        "layer 'fc': not even the columns of one line of 2 activations fit half of the weight SRAM "
        r"\(6 bytes per PE\): set weight_sram_bytes=8$"
    )
    with pytest.raises(CapacityError, match=message):
        ran(machine, 1, overflow="blocks", weight_sram_bytes=6)
    with pytest.raises(CapacityError, match=r"weight_sram_bytes=8 and pointer_sram_bytes=12$"):
        ran(machine, 1, overflow="blocks", weight_sram_bytes=7, pointer_sram_bytes=11)
    with pytest.raises(
        CapacityError, match=r"half of the pointer SRAM .*: set pointer_sram_bytes=12$"
    ):
        ran(machine, 1, overflow="blocks", pointer_sram_bytes=11)
    enough = {"weight_sram_bytes": 8, "pointer_sram_bytes": 12}
    assert ran(machine, 1, overflow="blocks", **enough).rows[0]["column_blocks"] == 4


def test_the_sizes_that_the_error_asks_for_do_for_every_line(machine):
    """The first line is empty, the second one has one entry, the others have 4 per column and PE."""
    codes = np.zeros((8, 12), int)
    codes[0, 2] = codes[:, 4:] = 3
    session = Session(CompressedNetwork("net", (layer_of(codes),)), np.ones(12, np.float32))
    blocks = machine.replace(overflow="blocks", weight_sram_bytes=2)
    with pytest.raises(CapacityError) as error:
        session.run(blocks)
    wanted = int(str(error.value).rpartition("=")[2])
    session.run(blocks.replace(weight_sram_bytes=wanted))
    with pytest.raises(CapacityError):
        session.run(blocks.replace(weight_sram_bytes=wanted - 1))


def test_streaming_many_vectors_is_done_in_blocks_and_one_vector_is_not(machine):
    (one,) = ran(machine, 1, overflow="stream").rows
    assert (one["memory"], one["column_blocks"]) == ("streamed", 1)
    assert one["cycles"] == 128 + one["dram_bytes"]
    many = ran(machine, 4, overflow="stream").rows[0]
    assert many == ran(machine, 4, overflow="blocks").rows[0]


def test_a_cells_matrix_comes_once_per_time_step(machine):
    """An rnn of 8 cells: 8 columns of 2 rows; half of 8 rows are one line of 2 columns."""
    op = Recurrent(cell="rnn", hidden=8, matrices=("u",))
    graph = Graph(
        inputs={"x": (5, 8)},
        steps=(Step(name="cell", op=op, inputs=("x",)),),
        outputs=("cell",),
    )
    network = CompressedNetwork("net", (full(8, 8, "u"),), graph=graph)
    session = Session(network, np.ones((5, 8), np.float32))
    n_bytes = 2 * 16 * 2 + 2 * 9 * 2
    rows = {
        overflow: session.run(machine.replace(weight_sram_bytes=16, overflow=overflow)).rows[0]
        for overflow in ("stream", "blocks", "grow")
    }
    assert rows["stream"]["dram_weight_bytes"] == 5 * n_bytes
    assert (rows["stream"]["memory"], rows["stream"]["column_blocks"]) == ("streamed", 1)
    assert rows["blocks"]["dram_weight_bytes"] == 5 * n_bytes
    assert (rows["blocks"]["memory"], rows["blocks"]["column_blocks"]) == ("blocks", 4)
    assert rows["grow"]["dram_weight_bytes"] == 0
    fitting = machine.replace(weight_sram_bytes=32, weights_in="dram")
    assert session.run(fitting).rows[0]["dram_weight_bytes"] == n_bytes


@pytest.mark.parametrize("clock_mhz", [1024, 1])
def test_a_cells_blocks_come_while_the_array_works_on_the_block_before(machine, clock_mhz):
    """Every block of every time step is one transfer, and only the first one is waited for."""
    time, count = 5, 4
    op = Recurrent(cell="rnn", hidden=8, matrices=("u",))
    graph = Graph(
        inputs={"x": (time, 8)},
        steps=(Step(name="cell", op=op, inputs=("x",)),),
        outputs=("cell",),
    )
    network = CompressedNetwork("net", (full(8, 8, "u"),), graph=graph)
    session = Session(network, np.ones((time, 8), np.float32))
    cut = machine.replace(weight_sram_bytes=16, overflow="blocks", clock_mhz=clock_mhz)
    (row,) = session.run(cut).rows
    assert row["column_blocks"] == count
    cycles_of_byte = clock_mhz / 1024
    n_bytes = 2 * 16 * 2 + 2 * 9 * 2  # once
    if clock_mhz == 1024:  # slow DRAM: all transfers, and then the last block of the last step
        transfers = time * n_bytes * cycles_of_byte
        assert transfers <= row["cycles"] <= transfers + row["array_cycles"] + 128 * count
        assert row["cycles"] < transfers + row["array_cycles"] / count + 128 * count
    else:  # fast DRAM: the first transfer takes a cycle, the others no time of their own
        assert row["cycles"] == row["array_cycles"] + 1


def test_partial_sums_of_outputs_in_dram_go_there_and_back(machine):
    """4 blocks: 4 outputs at each of 4 times are written four times, and read three times."""
    result = ran(machine, 4, overflow="stream", activation_sram_bytes=12)
    (row,) = result.rows
    assert (row["memory"], row["column_blocks"], row["activations_in"]) == ("blocks", 4, "dram")
    inputs, outputs = 4 * 8, 4 * 4
    assert row["dram_activation_bytes"] == 2 * (inputs + (4 + 3) * outputs)
    (fills,) = (
        term.count
        for term in result.layer_results[0].energy
        if term.component == "activation SRAM fill"
    )
    assert fills == inputs + 3 * outputs


def test_outputs_do_not_depend_on_what_does_not_fit(machine):
    results = [
        ran(machine, 6, overflow=overflow) for overflow in ("grow", "blocks", "stream", "chips")
    ]
    for result in results[1:]:
        assert_array_equal(result.outputs, results[0].outputs)
        assert_array_equal(result.outputs_fixed.raw, results[0].outputs_fixed.raw)
    reads = [result.rows[0]["entries"] for result in results]
    assert reads == [reads[0]] * 4


# --- by brute force ---


def rows_touched(columns, first, last, per_row):
    """Weight rows of a PE under columns first .. last - 1, entries one after the other."""
    before = sum(map(len, columns[:first]))
    end = before + sum(map(len, columns[first:last]))
    return len({entry // per_row for entry in range(before, end)})


def fewest(layer, machine, twin):
    """First columns of blocks: each as wide as fits."""
    n_in, pes = layer.codes.shape[1], machine.pes
    of_pes = encode_layer(layer, twin)
    per_row, words_per_row = machine.row_bits // machine.entry_bits, machine.row_bits // 16
    bias_rows = [-(-len(layer.codes[pe::pes]) // words_per_row) for pe in range(pes)]
    bounds = [0]
    while bounds[-1] < n_in:
        best = None
        for end in [*range(bounds[-1] + pes, n_in, pes), n_in]:
            last = end
            if end == n_in and layer.has_bias:
                last = -(-n_in // pes) * pes + 1
            has_words = layer.bias_values is not None and end == n_in
            rows = max(
                rows_touched(columns, bounds[-1], last, per_row) + has_words * more
                for columns, more in zip(of_pes, bias_rows, strict=True)
            )
            fits_rows = rows <= machine.weight_sram_bytes * 8 // machine.row_bits // 2
            pointers = machine.pointer_sram_bytes * 8 // machine.pointer_bits // 2
            if fits_rows and last - bounds[-1] + 1 <= pointers:
                best = end
        if best is None:
            return None
        bounds.append(best)
    return bounds


@pytest.mark.parametrize("seed", range(60))
def test_random_layers_are_cut_into_the_fewest_blocks(seed):
    rng = np.random.default_rng(seed)
    pes, n_out, n_in = (int(n) for n in rng.integers([1, 4, 3], [5, 20, 30]))
    kind = ["none", "coded", "exact"][seed % 3]
    codes = rng.integers(1, 16, (n_out, n_in)) * (rng.random((n_out, n_in)) < rng.random())
    coded = rng.integers(0, 16, n_out) if kind == "coded" else None
    bias = rng.standard_normal(n_out).astype(np.float32) if kind == "exact" else None
    layer = layer_of(codes, bias_codes=coded, bias=bias)
    machine = accelerator(
        "eie-64",
        pes=pes,
        row_bits=int(rng.choice([16, 32, 64])),
        weight_sram_bytes=int(rng.integers(20, 150)),
        pointer_sram_bytes=int(rng.integers(20, 150)),
    )
    twin = Machine(pes=pes, queue_depth=machine.queue_depth, row_bits=machine.row_bits)
    dense = Layer(
        codes.astype(np.uint8),
        layer.codebook,
        None if coded is None else coded.astype(np.uint8),
        bias,
    )
    decoded = decoder_of(machine).decode(interleave(layer, pes, 4), machine)
    memories = Memories(
        machine.weight_sram_bytes, machine.pointer_sram_bytes, 0, 16, frozenset(), ()
    )
    rules = array_rules(machine, layer, decoded)
    bounds = fewest(dense, machine, twin)
    if bounds is None:
        with pytest.raises(CapacityError):
            column_blocks(layer, decoded, memories, machine, rules)
        return
    blocks = column_blocks(layer, decoded, memories, machine, rules)
    assert [0, *(block.columns.stop for block in blocks)] == bounds
    # Each block takes as long as a layer of its columns alone.
    vector = rng.integers(-2, 3, n_in)
    for block in blocks:
        is_last = block.columns.stop == n_in
        alone = Layer(
            dense.codes[:, block.columns],
            dense.codebook,
            dense.bias_codes if is_last else None,
            dense.bias_values if is_last else None,
        )
        part = vector[block.columns]
        expected = simulate_stepped(alone, part.astype(np.float32), twin, lay_out(alone, twin))
        batch = block.array.run_batch(part[None], block.rules)
        assert batch.cycles.tolist() == [expected.cycles]
        assert batch.stall_cycles.tolist() == [expected.stall_cycles]
        assert_array_equal(batch.entries, expected.entries)
        assert_array_equal(batch.padding, expected.padding)
