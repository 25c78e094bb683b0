"""`accelsim.compress`: a network through the steps of a recipe, into the form that is stored."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.compression.coder import Progress, encode
from accelsim.compression.decoded import decoded
from accelsim.compression.layer import CompressedNetwork
from accelsim.compression.loading import load
from accelsim.compression.pipeline import Job, Outcome, run_steps
from accelsim.compression.recipe import Recipe, make_recipe
from accelsim.compression.recipe_file import load_recipe
from accelsim.compression.sizes import GIVEN, dense_sizes
from accelsim.datasets.training import TrainingData, training_data
from accelsim.errors import InputError
from accelsim.network.layers import Network

if TYPE_CHECKING:
    from accelsim.compression.training.fit import Epoch


def compress(
    network: "str | Path | Network",
    recipe: "Recipe | str | Path | None" = None,
    *,
    data: "str | Path | TrainingData | None" = None,
    loss: Callable[[Any, Any], Any] | None = None,
    checkpoint: "str | Path | None" = None,
    progress: Progress | None = None,
    on_epoch: "Callable[[Epoch], None] | None" = None,
    **fields: Any,
) -> CompressedNetwork:
    """Compress a network: the steps of a recipe, each with its training, then coding.

    network: a file, a bundled name, or a network (a torch module comes in through `from_torch`)
    recipe: a `Recipe`, a TOML file, or the name of a bundled recipe (`deep-compression`); without one,
        weights are pruned and shared as `fields` say, and nothing is trained
    data: to train, calibrate and test with, where the recipe does: what `training_data` reads (`mnist`), or
        iterables of batches as `TrainingData`
    loss: of (outputs, targets), two tensors, to a scalar tensor; by default cross entropy. A softmax at
        the network's end is left out of the outputs
    checkpoint: a folder that is written to after each epoch; the same call goes on from there
    progress: called with the kind of each step, and the name of each layer that is coded, before its turn
    on_epoch: called with an `Epoch` after each epoch of training, and with those that `checkpoint` holds
    fields: fields of the recipe by name, in place of those that it has

    What was reached on the data stands in the result's provenance, under `training`. Raises InputError or one
    of its kinds.
    """
    given = load_recipe(recipe) if isinstance(recipe, str | Path) else recipe
    recipe = make_recipe(given, **fields)
    dense = _dense(network)
    if not recipe.steps:
        return encode(dense, recipe, progress)
    job = Job(
        recipe.seed,
        None if data is None else training_data(data),
        loss,
        None if checkpoint is None else Path(checkpoint),
        on_epoch,
        progress,
    )
    outcome = run_steps(dense, recipe.steps, job)
    coded = encode(outcome.network, _fitting(recipe, outcome), progress)
    coded = replace(coded, provenance={**coded.provenance, "recipe": recipe.as_record()})
    reached = _reached(outcome, coded, job)
    before = dense_sizes(dense)
    noted = {GIVEN: before} if before != dense_sizes(outcome.network) else {}
    return replace(coded, provenance={**coded.provenance, **noted, **reached})


def _fitting(recipe: Recipe, outcome: Outcome) -> Recipe:
    """The recipe with codes as wide as the values need that steps fixed, unless it names the layer."""
    given = recipe.code_bits if isinstance(recipe.code_bits, dict) else {"*": recipe.code_bits}
    fit: dict[str, Any] = dict.fromkeys(sorted(outcome.fixed), "fit")
    return recipe.model_copy(update={"code_bits": fit | given})


def _dense(network: "str | Path | Network") -> Network:
    loaded = load(network) if isinstance(network, str | Path) else network
    if not isinstance(loaded, Network | CompressedNetwork):
        raise InputError(
            f"network: {type(loaded).__name__}: give a file, a bundled name or a Network (a module of "
            "PyTorch becomes one by accelsim.from_torch)"
        )
    if not isinstance(loaded, Network):
        raise InputError(f"network '{loaded.name}': is compressed already: give dense weights")
    return loaded


def _reached(outcome: Outcome, coded: CompressedNetwork, job: Job) -> dict[str, Any]:
    """Loss and errors before the compression and of the decoded network; the test examples are read here."""
    if job.data is None or not outcome.epochs:
        return {}
    from accelsim.compression.training.model import cross_entropy
    from accelsim.compression.training.score import network_score

    parts: Mapping[str, Any] = {"validation": job.data.validation, "test": job.data.test}
    networks = {"dense": outcome.dense, "compressed": decoded(coded)}
    found: dict[str, Any] = {"data": job.data.name, "epochs": len(outcome.epochs)}
    for part, examples in parts.items():
        if examples is None:
            continue
        scores = {
            n: network_score(x, examples, job.loss or cross_entropy) for n, x in networks.items()
        }
        found |= {f"{part}_{n}_loss": score.loss for n, score in scores.items()}
        found |= {
            f"{part}_{n}_error_pct": score.error_pct
            for n, score in scores.items()
            if not math.isnan(score.error_pct)
        }
    return {"training": found}
