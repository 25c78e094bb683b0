"""Random layers on random machines: the fast simulator equals the stepped one, count for count."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from exact.stepped import (
    PIPELINE_DRAIN_CYCLES,
    HuffmanStorage,
    Machine,
    build_storage,
    encode_column,
    fixed_point_output,
    quantize,
    saturate,
    shift_right_rounded,
    simulate_stepped,
    with_bias_column,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import append_column, sparse_codes
from accelsim.errors import NetworkError
from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.hardware.decoders import HuffmanDecoder
from accelsim.hardware.decoders.huffman import column_bit_addresses, pe_stream
from accelsim.hardware.interleave import InterleavedLayer, interleave
from accelsim.simulation.session import Session

MAX_FRAC_BITS = 30
FLOAT32_ROUNDING = 2.0**-24
SMALLEST_FLOAT32 = 2.0**-149
QUIET = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class Case(NamedTuple):
    """A layer by its codes, with one input vector; at most one of bias_codes and bias is there."""

    codes: NDArray[np.uint8]
    bias_codes: NDArray[np.uint8] | None
    bias: NDArray[np.float32] | None
    codebook: NDArray[np.float32]
    activations: NDArray[np.float32]

    @property
    def compressed(self) -> CompressedLayer:
        sparse = sparse_codes(self.codes)
        if self.bias_codes is not None:
            sparse = append_column(sparse, self.bias_codes)
        n_out, n_in = self.codes.shape
        return CompressedLayer(
            name="layer",
            n_out=n_out,
            n_in=n_in,
            activation="none",
            codebook=self.codebook,
            sparse=sparse,
            bias_coded=self.bias_codes is not None,
            bias=self.bias,
            code_bits=self.codebook.size.bit_length() - 1,
            index_bits=4,
            max_code_length=11,
        )

    @property
    def session(self) -> Session:
        return Session(CompressedNetwork("net", (self.compressed,)), self.activations)


BIAS_KINDS = ("none", "coded", "exact")


@st.composite
def layers(
    draw,
    max_size: int = 40,
    max_code_bits: int = 8,
    max_scale: int = 0,
    bias_kinds: tuple[str, ...] = BIAS_KINDS,
) -> Case:
    """Any density, columns and rows without weights, no or all inputs active, any kind of bias."""
    # Drawn evenly: Hypothesis on its own prefers layers in which little happens.
    sizes = st.sampled_from(range(1, max_size + 1))
    n_out, n_in = draw(sizes), draw(sizes)
    densities = st.sampled_from([1.0, 0.6, 0.3, 0.1, 0.02, 0.0])
    weight_density, activation_density = draw(densities), draw(densities)
    empty_columns, empty_rows = draw(st.booleans()), draw(st.booleans())
    bias_kind = draw(st.sampled_from(bias_kinds))
    code_bits = draw(st.integers(1, max_code_bits))
    activation_scale = 2.0 ** draw(st.integers(-max_scale, max_scale))
    weight_scale = 2.0 ** draw(st.integers(-max_scale, max_scale))
    sign = draw(st.sampled_from(["positive", "mixed"]))
    some_tiny = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    n_codes = 2**code_bits
    codes = np.where(
        rng.random((n_out, n_in)) < weight_density, rng.integers(1, n_codes, (n_out, n_in)), 0
    )
    if empty_columns:
        codes[:, rng.random(n_in) < 0.3] = 0
    if empty_rows:  # long runs of zeros, hence padding entries
        codes[rng.random(n_out) < 0.9] = 0
    values = rng.exponential(size=n_in) + 1e-3
    if sign == "mixed":
        values *= rng.choice([-1, 1], n_in)
    if some_tiny:  # these round to zero in 16 bits, and some of them in 32
        values = np.where(
            rng.random(n_in) < 0.2, values * 2.0 ** -rng.integers(10, 40, n_in), values
        )
    values[rng.random(n_in) >= activation_density] = 0
    codebook = np.concatenate([[0], rng.standard_normal(n_codes - 1)]) * weight_scale
    bias = rng.standard_normal(n_out) * (rng.random(n_out) < 0.7) * weight_scale
    return Case(
        codes=codes.astype(np.uint8),
        bias_codes=rng.integers(0, n_codes, n_out).astype(np.uint8)
        if bias_kind == "coded"
        else None,
        bias=bias.astype(np.float32) if bias_kind == "exact" else None,
        codebook=codebook.astype(np.float32),
        activations=(values * activation_scale).astype(np.float32),
    )


@st.composite
def machines(draw, code_bits: int, decoder: str) -> Accelerator:
    """Any array that reads at least `code_bits`: rows need not hold a whole number of entries."""
    code_bits = draw(st.integers(code_bits, 8))
    run_bits = draw(st.integers(1, 8))
    entry_bits = code_bits + run_bits
    return accelerator(
        "eie-64",
        pes=draw(st.sampled_from(range(1, 13))),
        queue_depth=draw(st.sampled_from(range(2, 10))),
        row_bits=entry_bits + draw(st.sampled_from(range(4 * entry_bits))),
        code_bits=code_bits,
        run_bits=run_bits,
        decoder=decoder,
        max_code_length=draw(st.integers(8, 15)),
        arithmetic_bits=draw(st.sampled_from([16, 32])),
        overflow="grow",
    )


def interleaved(case: Case, machine: Accelerator) -> InterleavedLayer:
    return interleave(case.compressed, machine.pes, machine.run_bits)


def twin_of(case: Case, machine: Accelerator) -> Machine:
    """The stepped model's description of the machine, with our code lengths where it needs them."""
    code_lengths = run_lengths = None
    if machine.decoder == "huffman":
        codes, runs = HuffmanDecoder().tables(interleaved(case, machine), machine)
        code_lengths, run_lengths = codes.lengths, runs.lengths
    return Machine(
        pes=machine.pes,
        queue_depth=machine.queue_depth,
        row_bits=machine.row_bits,
        code_bits=machine.code_bits,
        run_bits=machine.run_bits,
        decoder=machine.decoder,
        code_lengths=code_lengths,
        run_lengths=run_lengths,
        word_bits=machine.arithmetic_bits,
    )


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
    weights = case.codebook.astype(np.float64)[case.codes]
    activations = case.activations.astype(np.float64)
    output, magnitude = weights @ activations, np.abs(weights) @ np.abs(activations)
    if case.bias_codes is not None or case.bias is not None:
        bias = case.codebook[case.bias_codes] if case.bias is None else case.bias
        output, magnitude = output + bias, magnitude + np.abs(bias)
    n = case.codes.shape[1] + 2
    return output, 2 * (n + 1) * (FLOAT32_ROUNDING * magnitude + SMALLEST_FLOAT32)


