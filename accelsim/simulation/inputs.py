"""Where a run's input vectors come from."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from accelsim.compression.layer import CompressedNetwork
from accelsim.errors import NetworkError
from accelsim.network.arrays import Float32
from accelsim.network.draw import draw_activations
from accelsim.network.files import naming_file
from accelsim.network.npz import read_array, read_arrays

ActivationsLike: TypeAlias = "Float32 | Mapping[str, Float32] | str | Path | None"


# Where a layer's input vectors come from; a layer without any runs on the output before it.
GIVEN, TO_DENSITY, DENSE = "given", "drawn to the stated density", "drawn, dense"


class Inputs(NamedTuple):
    """given: float32[batch, *shape] by name of a step, whose first input they replace, or of an input.

    single: whether everything was given without a batch
    origin: GIVEN, TO_DENSITY or DENSE by the same names
    """

    given: dict[str, Float32]
    single: bool
    origin: dict[str, str]
    notes: tuple[str, ...]


def network_inputs(network: CompressedNetwork, activations: ActivationsLike, seed: int) -> Inputs:
    """Input values from an argument, the network's own, or, with a note, drawn from `seed`.

    An array is the network's first input; a mapping (or an `.npz` trace) gives inputs, layers or steps
    by name, where `inputs` stands for the first input. Raises NetworkError where they do not fit,
    InputError for a seed below 0.
    """
    notes: list[str] = []
    given = {
        network.flow.place(name): values for name, values in _given(network, activations).items()
    }
    drawn_with_weights = activations is None and network.provenance.get("synthetic")
    origin = dict.fromkeys(given, TO_DENSITY if drawn_with_weights else GIVEN)
    if drawn_with_weights and given:
        notes.append("activations are synthetic: drawn from a seed to the stated densities")
    shapes = {name: network.flow.shape_at(name) for name in given}
    single = all(values.ndim == len(shapes[name]) for name, values in given.items())
    batched = {name: values.reshape(-1, *shapes[name]) for name, values in given.items()}
    needed = _needed(network, batched)
    batch = _batch_size(batched, apart=not needed and _apart(network, batched))
    for name in needed:
        shape = network.flow.shape_at(name)
        drawn = draw_activations(name, math.prod(shape), 1.0, seed).reshape(shape)
        batched[name] = np.tile(drawn, (batch, *(1,) * len(shape)))
        origin[name] = DENSE
        notes.append(
            f"layer '{name}': no input was given, so a dense one was drawn (seed {seed})"
            if network.flow.implied
            else f"input '{name}' was not given, so a dense one was drawn (seed {seed})"
        )
    return Inputs(batched, single, origin, tuple(notes))


def _needed(network: CompressedNetwork, given: Mapping[str, Any]) -> list[str]:
    """Inputs that have to be drawn: what a step reads that no earlier step gives."""
    missing = []
    for step in network.flow.steps:
        for index, name in enumerate(step.inputs):
            if name not in network.flow.graph.inputs or (index == 0 and step.name in given):
                continue
            place = step.name if network.flow.implied else name
            if place not in given and place not in missing:
                missing.append(place)
    return missing


def _given(network: CompressedNetwork, activations: Any) -> dict[str, Float32]:
    """Checked input values by name, from wherever they are given."""
    check = network.flow.check_activations
    if activations is None:
        return dict(network.activations)
    if not isinstance(activations, str | Path):
        return check(_by_name(activations))
    path = Path(activations)
    arrays: Any = read_arrays(path) if path.suffix.lower() == ".npz" else read_array(path)
    with naming_file(path):
        if isinstance(arrays, dict):
            arrays = _trace(network, arrays)
        return check(_by_name(arrays))


def _by_name(activations: Any) -> Mapping[str, Any]:
    if isinstance(activations, Mapping):
        return activations
    try:
        return {"inputs": np.asarray(activations)}
    except ValueError:
        raise NetworkError(
            "activations: rows of different lengths: give [n_in] or [batch, n_in]"
        ) from None


def _trace(network: CompressedNetwork, arrays: dict[str, Any]) -> dict[str, Any]:
    """The input of a trace file: `inputs` alone if it is there, else every place that it names."""
    if "inputs" in arrays:
        return {"inputs": arrays["inputs"]}
    if "activations" in arrays:
        return {"inputs": arrays["activations"]}
    names = {layer.name for layer in network.layers}
    if not network.flow.implied:
        names |= set(network.flow.graph.inputs)
    chosen = {name: values for name, values in arrays.items() if name in names}
    if not chosen:
        raise NetworkError(
            f"holds {', '.join(arrays) or 'nothing'}: name an array 'inputs', 'activations' or "
            f"after a layer ({', '.join(sorted(names))})"
        )
    return chosen


def _apart(network: CompressedNetwork, given: Mapping[str, Any]) -> bool:
    """Whether no step reads what another one computes."""
    return all(
        name in network.flow.graph.inputs or (index == 0 and step.name in given)
        for step in network.flow.steps
        for index, name in enumerate(step.inputs)
    )


def _batch_size(given: dict[str, Float32], *, apart: bool) -> int:
    """Examples in the batch; only steps that have nothing to do with each other may differ in it."""
    sizes = {name: values.shape[0] for name, values in given.items()}
    if len(set(sizes.values())) > 1 and not apart:
        raise NetworkError(
            f"activations: batches differ ({sizes}): give every layer its own, or all the same number"
        )
    return max(sizes.values(), default=1)
