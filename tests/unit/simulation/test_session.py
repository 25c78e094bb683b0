import dataclasses
import json

import numpy as np
import pytest
from exact.stepped import fixed_point_output
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import append_column, sparse_codes
from accelsim.errors import (
    CapacityError,
    InputError,
    NetworkError,
    TechnologyError,
)
from accelsim.hardware.accelerator import HUFFMAN_FIELDS, Accelerator, accelerator
from accelsim.hardware.technology import TABLES
from accelsim.network.layers import Layer, Network
from accelsim.simulation.network import open_session, simulate
from accelsim.simulation.session import Session

MACHINE = accelerator("eie-64", pes=4, overflow="grow")
CODE_BITS = 3


def draw_codes(n_out, n_in, seed, density=0.4):
    rng = np.random.default_rng(seed)
    kept = rng.random((n_out, n_in)) < density
    return np.where(kept, rng.integers(1, 2**CODE_BITS, (n_out, n_in)), 0).astype(np.uint8)


def make_layer(name, n_out, n_in, seed, *, bias="coded", activation="relu", codebook=None):
    rng = np.random.default_rng([seed, 1])
    sparse = sparse_codes(draw_codes(n_out, n_in, seed))
    if bias == "coded":
        sparse = append_column(sparse, draw_codes(n_out, 1, seed + 1000)[:, 0])
    if codebook is None:
        codebook = np.append(0, rng.standard_normal(2**CODE_BITS - 1)).astype(np.float32)
    return CompressedLayer(
        name=name,
        n_out=n_out,
        n_in=n_in,
        activation=activation,
        codebook=codebook,
        sparse=sparse,
        bias_coded=bias == "coded",
        bias=rng.standard_normal(n_out).astype(np.float32) if bias == "exact" else None,
        code_bits=CODE_BITS,
        index_bits=4,
        max_code_length=11,
    )


@pytest.fixture(scope="module")
def network():
    """20 -> 30 -> 17 -> 6, with each kind of bias."""
    return CompressedNetwork(
        "net",
        (
            make_layer("a", 30, 20, seed=1),
            make_layer("b", 17, 30, seed=2, bias="exact"),
            make_layer("c", 6, 17, seed=3, bias=None, activation="none"),
        ),
    )


@pytest.fixture(scope="module")
def vector():
    values = np.random.default_rng(9).exponential(size=20).astype(np.float32)
    values[::3] = 0
    return values


def codes_of(layer):
    """Dense codes uint8[n_out, n_in], and those of the bias or None."""
    n_cols = layer.sparse.col_ptr.size - 1
    codes = np.zeros((layer.n_out, n_cols), dtype=np.uint8)
    columns = np.repeat(np.arange(n_cols), np.diff(layer.sparse.col_ptr))
    codes[layer.sparse.rows, columns] = layer.sparse.codes
    return codes[:, : layer.n_in], codes[:, -1] if layer.bias_coded else None


def most_frac_bits(largest, bits):
    """Most fraction bits, 30 at most, with which `largest` fits."""
    frac = 30
    while np.rint(float(largest) * 2.0**frac) > 2 ** (bits - 1) - 1:
        frac -= 1
    return frac


def partial_sums(layer, values):
    """float32[n_cols, n_out]: sums after each column, the bias last."""
    steps = layer.dense_weights() * values
    if layer.bias_values() is not None:
        steps = np.column_stack([steps, layer.bias_values()])
    return np.cumsum(steps, axis=1, dtype=np.float32).T


def float_chain(network, values):
    """Outputs and the largest partial sum per layer, in float32."""
    outputs, peaks = [], []
    for layer in network.layers:
        sums = partial_sums(layer, values)
        peaks.append(np.abs(sums).max())
        values = np.maximum(sums[-1], 0) if layer.activation == "relu" else sums[-1]
        outputs.append(values)
    return outputs, peaks


