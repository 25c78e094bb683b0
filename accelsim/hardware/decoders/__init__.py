"""Decoders: how the bits in the weight SRAM turn into entries."""

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.base import DecodedLayer, Decoder
from accelsim.hardware.decoders.dense import DenseDecoder
from accelsim.hardware.decoders.fixed import FixedDecoder
from accelsim.hardware.decoders.huffman import HuffmanDecoder
from accelsim.hardware.decoders.load import LoadDecoder
from accelsim.hardware.decoders.stream import column_bit_addresses, pe_stream
from accelsim.hardware.decoders.unit import (
    NO_DECODER,
    DecoderUnit,
    DecoderUse,
    DecodingTable,
    Shifter,
    unit_for_all,
)

__all__ = [
    "NO_DECODER",
    "DecodedLayer",
    "Decoder",
    "DecoderUnit",
    "DecoderUse",
    "DecodingTable",
    "DenseDecoder",
    "FixedDecoder",
    "HuffmanDecoder",
    "LoadDecoder",
    "Shifter",
    "column_bit_addresses",
    "decoder_of",
    "pe_stream",
    "unit_for_all",
]


def decoder_of(machine: Accelerator) -> Decoder:
    """The decoder that the machine names."""
    if machine.decoder_placement == "load":
        return LoadDecoder()
    decoders: dict[str, type[Decoder]] = {
        "fixed": FixedDecoder,
        "huffman": HuffmanDecoder,
        "dense": DenseDecoder,
    }
    return decoders[machine.decoder]()
