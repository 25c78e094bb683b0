"""A recipe's steps, one after the other, each followed by its training."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from accelsim.compression.steps.base import Applied, Context, Step, given_weights
from accelsim.compression.steps.prune import Prune
from accelsim.datasets.training import Batch, Examples, TrainingData, batches_of
from accelsim.errors import InputError, NetworkError
from accelsim.network.layers import Network

if TYPE_CHECKING:
    from accelsim.compression.training.checkpoint import Checkpoint
    from accelsim.compression.training.fit import Epoch

CALIBRATION_EXAMPLES = 5000


@dataclass(frozen=True)
class Job:
    """What steps are run with.

    data: to train, calibrate and test with; None if no step needs any
    loss: of (outputs, targets), to a scalar tensor; None for cross entropy
    checkpoint: folder that keeps what is done, so that an interrupted run goes on; None for none
    on_epoch: called after each epoch, and with those that the checkpoint holds
    progress: called with the kind of each step before it
    """

    seed: int = 0
    data: TrainingData | None = None
    loss: Callable[[Any, Any], Any] | None = None
    checkpoint: Path | None = None
    on_epoch: "Callable[[Epoch], None] | None" = None
    progress: Callable[[str], None] | None = None


class Outcome(NamedTuple):
    """What the steps made.

    dense: the network before the first step that makes it smaller or coarser
    fixed: layers whose values steps have shared or quantised
    epochs: what each epoch of training came to, as dicts of the fields of `Epoch`
    """

    network: Network
    dense: Network
    fixed: frozenset[str]
    epochs: list[dict[str, Any]]


def run_steps(network: Network, steps: Sequence[Step], job: Job) -> Outcome:
    """Run the steps. What a step rounded or shared stays so while later ones train.

    Raises InputError or one of its kinds: for steps that do not fit the network, for training without data
    or torch, and for a checkpoint of another run.
    """
    if job.data is None and any(step.train for step in steps):
        raise InputError("recipe: a step trains the network: give data to train with (--data)")
    if job.data is not None and len(network.flow.graph.inputs) > 1:
        raise NetworkError(
            f"recipe: network '{network.name}' has several inputs: only networks with one can be trained "
            "or calibrated"
        )
    checkpoint = _checkpoint(network, steps, job)
    held, dense = Applied(network), network
    epochs: list[dict[str, Any]] = []
    for number, step in enumerate(steps):
        if job.progress:
            job.progress(step.kind)
        held, records = _Stage(number, step, held, job, checkpoint).run()
        epochs += records
        if all(before.kind == "train" for before in steps[: number + 1]):
            dense = held.network
    return Outcome(held.network, dense, held.shared | frozenset(held.roundings), epochs)


class _Stage(NamedTuple):
    """One step, with what the steps before it left."""

    number: int
    step: Step
    held: Applied
    job: Job
    checkpoint: "Checkpoint | None"

    def run(self) -> tuple[Applied, list[dict[str, Any]]]:
        """What the step and its training made, and the records of its epochs."""
        step, before = self.step, self.held.network
        if isinstance(step, Prune) and step.train and step.schedule != "once":
            # The pruning happens in the course of the training, which starts from what there is.
            self._refuse({layer.name for layer in step.chosen(before)})
            return self._trained(self.held, step, step.densities(before))
        applied = self._kept(step.apply(before, self._context()))
        return self._trained(applied) if step.train else (applied, [])

    def _kept(self, applied: Applied) -> Applied:
        """With what earlier steps imposed on layers that this one left as they were."""
        held = self.held
        old = {layer.name: layer.weights for layer in held.network.layers}
        names = {layer.name for layer in applied.network.layers}
        same = {
            layer.name for layer in applied.network.layers if old.get(layer.name) is layer.weights
        }
        self._refuse(names - same)
        roundings = {name: rounding for name, rounding in held.roundings.items() if name in same}
        return Applied(
            applied.network,
            {n: values for n, values in held.latent.items() if n in same} | {**applied.latent},
            roundings | {**applied.roundings},
            applied.shared | (held.shared & same),
        )

    def _refuse(self, changed: set[str]) -> None:
        fixed = sorted(changed & (self.held.shared | set(self.held.roundings)))
        if fixed:
            raise InputError(
                f"recipe step {self.number + 1} '{self.step.kind}': layer '{fixed[0]}' has shared or "
                "quantised weights already: put this step before the one that did that"
            )

    def _trained(
        self,
        applied: Applied,
        prune: Prune | None = None,
        densities: dict[str, float] | None = None,
    ) -> tuple[Applied, list[dict[str, Any]]]:
        from accelsim.compression.training.fit import Epoch, Task, fit
        from accelsim.compression.training.model import cross_entropy, with_values

        job, step = self.job, self.step
        assert step.train is not None
        assert job.data is not None
        _check_weights(applied.network, step.kind)
        finished = self.checkpoint.step(self.number) if self.checkpoint else None
        if finished is not None:
            for record in finished[1]:
                if job.on_epoch:
                    job.on_epoch(Epoch(**record))
        else:
            task = Task(
                self.number,
                step.kind,
                applied,
                step.train,
                job.data,
                job.loss or cross_entropy,
                job.seed,
                prune,
                densities,
            )
            file = self.checkpoint.epoch_file(self.number) if self.checkpoint else None
            finished = fit(task, file, job.on_epoch)
            if self.checkpoint:
                self.checkpoint.finish(self.number, *finished)
        values, records = finished
        latent = {name: values[f"latent/{name}"] for name in applied.roundings}
        return applied._replace(
            network=with_values(applied.network, values), latent=latent
        ), records

    def _context(self) -> Context:
        """What the step may look at: some of the training examples."""
        job = self.job
        if job.data is None:
            return Context(job.seed)
        batches = _first_examples(job.data, job.seed)
        if not batches:
            raise InputError(
                "training data: an iterator gives no batches: give one that can start anew"
            )

        def loss(network: Network) -> float:
            from accelsim.compression.training.model import cross_entropy
            from accelsim.compression.training.score import network_score

            _check_weights(network, self.step.kind)
            return network_score(network, batches, job.loss or cross_entropy).loss

        network = self.held.network
        shape = next(iter(network.flow.graph.inputs.values()))
        inputs = np.concatenate([np.asarray(x, dtype=np.float32) for x, _ in batches])
        if inputs.size != len(inputs) * math.prod(shape):
            raise NetworkError(
                f"training data: an example has shape {list(inputs.shape[1:])}, network "
                f"'{network.name}' takes {list(shape)}: reshape the data"
            )
        return Context(job.seed, inputs.reshape(len(inputs), *shape), loss)


def _check_weights(network: Network, kind: str) -> None:
    """NetworkError if a layer is shape-only."""
    for layer in network.layers:
        given_weights(layer, kind)


def _first_examples(data: TrainingData, seed: int) -> list[Batch]:
    """Batches with 5,000 training examples, or all; the same each time for one seed."""
    from accelsim.compression.training.model import seeded

    found, count = [], 0
    with seeded(seed):
        for batch in batches_of(data.train, CALIBRATION_EXAMPLES):
            found.append(batch)
            count += len(batch[0])
            if count >= CALIBRATION_EXAMPLES:
                break
    return found


def _checkpoint(network: Network, steps: Sequence[Step], job: Job) -> "Checkpoint | None":
    from accelsim.compression.training.checkpoint import Checkpoint

    if job.checkpoint is None or not any(step.train for step in steps):
        return None
    assert job.data is not None
    digest = hashlib.sha256()
    for step in steps:
        digest.update(step.model_dump_json().encode())
    digest.update(f"{job.seed} {job.data.name} {network.name}".encode())
    digest.update(getattr(job.loss, "__qualname__", type(job.loss).__qualname__).encode())
    for layer in network.layers:
        digest.update(f"{layer.name} {layer.n_out} {layer.n_in}".encode())
        for values in (layer.weights, layer.bias):
            if values is not None:
                digest.update(values.tobytes())
    for values in network.flow.constants.values():
        digest.update(values.tobytes())
    if isinstance(job.data.train, Examples):  # what gives batches itself may give others each time
        for part in next(iter(job.data.train.batches(CALIBRATION_EXAMPLES)), ()):
            digest.update(np.asarray(part).tobytes())
    checkpoint = Checkpoint(job.checkpoint, digest.hexdigest())
    checkpoint.prepare()
    return checkpoint
