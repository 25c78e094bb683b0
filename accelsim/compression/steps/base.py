"""What all steps of a recipe have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from accelsim.errors import NetworkError
from accelsim.network.arrays import Float32
from accelsim.network.layers import Layer, Network

# From tensor to tensor; torch is not imported to say so.
Rounding: TypeAlias = Callable[[Any], Any]
Fraction: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]


class Training(BaseModel):
    """How the weights are trained after a step; what the step made of them is kept.

    learning_rate: falls to zero along half a cosine over all epochs
    weight_decay: decoupled from the gradient with adamw, an L2 term in it with sgd
    dropout: of what a fully connected layer gives to the next, in a dense network; a pruned layer takes
        it times the square root of its density (Han et al., 2015, section 3.2)
    ramp: fraction of the epochs in which a gradual pruning step reaches its density
    shift_pixels: each image is moved by up to so many pixels, at random
    precision: of convolutions and matrix products; sums of gradients and weights stay float32
    best: the epoch that is kept has the fewest errors on the validation examples, or the smallest loss
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    optimiser: Literal["adamw", "sgd"] = "adamw"
    batch: int = Field(default=128, ge=1)
    weight_decay: float = Field(default=0.0, ge=0.0)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    ramp: Fraction = 0.5
    shift_pixels: int = Field(default=0, ge=0, le=4)
    precision: Literal["float32", "bfloat16"] = "float32"
    best: Literal["error", "loss"] = "error"


class Context(NamedTuple):
    """What a step may look at.

    seed: of everything that it draws
    calibration: float32[examples, *shape], inputs of the network, or None if there are no data
    loss: of a network on the calibration examples (mean, in nats), or None if there are no data
    """

    seed: int = 0
    calibration: Float32 | None = None
    loss: Callable[[Network], float] | None = None


class Applied(NamedTuple):
    """What a step made of a network.

    network: with the weights as they would be used if they were not retrained
    latent: by layer of `network`, float32[n_out, n_in]: what retraining starts from and rounds again
        at each use, where that is not the weights themselves. Its zeros stay zero; what is merely
        rounded to zero may come back
    roundings: by layer of `network`: how retraining rounds its latent weights at each use, from tensor
        float32[n_out, n_in] to the same, straight-through, onto the grid that `apply` chose; it gives
        0 for 0. All weights but zeros are free in a layer without one
    shared: layers of `network` in which equal weights stay equal: retraining moves them together
    """

    network: Network
    latent: Mapping[str, Float32] = {}
    roundings: Mapping[str, Rounding] = {}
    shared: frozenset[str] = frozenset()


class Step(BaseModel, ABC):
    """One step of a recipe.

    layers: names of the layers that it works on, as patterns (`fc*`); all that it can, by default
    train: how the network is retrained afterwards; not at all, by default
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    layers: tuple[Annotated[str, Field(min_length=1)], ...] = ("*",)
    train: Training | None = None

    @abstractmethod
    def apply(self, network: Network, context: Context) -> Applied:
        """The network after the step. Raises NetworkError where it cannot be done."""

    def chosen(self, network: Network) -> list[Layer]:
        """The layers that `layers` names. NetworkError for a name that fits none."""
        names = [layer.name for layer in network.layers]
        for pattern in self.layers:
            if not any(_fits(name, pattern) for name in names):
                raise NetworkError(
                    f"recipe step '{self.kind}': no layer '{pattern}'; the layers are {', '.join(names)}"
                )
        return [
            layer
            for layer in network.layers
            if any(_fits(layer.name, pattern) for pattern in self.layers)
        ]


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def given_weights(layer: Layer, step: str) -> Float32:
    """The layer's weights. NetworkError if it is shape-only."""
    if layer.weights is None:
        raise NetworkError(
            f"recipe step '{step}': layer '{layer.name}' is shape-only: give a network with weights, "
            "or begin with a step 'train' that draws them"
        )
    return layer.weights


def per_layer(values: Any, name: str, default: Any) -> Any:
    """One value for all layers, or that of `name` (else of "*", else `default`) in a dict of them."""
    if isinstance(values, dict):
        return values.get(name, values.get("*", default))
    return values


def check_names(step: str, values: Any, chosen: Sequence[Layer]) -> None:
    """NetworkError if a dict of values by layer names one that is not among the chosen."""
    check_layer_names(f"recipe step '{step}'", values, chosen)


def check_layer_names(where: str, values: Any, layers: Sequence[Layer]) -> None:
    """NetworkError, which begins with `where`, if a dict of values names none of these layers."""
    names = [layer.name for layer in layers]
    unknown = sorted(set(values) - {"*", *names}) if isinstance(values, dict) else []
    if unknown:
        raise NetworkError(f"{where}: no layer '{unknown[0]}'; the layers are {', '.join(names)}")


def taken_names(network: Network) -> set[str]:
    """Names that no new tensor or constant of a network may have."""
    layers = (layer.name for layer in network.layers)
    return {*network.flow.shapes, *network.flow.constants, *layers}


def free_name(name: str, taken: set[str]) -> str:
    """The name, or one made from it that is not taken; it is, afterwards."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}.{number}", number + 1
    taken.add(free)
    return free


def replaced(network: Network, layers: Mapping[str, Layer], **fields: Any) -> Network:
    """The network with some layers, and other fields, replaced."""
    kept = tuple(layers.get(layer.name, layer) for layer in network.layers)
    given: dict[str, Any] = {
        "name": network.name,
        "layers": kept,
        "activations": network.activations,
        "chained": network.chained,
        "source": network.source,
        "graph": network.graph,
        "constants": network.constants,
    }
    return Network(**(given | fields))
