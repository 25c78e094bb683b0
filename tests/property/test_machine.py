"""Random layers on random machines: the fast simulator equals the stepped one, count for count."""

import numpy as np
import pytest
from exact.agreement import (
    MAX_FRAC_BITS,
    check,
    input_frac_bits,
    most_frac_bits,
    stored_bits,
    surviving,
)
from exact.drawing import Case, draw_case, draw_machine, has_words_for_all, twin_of
from exact.stepped import (
    PIPELINE_DRAIN_CYCLES,
    Layer,
    fixed_point_output,
    lay_out,
    quantize,
    saturate,
    shift_right_rounded,
)
from exact.stepped.huffman_memory import HuffmanStorage
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from accelsim.errors import NetworkError
from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.decoders import HuffmanDecoder, column_bit_addresses
from accelsim.hardware.interleave import interleave

SMALL = range(1, 17)
QUIET = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def chooser(draw):
    """Drawn evenly: Hypothesis on its own prefers layers in which little happens."""
    return lambda options: draw(st.sampled_from(options))


@st.composite
def cases(draw, **kinds) -> Case:
    return draw_case(chooser(draw), **kinds)


def drawn_machine(data, case, **wanted):
    machine = draw_machine(chooser(data.draw), case, **wanted)
    assume(has_words_for_all(case, machine))
    return machine


@settings(QUIET, max_examples=150)
@given(data=st.data())
def test_fixed_entries_meet_the_stepped_machine(data):
    case = data.draw(cases())
    check(case, drawn_machine(data, case, decoder="fixed"))


@pytest.mark.parametrize("placement", ["inline", "shared", "load"])
@settings(QUIET, max_examples=120)
@given(data=st.data())
def test_huffman_streams_meet_the_stepped_machine(placement, data):
    case = data.draw(cases())
    check(case, drawn_machine(data, case, decoder="huffman", decoder_placement=placement))


@settings(QUIET, max_examples=100)
@given(data=st.data())
def test_dense_words_meet_the_stepped_machine(data):
    case = data.draw(cases())
    check(case, drawn_machine(data, case, decoder="dense"))


@pytest.mark.parametrize("decoder", ["fixed", "huffman", "dense"])
@settings(QUIET, max_examples=40)
@given(data=st.data())
def test_words_wider_than_a_row_take_a_cycle_per_row(decoder, data):
    """Exact bias words of 16 and 32 bits, and dense ones, in rows of 8 to 15."""
    case = data.draw(cases(max_code_bits=4, bias_kinds=("exact",)))
    narrow = {"code_bits": 4, "run_bits": data.draw(st.integers(1, 4))}
    row_bits = data.draw(st.integers(8, 15))
    check(case, drawn_machine(data, case, decoder=decoder, row_bits=row_bits, **narrow))


@pytest.mark.parametrize(
    ("n_out", "n_in", "pes", "run_bits"),
    [(n, 9, pes, 4) for n in (254, 255, 256, 257) for pes in (1, 2)]
    + [(600, 5, 1, 8), (70_000, 1, 1, 8), (300, 220, 1, 4)],
)
@pytest.mark.parametrize("decoder", ["fixed", "huffman", "dense"])
def test_counts_that_outgrow_their_narrow_arrays(n_out, n_in, pes, run_bits, decoder):
    """Around 256 and 65,536 entries in a column or rows in a PE, where the arrays get wider."""
    rng = np.random.default_rng(n_out)
    density = rng.choice([0.003, 1.0], n_in) if n_in > 1 else np.array([1.0])
    codes = np.where(rng.random((n_out, n_in)) < density, rng.integers(1, 16, (n_out, n_in)), 0)
    codebook = np.concatenate([[0], rng.standard_normal(15)]).astype(np.float32)
    bias = rng.standard_normal(n_out).astype(np.float32)
    case = Case(
        Layer(codes.astype(np.uint8), codebook, bias_values=bias),
        activations=np.where(rng.random(n_in) < 0.8, 1, 0).astype(np.float32),
    )
    machine = accelerator(
        "eie-64",
        pes=pes,
        run_bits=run_bits,
        row_bits=4 + run_bits,
        decoder=decoder,
        overflow="grow",
    )
    check(case, machine)


