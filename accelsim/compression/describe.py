"""`accelsim.inspect`: what is in a network file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.compression.layer import CompressedNetwork
from accelsim.compression.loading import load
from accelsim.compression.sizes import NetworkSizes
from accelsim.network.layers import Layer, Network
from accelsim.network.macs import dense_macs


@dataclass(frozen=True)
class Inspection:
    """A network described: `layers` holds one record per layer.

    For a compressed network the records are those of `LayerSizes.as_row`, and the totals count
    everything that is stored; for a dense or shape-only network these totals are None.
    """

    name: str
    kind: str
    layers: list[dict[str, Any]]
    dense_bytes: int
    size_bytes: int | None
    compression_ratio: float | None
    paper_compression_ratio: float | None
    size_before_huffman_bytes: int | None
    file_bytes: int | None
    provenance: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return dict(self.__dict__)


def inspect(network: "str | Path | Network | CompressedNetwork") -> Inspection:
    """Describe a file, a bundled name, or a network. Raises InputError or one of its kinds."""
    file_bytes = None
    if isinstance(network, str | Path):
        path = Path(network)
        network = load(path)
        file_bytes = path.stat().st_size if path.is_file() else None
    if isinstance(network, CompressedNetwork):
        return _compressed(network, file_bytes)
    return _uncompressed(network, file_bytes)


def _compressed(network: CompressedNetwork, file_bytes: int | None) -> Inspection:
    sizes, macs = NetworkSizes.of(network), dense_macs(network)
    layers = [
        {
            "layer": layer.name,
            "n_out": layer.n_out,
            "n_in": layer.n_in,
            "dense_macs": macs[layer.name],
            "activation": layer.activation,
            "bias": "coded" if layer.bias_coded else "exact" if layer.has_bias else "none",
            **layer.sizes.as_row(),
        }
        for layer in network.layers
    ]
    return Inspection(
        name=network.name,
        kind="compressed",
        layers=layers,
        dense_bytes=_bytes(sizes.total("dense_bits")),
        size_bytes=_bytes(sizes.total("total_bits")),
        compression_ratio=sizes.compression_ratio,
        paper_compression_ratio=sizes.paper_compression_ratio,
        size_before_huffman_bytes=_bytes(sizes.total("fixed_bits")),
        file_bytes=file_bytes,
        provenance=dict(network.provenance),
    )


def _uncompressed(network: Network, file_bytes: int | None) -> Inspection:
    macs = dense_macs(network)
    return Inspection(
        name=network.name,
        kind="dense"
        if all(layer.weights is not None for layer in network.layers)
        else "shape-only",
        layers=[_describe(layer, macs[layer.name]) for layer in network.layers],
        dense_bytes=4
        * (
            sum(layer.n_weights + layer.n_out * layer.has_bias for layer in network.layers)
            + sum(values.size for values in network.flow.constants.values())
        ),
        size_bytes=None,
        compression_ratio=None,
        paper_compression_ratio=None,
        size_before_huffman_bytes=None,
        file_bytes=file_bytes,
        provenance={"source": network.source},
    )


def _describe(layer: Layer, macs: int) -> dict[str, Any]:
    density = layer.weight_density
    if layer.weights is not None:
        density = float(np.count_nonzero(layer.weights) / layer.weights.size)
    assert density is not None
    return {
        "layer": layer.name,
        "n_out": layer.n_out,
        "n_in": layer.n_in,
        "dense_macs": macs,
        "activation": layer.activation,
        "bias": "float32" if layer.has_bias else "none",
        "n_weights": layer.n_weights,
        "kept_pct": 100 * density,
        "activation_density_frac": layer.activation_density,
    }


def _bytes(bits: int) -> int:
    return -(-bits // 8)