def fixed_chain(network, values, bits, out_fracs):
    """Python integers: each layer's ReLU output, in fixed point, is the next one's input."""
    frac = most_frac_bits(np.abs(values).max(), bits)
    values = np.rint(values.astype(np.float64) * 2.0**frac).astype(int).tolist()
    outputs = []
    for layer, out_frac in zip(network.layers, out_fracs, strict=True):
        codes, bias_codes = codes_of(layer)
        weight_frac = most_frac_bits(np.abs(layer.codebook).max(), bits)
        inputs = [value * 2.0**-frac for value in values]  # exact in float64
        values = fixed_point_output(
            codes,
            bias_codes,
            layer.bias,
            layer.codebook,
            inputs,
            frac,
            weight_frac,
            out_frac,
            bits,
        )
        if layer.activation == "relu":
            values = [max(value, 0) for value in values]
        outputs.append(values)
        frac = out_frac
    return outputs


def same(result, other):
    """Whether two results agree in everything that they tell."""
    assert result.as_dict() == other.as_dict()
    assert result.memories == other.memories
    assert_array_equal(result.outputs, other.outputs)
    assert_array_equal(result.outputs_fixed.raw, other.outputs_fixed.raw)
    assert result.outputs_fixed[1:] == other.outputs_fixed[1:]
    for layer, theirs in zip(result.layer_results, other.layer_results, strict=True):
        assert layer.pes.keys() == theirs.pes.keys()
        for name, counts in layer.pes.items():
            assert_array_equal(counts, theirs.pes[name])


# --- data flow ---


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("given_frac", [None, 0, 8, 30])
def test_each_layer_runs_on_the_fixed_point_output_of_the_one_before(
    network, vector, bits, given_frac
):
    _, peaks = float_chain(network, vector)
    out_fracs = [most_frac_bits(peak, bits) if given_frac is None else given_frac for peak in peaks]
    machine = MACHINE.replace(arithmetic_bits=bits, activation_frac_bits=given_frac)
    result = Session(network, vector).run(machine)
    chain = fixed_chain(network, vector, bits, out_fracs)
    assert result.outputs_fixed.raw.tolist() == chain[-1]
    assert [row["output_frac_bits"] for row in result.rows] == out_fracs
    # What a layer broadcasts is what the fixed-point output before it left.
    active = [np.count_nonzero(values) for values in chain[:-1]]
    broadcasts = [row["broadcasts"] for row in result.rows]
    assert broadcasts[1:] == [active[0] + 1, active[1]]


def test_float_outputs_are_those_of_a_plain_chain(network, vector):
    outputs, _ = float_chain(network, vector)
    result = Session(network, vector).run(MACHINE)
    assert result.outputs.dtype == np.float32
    assert_allclose(result.outputs, outputs[-1], rtol=1e-4, atol=1e-5)
    step = 2.0**-result.outputs_fixed.frac_bits
    assert_allclose(result.outputs_fixed.to_float(), outputs[-1], atol=200 * step)


def test_values_do_not_depend_on_the_array(network, vector):
    session = Session(network, vector)
    results = [session.run(MACHINE.replace(pes=pes, decoder=d)) for pes, d in CHOICES]
    for result in results[1:]:
        assert_array_equal(result.outputs, results[0].outputs)
        assert_array_equal(result.outputs_fixed.raw, results[0].outputs_fixed.raw)


CHOICES = [(1, "fixed"), (7, "huffman"), (64, "dense")]


def test_softmax_at_the_end_is_the_hosts(network, vector):
    last = make_layer("c", 6, 17, seed=3, bias=None, activation="softmax")
    with_softmax = CompressedNetwork("net", (*network.layers[:-1], last))
    for values in (vector, np.stack([vector, 2 * vector])):
        plain = Session(network, values).run(MACHINE)
        result = Session(with_softmax, values).run(MACHINE)
        expected = softmax(plain.outputs.astype(np.float64), axis=-1)
        assert_allclose(result.outputs, expected, rtol=1e-5, atol=1e-30)
        assert_allclose(result.outputs.sum(axis=-1), 1, rtol=1e-6)
        assert_array_equal(result.outputs_fixed.raw, plain.outputs_fixed.raw)


def test_softmax_of_large_values_does_not_overflow():
    layer = make_layer(
        "a", 5, 4, seed=1, activation="softmax", codebook=np.full(8, 1e30, np.float32)
    )
    layer.codebook[0] = 0
    outputs = Session(CompressedNetwork("net", (layer,)), np.ones(4)).run(MACHINE).outputs
    assert np.isfinite(outputs).all()
    assert outputs.sum() == pytest.approx(1)


