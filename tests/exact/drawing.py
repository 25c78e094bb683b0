"""Random layers and random machines, for the fast simulator and for the stepped one.

They are drawn with a function that picks one of some options, so that a seed or Hypothesis may draw
them.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import append_column, sparse_codes
from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.simulation.session import Session
from exact.stepped import Layer, Machine
from exact.stepped.encoding import Entry
from exact.stepped.layout import encode_layer

T = TypeVar("T")
Choose = Callable[[Sequence[T]], T]

BIAS_KINDS = ("none", "coded", "exact")
SIZES = range(1, 41)
DESIGNS = ("bit_serial", "one_symbol", "pair", "two_level", "multi_symbol")


class Case(NamedTuple):
    """A layer, with one input vector float32[n_in]."""

    layer: Layer
    activations: NDArray[np.float32]

    @property
    def compressed(self) -> CompressedLayer:
        codes, codebook, bias_codes, bias_values = self.layer
        sparse = sparse_codes(codes)
        if bias_codes is not None:
            sparse = append_column(sparse, bias_codes)
        n_out, n_in = codes.shape
        return CompressedLayer(
            name="layer",
            n_out=n_out,
            n_in=n_in,
            activation="none",
            codebook=codebook,
            sparse=sparse,
            bias_coded=bias_codes is not None,
            bias=bias_values,
            code_bits=codebook.size.bit_length() - 1,
            index_bits=4,
            max_code_length=11,
        )

    @property
    def session(self) -> Session:
        return Session(CompressedNetwork("net", (self.compressed,)), self.activations)


def seeded(seed: int) -> Choose[Any]:
    """Picks with a seed."""
    rng = np.random.default_rng(seed)
    return lambda options: options[int(rng.integers(len(options)))]


def draw_case(
    choose: Choose[Any],
    n_outs: Sequence[int] = SIZES,
    n_ins: Sequence[int] = SIZES,
    max_code_bits: int = 8,
    max_scale: int = 0,
    bias_kinds: Sequence[str] = BIAS_KINDS,
) -> Case:
    """Any density, columns and rows without weights, no or all inputs active, any kind of bias."""
    n_out, n_in = choose(n_outs), choose(n_ins)
    densities = [1.0, 0.6, 0.3, 0.1, 0.02, 0.0]
    weight_density, activation_density = choose(densities), choose(densities)
    empty_columns, empty_rows = choose([False, True]), choose([False, False, False, True])
    bias_kind = choose(bias_kinds)
    n_codes = 2 ** choose(range(1, max_code_bits + 1))
    code_skew = choose([0.0, 1.0, 3.0])  # makes some Huffman words much longer than others
    activation_scale = 2.0 ** choose(range(-max_scale, max_scale + 1))
    weight_scale = 2.0 ** choose(range(-max_scale, max_scale + 1))
    sign = choose(["positive", "mixed"])
    some_tiny = choose([False, True])
    rng = np.random.default_rng(choose(range(2**32)))

    weights = np.arange(1, n_codes) ** -code_skew
    nonzero_codes = rng.choice(n_codes - 1, (n_out, n_in), p=weights / weights.sum()) + 1
    codes = np.where(rng.random((n_out, n_in)) < weight_density, nonzero_codes, 0)
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
    bias_codes = rng.integers(0, n_codes, n_out).astype(np.uint8)
    layer = Layer(
        codes.astype(np.uint8),
        codebook.astype(np.float32),
        bias_codes if bias_kind == "coded" else None,
        bias.astype(np.float32) if bias_kind == "exact" else None,
    )
    return Case(layer, (values * activation_scale).astype(np.float32))


def draw_machine(choose: Choose[Any], case: Case, **wanted: Any) -> Accelerator:
    """Any machine that reads the case's codes; rows need not hold a whole number of entries.

    wanted: fields that are not drawn; `decoder` among them.
    """
    code_bits = choose(range(case.compressed.code_bits, 9))
    run_bits = choose(range(1, 9))
    entry_bits = code_bits + run_bits
    drawn = {
        "pes": choose(range(1, 13)),
        "queue_depth": choose(range(2, 10)),
        "row_bits": entry_bits + choose(range(4 * entry_bits)),
        "code_bits": code_bits,
        "run_bits": run_bits,
        "pointer_bits": choose(range(1, 17)),
        "max_code_length": choose(range(8, 16)),
        "arithmetic_bits": choose([16, 32]),
        "multipliers": choose([1, 1, 2, 3, 16]),
        "row_buffer_rows": choose([1, 1, 2, 3, 5, 64]),
        "sram_latency_cycles": choose([0, 0, 1, 2, 7, 64]),
        "overflow": "grow",
    }
    drawn |= draw_decoder(choose, wanted)
    return accelerator("eie-64", **(drawn | wanted))


def draw_decoder(choose: Choose[Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Fields of the decoder that go together with those wanted."""
    if wanted["decoder"] != "huffman":
        return {"column_alignment": choose(["bit", "row"])}
    placement = wanted.get("decoder_placement") or choose(["inline", "shared", "load"])
    return {
        "decoder_placement": placement,
        "decoder_design": choose(DESIGNS),
        "huffman_alphabet": choose(["separate", "joint"]),
        "bits_per_cycle": choose([1, 2, 3, 8, 64]),
        "first_level_bits": choose(range(1, 16)),
        "entries_per_cycle": choose(range(1, 17)),
        "window_bits": choose(range(1, 17)),
        "sub_streams": choose([1, 1, 2, 3, 4, 16]),
        "shared_by": choose([1, 2, 3, 4, 5, 20]),
        "column_alignment": choose(
            ["bit", "row"] if placement == "load" else ["bit", "byte", "row"]
        ),
    }


def twin_of(machine: Accelerator) -> Machine:
    """The stepped model's description of the machine: fields of the same names."""
    same = {field.name for field in fields(Machine)} - {"word_bits"}
    values = {name: getattr(machine, name) for name in same}
    return Machine(**values, word_bits=machine.arithmetic_bits)


def entries_of(case: Case, machine: Accelerator) -> set[Entry]:
    """All that occur: pairs of code and run, each of which a joint alphabet has a word for."""
    columns_of_pes = encode_layer(case.layer, twin_of(machine))
    return {entry for columns in columns_of_pes for column in columns for entry in column}


def has_words_for_all(case: Case, machine: Accelerator) -> bool:
    """Whether the words of the machine's Huffman alphabets suffice."""
    if machine.decoder != "huffman" or machine.huffman_alphabet != "joint":
        return True
    return bool(len(entries_of(case, machine)) <= 2**machine.max_code_length)
