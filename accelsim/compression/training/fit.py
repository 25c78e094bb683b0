"""The training loop: epochs of gradient descent under what a step imposed, and the best of them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from accelsim.compression.steps.base import Applied, Training
from accelsim.compression.steps.prune import Prune, geometries
from accelsim.compression.training.checkpoint import EpochFile
from accelsim.compression.training.model import (
    Loss,
    Model,
    computing,
    cross_entropy,
    tensors,
)
from accelsim.compression.training.score import Score, score
from accelsim.compression.training.weights import Free
from accelsim.datasets.training import TrainingData, batches_of
from accelsim.errors import InputError
from accelsim.network.arrays import Float32


class Epoch(NamedTuple):
    """What one epoch came to; `kept_pct` is the share of weights that are not masked, in per cent."""

    step: int
    kind: str
    epoch: int
    epochs: int
    train_loss: float
    validation_loss: float
    validation_error_pct: float
    kept_pct: float


class Task(NamedTuple):
    """What one step trains.

    number: of the step in its recipe; together with `seed` it fixes all that is drawn
    prune: the pruning that goes on while it is trained, if any, and the densities to reach
    """

    number: int
    kind: str
    applied: Applied
    training: Training
    data: TrainingData
    loss: Loss
    seed: int
    prune: Prune | None = None
    densities: dict[str, float] | None = None


def fit(
    task: Task, file: EpochFile | None = None, on_epoch: Callable[[Epoch], None] | None = None
) -> tuple[dict[str, Float32], list[dict[str, Any]]]:
    """Train; values of the epoch that is best on the validation examples, and records of all epochs.

    Epochs before a pruning reached its density do not count. With a `file`, training goes on after the
    last epoch that it holds. What is drawn depends on seed, step and epoch only, so that an interrupted run
    ends like one that was not.
    """
    with computing(task.training.precision):
        run = _Run(task)
        first = run.resume(file) if file else 0
        records = list(file.epochs) if file else []
        for before in records:
            if on_epoch:
                on_epoch(Epoch(**before))
        for epoch in range(first, task.training.epochs):
            record = run.epoch(epoch)
            records.append(record._asdict())
            if on_epoch:
                on_epoch(record)
            if file:
                run.save(file, epoch, records)
        return run.best, records


class _Run:
    """The state of a training run."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._model = Model(task.applied)
        self._optimiser = _optimiser(self._model, task.training)
        self.best: dict[str, Float32] = {}
        self._best_value = math.inf
        self._ramp = round(task.training.ramp * task.training.epochs)

    def epoch(self, epoch: int) -> Epoch:
        """Train for one epoch and look at the validation examples."""
        import torch

        task, training = self._task, self._task.training
        self._prune(epoch)
        rng = np.random.default_rng([task.seed, task.number, epoch])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            train_loss = self._train(epoch, rng)
        found = score(self._model, task.data.validation, task.loss)
        if not math.isfinite(train_loss) or not math.isfinite(found.loss):
            raise InputError(
                f"recipe step {task.number + 1} '{task.kind}': in epoch {epoch + 1} the loss is {train_loss} "
                f"in training and {found.loss} in validation: lower the learning_rate "
                f"({training.learning_rate}), or look for such values in the data"
            )
        self._choose(epoch, found)
        kept = sum(w.density * w().numel() for w in self._model.weights.values())
        size = sum(layer.n_weights for layer in task.applied.network.layers)
        return Epoch(
            task.number,
            task.kind,
            epoch,
            training.epochs,
            train_loss,
            found.loss,
            found.error_pct,
            100 * kept / size,
        )

    def _train(self, epoch: int, rng: np.random.Generator) -> float:
        task, training = self._task, self._task.training
        dropout = self._model.dropout(training.dropout)
        rate = training.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / training.epochs))
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        total, count = 0.0, 0
        for batch in batches_of(task.data.train, training.batch, rng, training.shift_pixels):
            inputs, targets = tensors(batch)
            loss = task.loss(self._model.outputs(inputs, dropout), targets)
            self._optimiser.zero_grad()
            loss.backward()
            self._optimiser.step()
            total += loss.item() * len(inputs)
            count += len(inputs)
        if not count:
            raise InputError(
                "training data: an iterator gives no batches: give one that can start anew"
            )
        return total / count

    def _prune(self, epoch: int) -> None:
        """Tighten the masks before an epoch, as the schedule of the step wants it."""
        task = self._task
        if task.prune is None or task.densities is None:
            return
        densities = {
            name: task.prune.density_at(target, epoch, self._ramp, task.training.epochs)
            for name, target in task.densities.items()
        }
        free = {name: self._model.weights[name] for name in densities}
        weights = {name: w.kept() for name, w in free.items() if isinstance(w, Free)}
        masks = task.prune.masks(weights, densities, geometries(task.applied.network))
        for name, mask in masks.items():
            layer = free[name]
            assert isinstance(layer, Free)
            layer.prune(mask)

    def _choose(self, epoch: int, found: Score) -> None:
        """Keep this epoch if it is the best so far; of equal ones the later."""
        task = self._task
        if task.prune is not None and not task.prune.done(epoch, self._ramp, task.training.epochs):
            return
        by_loss = task.training.best == "loss" or task.loss is not cross_entropy
        value = found.loss if by_loss else found.error_pct
        if value <= self._best_value:
            self._best_value, self.best = value, self._model.snapshot()

    def save(self, file: EpochFile, epoch: int, records: list[dict[str, Any]]) -> None:
        """Write all that going on needs."""
        arrays = {f"best/{name}": values for name, values in self.best.items()}
        for index, tensor in enumerate(self._tensors()):
            arrays[f"tensor/{index}"] = tensor.detach().numpy()
        for name, layer in self._model.weights.items():
            if layer.mask is not None:
                arrays[f"mask/{name}"] = layer.mask.numpy()
        state = self._optimiser.state_dict()["state"]
        for index, entries in state.items():
            for key, value in entries.items():
                if value is not None:
                    arrays[f"optimiser/{index}/{key}"] = value.numpy()
        file.write(arrays, epoch, self._best_value, records)

    def resume(self, file: EpochFile) -> int:
        """Take over what a file holds; the epoch to go on with."""
        import torch

        held = file.read()
        if held is None:
            return 0
        arrays, done, self._best_value = held
        state: dict[int, dict[str, Any]] = {}
        current = self._tensors()
        with torch.no_grad():
            for name, values in arrays.items():
                kind, _, rest = name.partition("/")
                if kind == "best":
                    self.best[rest] = values
                elif kind == "tensor":
                    current[int(rest)].copy_(torch.from_numpy(values))
                elif kind == "mask":
                    layer = self._model.weights[rest]
                    assert isinstance(layer, Free)
                    layer.prune(values != 0)
                else:
                    index, _, key = rest.partition("/")
                    state.setdefault(int(index), {})[key] = torch.from_numpy(values)
        whole = self._optimiser.state_dict()
        self._optimiser.load_state_dict(whole | {"state": state})
        return done + 1

    def _tensors(self) -> list[Any]:
        weights, others = self._model.trained()
        return [*weights, *others]


def _optimiser(model: Model, training: Training) -> Any:
    import torch

    weights, others = model.trained()
    groups = [
        {"params": weights, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if training.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=training.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=training.learning_rate)