def check_against_twin(case: Case, machine: Accelerator) -> None:
    result = case.session.run(machine)
    active = surviving(case, machine.arithmetic_bits)
    expected = simulate_stepped(
        case.codes,
        case.codebook,
        active,
        twin_of(case, machine),
        bias_codes=case.bias_codes,
        bias_values=case.bias,
    )
    (row,) = result.rows
    assert row["cycles"] == row["array_cycles"] == expected.cycles
    assert row["broadcasts"] == expected.broadcasts
    assert row["stall_cycles"] == expected.stall_cycles
    assert row["pointer_reads"] == expected.pointer_reads
    assert row["sram_row_reads"] == expected.sram_row_reads
    assert row["entries"] == expected.entries.sum()
    assert row["padding_entries"] == expected.padding.sum()
    assert row["utilization_frac"] == expected.utilization_frac
    pes = result.layer_results[0].pes
    assert_array_equal(pes["busy_cycles"], expected.busy_cycles)
    assert_array_equal(pes["starved_cycles"], expected.starved_cycles)
    assert_array_equal(pes["empty_column_cycles"], expected.empty_columns)
    assert_array_equal(pes["padding_entries"], expected.padding)
    assert_array_equal(pes["sram_row_reads"], expected.row_reads)
    output, bound = float_bounds(case)
    assert result.outputs.dtype == np.float32
    assert np.all(np.abs(result.outputs - output) <= bound)
    dropped = case.activations.astype(np.float64) - active  # the twin did not get these
    theirs = expected.output + case.codebook.astype(np.float64)[case.codes] @ dropped
    assert np.all(np.abs(theirs - output) <= bound)