# --- traces and batches ---


def trace_of(network, batch=()):
    rng = np.random.default_rng(4)
    return {
        layer.name: rng.exponential(size=(*batch, layer.n_in)).astype(np.float32)
        for layer in network.layers
    }


def test_a_trace_gives_each_layer_its_own_input(network):
    trace = trace_of(network)
    result = Session(network, trace).run(MACHINE)
    for layer, row in zip(network.layers, result.rows, strict=True):
        alone = Session(CompressedNetwork("one", (layer,)), trace[layer.name]).run(MACHINE)
        for count in ("cycles", "broadcasts", "stall_cycles", "entries", "sram_row_reads"):
            assert row[count] == alone.rows[0][count]
    assert_array_equal(result.outputs, alone.outputs)
    assert_array_equal(result.outputs_fixed.raw, alone.outputs_fixed.raw)


def test_a_layer_that_the_trace_leaves_out_runs_on_the_layer_before_it(network):
    trace = trace_of(network)
    part = {name: trace[name] for name in ("a", "c")}
    whole = Session(network, part).run(MACHINE)
    chained = Session(network, trace["a"]).run(MACHINE)
    last = Session(network, trace).run(MACHINE)
    assert whole.rows[1] == chained.rows[1]
    assert whole.rows[2] == last.rows[2]
    assert_array_equal(whole.outputs, last.outputs)


def test_the_networks_own_activations_are_used_and_can_be_replaced(network, vector):
    own = CompressedNetwork("net", network.layers, activations={"a": vector})
    same(Session(own).run(MACHINE), Session(network, vector).run(MACHINE))
    same(Session(own, 2 * vector).run(MACHINE), Session(network, 2 * vector).run(MACHINE))


@pytest.mark.parametrize("overflow", ["grow", "stream"])
def test_a_batch_is_the_sum_of_its_vectors(network, overflow):
    rng = np.random.default_rng(5)
    batch = rng.exponential(size=(3, 20)).astype(np.float32) * (rng.random((3, 20)) < 0.6)
    batch[:, 0] = 16  # the same largest value gives each vector the same fraction bits
    machine = MACHINE.replace(activation_frac_bits=6, overflow=overflow, weight_sram_bytes=40)
    together = Session(network, batch).run(machine)
    single = [Session(network, vector).run(machine) for vector in batch]
    sums = (
        "cycles",
        "array_cycles",
        "pointer_reads",
        "sram_row_reads",
        "broadcasts",
        "stall_cycles",
        "entries",
        "padding_entries",
        "saturated_additions",
        "dram_bytes",
        "vectors",
    )
    for index, row in enumerate(together.rows):
        for count in sums:
            assert row[count] == sum(one.rows[index][count] for one in single), count
        assert row["energy_pj"] == pytest.approx(
            sum(one.rows[index]["energy_pj"] for one in single)
        )
        for name, counts in together.layer_results[index].pes.items():
            assert_array_equal(counts, sum(one.layer_results[index].pes[name] for one in single))
    assert together.outputs.shape == (3, 6)
    assert_array_equal(together.outputs, [one.outputs for one in single])
    assert_array_equal(together.outputs_fixed.raw, [one.outputs_fixed.raw for one in single])


def test_a_batch_of_one_keeps_its_axis(network, vector):
    result = Session(network, vector[None]).run(MACHINE)
    assert result.outputs.shape == result.outputs_fixed.raw.shape == (1, 6)
    assert Session(network, vector).run(MACHINE).outputs.shape == (6,)


def test_a_trace_with_one_batch_has_a_batch_of_outputs(network):
    trace = trace_of(network)
    result = Session(network, trace | {"a": trace["a"][None]}).run(MACHINE)
    assert_array_equal(result.outputs, Session(network, trace).run(MACHINE).outputs[None])


def test_independent_layers_take_their_own_inputs_only():
    layers = (make_layer("x", 5, 8, seed=1), make_layer("y", 9, 4, seed=2))
    network = CompressedNetwork("set", layers, chained=False)
    result = Session(network, {"x": np.ones((2, 8)), "y": np.ones(4)}).run(MACHINE)
    assert [row["vectors"] for row in result.rows] == [2, 1]
    drawn = Session(network, {"x": np.ones(8)})
    assert [note for note in drawn.notes if "layer 'y'" in note and "drawn" in note]


