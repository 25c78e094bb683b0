"""Where a run's input vectors come from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import NetworkError
from accelsim.network.draw import draw_activations
from accelsim.network.files import naming_file
from accelsim.network.layers import Float32, check_activations
from accelsim.network.npz import read_array, read_arrays

ActivationsLike: TypeAlias = "Float32 | Mapping[str, Float32] | str | Path | None"


# Where a layer's input vectors come from; a layer without any runs on the output before it.
GIVEN, TO_DENSITY, DENSE = "given", "drawn to the stated density", "drawn, dense"


class Inputs(NamedTuple):
    """given: float32[batch, n_in] per layer name; single: whether vectors were given without a batch.

    origin: GIVEN, TO_DENSITY or DENSE per layer name. A layer that is not in `given` runs on the output
    of the layer before it.
    """

    given: dict[str, Float32]
    single: bool
    origin: dict[str, str]
    notes: tuple[str, ...]


def network_inputs(network: CompressedNetwork, activations: ActivationsLike, seed: int) -> Inputs:
    """Input vectors from an argument, the network's own, or, with a note, drawn from `seed`.

    An array is the first layer's input; a mapping (or an `.npz` trace) gives layers by name, where
    `inputs` stands for the first. Raises NetworkError where they do not fit, InputError for a seed
    below 0.
    """
    notes: list[str] = []
    given = _given(network, activations)
    drawn_with_weights = activations is None and network.provenance.get("synthetic")
    origin = dict.fromkeys(given, TO_DENSITY if drawn_with_weights else GIVEN)
    if drawn_with_weights and given:
        notes.append("activations are synthetic: drawn from a seed to the stated densities")
    single = all(values.ndim == 1 for values in given.values())
    batched = {name: np.atleast_2d(values) for name, values in given.items()}
    batch = _batch_size(network, batched)
    for index, layer in enumerate(network.layers):
        if layer.name not in batched and (index == 0 or not network.chained):
            drawn = draw_activations(layer.name, layer.n_in, 1.0, seed)
            batched[layer.name] = np.tile(drawn, (batch, 1))
            origin[layer.name] = DENSE
            notes.append(
                f"layer '{layer.name}': no input was given, so a dense one was drawn (seed {seed})"
            )
    return Inputs(batched, single, origin, tuple(notes))


def _given(network: CompressedNetwork, activations: Any) -> dict[str, Float32]:
    """Checked input vectors by layer name, from wherever they are given."""
    inputs = {layer.name: layer.n_in for layer in network.layers}
    if activations is None:
        return dict(network.activations)
    if not isinstance(activations, str | Path):
        return check_activations(inputs, _by_name(network, activations))
    path = Path(activations)
    arrays: Any = read_arrays(path) if path.suffix.lower() == ".npz" else read_array(path)
    with naming_file(path):
        if isinstance(arrays, dict):
            arrays = _trace(network, arrays)
        return check_activations(inputs, _by_name(network, arrays))


def _by_name(network: CompressedNetwork, activations: Any) -> dict[str, Float32]:
    first = network.layers[0].name
    if isinstance(activations, Mapping):
        return {first if name == "inputs" else name: v for name, v in activations.items()}
    try:
        return {first: np.asarray(activations)}
    except ValueError:
        raise NetworkError(
            "activations: rows of different lengths: give [n_in] or [batch, n_in]"
        ) from None


def _trace(network: CompressedNetwork, arrays: dict[str, Any]) -> dict[str, Any]:
    """The input of a trace file: `inputs` alone if it is there, else every layer that it names."""
    if "inputs" in arrays:
        return {"inputs": arrays["inputs"]}
    if "activations" in arrays:
        return {"inputs": arrays["activations"]}
    names = {layer.name for layer in network.layers}
    chosen = {name: values for name, values in arrays.items() if name in names}
    if not chosen:
        raise NetworkError(
            f"holds {', '.join(arrays) or 'nothing'}: name an array 'inputs', 'activations' or "
            f"after a layer ({', '.join(sorted(names))})"
        )
    return chosen


def _batch_size(network: CompressedNetwork, given: dict[str, Float32]) -> int:
    """Vectors per layer; only layers that all have inputs of their own may differ in it."""
    sizes = {name: values.shape[0] for name, values in given.items()}
    if len(set(sizes.values())) > 1 and len(given) < len(network.layers):
        raise NetworkError(
            f"activations: batches differ ({sizes}): give every layer its own, or all the same number"
        )
    return max(sizes.values(), default=1)