@settings(QUIET, max_examples=300)
@given(data=st.data())
def test_fixed_entries_meet_the_stepped_machine(data):
    case = data.draw(layers())
    machine = data.draw(machines(case.compressed.code_bits, "fixed"))
    check_against_twin(case, machine)


@settings(QUIET, max_examples=200)
@given(data=st.data())
def test_huffman_streams_meet_the_stepped_machine(data):
    case = data.draw(layers())
    machine = data.draw(machines(case.compressed.code_bits, "huffman"))
    check_against_twin(case, machine)


@settings(QUIET, max_examples=200)
@given(data=st.data())
def test_dense_words_meet_the_stepped_machine(data):
    case = data.draw(layers())
    machine = data.draw(machines(case.compressed.code_bits, "dense"))
    check_against_twin(case, machine)


@pytest.mark.parametrize("decoder", ["fixed", "huffman", "dense"])
@settings(QUIET, max_examples=60)
@given(data=st.data())
def test_words_wider_than_a_row_take_a_cycle_per_row(decoder, data):
    """Exact bias words of 16 and 32 bits, and dense ones, in rows of 8 to 15."""
    case = data.draw(layers(max_code_bits=4, bias_kinds=("exact",)))
    machine = data.draw(machines(case.compressed.code_bits, decoder)).replace(
        code_bits=4, run_bits=data.draw(st.integers(1, 4)), row_bits=data.draw(st.integers(8, 15))
    )
    check_against_twin(case, machine)


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
    case = Case(
        codes.astype(np.uint8),
        bias_codes=None,
        bias=rng.standard_normal(n_out).astype(np.float32),
        codebook=codebook,
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
    check_against_twin(case, machine)


# --- streams ---


def bit_string(words: NDArray[np.uint64], n_bits: int) -> str:
    return "".join(f"{int(word):064b}" for word in words)[:n_bits]


@settings(QUIET, max_examples=80)
@given(data=st.data())
def test_each_pe_stream_is_the_bit_string_that_the_twin_decodes(data):
    case = data.draw(layers())
    machine = data.draw(machines(case.compressed.code_bits, "huffman"))
    layer = interleaved(case, machine)
    codes, runs = HuffmanDecoder().tables(layer, machine)
    assert max(codes.longest, runs.longest) <= machine.max_code_length
    twin = twin_of(case, machine)
    stored = with_bias_column(case.codes, case.bias_codes, machine.pes)
    n_in = case.codes.shape[1]
    addresses = column_bit_addresses(layer, codes, runs)
    for pe in range(machine.pes):
        local = stored[pe :: machine.pes]
        columns = [encode_column(c, 2**machine.run_bits - 1) for c in local.T.tolist()]
        storage = build_storage(columns, case.codebook, twin)
        assert isinstance(storage, HuffmanStorage)
        ours = bit_string(*pe_stream(layer, pe, codes, runs))
        assert ours == storage.bits
        storage.bits = ours
        address = decoded = 0
        while address < len(ours):
            address = storage.fetch(address).next_address  # asserts that it is the encoded entry
            decoded += 1
        assert decoded == sum(len(column) for column in columns)
        assert addresses[:n_in, pe].tolist() == storage.starts[:n_in]
        assert addresses[-1, pe] == len(ours)


# --- fixed point ---


def peak_of(case: Case) -> float:
    """Largest magnitude of any partial sum in float32, column after column, the bias last."""
    weights = case.codebook[case.codes]
    sums = np.zeros(len(weights), dtype=np.float32)
    peak = np.float32(0)
    steps = [weights[:, i] * a for i, a in enumerate(case.activations)]
    if case.bias_codes is not None:
        steps.append(case.codebook[case.bias_codes])
    if case.bias is not None:
        steps.append(case.bias)
    for step in steps:
        sums = sums + step
        peak = max(peak, np.abs(sums).max())
    return float(peak)


def count_saturated(case: Case, act_frac: int, weight_frac: int, out_frac: int, bits: int) -> int:
    """Additions that go beyond a word, in Python's integers."""
    shift = act_frac + weight_frac - out_frac
    weights = [quantize(value, weight_frac, bits) for value in case.codebook]
    columns = list(case.codes.T.tolist())
    inputs = [quantize(value, act_frac, bits) for value in case.activations]
    if case.bias_codes is not None:
        columns.append(case.bias_codes.tolist())
        inputs.append(1 << act_frac)
    sums = [0] * len(case.codes)
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
    if case.bias is not None:
        for row, value in enumerate(case.bias):
            add(row, quantize(value, out_frac, bits))
    return saturated


def check_fixed_point(case: Case, bits: int, given_frac: int | None) -> bool:
    """Compare bit for bit; whether any addition saturated."""
    machine = accelerator(
        "eie-64", code_bits=8, arithmetic_bits=bits, activation_frac_bits=given_frac
    )
    act_frac = input_frac_bits(case, bits)
    weight_frac = most_frac_bits(float(np.abs(case.codebook).max()), bits)
    out_frac = most_frac_bits(peak_of(case), bits) if given_frac is None else given_frac
    too_far = not -30 <= act_frac + weight_frac - out_frac <= 62
    if too_far or (case.bias_codes is not None and act_frac < 0):
        with pytest.raises(NetworkError, match="layer 'layer'"):
            case.session.run(machine)
        return False
    result = case.session.run(machine)
    (row,) = result.rows
    assert row["output_frac_bits"] == result.outputs_fixed.frac_bits == out_frac
    expected = fixed_point_output(
        case.codes,
        case.bias_codes,
        case.bias,
        case.codebook,
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
    case=layers(max_size=16, max_scale=20),
    bits=st.sampled_from([16, 32]),
    given_frac=st.none() | st.integers(0, 30),
)
def test_fixed_point_outputs_are_equal_bit_for_bit(case, bits, given_frac):
    check_fixed_point(case, bits, given_frac)


@settings(QUIET, max_examples=150)
@given(case=layers(max_size=16), bits=st.sampled_from([16, 32]), too_many=st.integers(0, 6))
def test_fixed_point_saturates_as_the_twin_does(case, bits, too_many):
    """More fraction bits than the sums leave room for."""
    check_fixed_point(case, bits, min(30, most_frac_bits(peak_of(case), bits) + too_many))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bits", [16, 32])
def test_sums_that_go_beyond_a_word_saturate_and_come_back(bits, sign):
    """Up to the limit, beyond it, and back: what was cut off stays lost."""
    case = Case(
        codes=np.array([[1, 1, 1, 2]], dtype=np.uint8),
        bias_codes=None,
        bias=None,
        codebook=np.array([0, sign, -sign, 0], dtype=np.float32),
        activations=np.array([1, 1, 1, 1], dtype=np.float32),
    )
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
    case = Case(
        codes=np.array([[1], [1], [0]], dtype=np.uint8),
        bias_codes=None,
        bias=np.array([sign, -sign, sign], dtype=np.float32),
        codebook=np.array([0, sign], dtype=np.float32),
        activations=np.array([1], dtype=np.float32),
    )
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
    case = Case(
        np.ones((5, 7), dtype=np.uint8),
        None,
        None,
        np.array([0, 1], dtype=np.float32),
        np.zeros(7, dtype=np.float32),
    )
    (row,) = case.session.run(accelerator("eie-64", pes=3, decoder=decoder)).rows
    assert (row["cycles"], row["broadcasts"], row["utilization_frac"]) == (0, 0, 0.0)


@pytest.mark.parametrize("decoder", ["fixed", "huffman"])
def test_broadcasts_without_any_entry_take_the_drain(decoder):
    case = Case(
        np.zeros((5, 7), dtype=np.uint8),
        None,
        None,
        np.array([0, 1], dtype=np.float32),
        np.ones(7, dtype=np.float32),
    )
    (row,) = case.session.run(accelerator("eie-64", pes=3, decoder=decoder)).rows
    assert (row["cycles"], row["broadcasts"]) == (PIPELINE_DRAIN_CYCLES, 7)
    assert row["utilization_frac"] == 0.0
