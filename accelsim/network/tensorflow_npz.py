"""Networks trained with TensorFlow from the arrays of an .npz file: what their layouts share.

TensorFlow keeps a matrix as [n_in, n_out], a convolution's kernel as [height, width, channels in,
channels out], a depthwise one as [height, width, channels, 1], and images with channels last. Here
everything has channels first.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from accelsim.errors import FileFormatError
from accelsim.network.arrays import Float32, as_finite_float32
from accelsim.network.builder import GraphBuilder
from accelsim.network.fold import folded
from accelsim.network.graph import Activate, Affine, Convolution, FullyConnected, Operation, Shape
from accelsim.network.layers import Layer, Network
from accelsim.network.npz_layers import AnyArray
from accelsim.network.shapes import Matrix

Names: TypeAlias = tuple[str, str]
EPSILON = 1e-3  # of batch normalisation, the default of both Keras and TF-Slim


class TensorFlowNetwork:
    """A network that is put together from arrays by name, in the order of its steps.

    Methods that add a step take the tensor that it reads, and return the tensor that it gives.
    """

    def __init__(self, arrays: Mapping[str, AnyArray], inputs: Mapping[str, Shape]) -> None:
        self.arrays = arrays
        self.builder = GraphBuilder(inputs)
        self._layers: list[Layer] = []
        self._read: set[str] = set()

    def array(self, name: str, rank: int) -> Float32:
        """An array of the file. Raises FileFormatError if it is missing or has another rank."""
        if name not in self.arrays:
            raise FileFormatError(f"field '{name}': missing: get the file again")
        self._read.add(name)
        array = as_finite_float32(self.arrays[name], f"field '{name}'")
        if array.ndim != rank or array.size == 0:
            raise FileFormatError(f"field '{name}': has shape {array.shape}, not {rank} axes")
        return array

    def layer(self, name: str, weights: Float32, bias: Float32 | None) -> Layer:
        """Add a layer."""
        layer = Layer(name, np.ascontiguousarray(weights), bias)
        self._layers.append(layer)
        return layer

    def apply(self, name: str, op: Operation, given: str, *layers: Layer) -> str:
        """Add a step that applies layers."""
        matrices = {layer.name: Matrix(layer.n_out, layer.n_in) for layer in layers}
        return self.builder.add(name, op, given, matrices=matrices)

    def dense(self, name: str, given: str, arrays: Names) -> str:
        """A matrix and a bias; `arrays` names them in the file."""
        layer = self.layer(name, self.array(arrays[0], 2).T, self.array(arrays[1], 1))
        return self.apply(name, FullyConnected(layer=name), given, layer)

    def convolution(
        self, name: str, given: str, arrays: Names, stride: int | tuple[int, int] = 1
    ) -> str:
        """A convolution with TensorFlow's padding SAME: as many places as strides fit."""
        kernel = self.array(arrays[0], 4)
        weights = kernel.transpose(3, 2, 0, 1).reshape(kernel.shape[3], -1)
        return self._convolution(name, given, weights, arrays, stride, groups=1)

    def depthwise(
        self, name: str, given: str, arrays: Names, stride: int | tuple[int, int] = 1
    ) -> str:
        """A convolution of each channel for itself, with padding SAME."""
        kernel = self.array(arrays[0], 4)
        if kernel.shape[3] != 1:
            raise FileFormatError(
                f"field '{arrays[0]}': has shape {kernel.shape}, not [.., .., .., 1]"
            )
        weights = kernel.transpose(2, 3, 0, 1).reshape(kernel.shape[2], -1)
        return self._convolution(name, given, weights, arrays, stride, groups=kernel.shape[2])

    def _convolution(
        self,
        name: str,
        given: str,
        weights: Float32,
        arrays: Names,
        stride: int | tuple[int, int],
        groups: int,
    ) -> str:
        kernel = self.array(arrays[0], 4).shape[:2]
        strides = (stride, stride) if isinstance(stride, int) else stride
        sizes = self.builder.shapes[given][1:]
        edges = [same_padding(*each) for each in zip(sizes, kernel, strides, strict=True)]
        op = Convolution(
            layer=name,
            kernel=(kernel[0], kernel[1]),
            stride=strides,
            padding=(edges[0][0], edges[1][0], edges[0][1], edges[1][1]),
            groups=groups,
        )
        return self.apply(name, op, given, self.layer(name, weights, self.array(arrays[1], 1)))

    def batch_norm(self, name: str, given: str, gamma: str) -> str:
        """Batch normalisation from its running statistics; `name` is that of its arrays."""
        scale = self.array(f"{name}.{gamma}", 1) / np.sqrt(
            self.array(f"{name}.moving_variance", 1).astype(np.float64) + EPSILON
        )
        shift = self.array(f"{name}.beta", 1) - self.array(f"{name}.moving_mean", 1) * scale
        constants = self.builder.constants
        constants[f"{name}.scale"] = scale.astype(np.float32)
        constants[f"{name}.shift"] = shift.astype(np.float32)
        op = Affine(scale=f"{name}.scale", shift=f"{name}.shift")
        return self.builder.add(name, op, given)

    def relu(self, given: str) -> str:
        """The larger of each value and 0."""
        return self.builder.add(f"{given}.relu", Activate(function="relu"), given)

    def network(self, path: Path) -> Network:
        """The network, named after the file; normalisation and ReLU go into its layers.

        Raises FileFormatError for an array that no step reads: something before it is missing.
        """
        left = [name for name in self.arrays if name not in self._read]
        if left:
            raise FileFormatError(f"field '{left[0]}': belongs to no layer: get the file again")
        return folded(
            Network(
                path.stem,
                tuple(self._layers),
                source=path.name,
                graph=self.builder.graph(),
                constants=self.builder.constants,
            )
        )


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis so that it gives ``ceil(size / stride)``; the odd one after.

    TensorFlow's rule for padding SAME.
    """
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
