"""What is computed: layers, and networks of layers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import NetworkError

Float32: TypeAlias = NDArray[np.float32]
Activation: TypeAlias = Literal["none", "relu", "softmax"]

ACTIVATIONS: tuple[Activation, ...] = ("none", "relu", "softmax")
# A shape beyond this is a damaged file, not a layer: row and column indices stay in int32.
MAX_DIMENSION = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Layer:
    """A fully connected layer ``y = activation(weights @ x + bias)``.

    weights: float32[n_out, n_in], or None for a shape-only layer, whose weights are drawn from a
        seed
    bias: float32[n_out] or None
    n_out, n_in: taken from the weights; needed only where these are None
    weight_density, activation_density: fractions of non-zero values of a shape-only layer
    draw_bias: whether a shape-only layer has a bias, to be drawn with its weights; else without
        meaning

    Raises NetworkError for shapes that do not fit each other, for NaN or infinite values, and for a
    name that is empty or has characters that cannot be printed.
    """

    name: str
    weights: Float32 | None = None
    bias: Float32 | None = None
    activation: Activation = "none"
    n_out: int = 0
    n_in: int = 0
    weight_density: float | None = None
    activation_density: float | None = None
    draw_bias: bool = True

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable():
            raise NetworkError(f"layer {self.name!r}: give it a name of printable characters")
        if self.weights is not None:
            self._take_shape_from_weights(self.weights)
        if not (0 < self.n_out <= MAX_DIMENSION and 0 < self.n_in <= MAX_DIMENSION):
            raise NetworkError(
                f"layer '{self.name}': n_out={self.n_out}, n_in={self.n_in}: "
                "give the weights, or both sizes as positive numbers"
            )
        if self.weights is None and self.weight_density is None:
            raise NetworkError(
                f"layer '{self.name}': has neither weights nor weight_density: give one of them"
            )
        for label in ("weight_density", "activation_density"):
            density = getattr(self, label)
            if density is not None and not 0.0 < density <= 1.0:
                raise NetworkError(
                    f"layer '{self.name}': {label}={density}: give a fraction above 0 and up to 1"
                )
        if self.bias is not None:
            bias = as_finite_float32(self.bias, f"layer '{self.name}': bias")
            if bias.shape != (self.n_out,):
                raise NetworkError(
                    f"layer '{self.name}': bias has shape {bias.shape}, "
                    f"the weights need ({self.n_out},)"
                )
            object.__setattr__(self, "bias", bias)
        if self.activation not in ACTIVATIONS:
            raise NetworkError(
                f"layer '{self.name}': activation '{self.activation}' is not supported: "
                f"use one of {', '.join(ACTIVATIONS)}"
            )

    def _take_shape_from_weights(self, weights: Float32) -> None:
        weights = as_finite_float32(weights, f"layer '{self.name}': weights")
        if weights.ndim != 2:
            raise NetworkError(
                f"layer '{self.name}': weights have shape {weights.shape}: "
                "a fully connected layer needs [n_out, n_in]"
            )
        if self.n_out not in (0, weights.shape[0]) or self.n_in not in (0, weights.shape[1]):
            raise NetworkError(
                f"layer '{self.name}': weights have shape {weights.shape}, "
                f"but n_out={self.n_out}, n_in={self.n_in} were given"
            )
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "n_out", weights.shape[0])
        object.__setattr__(self, "n_in", weights.shape[1])

    @property
    def n_weights(self) -> int:
        """Weights of the dense layer, without the bias."""
        return self.n_out * self.n_in

    @property
    def has_bias(self) -> bool:
        """Whether the layer adds a bias: a given one, or one that is drawn with its weights."""
        return self.bias is not None or (self.weights is None and self.draw_bias)


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in order: each takes the output of the one before it, or its own given activations.

    activations: input vectors per layer name, float32[n_in] or float32[batch, n_in]. A layer that
        is named there runs on them; any other layer runs on the output of the layer before it.
    chained: False for a list of independent layers (a benchmark set), none of which feeds another.

    Raises NetworkError for duplicate names, layers that do not fit, unknown or wrong activations.
    """

    name: str
    layers: tuple[Layer, ...]
    activations: Mapping[str, Float32] = field(default_factory=dict)
    chained: bool = True
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        check_layer_names(self.name, [layer.name for layer in self.layers])
        if self.chained:
            check_chain([(layer.name, layer.n_out, layer.n_in) for layer in self.layers])
        for layer in self.layers[:-1]:
            if self.chained and layer.activation == "softmax":
                raise NetworkError(
                    f"layer '{layer.name}': softmax stands before the last layer: "
                    "it is computed by the host and is supported at the end only"
                )
        checked = check_activations(
            {layer.name: layer.n_in for layer in self.layers}, self.activations
        )
        object.__setattr__(self, "activations", checked)


def as_finite_float32(values: object, what: str) -> Float32:
    """`values` as a contiguous, writeable float32 array, a copy only where it has to be.

    Read-only arrays are another type to Numba: each kernel would be compiled once more for them.
    Raises NetworkError for anything but real numbers, and for NaN and infinite values.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise NetworkError(f"{what}: has type {array.dtype}: give real numbers")
    # A signalling NaN in a damaged file sets "invalid"; it is reported below, with its place.
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.require(array, np.float32, ["C_CONTIGUOUS", "WRITEABLE"])
    # A sum is NaN or infinite if any value is: it is checked at memory speed.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(array.sum(dtype=np.float64))
    if suspicious:
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            where = tuple(int(i) for i in np.unravel_index(bad[0], array.shape))
            raise NetworkError(
                f"{what}: {bad.size} of {array.size} values are NaN, infinite or beyond float32 "
                f"(first at {where}): repair the file"
            )
    return array


def check_layer_names(network: str, names: list[str]) -> None:
    """NetworkError unless there is a layer and each has a name of its own."""
    if not names:
        raise NetworkError(f"network '{network}': has no layers")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise NetworkError(f"network '{network}': two layers are named '{twice[0]}': rename one")


def check_chain(layers: list[tuple[str, int, int]]) -> None:
    """NetworkError unless each layer's n_in is the n_out of the one before it."""
    for (before, n_out, _), (after, _, n_in) in pairwise(layers):
        if n_out != n_in:
            raise NetworkError(
                f"layer '{after}': takes {n_in} inputs, but layer '{before}' before it gives "
                f"{n_out}: reorder the layers or repair their shapes"
            )


def check_activations(
    inputs: Mapping[str, int], activations: Mapping[str, Float32]
) -> dict[str, Float32]:
    """Activations as float32 arrays that fit their layers (`inputs` maps layer name to n_in)."""
    checked = {}
    for name, values in activations.items():
        if name not in inputs:
            raise NetworkError(
                f"activations for '{name}': no such layer; the layers are {', '.join(inputs)}"
            )
        array = as_finite_float32(values, f"activations of layer '{name}'")
        if array.ndim not in (1, 2) or array.shape[-1] != inputs[name] or array.size == 0:
            raise NetworkError(
                f"activations of layer '{name}' have shape {array.shape}: "
                f"give [{inputs[name]}] or [batch, {inputs[name]}]"
            )
        checked[name] = array
    return checked