# --- forms of input ---


def forms_of(vector, folder):
    np.save(folder / "x.npy", vector)
    np.savez(folder / "inputs.npz", inputs=vector, other=np.ones(3))
    np.savez(folder / "activations.npz", activations=vector)
    np.savez(folder / "layer.npz", a=vector, unrelated=np.ones(3))
    return {
        "list": vector.tolist(),
        "float64": vector.astype(np.float64),
        "mapping": {"inputs": vector},
        "by layer": {"a": vector},
        "npy": folder / "x.npy",
        "npy as text": str(folder / "x.npy"),
        "npz inputs": folder / "inputs.npz",
        "npz activations": str(folder / "activations.npz"),
        "npz by layer": folder / "layer.npz",
    }


def test_every_form_of_input_means_the_same(network, vector, tmp_path):
    expected = Session(network, vector).run(MACHINE)
    for form, activations in forms_of(vector, tmp_path).items():
        result = Session(network, activations).run(MACHINE)
        assert_array_equal(result.outputs, expected.outputs, err_msg=form)
        assert result.rows == expected.rows, form


def test_a_batch_of_whole_numbers_is_an_input(network):
    pixels = np.arange(40, dtype=np.uint8).reshape(2, 20)
    assert Session(network, pixels).run(MACHINE).outputs.shape == (2, 6)


def test_without_an_input_a_dense_one_is_drawn_and_said_so(network):
    one, again, other = (Session(network, seed=seed).run(MACHINE) for seed in (3, 3, 4))
    assert one.rows[0]["activation_density_frac"] == 1
    note = "layer 'a': no input was given, so a dense one was drawn (seed 3)"
    assert [n for n in one.notes if "drawn" in n] == [note]
    same(one, again)
    assert not np.array_equal(one.outputs, other.outputs)
    assert one.provenance["seed"] == 3


