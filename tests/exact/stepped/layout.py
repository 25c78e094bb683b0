"""A layer laid out over the PEs: what each stores, and how wide its pointers are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exact.stepped.encoding import Entry, encode_column
from exact.stepped.fixed_memory import FixedStorage
from exact.stepped.huffman import EntryCode, entry_code_of
from exact.stepped.huffman_memory import HuffmanStorage
from exact.stepped.loader import Loaded
from exact.stepped.memory import Storage
from exact.stepped.parameters import Machine
from exact.stepped.queues import bias_column_of
from exact.stepped.word_memory import bias_storage, dense_storage

CODE_LENGTH_BITS = 4


class Layer(NamedTuple):
    """codes uint8[n_out, n_in], codebook float32[2**code_bits].

    At most one of bias_codes uint8[n_out] and bias_values float32[n_out] (the exact bias) is there.
    """

    codes: NDArray[np.uint8]
    codebook: NDArray[np.float32]
    bias_codes: NDArray[np.uint8] | None = None
    bias_values: NDArray[np.float32] | None = None

    @property
    def has_bias(self) -> bool:
        return self.bias_codes is not None or self.bias_values is not None


class Layout(NamedTuple):
    """Per PE: weights, and the words of an exact bias. For all: the words of Huffman streams.

    streams: what DRAM holds of each PE where streams are decoded on their way to the SRAM, and
    loaded: what came of it; else None.
    """

    weights: list[Storage]
    bias_words: list[Storage | None]
    entry_code: EntryCode | None
    streams: list[HuffmanStorage] | None = None
    loaded: Loaded | None = None


def with_bias_column(layer: Layer, pes: int) -> NDArray[np.uint8]:
    """Codes uint8[n_out, bias column + 1]; columns between last input and bias are empty."""
    n_out, n_in = layer.codes.shape
    bias_column = bias_column_of(n_in, pes)
    stored = np.zeros((n_out, bias_column + 1), dtype=np.uint8)
    stored[:, :n_in] = layer.codes
    if layer.bias_codes is not None:
        stored[:, bias_column] = layer.bias_codes
    return stored


def used_columns(layer: Layer, pes: int) -> list[int]:
    """Columns that are stored: without the slots between the last input and the bias."""
    n_in = layer.codes.shape[1]
    return [*range(n_in)] + ([bias_column_of(n_in, pes)] if layer.bias_codes is not None else [])


def encode_layer(layer: Layer, machine: Machine) -> list[list[list[Entry]]]:
    """The columns of each PE, up to the bias column."""
    stored = with_bias_column(layer, machine.pes)
    max_run = 2**machine.run_bits - 1
    return [
        [encode_column(column, max_run) for column in stored[pe :: machine.pes].T.tolist()]
        for pe in range(machine.pes)
    ]


def lay_out(layer: Layer, machine: Machine, entry_code: EntryCode | None = None) -> Layout:
    """Store the layer as the machine's decoder expects it.

    entry_code: Huffman words to use instead of the best ones for this layer.
    """
    if machine.decoder == "dense":
        return Layout(*_with_bias(_dense(layer, machine), layer, machine), entry_code=None)
    columns = encode_layer(layer, machine)
    if machine.decoder == "fixed":
        return Layout(*_with_bias(_fixed(columns, layer, machine), layer, machine), entry_code=None)
    if entry_code is None:
        entries = (entry for of_pe in columns for column in of_pe for entry in column)
        entry_code = entry_code_of(
            entries, machine.huffman_alphabet, machine.run_bits, machine.max_code_length
        )
    if machine.decoder_placement != "load":
        unit_bits = {"bit": 1, "byte": 8, "row": machine.row_bits}[machine.column_alignment]
        weights: list[Storage] = [
            HuffmanStorage(of_pe, layer.codebook, entry_code, machine, unit_bits)
            for of_pe in columns
        ]
        return Layout(*_with_bias(weights, layer, machine), entry_code)
    streams = [HuffmanStorage(of_pe, layer.codebook, entry_code, machine) for of_pe in columns]
    loaded = Loaded(streams, used_columns(layer, machine.pes), machine)
    fixed = _fixed(loaded.columns, layer, machine)
    return Layout(*_with_bias(fixed, layer, machine), entry_code, streams, loaded)


def _fixed(columns: list[list[list[Entry]]], layer: Layer, machine: Machine) -> list[Storage]:
    return [FixedStorage(of_pe, layer.codebook, machine) for of_pe in columns]


def _dense(layer: Layer, machine: Machine) -> list[Storage]:
    stored = with_bias_column(layer, machine.pes)
    used = used_columns(layer, machine.pes)
    return [
        dense_storage(
            {column: stored[pe :: machine.pes, column].tolist() for column in used},
            layer.codebook,
            machine,
        )
        for pe in range(machine.pes)
    ]


def _with_bias(
    weights: list[Storage], layer: Layer, machine: Machine
) -> tuple[list[Storage], list[Storage | None]]:
    """The exact bias stands behind the weights, from a fresh row on."""
    if layer.bias_values is None:
        return weights, [None] * machine.pes
    column = bias_column_of(layer.codes.shape[1], machine.pes)
    return weights, [
        bias_storage(layer.bias_values[pe :: machine.pes].tolist(), column, part.rows_used, machine)
        for pe, part in enumerate(weights)
    ]


def rows_stored(layout: Layout) -> NDArray[np.int64]:
    """Weight-SRAM rows of each PE, int64[P]."""
    both = zip(layout.weights, layout.bias_words, strict=True)
    return np.array([w.rows_used + (bias.rows_used if bias else 0) for w, bias in both])


def dram_bits(layout: Layout, layer: Layer, machine: Machine) -> int:
    """What the layer takes in DRAM, pointers apart.

    Rows as they are in the SRAMs; or streams, the start offsets of their sub-streams for each column,
    the lengths of all words, and the rows of an exact bias.
    """
    if layout.streams is None:
        return int(rows_stored(layout).sum()) * machine.row_bits
    columns = used_columns(layer, machine.pes)
    words = [stream.pointers[column] for stream in layout.streams for column in columns]
    offsets = [offset for word in words for offset in word.offsets]
    symbols = 2**machine.code_bits + 2**machine.run_bits
    if machine.huffman_alphabet == "joint":
        symbols = 2**machine.entry_bits
    bias_rows = sum(bias.rows_used for bias in layout.bias_words if bias)
    return (
        sum(len(stream.bits) for stream in layout.streams)
        + len(offsets) * bits_to_say(max(offsets, default=0))
        + symbols * CODE_LENGTH_BITS
        + bias_rows * machine.row_bits
    )


def bits_to_say(largest: int) -> int:
    """Bits of a field that can say 0 .. largest."""
    bits = 0
    while 2**bits <= largest:
        bits += 1
    return bits


def pointer_bits(layout: Layout, machine: Machine) -> int:
    """Width of a pointer word: address, offsets of sub-streams, and a count; 0 without pointers."""
    words = [word for storage in layout.weights for word in storage.pointers]
    if not words:
        return 0
    addresses = [word.start for word in words] + [word.end or 0 for word in words]
    offsets = [offset for word in words for offset in word.offsets]
    n_offsets = len(words[0].offsets)
    return (
        max(machine.pointer_bits, bits_to_say(max(addresses)))
        + n_offsets * bits_to_say(max(offsets, default=0))
        + bits_to_say(max(word.entries or 0 for word in words))
    )
