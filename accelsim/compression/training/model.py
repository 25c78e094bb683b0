"""A network with everything in it that is trained."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from accelsim.compression.steps.base import Applied, replaced
from accelsim.compression.training.executor import run_graph
from accelsim.compression.training.weights import Free, layer_weights
from accelsim.datasets.training import Batch
from accelsim.errors import InputError, NetworkError
from accelsim.network.arrays import Float32
from accelsim.network.graph import FullyConnected
from accelsim.network.layers import Network

if TYPE_CHECKING:
    from torch import Tensor

Loss: TypeAlias = Callable[[Any, Any], Any]
Precision: TypeAlias = Literal["float32", "bfloat16"]


class Model:
    """Weights, biases and constants of a network as tensors that are trained.

    Scales of affine steps stay as they are: they belong to the grid of the weights before them, or to a
    normalisation that the weights can take over.
    """

    def __init__(self, applied: Applied) -> None:
        import torch

        network = applied.network
        self.network = network
        self.weights = {layer.name: layer_weights(layer, applied) for layer in network.layers}
        self.biases = {
            layer.name: torch.tensor(layer.bias, requires_grad=True)
            for layer in network.layers
            if layer.bias is not None
        }
        fixed = {step.op.scale for step in network.flow.steps if step.op.kind == "affine"}
        self.constants = {
            name: torch.tensor(values, requires_grad=name not in fixed)
            for name, values in network.flow.constants.items()
        }

    def trained(self) -> tuple[list["Tensor"], list["Tensor"]]:
        """Tensors that an optimiser moves: those of weights, and all others."""
        others = [*self.biases.values(), *self.constants.values()]
        weights = [layer.parameter for layer in self.weights.values()]
        return weights, [tensor for tensor in others if tensor.requires_grad]

    def outputs(
        self, inputs: Any, dropout: Mapping[str, float] | None = None
    ) -> "Tensor | list[Tensor]":
        """What the network gives for inputs [batch, *shape]: its output, or a list of several."""
        found = run_graph(
            self.network.flow,
            self.network.layers,
            {name: weights() for name, weights in self.weights.items()},
            self.biases,
            self.constants,
            self._shaped(inputs),
            dropout=dropout,
            training=bool(dropout),
        )
        return found[0] if len(found) == 1 else found

    def dropout(self, dense: float) -> dict[str, float]:
        """Probability by layer: of each fully connected layer that another one reads.

        `dense` times the square root of the density of the layer that reads it (Han et al., Learning both
        Weights and Connections, NIPS 2015, equation 3: D_r = D_o sqrt(C_r / C_o)). Steps without
        weights may stand between the two.
        """
        if not dense:
            return {}
        steps = {step.name: step for step in self.network.flow.steps}
        found = {}
        for step in steps.values():
            if isinstance(step.op, FullyConnected):
                before = steps.get(step.inputs[0])
                while before is not None and not before.op.layers:
                    before = steps.get(before.inputs[0])
                if before is not None and isinstance(before.op, FullyConnected):
                    density = self.weights[step.op.layer].density
                    found[before.op.layer] = dense * float(np.sqrt(density))
        return found

    def snapshot(self) -> dict[str, Float32]:
        """All values as the network uses them now, by `kind/name`.

        Of a layer that is rounded at each use `latent/name` holds what is rounded.
        """
        import torch

        with torch.no_grad():
            found = {f"weights/{n}": w().detach().numpy().copy() for n, w in self.weights.items()}
            for kind, tensors in (("bias", self.biases), ("constant", self.constants)):
                found |= {f"{kind}/{n}": t.detach().numpy().copy() for n, t in tensors.items()}
            for name, layer in self.weights.items():
                if isinstance(layer, Free) and layer.rounding is not None:
                    found[f"latent/{name}"] = layer.kept().copy()
        return found

    def _shaped(self, inputs: Any) -> "Tensor":
        """Inputs as a tensor of the shape that the network's first input has."""
        import torch

        shape = next(iter(self.network.flow.graph.inputs.values()))
        tensor = (
            inputs
            if isinstance(inputs, torch.Tensor)
            else torch.from_numpy(np.ascontiguousarray(inputs))
        )
        if tensor.ndim == 0 or tensor[:1].numel() != np.prod(shape):
            raise NetworkError(
                f"training data: an example has shape {list(tensor.shape[1:])}, network "
                f"'{self.network.name}' takes {list(shape)}: reshape the data"
            )
        return tensor.to(torch.float32).reshape(len(tensor), *shape)


def with_values(network: Network, values: Mapping[str, Float32]) -> Network:
    """The network with the values of a `Model.snapshot`."""
    layers = {
        layer.name: replace(
            layer, weights=values[f"weights/{layer.name}"], bias=values.get(f"bias/{layer.name}")
        )
        for layer in network.layers
    }
    constants = {name: values[f"constant/{name}"] for name in network.flow.constants}
    return replaced(network, layers, constants=constants)


def cross_entropy(outputs: Any, targets: Any) -> Any:
    """Mean over all targets of the cross entropy, in nats; classes are the outputs' last axis."""
    from torch.nn import functional

    scores, labels = _classified(outputs, targets)
    return functional.cross_entropy(scores, labels)


def wrong(outputs: Any, targets: Any) -> tuple[int, int]:
    """How many targets are not the class of the largest output, and how many there are."""
    scores, labels = _classified(outputs, targets)
    return int((scores.argmax(1) != labels).sum()), len(labels)


def _classified(outputs: Any, targets: Any) -> tuple[Any, Any]:
    if isinstance(outputs, list):
        raise InputError("training: the network has several outputs: give a loss of your own")
    given, wanted = ([size for size in x.shape if size != 1] for x in (outputs, targets))
    # Classes are the last axis, or the only one beside the examples, as of a convolution [n, c, 1, 1].
    fits = given[:-1] == wanted or (outputs.shape[:1] == targets.shape and given[1:] == given[-1:])
    if targets.is_floating_point() or not fits:
        raise InputError(
            f"training: targets {list(targets.shape)} are no classes of outputs "
            f"{list(outputs.shape)}: give whole numbers, or a loss of your own"
        )
    labels = targets.reshape(-1).long()
    scores = outputs.reshape(len(labels), -1)
    if int(labels.min()) < 0 or int(labels.max()) >= scores.shape[1]:
        raise InputError(
            f"training data: classes {int(labels.min())} to {int(labels.max())}, but the network has "
            f"{scores.shape[1]} outputs: "
            "give labels from 0 on, one output each"
        )
    return scores, labels


def tensors(batch: Batch) -> tuple[Any, Any]:
    """A batch as tensors."""
    import torch

    inputs, targets = batch
    as_tensors = [
        value if isinstance(value, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(value))
        for value in (inputs, targets)
    ]
    return as_tensors[0], as_tensors[1]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What loaders of torch draw follows `seed`, where torch is installed; afterwards it is as before."""
    try:
        import torch
    except ImportError:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def computing(precision: Precision = "float32") -> Iterator[None]:
    """One thread of torch, with which small networks are quickest, and its precision; both restored.

    Raises InputError if torch is missing.
    """
    try:
        import torch
    except ImportError:
        raise InputError("training needs torch: pip install 'accelsim[train]'") from None
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # Its cache would keep the first rounded copy of a weight while the weight is trained.
        with torch.autocast(
            "cpu", torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False
        ):
            yield
    finally:
        torch.set_num_threads(before)
