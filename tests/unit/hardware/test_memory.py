import numpy as np
import pytest

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import SparseCodes
from accelsim.errors import CapacityError
from accelsim.hardware.accelerator import accelerator
from accelsim.hardware.decoders import DecodedLayer
from accelsim.hardware.memory import LayerNeed, activation_bytes, allocate, weight_need
from accelsim.hardware.tensors import hold_tensors, words_held
from accelsim.kernels.types import ColumnPlan
from accelsim.simulation.session import Session

EMPTY = ColumnPlan(*[np.zeros((1, 1), dtype=np.uint8)] * 5)
FC6 = (4096, 25_088)


def decoded(sram_rows, pointer_bits=16):
    return DecodedLayer(
        plan=EMPTY,
        sram_rows=np.array(sram_rows),
        pointer_bits=pointer_bits,
        codebook_reads=1,
        dram_bits=0,
        padding_bits=np.zeros(len(sram_rows), dtype=np.int64),
    )


def pruned_away(name, n_out, n_in, bias=None):
    """A layer of any size that has no weight left."""
    nothing = np.empty(0, dtype=np.int32)
    return CompressedLayer(
        name=name,
        n_out=n_out,
        n_in=n_in,
        activation="relu",
        codebook=np.array([0, 1], dtype=np.float32),
        sparse=SparseCodes(np.zeros(n_in + 1, dtype=np.int64), nothing, nothing.astype(np.uint8)),
        bias_coded=False,
        bias=bias,
        code_bits=1,
        index_bits=4,
        max_code_length=11,
    )


def run_fc6(**overrides):
    layer = pruned_away("fc6", *FC6, bias=np.zeros(FC6[0], dtype=np.float32))
    session = Session(CompressedNetwork("vgg", (layer,)), np.zeros(FC6[1], dtype=np.float32))
    return session.run(accelerator("eie-64", **overrides))


# 10 inputs over 4 PEs: 3 lines. The fullest PE has 7 rows of 64 bits.
@pytest.mark.parametrize(
    ("has_bias", "overrides", "weight", "pointer", "activation"),
    [
        (False, {}, 7 * 8, (10 + 1) * 2, (3 + 2) * 2),
        # The bias stands in the fourth line's first slot, column 12: 13 columns, 14 pointers.
        (True, {}, 7 * 8, (13 + 1) * 2, (3 + 1 + 2) * 2),
        (False, {"row_bits": 61}, 54, 22, 10),  # 7 x 61 bits are 53.4 bytes
        (False, {"arithmetic_bits": 32}, 56, 22, (3 + 2) * 4),
    ],
)
def test_needs_by_hand(has_bias, overrides, weight, pointer, activation):
    machine = accelerator("eie-64", pes=4, **overrides)
    need = weight_need(10, decoded([7, 6, 0, 2]), machine, has_bias=has_bias)
    assert need == (weight, pointer)
    flow = CompressedNetwork("net", (pruned_away("fc", 5, 10),)).flow
    tensors = hold_tensors(flow, {"fc": int(has_bias)}, pes=4)
    words = words_held(flow, tensors, flow.steps[0], pes=4)
    assert activation_bytes(words, machine) == activation


def test_pointers_as_wide_as_the_decoder_makes_them():
    machine = accelerator("eie-64", pes=4)
    wide, none = (decoded([0], pointer_bits=bits) for bits in (21, 0))
    assert weight_need(10, wide, machine, has_bias=False) == (0, 29)  # 11 x 21 bits: 28.9 bytes
    assert weight_need(10, none, machine, has_bias=False) == (0, 0)


@pytest.mark.parametrize("memory", ["weight", "pointer", "activation"])
def test_an_exact_fit_is_a_fit_and_one_byte_more_is_not(memory):
    machine = accelerator("eie-64", **{f"{memory}_sram_bytes": 100})
    none = LayerNeed("fc", 0, 0, 0)
    fits = allocate([none._replace(**{memory: 100})], 16, machine)
    assert getattr(fits, f"{memory}_bytes") == 100
    assert (fits.grown, fits.streamed) == ((), frozenset())
    with pytest.raises(CapacityError, match=f"layer 'fc' needs 101 bytes of {memory} SRAM per PE"):
        allocate([none._replace(**{memory: 101})], 16, machine)


def test_each_layer_must_fit_alone_and_the_largest_decides_growth():
    machine = accelerator("eie-64", weight_sram_bytes=100, pointer_sram_bytes=50, overflow="grow")
    needs = [LayerNeed("a", 90, 60, 0), LayerNeed("b", 300, 55, 0), LayerNeed("c", 200, 1, 0)]
    memories = allocate(needs, 16, machine)
    assert (memories.weight_bytes, memories.pointer_bytes) == (300, 60)
    assert memories.activation_bytes == machine.activation_sram_bytes
    assert memories.grown == ("weight", "pointer")
    assert memories.streamed == frozenset()


def test_only_layers_that_do_not_fit_are_streamed():
    machine = accelerator("eie-64", weight_sram_bytes=100, overflow="stream")
    needs = [LayerNeed("a", 100, 0, 0), LayerNeed("b", 101, 0, 0), LayerNeed("c", 0, 2**20, 0)]
    memories = allocate(needs, 16, machine)
    assert memories.streamed == {"b", "c"}
    assert (memories.weight_bytes, memories.grown) == (100, ())