@pytest.mark.parametrize(
    ("activations", "message"),
    [
        (np.ones(19), r"layer 'a' have shape \(19,\): give \[20\] or \[batch, 20\]"),
        (np.ones((2, 3, 20)), "have shape"),
        (np.ones((0, 20)), "have shape"),
        (np.float32(1), "have shape"),
        (np.full(20, np.nan), "20 of 20 values are NaN"),
        (np.full(20, 1e39), "beyond float32"),
        (np.ones(20, dtype=complex), "give real numbers"),
        ({"z": np.ones(20)}, "'z': no such layer; the layers are a, b, c"),
        ({"a": np.ones((2, 20)), "b": np.ones(30)}, "batches differ"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(network, activations, message):
    with pytest.raises(NetworkError, match=message):
        Session(network, activations)


def test_a_seed_below_zero_is_refused(network):
    with pytest.raises(InputError, match="seed=-1: give a whole number of 0 or more"):
        Session(network, seed=-1)


def test_a_trace_without_a_known_name_is_refused_with_what_it_holds(network, tmp_path):
    path = tmp_path / "trace.npz"
    np.savez(path, x=np.ones(20), y=np.ones(20))
    with pytest.raises(NetworkError, match=r"trace\.npz: holds x, y: .*\(a, b, c\)"):
        Session(network, path)


# --- one session, many machines ---

OTHER_VALUES = {
    "name": "mine",
    "pes": 7,
    "queue_depth": 2,
    "row_bits": 100,
    "code_bits": 6,
    "run_bits": 1,
    "pointer_bits": 24,
    "arithmetic_bits": 32,
    "activation_frac_bits": 3,
    "clock_mhz": 123.5,
    "decoder": "huffman",
    "decoder_placement": "shared",
    "decoder_design": "multi_symbol",
    "huffman_alphabet": "joint",
    "bits_per_cycle": 3,
    "first_level_bits": 3,
    "entries_per_cycle": 3,
    "window_bits": 7,
    "sub_streams": 2,
    "shared_by": 2,
    "column_alignment": "row",
    "multipliers": 2,
    "row_buffer_rows": 3,
    "sram_latency_cycles": 2,
    "weights_in": "dram",
    "vector_lanes": 3,
    "max_code_length": 8,
    "weight_sram_bytes": 40,
    "pointer_sram_bytes": 20,
    "activation_sram_bytes": 10,
    "overflow": "stream",
    "technology": None,  # a path, see below
    "dram": "hbm2",
    "dram_energy": "commands",
}
BASES = [
    {},
    {"decoder": "huffman"},
    {"decoder": "dense"},
    {"weights_in": "dram"},
    {"weight_sram_bytes": 40, "pointer_sram_bytes": 20, "activation_sram_bytes": 10},
]


def test_each_field_has_a_case_here():
    assert set(OTHER_VALUES) == set(Accelerator.model_fields)


@pytest.mark.parametrize("base", BASES, ids=lambda base: "-".join(map(str, base.values())))
def test_a_session_gives_what_a_fresh_one_does(network, tmp_path, base):
    """Whatever field changes from one run to the next, and back again."""
    table = (TABLES / "45nm.toml").read_text(encoding="utf-8")
    own = tmp_path / "own.toml"
    own.write_text(table.replace("node_nm = 45", "node_nm = 65"), encoding="utf-8")
    batch = np.random.default_rng(5).exponential(size=(2, 20)).astype(np.float32)
    first = MACHINE.replace(**base)
    session = Session(network, batch)
    at_first = Session(network, batch).run(first)
    same(session.run(first), at_first)
    for field, value in OTHER_VALUES.items():
        huffman = {"decoder": "huffman"} if field in HUFFMAN_FIELDS else {}
        changed = {field: str(own) if field == "technology" else value}
        machine = first.replace(**changed, **huffman)
        same(session.run(machine), Session(network, batch).run(machine))
    same(session.run(first), at_first)
    session.forget_layouts()
    same(session.run(first), at_first)


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("pes", "cycles"),
        ("queue_depth", "stall_cycles"),
        ("row_bits", "sram_row_reads"),
        ("run_bits", "padding_entries"),
        ("clock_mhz", "latency_us"),
        ("activation_frac_bits", "output_frac_bits"),
        ("arithmetic_bits", "output_frac_bits"),
        ("pointer_bits", "energy_pj"),
        ("decoder", "sram_row_reads"),
        ("weights_in", "dram_bytes"),
    ],
)
def test_each_field_matters(network, vector, field, column):
    machine = MACHINE.replace(**{field: OTHER_VALUES[field]})
    before, after = (Session(network, vector).run(m).rows for m in (MACHINE, machine))
    assert [row[column] for row in before] != [row[column] for row in after]


def test_the_longest_word_matters_and_does_not_leak():
    """Counts like Fibonacci's make the best code as deep as it can be: 11 bits for 12 codes."""
    counts = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144]
    codes = np.random.default_rng(0).permutation(np.repeat(np.arange(1, 13), counts))
    layer = dataclasses.replace(
        make_layer("a", 47, 8, seed=1, bias=None),
        sparse=sparse_codes(codes.reshape(47, 8).astype(np.uint8)),
        codebook=np.arange(16, dtype=np.float32),
        code_bits=4,
    )
    session = Session(CompressedNetwork("net", (layer,)), np.ones(8))
    machine = MACHINE.replace(pes=1, decoder="huffman", row_bits=16)
    table_read_pj = {}
    for longest in (8, 11, 15):
        result = session.run(machine.replace(max_code_length=longest))
        same(result, Session(session.network, np.ones(8)).run(result.machine))
        (tables,) = (t for t in result.layer_results[0].energy if t.component == "Huffman tables")
        table_read_pj[longest] = tables.energy_per_action_pj
    assert table_read_pj[8] < table_read_pj[11] == table_read_pj[15]


def test_a_failed_run_leaves_the_session_usable(network, vector):
    session = Session(network, vector)
    with pytest.raises(CapacityError):
        session.run(MACHINE.replace(weight_sram_bytes=1, overflow="error"))
    with pytest.raises(TechnologyError):
        session.run(MACHINE.replace(row_bits=1000))
    same(session.run(MACHINE), Session(network, vector).run(MACHINE))


def test_the_inputs_of_a_session_are_not_written_to(network, vector):
    before = vector.copy()
    Session(network, vector).run(MACHINE)
    assert_array_equal(vector, before)