# --- streams ---


@settings(QUIET, max_examples=80)
@given(data=st.data())
def test_each_pe_stream_is_the_bit_string_that_the_twin_decodes(data):
    case = data.draw(cases())
    machine = drawn_machine(data, case, decoder="huffman", decoder_placement="inline")
    layer = interleave(case.compressed, machine.pes, machine.run_bits)
    tables = HuffmanDecoder().tables(layer, machine)
    assert max(table.longest for table in tables) <= machine.max_code_length
    addresses = column_bit_addresses(layer, machine)
    n_in = case.layer.codes.shape[1]
    layout = lay_out(case.layer, twin_of(machine))
    for table, alphabet in zip(tables, layout.entry_code.alphabets, strict=True):
        lengths = {symbol: int(n) for symbol, n in enumerate(table.lengths) if n}
        assert lengths == dict(alphabet.lengths)
    for pe, storage in enumerate(layout.weights):
        assert isinstance(storage, HuffmanStorage)
        assert stored_bits(layer, pe, machine) == storage.bits
        assert addresses[-1, pe] == len(storage.bits)
        for column in range(n_in):
            if not storage.open(column).is_done():
                assert addresses[column, pe] == storage.pointers[column].start * storage.unit_bits


# --- fixed point ---


def peak_of(case: Case) -> float:
    """Largest magnitude of any partial sum in float32, column after column, the bias last."""
    codes, codebook, bias_codes, bias = case.layer
    weights = codebook[codes]
    sums = np.zeros(len(weights), dtype=np.float32)
    peak = np.float32(0)
    steps = [weights[:, i] * a for i, a in enumerate(case.activations)]
    if bias_codes is not None:
        steps.append(codebook[bias_codes])
    if bias is not None:
        steps.append(bias)
    for step in steps:
        sums = sums + step
        peak = max(peak, np.abs(sums).max())
    return float(peak)


def count_saturated(case: Case, act_frac: int, weight_frac: int, out_frac: int, bits: int) -> int:
    """Additions that go beyond a word, in Python's integers."""
    codes, codebook, bias_codes, bias = case.layer
    shift = act_frac + weight_frac - out_frac
    weights = [quantize(value, weight_frac, bits) for value in codebook]
    columns = list(codes.T.tolist())
    inputs = [quantize(value, act_frac, bits) for value in case.activations]
    if bias_codes is not None:
        columns.append(bias_codes.tolist())
        inputs.append(1 << act_frac)
    sums = [0] * len(codes)
    saturated = 0

    def add(row: int, term: int) -> None:
        nonlocal saturated
        bounded = saturate(sums[row] + term, bits)
        saturated += bounded != sums[row] + term
        sums[row] = bounded

    for column, activation in zip(columns, inputs, strict=True):
        for row, code in enumerate(column):
            if code and activation:
                add(row, shift_right_rounded(weights[code] * activation, shift))
    if bias is not None:
        for row, value in enumerate(bias):
            add(row, quantize(value, out_frac, bits))
    return saturated


def check_fixed_point(case: Case, bits: int, given_frac: int | None) -> bool:
    """Compare bit for bit; whether any addition saturated."""
    machine = accelerator(
        "eie-64", code_bits=8, arithmetic_bits=bits, activation_frac_bits=given_frac
    )
    act_frac = input_frac_bits(case, bits)
    weight_frac = most_frac_bits(float(np.abs(case.layer.codebook).max()), bits)
    out_frac = most_frac_bits(peak_of(case), bits) if given_frac is None else given_frac
    too_far = not -30 <= act_frac + weight_frac - out_frac <= 62
    if too_far or (case.layer.bias_codes is not None and act_frac < 0):
        with pytest.raises(NetworkError, match="layer 'layer'"):
            case.session.run(machine)
        return False
    result = case.session.run(machine)
    (row,) = result.rows
    assert row["output_frac_bits"] == result.outputs_fixed.frac_bits == out_frac
    codes, codebook, bias_codes, bias = case.layer
    expected = fixed_point_output(
        codes,
        bias_codes,
        bias,
        codebook,
        case.activations,
        act_frac,
        weight_frac,
        out_frac,
        bits,
    )
    assert result.outputs_fixed.raw.tolist() == expected
    saturated = count_saturated(case, act_frac, weight_frac, out_frac, bits)
    assert row["saturated_additions"] == saturated
    n_active = int(np.count_nonzero(surviving(case, bits)))
    assert row["activation_density_frac"] == n_active / case.activations.size
    return saturated > 0


