"""Batches to train on: every example once an epoch, moved by whole pixels; texts cut into examples."""

from itertools import product

import numpy as np
import pytest

from accelsim.datasets.labelled import Dataset
from accelsim.datasets.text import Text, load_text
from accelsim.datasets.training import (
    Examples,
    Shuffled,
    TrainingData,
    batches_of,
    shifted,
    training_data,
)
from accelsim.errors import FileFormatError, InputError


def numbered(count):
    """Example i holds the number i, and so does its label."""
    inputs = np.arange(count, dtype=np.float32)[:, None]
    return Shuffled(Dataset("numbers", inputs, np.arange(count)))


@pytest.mark.parametrize("size", [1, 7, 20, 100])
def test_an_epoch_holds_every_example_once(size):
    batches = list(numbered(20).batches(size, np.random.default_rng(0)))
    assert [len(labels) for _, labels in batches[:-1]] == [size] * (len(batches) - 1)
    labels = np.concatenate([labels for _, labels in batches])
    inputs = np.concatenate([inputs for inputs, _ in batches])
    np.testing.assert_array_equal(inputs[:, 0], labels)
    assert sorted(labels) == list(range(20))
    if size < 20:
        assert list(labels) != sorted(labels)


def test_without_an_rng_the_order_stays():
    labels = np.concatenate([labels for _, labels in numbered(20).batches(6)])
    np.testing.assert_array_equal(labels, np.arange(20))


@pytest.mark.parametrize("most", [1, 2])
def test_images_move_by_whole_pixels_and_zeros_move_in(most):
    rng = np.random.default_rng(1)
    images = rng.random((200, 6, 5)).astype(np.float32) + 1
    seen = set()
    for before, after in zip(images, shifted(images, most, rng), strict=True):
        matches = []
        for down, right in product(range(-most, most + 1), repeat=2):
            expected = np.zeros_like(before)
            for y, x in product(range(6), range(5)):
                if 0 <= y + down < 6 and 0 <= x + right < 5:
                    expected[y + down, x + right] = before[y, x]
            if np.array_equal(expected, after):
                matches.append((down, right))
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == (2 * most + 1) ** 2


def test_only_images_can_be_moved():
    with pytest.raises(InputError, match="only images can be moved"):
        list(numbered(20).batches(5, np.random.default_rng(0), shift=1))


def test_validation_examples_are_held_out_of_an_npz(tmp_path):
    path = tmp_path / "data.npz"
    labels = np.arange(40) % 3
    inputs = np.arange(40, dtype=np.float32)[:, None]
    np.savez(path, inputs=inputs[:8], labels=labels[:8], train_inputs=inputs, train_labels=labels)
    data = training_data(path)
    parts = [
        np.concatenate([x[:, 0] for x, _ in batches_of(part)])
        for part in (data.train, data.validation, data.test)
    ]
    np.testing.assert_array_equal(parts[0], np.arange(36))
    np.testing.assert_array_equal(parts[1], np.arange(36, 40))
    np.testing.assert_array_equal(parts[2], np.arange(8))
    assert data.name == "data"
    assert training_data(data) is data


def test_too_few_examples_are_refused(tmp_path):
    path = tmp_path / "data.npz"
    few = np.zeros((9, 2), np.float32), np.zeros(9, np.int64)
    np.savez(path, inputs=few[0], labels=few[1], train_inputs=few[0], train_labels=few[1])
    with pytest.raises(InputError, match="9 training examples: give 10 or more"):
        training_data(path)


def test_examples_sorted_by_class_are_refused(tmp_path):
    path = tmp_path / "data.npz"
    labels = np.repeat([0, 1, 2], 100)
    inputs = np.zeros((300, 2), np.float32)

    def save(order):
        part = {"inputs": inputs, "labels": labels}
        np.savez(path, train_inputs=inputs, train_labels=labels[order], **part)

    save(np.random.default_rng(0).permutation(300))
    training_data(path)
    rare = np.concatenate([np.full(285, 0), np.full(15, 1)])  # too few to tell
    np.savez(path, train_inputs=inputs, train_labels=rare, inputs=inputs, labels=labels)
    training_data(path)
    few = np.concatenate([np.full(275, 0), np.full(25, 1)])
    np.savez(path, train_inputs=inputs, train_labels=few, inputs=inputs, labels=labels)
    with pytest.raises(InputError, match=r"examples of class 1 are among the last 30 .*mix them"):
        training_data(path)


@pytest.mark.parametrize("source", [3, None, [(1, 2)], {"train": 1}])
def test_what_is_no_data_is_refused(source):
    with pytest.raises(InputError, match="give a file, or TrainingData"):
        training_data(source)


def test_iterables_are_taken_as_they_are():
    batches = [(np.zeros((2, 3)), np.zeros(2))]
    assert list(batches_of(batches, 1, np.random.default_rng(0), 2)) == batches
    assert not isinstance(batches, Examples)
    assert isinstance(numbered(3), Examples)


TEXT = "to be, or not to be: that is the question. " * 40


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "hamlet.txt"
    path.write_text(TEXT, encoding="utf-8")
    return load_text(path, length=8)


def decode(text, one_hot):
    return "".join(text.symbols[index] for index in one_hot.argmax(axis=-1).ravel())


def test_a_text_is_told_from_the_characters_before(text):
    assert text.symbols == "".join(sorted(set(TEXT)))
    seen = ""
    for inputs, targets in text.batches(5):
        assert inputs.shape[1:] == (8, len(text.symbols))
        assert inputs.sum(axis=-1).min() == inputs.sum(axis=-1).max() == 1
        for example, following in zip(inputs, targets, strict=True):
            seen += decode(text, example)
            start = len(seen) - 8
            assert "".join(text.symbols[t] for t in following) == TEXT[start + 1 : start + 9]
    assert TEXT.startswith(seen)
    assert len(seen) > len(TEXT) - 9


def test_shuffled_examples_begin_elsewhere_each_time(text):
    rng = np.random.default_rng(0)
    firsts = {decode(text, inputs[0]) for _ in range(6) for inputs, _ in text.batches(3, rng)}
    assert len(firsts) > 20
    assert all(first in TEXT for first in firsts)


def test_a_text_has_three_parts_in_order(text):
    parts = [text.part(part).codes for part in ("train", "validation", "test")]
    np.testing.assert_array_equal(np.concatenate(parts), text.codes)
    assert parts[0].size == int(0.9 * len(TEXT))
    assert abs(parts[1].size - parts[2].size) <= 1


def test_a_text_is_training_data(tmp_path):
    path = tmp_path / "hamlet.txt"
    path.write_text(TEXT * 10, encoding="utf-8")
    data = training_data(path)
    assert isinstance(data, TrainingData)
    assert isinstance(data.train, Text)
    assert data.name == "hamlet"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\xff", "is no UTF-8 text"),
        (b"too short", "too few"),
        ("".join(map(chr, range(300))).encode() * 40, "300 different characters"),
    ],
)
def test_texts_that_do_not_fit_are_refused(tmp_path, content, message):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        load_text(path)