def test_weights_in_dram_are_streamed_however_large():
    machine = accelerator("eie-64", weights_in="dram")
    needs = [LayerNeed("a", 1, 1, 1), LayerNeed("b", 2**30, 2**30, 1)]
    memories = allocate(needs, 16, machine)
    assert memories.streamed == {"a", "b"}
    assert memories.weight_bytes == machine.weight_sram_bytes
    with pytest.raises(CapacityError, match="activation SRAM"):
        allocate([LayerNeed("a", 1, 1, 2**20)], 16, machine)


# --- VGG FC6: 25,088 inputs and a bias need 25,090 pointers of 2 bytes; there are 32 KiB ---


def test_vgg_fc6_pointers_do_not_fit_the_published_pe():
    with pytest.raises(CapacityError) as error:
        run_fc6()
    message = str(error.value)
    assert message.startswith("layer 'fc6' needs 50,180 bytes of pointer SRAM per PE")
    assert "machine 'eie-64' with 64 PEs has 32,768" in message
    for remedy in ("overflow=grow", "overflow=stream", "pointer_sram_bytes=50180"):
        assert remedy in message
    assert "more pes" not in message  # every PE has a pointer to every column
    assert "\n" not in message


def test_the_remedies_of_the_message_help():
    assert run_fc6(pointer_sram_bytes=50_180).memories.grown == ()
    grown = run_fc6(overflow="grow")
    assert (grown.memories.pointer_bytes, grown.memories.grown) == (50_180, ("pointer",))
    assert "pointer SRAM grown to 50,180 bytes per PE (overflow=grow)" in grown.notes
    assert grown.rows[0]["dram_bytes"] == 0
    assert grown.rows[0]["memory"] == "sram"


def test_streaming_moves_all_rows_and_pointers_and_takes_as_long_as_dram_does():
    result = run_fc6(overflow="stream")
    (row,) = result.rows
    # The bias: 64 words per PE, 4 in a row of 8 bytes. The pointers: 50,180 bytes per PE.
    n_bytes = 64 * (64 // 4 * 8 + 50_180)
    assert (row["memory"], row["dram_bytes"]) == ("streamed", n_bytes)
    # LPDDR2: 3 x 8 cycles of 1.876 ns; 1066 MT/s of 4 bytes, less 70 + 8 + 8 of 2079 cycles for refresh.
    latency_us = 3 * 8 * 1.876e-3 + n_bytes / (4264 * (1 - 86 / 2079))
    assert row["cycles"] == int(np.ceil(latency_us * 800))
    assert row["array_cycles"] < row["cycles"]
    assert result.memories.pointer_bytes == 32_768
    energy = {term.component: term for term in result.layer_results[0].energy}
    assert energy["DRAM"].energy_pj == pytest.approx(8 * n_bytes * 20)
    assert energy["weight SRAM fill"].count == 64 * 16
    assert energy["pointer SRAM fill"].count == 64 * (25_088 + 2)
    assert "activation SRAM fill" not in energy


def test_activations_that_do_not_fit_are_streamed_and_written_as_they_come():
    """25,088 inputs, the bias and 4,096 outputs: 392 + 1 + 64 words of 2 bytes per PE.

    The inputs are the larger part; two lines of them in turn, the bias and the outputs fit.
    """
    result = run_fc6(overflow="stream", pointer_sram_bytes=2**16, activation_sram_bytes=913)
    assert result.rows[0]["dram_bytes"] == 2 * 25_088
    assert result.rows[0]["activation_bytes_per_pe"] == 2 * (2 + 1 + 64)
    counts = {term.component: term.count for term in result.layer_results[0].energy}
    assert counts["activation SRAM fill"] == 25_088
    assert not {"weight SRAM fill", "pointer SRAM fill"} & counts.keys()


def test_narrow_pointers_are_counted_one_by_one():
    """11 pointers of a bit are 2 bytes, yet 11 writes per PE."""
    layer = pruned_away("fc", 8, 10)
    session = Session(CompressedNetwork("net", (layer,)), np.ones(10, dtype=np.float32))
    result = session.run(accelerator("eie-64", pes=4, pointer_bits=1, weights_in="dram"))
    counts = {term.component: term.count for term in result.layer_results[0].energy}
    assert counts["pointer SRAM fill"] == 4 * 11


def test_a_batch_is_streamed_once_per_vector():
    layer = pruned_away("fc6", *FC6, bias=np.zeros(FC6[0], dtype=np.float32))
    machine = accelerator("eie-64", overflow="stream")
    network = CompressedNetwork("vgg", (layer,))
    one = Session(network, np.zeros(FC6[1], dtype=np.float32)).run(machine).rows[0]
    three = Session(network, np.zeros((3, FC6[1]), dtype=np.float32)).run(machine).rows[0]
    for count in ("dram_bytes", "cycles", "array_cycles", "sram_row_reads"):
        assert three[count] == 3 * one[count]
