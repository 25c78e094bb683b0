import gzip

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from accelsim.datasets.labelled import IMAGES, LABELS, TRAIN_IMAGES, TRAIN_LABELS, load_dataset
from accelsim.errors import AccelsimError, FileFormatError, InputError

RNG = np.random.default_rng(0)


def idx(values: np.ndarray) -> bytes:
    """MNIST's format: a header of big-endian numbers, then bytes."""
    head = bytes([0, 0, 8, values.ndim])
    return head + b"".join(n.to_bytes(4, "big") for n in values.shape) + values.tobytes()


@pytest.fixture
def folder(tmp_path):
    images = RNG.integers(0, 256, (7, 3, 2), dtype=np.uint8)
    labels = RNG.integers(0, 4, 7, dtype=np.uint8)
    (tmp_path / f"{IMAGES}.gz").write_bytes(gzip.compress(idx(images), mtime=0))
    (tmp_path / LABELS).write_bytes(idx(labels))
    return tmp_path, images, labels


def test_idx_files_are_read_plain_and_packed(folder):
    path, images, labels = folder
    data = load_dataset(path)
    assert data.inputs.dtype == np.float32
    assert_array_equal(data.inputs, images.astype(np.float32) / np.float32(255))
    assert_array_equal(data.labels, labels)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (LABELS, b"", "is no IDX file"),
        (LABELS, idx(np.zeros(7, np.uint8))[:-1], "truncated"),
        (LABELS, bytes([0, 0, 8, 4]) + b"\xff" * 16, "claims sizes"),
        (LABELS, idx(np.zeros(6, np.uint8)), "give a whole number for each example"),
        (f"{IMAGES}.gz", gzip.compress(b"\0\0\x08\x03", mtime=0)[:-9], "is damaged|claims"),
        (f"{IMAGES}.gz", b"no gzip at all", "is damaged"),
        *(
            (
                f"{IMAGES}.gz",
                gzip.compress(idx(np.zeros((7, 2), np.uint8)), mtime=0)[:-cut],
                "is damaged",
            )
            for cut in range(1, 9)  # in the checksum and the length
        ),
        (
            f"{IMAGES}.gz",
            gzip.compress(idx(np.zeros((7, 2), np.uint8)), mtime=0) + b"x",
            "is damaged",
        ),
        (
            f"{IMAGES}.gz",
            gzip.compress(idx(np.zeros((7, 2), np.uint8)) + b"x", mtime=0),
            "goes on after",
        ),
        (LABELS, idx(np.zeros(7, np.uint8)) + b"\0", r"goes on after its \[7\] bytes"),
    ],
)
def test_damaged_idx_files_are_named(folder, name, content, message):
    path, _, _ = folder
    (path / name).write_bytes(content)
    with pytest.raises(AccelsimError, match=message) as error:
        load_dataset(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_beyond_64_bits_are_told_as_they_are(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, inputs=np.ones((2, 3)), labels=np.array([0, 2**64 - 1], np.uint64))
    with pytest.raises(AccelsimError, match="label 18446744073709551615 is no class"):
        load_dataset(path)


def test_arrays_are_read_and_checked(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, inputs=np.ones((2, 3)), labels=[1, 0])
    assert load_dataset(path).inputs.shape == (2, 3)
    np.savez(path, inputs=np.ones((2, 3)))
    with pytest.raises(AccelsimError, match="'inputs' and 'labels'"):
        load_dataset(path)
    np.savez(path, inputs=[[np.nan]], labels=[0])
    with pytest.raises(AccelsimError, match="NaN"):
        load_dataset(path)


def test_mnist_needs_a_folder(monkeypatch):
    monkeypatch.delenv("ACCELSIM_DATA", raising=False)
    with pytest.raises(InputError, match="set ACCELSIM_DATA"):
        load_dataset("mnist")


def test_the_train_part_has_files_of_its_own(folder):
    path, _, _ = folder
    with pytest.raises(InputError, match=f"{TRAIN_IMAGES}.gz: no such file"):
        load_dataset(path, "train")
    images = RNG.integers(0, 256, (5, 2, 3), dtype=np.uint8)
    (path / TRAIN_IMAGES).write_bytes(idx(images))
    (path / TRAIN_LABELS).write_bytes(idx(np.arange(5, dtype=np.uint8)))
    data = load_dataset(path, "train")
    assert_array_equal(data.inputs, images.astype(np.float32) / np.float32(255))
    assert_array_equal(data.labels, np.arange(5))


def test_the_train_part_has_arrays_of_its_own(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, inputs=np.ones((2, 3)), labels=[1, 0])
    with pytest.raises(
        FileFormatError, match=r"holds inputs, labels.*'train_inputs'.*'train_labels'"
    ):
        load_dataset(path, "train")
    np.savez(path, train_inputs=np.ones((4, 3)), train_labels=[1, 0, 2, 1])
    assert load_dataset(path, part="train").labels.tolist() == [1, 0, 2, 1]
    with pytest.raises(FileFormatError, match="'inputs' and 'labels'"):
        load_dataset(path)
    np.savez(path, train_inputs=[[np.inf]], train_labels=[0])
    with pytest.raises(AccelsimError, match="array 'train_inputs'"):
        load_dataset(path, "train")


def test_only_two_parts_are_known(tmp_path):
    with pytest.raises(InputError, match=r"part 'valid': .* give test or train"):
        load_dataset(tmp_path, "valid")
