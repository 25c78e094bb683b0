"""Decoders: how the bits in the weight SRAM turn into entries."""

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.decoders.base import DecodedLayer, Decoder
from accelsim.hardware.decoders.fixed import FixedDecoder
from accelsim.hardware.decoders.huffman import HuffmanDecoder

__all__ = ["DecodedLayer", "Decoder", "FixedDecoder", "HuffmanDecoder", "decoder_of"]


def decoder_of(machine: Accelerator) -> Decoder:
    """The decoder that the machine names."""
    return {"fixed": FixedDecoder, "huffman": HuffmanDecoder}[machine.decoder]()
