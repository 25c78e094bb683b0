"""Decoders: how the bits in the weight SRAM turn into entries."""

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.base import DecodedLayer, Decoder
from accelsim.hardware.decoders.dense import DenseDecoder
from accelsim.hardware.decoders.fixed import FixedDecoder
from accelsim.hardware.decoders.huffman import HuffmanDecoder

__all__ = [
    "DecodedLayer",
    "Decoder",
    "DenseDecoder",
    "FixedDecoder",
    "HuffmanDecoder",
    "decoder_of",
]


def decoder_of(machine: Accelerator) -> Decoder:
    """The decoder that the machine names."""
    decoders: dict[str, type[Decoder]] = {
        "fixed": FixedDecoder,
        "huffman": HuffmanDecoder,
        "dense": DenseDecoder,
    }
    return decoders[machine.decoder]()