def test_entries_are_as_wide_as_the_networks_codes(network, vector):
    """The network has 3-bit codes: with 4-bit runs, 16-bit rows hold two entries, not three of 5."""
    machine = MACHINE.replace(row_bits=16, overflow="grow")
    narrow = Session(network, vector).run(machine.replace(code_bits=1))
    fitting = Session(network, vector).run(machine.replace(code_bits=3))
    (note,) = [note for note in narrow.notes if "codes" in note]
    assert "has 3-bit codes" in note
    assert "1-bit ones: entries are 3 + 4 bits" in note
    assert narrow.machine.code_bits == 3
    assert [row["sram_row_reads"] for row in narrow.rows] == [
        row["sram_row_reads"] for row in fitting.rows
    ]


def test_narrower_codes_than_the_machine_reads_are_fine(network, vector):
    wide, narrow = (Session(network, vector).run(MACHINE.replace(code_bits=b)) for b in (8, 3))
    assert [row["cycles"] for row in wide.rows] == [row["cycles"] for row in narrow.rows]


# --- the public way ---


def test_a_dense_network_is_compressed_for_the_machine_and_said_so():
    weights = np.random.default_rng(0).standard_normal((9, 20)).astype(np.float32)
    network = Network("net", (Layer("a", weights),), activations={"a": np.ones(20, np.float32)})
    result = simulate(network, pes=4, code_bits=2)
    assert result.notes[0].startswith("the network was not compressed: its weights now share 2-bit")
    session = open_session(network, None, accelerator("eie-64", code_bits=2))
    assert np.unique(session.network.layers[0].dense_weights()).size <= 3
    same(result, session.run(accelerator("eie-64", pes=4, code_bits=2)))


def test_a_shape_only_network_is_drawn_and_said_so():
    layer = Layer("a", n_out=40, n_in=30, weight_density=0.2, activation_density=0.5)
    result = simulate(Network("net", (layer,)), pes=4)
    assert any("synthetic" in note for note in result.notes)
    assert not any("not compressed" in note for note in result.notes)
    assert result.rows[0]["activation_density_frac"] == pytest.approx(0.5, abs=0.2)


# --- what a result tells ---


def test_timeline_is_one_layer_after_the_other(network, vector):
    result = Session(network, vector).run(MACHINE)
    cycles = [row["cycles"] for row in result.rows]
    assert result.timeline["layer"].tolist() == ["a", "b", "c"]
    ends = np.cumsum(cycles) / 800
    assert_allclose(result.timeline["end_us"], ends)
    assert_allclose(result.timeline["start_us"], [0, *ends[:-1]], atol=1e-12)
    assert result.total["latency_us"] == pytest.approx(ends[-1])
    assert result.total["cycles"] == sum(cycles)


def test_tables_agree_with_each_other(network, vector):
    result = Session(network, vector).run(MACHINE)
    assert result.layers["name"].tolist() == ["a", "b", "c"]
    pes = result.pes
    assert len(pes) == 3 * MACHINE.pes
    per_layer = pes.groupby("layer")[["busy_cycles", "sram_row_reads", "padding_entries"]].sum()
    for row in result.rows:
        assert per_layer.loc[row["name"], "busy_cycles"] == row["entries"]
        assert per_layer.loc[row["name"], "sram_row_reads"] == row["sram_row_reads"]
        assert per_layer.loc[row["name"], "padding_entries"] == row["padding_entries"]
    energy = result.energy.groupby("layer")["energy_pj"].sum()
    assert_allclose(energy[["a", "b", "c"]], result.layers["energy_pj"])


def test_as_dict_goes_into_json_and_back(network, vector):
    told = Session(network, vector).run(MACHINE).as_dict()
    back = json.loads(json.dumps(told))
    assert back["cycles"] == told["cycles"]
    assert back["machine"] == MACHINE.model_dump()
    assert [row["name"] for row in back["layers"]] == ["a", "b", "c"]


def test_a_clean_run_has_no_notes(network, vector):
    assert Session(network, vector).run(MACHINE.replace(clock_mhz=100)).notes == ()