@settings(QUIET, max_examples=200)
@given(
    case=cases(n_outs=SMALL, n_ins=SMALL, max_scale=20),
    bits=st.sampled_from([16, 32]),
    given_frac=st.none() | st.integers(0, 30),
)
def test_fixed_point_outputs_are_equal_bit_for_bit(case, bits, given_frac):
    check_fixed_point(case, bits, given_frac)


@settings(QUIET, max_examples=150)
@given(
    case=cases(n_outs=SMALL, n_ins=SMALL),
    bits=st.sampled_from([16, 32]),
    too_many=st.integers(0, 6),
)
def test_fixed_point_saturates_as_the_twin_does(case, bits, too_many):
    """More fraction bits than the sums leave room for."""
    check_fixed_point(case, bits, min(30, most_frac_bits(peak_of(case), bits) + too_many))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bits", [16, 32])
def test_sums_that_go_beyond_a_word_saturate_and_come_back(bits, sign):
    """Up to the limit, beyond it, and back: what was cut off stays lost."""
    codes = np.array([[1, 1, 1, 2]], dtype=np.uint8)
    codebook = np.array([0, sign, -sign, 0], dtype=np.float32)
    case = Case(Layer(codes, codebook), np.ones(4, dtype=np.float32))
    frac = bits - 2  # 1.0 is half of the range
    if frac <= MAX_FRAC_BITS:
        assert check_fixed_point(case, bits, frac)
        machine = accelerator("eie-64", arithmetic_bits=bits, activation_frac_bits=frac)
        result = case.session.run(machine)
        one = 1 << frac
        limit = 2 * one - 1 if sign > 0 else -2 * one
        assert result.outputs_fixed.raw.tolist() == [limit - sign * one]


@pytest.mark.parametrize("sign", [1, -1])
def test_an_exact_bias_saturates_as_it_is_added(sign):
    codes = np.array([[1], [1], [0]], dtype=np.uint8)
    bias = np.array([sign, -sign, sign], dtype=np.float32)
    layer = Layer(codes, np.array([0, sign], dtype=np.float32), bias_values=bias)
    case = Case(layer, np.ones(1, dtype=np.float32))
    assert check_fixed_point(case, 16, 14) == (sign > 0)  # 1.0 is half of the range
    machine = accelerator("eie-64", activation_frac_bits=14)
    result = case.session.run(machine)
    limit = 2**15 - 1 if sign > 0 else -(2**15)
    # 1 + 1 is one too many in two's complement, -1 - 1 just fits.
    assert result.outputs_fixed.raw.tolist() == [limit, 0, sign * 2**14]
    assert result.rows[0]["saturated_additions"] == (1 if sign > 0 else 0)


# --- conventions ---


@pytest.mark.parametrize("decoder", ["fixed", "huffman", "dense"])
def test_nothing_to_broadcast_takes_no_time(decoder):
    layer = Layer(np.ones((5, 7), dtype=np.uint8), np.array([0, 1], dtype=np.float32))
    case = Case(layer, np.zeros(7, dtype=np.float32))
    (row,) = case.session.run(accelerator("eie-64", pes=3, decoder=decoder)).rows
    assert (row["cycles"], row["broadcasts"], row["utilization_frac"]) == (0, 0, 0.0)


@pytest.mark.parametrize("decoder", ["fixed", "huffman"])
def test_broadcasts_without_any_entry_take_the_drain(decoder):
    layer = Layer(np.zeros((5, 7), dtype=np.uint8), np.array([0, 1], dtype=np.float32))
    case = Case(layer, np.ones(7, dtype=np.float32))
    (row,) = case.session.run(accelerator("eie-64", pes=3, decoder=decoder)).rows
    assert (row["cycles"], row["broadcasts"]) == (PIPELINE_DRAIN_CYCLES, 7)
    assert row["utilization_frac"] == 0.0
