"""Examples to train on, to choose by and to test with, batch by batch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from accelsim.datasets.labelled import Dataset, load_dataset
from accelsim.datasets.text import load_text
from accelsim.errors import InputError
from accelsim.network.arrays import Float32
from accelsim.network.files import StrPath

# Inputs [batch, *shape] and targets [batch, ...], as arrays or tensors.
Batch: TypeAlias = tuple[Any, Any]
SCORING_BATCH = 1000
VALIDATION_EXAMPLES = 5000


@runtime_checkable
class Examples(Protocol):
    """Examples that can be put in any order and into batches of any size."""

    def batches(
        self, size: int, rng: np.random.Generator | None = None, shift: int = 0
    ) -> Iterator[Batch]:
        """All examples once, shuffled and moved by up to `shift` pixels if there is an `rng`."""


@dataclass(frozen=True)
class TrainingData:
    """What a recipe's training needs.

    train, validation, test: each an iterable of (inputs, targets) batches, such as a torch DataLoader,
        which is iterated anew in each epoch and decides on order and batch size itself; or `Examples`.
        The best epoch is chosen on `validation`; `test` is looked at once, at the end
    name: of the data, for the record
    """

    train: "Iterable[Batch] | Examples"
    validation: "Iterable[Batch] | Examples"
    test: "Iterable[Batch] | Examples | None" = None
    name: str = "data"


@dataclass(frozen=True)
class Shuffled:
    """A labelled data set as `Examples`."""

    dataset: Dataset

    def batches(
        self, size: int, rng: np.random.Generator | None = None, shift: int = 0
    ) -> Iterator[Batch]:
        """See `Examples`."""
        inputs, labels = self.dataset.inputs, self.dataset.labels
        if rng is None:
            for start in range(0, len(labels), size):
                yield inputs[start : start + size], labels[start : start + size]
            return
        order = rng.permutation(len(labels))
        for start in range(0, len(labels), size):
            chosen = order[start : start + size]
            batch = inputs[chosen]
            yield (shifted(batch, shift, rng) if shift else batch), labels[chosen]


def shifted(images: Float32, most: int, rng: np.random.Generator) -> Float32:
    """Each image of float32[n, ..., height, width] moved by up to `most` pixels; zeros move in."""
    if images.ndim < 3:
        raise InputError(
            f"shift_pixels={most}: the examples have shape {list(images.shape[1:])}: only images can "
            "be moved"
        )
    height, width = images.shape[-2:]
    edges = [(0, 0)] * (images.ndim - 2) + [(most, most)] * 2
    padded = np.pad(images, edges)
    moved = np.empty_like(images)
    choice = rng.integers((2 * most + 1) ** 2, size=len(images))
    for shift in np.unique(choice):
        down, right = divmod(int(shift), 2 * most + 1)
        chosen = choice == shift
        moved[chosen] = padded[chosen, ..., down : down + height, right : right + width]
    return moved


def training_data(
    source: "StrPath | TrainingData", validation: int = VALIDATION_EXAMPLES
) -> TrainingData:
    """Data to train with.

    source: what `load_dataset` reads, with a training part; or a text (.txt), of which a language
        model predicts the next character. The last `validation` training examples are held out (a
        tenth at most), so they must be mixed, not sorted by class.
    Raises InputError or one of its kinds, naming the file and the remedy.
    """
    if isinstance(source, TrainingData):
        return source
    if not isinstance(source, str | PathLike):
        raise InputError(
            f"data: {type(source).__name__}: give a file, or TrainingData(train=..., validation=...) "
            "with iterables of batches"
        )
    if str(source).endswith(".txt"):
        text = load_text(source)
        return TrainingData(
            text.part("train"), text.part("validation"), text.part("test"), text.name
        )
    train = load_dataset(source, "train")
    held_out = min(validation, len(train.labels) // 10)
    if not held_out:
        raise InputError(
            f"data '{train.name}': {len(train.labels)} training examples: give 10 or more"
        )
    kept = len(train.labels) - held_out
    _check_mixed(train, kept)
    return TrainingData(
        Shuffled(train.part(0, kept)),
        Shuffled(train.part(kept, len(train.labels))),
        Shuffled(load_dataset(source)),
        train.name,
    )


def _check_mixed(train: Dataset, kept: int) -> None:
    """InputError if most examples of a class are among the last, which are held out."""
    classes, counts = np.unique(train.labels, return_counts=True)
    last, held_out = np.unique(train.labels[kept:], return_counts=True)
    there = counts[np.searchsorted(classes, last)]
    # By chance this happens to a class of 20 examples less than once in a million times.
    sorted_out = last[(there >= 20) & (2 * held_out > there)]
    if sorted_out.size:
        raise InputError(
            f"data '{train.name}': most examples of class {sorted_out[0]} are among the last "
            f"{len(train.labels) - kept} training examples, which are held out for validation: mix them"
        )


def batches_of(
    examples: "Iterable[Batch] | Examples",
    size: int = SCORING_BATCH,
    rng: np.random.Generator | None = None,
    shift: int = 0,
) -> Iterator[Batch]:
    """Batches of `size`, if the examples leave that open."""
    if isinstance(examples, Examples):
        return examples.batches(size, rng, shift)
    return iter(examples)