def test_srams_that_the_clock_outruns_are_noted_by_the_slowest(network, vector):
    (note,) = Session(network, vector).run(MACHINE).notes
    assert note == (
        "weight SRAM: energy is of low-power cells that cycle in 1.65 ns; "
        "timing assumes the clock's 1.25 ns"
    )
    just_in_time = MACHINE.replace(clock_mhz=1000 / 1.66)
    assert Session(network, vector).run(just_in_time).notes == ()
    tables = MACHINE.replace(decoder="huffman", weight_sram_bytes=512, pointer_sram_bytes=2**20)
    (note,) = Session(network, vector).run(tables.replace(overflow="stream")).notes
    assert note.startswith("pointer SRAM: energy is of low-power cells")


def test_inputs_that_round_to_zero_are_noted_and_not_broadcast(network):
    values = np.full(20, 1, dtype=np.float32)
    values[:4] = 1e-7
    result = Session(network, values).run(MACHINE)
    assert "layer 'a': 4 of the inputs round to zero in fixed point" in result.notes
    assert result.rows[0]["broadcasts"] == 16 + 1
    wide = Session(network, values).run(MACHINE.replace(arithmetic_bits=32))
    assert wide.rows[0]["broadcasts"] == 20 + 1


def test_additions_that_saturate_are_noted(network, vector):
    result = Session(network, vector).run(MACHINE.replace(activation_frac_bits=15))
    assert result.rows[0]["saturated_additions"] > 0
    count = result.rows[0]["saturated_additions"]
    assert f"layer 'a': {count} additions saturated" in result.notes


def test_grown_memories_are_noted(network, vector):
    result = Session(network, vector).run(MACHINE.replace(pointer_sram_bytes=20))
    assert result.memories.grown == ("pointer",)
    # The widest layer has 30 inputs and a bias over 4 PEs: the bias column is the 33rd.
    assert result.memories.pointer_bytes == 34 * 2
    assert "pointer SRAM grown to 68 bytes per PE (overflow=grow)" in result.notes


def test_all_zero_inputs_cost_the_bias_only(network):
    result = Session(network, np.zeros(20)).run(MACHINE)
    assert [row["broadcasts"] for row in result.rows[:1]] == [1]
    zero = CompressedNetwork("net", (make_layer("c", 6, 17, seed=3, bias=None),))
    (row,) = Session(zero, np.zeros(17)).run(MACHINE).rows
    assert (row["cycles"], row["entries"], row["utilization_frac"]) == (0, 0, 0.0)
    assert np.isfinite(row["energy_pj"])


def test_sums_beyond_float32_are_an_error():
    codebook = np.array([0, *[3e38] * 7], dtype=np.float32)
    layer = make_layer("a", 5, 20, seed=1, codebook=codebook)
    with pytest.raises(NetworkError, match="layer 'a': sums go beyond float32"):
        Session(CompressedNetwork("net", (layer,)), np.ones(20)).run(MACHINE)


def test_formats_too_far_apart_are_an_error():
    codebook = np.array([0, *[2.0**40] * 7], dtype=np.float32)
    layer = make_layer("a", 5, 20, seed=1, bias=None, codebook=codebook)
    session = Session(CompressedNetwork("net", (layer,)), np.full(20, 2.0**20))
    with pytest.raises(NetworkError, match=r"layer 'a': .*too far apart for 16-bit"):
        session.run(MACHINE.replace(activation_frac_bits=30))


def test_inputs_that_leave_no_room_for_the_bias_are_an_error(network):
    session = Session(network, np.full(20, 2.0**20))
    with pytest.raises(NetworkError, match=r"layer 'a': .*bias's 1\.0: .*arithmetic_bits=32"):
        session.run(MACHINE)
    session.run(MACHINE.replace(arithmetic_bits=32))


def test_too_many_columns_and_pes_are_refused_before_memory_is_taken():
    layer = Layer("wide", n_out=1, n_in=2**20, weight_density=1e-5)
    with pytest.raises(CapacityError, match="layer 'wide': 1,048,576 columns on 65,536 PEs"):
        simulate(Network("net", (layer,)), pes=65536)


@pytest.mark.parametrize("network", [None, 3, np.ones(3)])
def test_what_is_no_network_is_refused(network):
    with pytest.raises(InputError, match="give a path, a bundled name or a network"):
        simulate(network)
