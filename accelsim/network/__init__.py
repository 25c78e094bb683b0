"""What is computed: layer types, networks, importers and shape-only specifications."""

from accelsim.network.layers import Layer, Network

__all__ = ["Layer", "Network"]
